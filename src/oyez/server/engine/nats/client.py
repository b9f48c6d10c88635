"""The client of nats-py, of which we use the handshake, the parser and the pings.

Its own subscriptions have a task and a queue each, in which the order across channels is lost; what
it publishes may leave after the PING that is to confirm it; and when a connection breaks it closes
itself in a task of nobody, some ways with a traceback in the log. So messages, and the end of the
connection, are handed on at once from where it reads, and nothing is closed but by `shut`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from nats import errors
from nats.aio.client import Client

__all__ = ["NatsClient"]

_READ: Final = 65_536  # bytes at once
_PING: Final = b"PING\r\n"
_FAREWELL: Final = 0.2  # seconds for what is still to be sent


class NatsClient(Client):
    """One connection.

    Args:
        arrived: called with subscription, subject, reply subject, data and headers of messages.
        gone: called with a reason when the connection has ended, or is as good as ended.
        warned: called with what the server has complained about without ending the connection.
    """

    def __init__(
        self,
        arrived: Callable[[int, bytes, bytes, bytes, bytes | None], None],
        gone: Callable[[str], None],
        warned: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._arrived = arrived
        self._gone = gone
        self._warned = warned
        self._trouble: Exception | None = None
        self._secure = False

    async def open(self, options: dict[str, Any], *, secure: bool, limit: float) -> None:
        """Connect.

        Args:
            secure: say nothing to a server without TLS.
            limit: seconds.

        Raises:
            OSError: nobody answers.
            Error: of nats-py, for instance because the password is wrong.
        """
        self._secure = secure
        # In a task of its own, as `wait_for` in there loses a cancellation on Python 3.11.
        connecting = asyncio.create_task(self.connect(**options, error_cb=self._note))
        try:
            await asyncio.wait((connecting,), timeout=limit)
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.wait((connecting,), timeout=limit)
        try:
            connecting.result()
        except RuntimeError as error:  # of uvloop: the server has hung up between two writes
            raise OSError(str(error)) from None
        except errors.NoServersError:
            raise self._trouble or OSError("nobody answers") from None
        except asyncio.CancelledError:
            raise TimeoutError(f"no answer within {limit:g} s") from None

    async def shut(self) -> None:
        """Close; nothing is left behind, also if this is cancelled."""
        self._status = Client.CLOSED
        tasks = [
            task
            for task in (self._reading_task, self._ping_interval_task, self._flusher_task)
            if task is not None
        ]
        for task in tasks:
            task.cancel()
        writer = getattr(self._transport, "_io_writer", None)
        try:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                    async with asyncio.timeout(_FAREWELL):
                        await writer.wait_closed()
        finally:
            if writer is not None:
                writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    def write(self, commands: Sequence[bytes]) -> None:
        """Send these.

        Raises:
            OSError, RuntimeError: the connection is gone.
        """
        if self._transport is not None:
            self._transport.write(b"".join(commands))

    def ping(self) -> "tuple[bytes, asyncio.Future[Any]]":
        """What to write, and a future that is done when it has been answered."""
        pong: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)  # answers come in the order in which pings are written
        return _PING, pong

    # What nats-py calls.

    async def _note(self, error: Exception) -> None:
        self._trouble = error

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._secure and not info.get("tls_required"):
            raise errors.Error("the server has no TLS")
        await super()._process_info(info, initial_connection)

    async def _read_loop(self) -> None:
        reason = "closed by the broker"
        try:
            while self._transport is not None and (data := await self._transport.read(_READ)):
                await self._ps.parse(data)
        except Exception as error:  # whatever it is, nothing more will be read
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self._gone(reason)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        self._arrived(sid, subject, reply, data, headers)

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg:
            self._warned(err_msg.strip("'"))
        else:
            self._gone(err_msg.strip("'"))

    async def _process_op_err(self, e: Exception) -> None:
        self._gone(str(e) or type(e).__name__)
