"""The backend of PyPI ``pusher`` for Tornado: ``backend=TornadoBackend``."""

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from oyez.pusher.errors import PusherConnectionError, PusherTimeout
from oyez.pusher.http import GET, Request, receive
from oyez.sdk.forks import no_fork
from oyez.sdk.transport import Response

if TYPE_CHECKING:
    from oyez.pusher.client import Client

__all__ = ["TornadoBackend"]

# The last two are what Tornado would import at the first request, if nothing else is configured.
_MODULES = ("tornado.httpclient", "tornado.platform.asyncio", "tornado.simple_httpclient")


class TornadoBackend:
    """Sends through Tornado's HTTP client, and gives a future of the running loop.

    Args:
        client: whose requests they are.
        options: for ``tornado.httpclient.HTTPRequest``, such as ``validate_cert``.

    Raises:
        ImportError: Tornado is not installed.
    """

    def __init__(self, client: "Client", **options: Any) -> None:
        try:
            with no_fork():
                for name in _MODULES:
                    importlib.import_module(name)
        except ImportError as error:
            raise ImportError("TornadoBackend needs tornado: pip install tornado") from error
        self.client = client
        self.options: dict[str, Any] = {"follow_redirects": False, **options}

    def send_request(self, request: Request) -> "asyncio.Future[dict[str, Any]]":
        """See `oyez.pusher.http.Backend`."""
        # Not the running loop of asyncio, so that a program may publish before it starts its loop.
        ioloop = importlib.import_module("tornado.ioloop")
        loop: asyncio.AbstractEventLoop = ioloop.IOLoop.current().asyncio_loop
        return loop.create_task(self._send(request))

    async def _send(self, request: Request) -> dict[str, Any]:
        http = importlib.import_module("tornado.httpclient")
        where = f"{request.base_url}{request.path}"
        sent = http.HTTPRequest(
            request.url,
            method=request.method,
            body=None if request.method == GET else request.body,
            headers=request.headers,
            request_timeout=self.client.timeout,
            **self.options,
        )
        try:
            answer = await http.AsyncHTTPClient().fetch(sent, raise_error=False)
        except TimeoutError as error:
            raise PusherTimeout(f"no answer from {where}", may_have_arrived=True) from error
        except (OSError, http.HTTPError) as error:
            kind = PusherTimeout if "Timeout" in type(error).__name__ else PusherConnectionError
            raise kind(f"no answer from {where}: {error}", may_have_arrived=True) from error
        headers = {str(name).lower(): str(value) for name, value in answer.headers.items()}
        return receive(request, Response(answer.code, answer.body or b"", headers))
