"""HTTP for clients that outlive the event loops of tests."""

from oyez.sdk.transport import AsyncHttpTransport, HttpOptions, Request, Response

__all__ = ["OneRequestTransport"]

_OPTIONS = HttpOptions(verify=False)  # nothing is encrypted, and reading certificates takes a while


class OneRequestTransport:
    """A connection for each request: nothing is left that belongs to an event loop.

    A pytest fixture can hand this out without an asyncio plug-in, and a test may use it in several
    loops, one after another.
    """

    async def send(self, request: Request) -> Response:
        """See `oyez.sdk.transport.AsyncTransport`."""
        transport = AsyncHttpTransport(_OPTIONS)
        try:
            return await transport.send(request)
        finally:
            await transport.aclose()

    async def aclose(self) -> None:
        """See `oyez.sdk.transport.AsyncTransport`; there is nothing to let go of."""
