"""One WebSocket of a subscriber: opened, read, and watched for signs of life.

The only file that knows the ``websockets`` library, which is an extra.
"""

import asyncio
import contextlib
import ssl as tls
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from oyez import __version__
from oyez.sdk.errors import ConnectionFailed, ConnectionRejected
from oyez.sdk.forks import no_fork
from oyez.sdk.liveness import Liveness, Verdict

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = [
    "Ended",
    "Link",
    "LinkOptions",
    "closed_by_server",
    "require_websockets",
    "socket_url",
]

_ABNORMAL = 1006  # RFC 6455 7.1.5: there was no close frame


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """How to connect, and how long to wait for what, in seconds.

    Attributes:
        attempt_timeout: for one attempt, from the name of the host to the server's greeting.
        pong_timeout: for a sign of life after asking for one.
        close_timeout: for the server to agree that a connection is closed.
        max_message: bytes of one message; beyond it the connection is closed with 1009.
        verify: whether certificates are verified, or the context that does it.
        proxy: URL of a proxy; None reads the environment as every program does.
        headers: sent with the upgrade request.
    """

    attempt_timeout: float
    pong_timeout: float
    close_timeout: float
    max_message: int
    verify: bool | tls.SSLContext = True
    proxy: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)


class Ended(Exception):
    """A connection is over, or there never was one.

    Attributes:
        error: what it means to the application.
        code: with which the server closed; None if it did not.
        hopeless: whether another attempt would fail likewise, unless it has worked before.
    """

    def __init__(
        self, error: ConnectionFailed, code: int | None = None, *, hopeless: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.code = code
        self.hopeless = hopeless


def require_websockets() -> None:
    """Say what to install.

    Raises:
        ModuleNotFoundError: the library is not there.
    """
    if find_spec("websockets") is None:
        raise ModuleNotFoundError(
            "a subscriber needs the library websockets: pip install 'oyez[subscriber]'",
            name="websockets",
        )


def socket_url(key: str, *, host: str, port: int | None, ssl: bool, path: str) -> str:
    """Where an app's clients connect (spec ``websocket-protocol.md`` 1)."""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    place = f"{'wss' if ssl else 'ws'}://{name}" + (f":{port}" if port else "")
    prefix = path.strip("/")
    return (
        f"{place}{f'/{prefix}' if prefix else ''}/app/{quote(key, safe='')}"
        f"?protocol=7&client=oyez&version={__version__}"
    )


class Link:
    """An open WebSocket."""

    def __init__(self, socket: "ClientConnection", options: LinkOptions) -> None:
        self._socket = socket
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._liveness: Liveness | None = None
        self._lost = ""

    @classmethod
    async def open(cls, url: str, options: LinkOptions) -> Self:
        """Connect; nothing has been read yet.

        Raises:
            Ended: it does not work.
        """
        with no_fork():
            from websockets.asyncio.client import connect
            from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

        secure = url.startswith("wss:")
        try:
            socket = await connect(
                url,
                ssl=_context(options.verify) if secure else None,
                additional_headers=options.headers,
                user_agent_header=f"oyez/{__version__}",
                proxy=options.proxy or True,
                compression=None,  # events are small; inflating costs more than it saves
                open_timeout=None,  # the caller's, which includes the greeting
                ping_interval=None,  # the protocol has its own
                close_timeout=options.close_timeout,
                max_size=options.max_message,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            text = f"{_shown(url)} opens no WebSocket"
            hopeless = 400 <= status < 500 and status not in (408, 429)
            raise Ended(ConnectionRejected(status, text), hopeless=hopeless) from error
        except (OSError, EOFError, InvalidHandshake, WebSocketException) as error:
            what = str(error) or type(error).__name__
            failed = ConnectionFailed(f"cannot connect to {_shown(url)}: {what}")
            failed.__cause__ = error
            hopeless = isinstance(error, tls.SSLCertVerificationError)
            raise Ended(failed, hopeless=hopeless) from error
        return cls(socket, options)

    async def receive(self) -> str:
        """The next text message; binary ones mean nothing in this protocol.

        Raises:
            Ended: the connection is over.
        """
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                message = await self._socket.recv()
            except ConnectionClosed as closed:
                frame = closed.rcvd
                raise self._ended((frame.code, frame.reason) if frame else None) from None
            if self._liveness is not None:
                self._liveness.heard(self._loop.time())
            if isinstance(message, str):
                return message

    async def send(self, text: str) -> None:
        """Send one message; waits while the server does not read.

        Raises:
            ConnectionFailed: the connection has ended.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(text)
        except ConnectionClosed:
            raise ConnectionFailed("the connection has ended") from None

    async def watch(self, activity_timeout: float, ping: Callable[[], str]) -> None:
        """Ask for signs of life, and cut the connection when there are none.

        Args:
            activity_timeout: seconds of silence after which to ask.
            ping: makes the question.
        """
        patience = self._options.pong_timeout
        liveness = self._liveness = Liveness(activity_timeout, patience, self._loop.time())
        while True:
            await asyncio.sleep(max(liveness.due - self._loop.time(), 0))
            match liveness.check(self._loop.time()):
                case Verdict.ASK:
                    # A peer that is gone does not read either, so sending may wait as well.
                    with contextlib.suppress(ConnectionFailed, TimeoutError):
                        async with asyncio.timeout(patience):
                            await self.send(ping())
                case Verdict.LOST:
                    self._lost = f"nothing came for {patience:g} s after a ping"
                    self._socket.transport.abort()
                    return
                case Verdict.WAIT:
                    pass

    async def close(self) -> None:
        """Leave, with a close frame if there is time for it."""
        await self._socket.close()

    def _ended(self, frame: tuple[int, str] | None) -> Ended:
        if self._lost:
            return Ended(ConnectionFailed(self._lost))
        code, reason = frame or (_ABNORMAL, "the connection broke")
        return closed_by_server(code, reason)


def closed_by_server(code: int, reason: str) -> Ended:
    """What a close code means, whether it comes in a close frame or a `pusher:error`."""
    if 4000 <= code < 4100:
        return Ended(ConnectionRejected(code, reason), code)
    return Ended(ConnectionFailed(f"closed with {code}: {reason}"), code)


def _context(verify: bool | tls.SSLContext) -> tls.SSLContext:
    if isinstance(verify, tls.SSLContext):
        return verify
    context = tls.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = tls.CERT_NONE
    return context


def _shown(url: str) -> str:
    return url.partition("?")[0]
