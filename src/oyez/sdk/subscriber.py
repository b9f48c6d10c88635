"""An asyncio client of the WebSocket protocol, for backends, tests and the command line."""

import asyncio
import logging
import re
import ssl as tls
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from oyez.protocol.signing import Token
from oyez.sdk.address import options_of_environment, options_of_url
from oyez.sdk.arguments import text
from oyez.sdk.authorizer import Authorizer
from oyez.sdk.calls import encode_json
from oyez.sdk.encryption import Cipher, master_key
from oyez.sdk.errors import ConnectionFailed, OyezError, TimedOut
from oyez.sdk.link import Ended, LinkOptions, require_websockets, socket_url
from oyez.sdk.permission import Authenticate, Authorize, Closable
from oyez.sdk.reconnection import Reconnection
from oyez.sdk.roster import Roster
from oyez.sdk.session import Session
from oyez.sdk.state import State, StateChange
from oyez.sdk.stream import Feed, Stream
from oyez.sdk.subscription import Subscription, User
from oyez.sdk.tasks import Tasks

__all__ = ["AsyncSubscriber"]

log = logging.getLogger("oyez.subscriber")

_HOSTED_API = re.compile(r"api-([a-z0-9]+)\.pusher\.com")


class AsyncSubscriber(Stream):
    """Connects, subscribes, and does both again whenever the connection is lost.

    ::

        async with AsyncSubscriber("app-key", host="127.0.0.1", port=6001, ssl=False) as subscriber:
            news = await subscriber.subscribe("news")
            async for event in news:
                print(event.name, event.data)

    Iterating over the subscriber itself gives every event of all channels and of the user, and
    those of the protocol. An interruption is no end: iterators go on after it, but what was
    published meanwhile is lost, as the protocol delivers at most once. Close codes decide whether
    and when to connect again (`Reconnection`); when the server does not want it, everything that
    waits raises `ConnectionRejected`.

    Args:
        key: of the app; public.
        cluster: of hosted Pusher, such as ``eu``; ignored if there is a host.
        host: name or address of the server.
        port: by default 443 with ``ssl`` and 80 without.
        ssl: whether to use TLS.
        path: what comes before ``/app``, if a proxy adds something.
        authorize: gives leave for private and presence channels: a function or coroutine function
            of channel, socket id and member, such as `oyez.Client.authorize_channel` or
            `HttpAuthorizer`. A plain function must not block.
        authenticate: the same for users, of socket id and user, such as
            `oyez.Client.authenticate_user` or `HttpAuthenticator`.
        verify: whether to verify certificates, or the `ssl.SSLContext` to do so with.
        proxy: URL of a proxy; by default what the environment says.
        headers: sent with the upgrade request.
        max_waiting: events that wait for each consumer at most; then the oldest are dropped.
        max_message: bytes of one message of the server.
        activity_timeout: seconds of silence after which to ask for a sign of life; the server may
            want it sooner.
        pong_timeout: seconds to wait for it before connecting anew.
        open_timeout: seconds until the first connection, all attempts together; None for ever.
        attempt_timeout: seconds for each attempt.
        answer_timeout: seconds to wait for the answer to a subscription or sign-in.
        close_timeout: seconds for the server to agree that a connection is closed.
        reconnection: when to connect again.

    Raises:
        ModuleNotFoundError: the extra is not installed: ``pip install 'oyez[subscriber]'``.
        TypeError: an argument of the wrong type.
        ValueError: neither host nor cluster, or no key.
    """

    def __init__(
        self,
        key: str,
        *,
        cluster: str | None = None,
        host: str | None = None,
        port: int | None = None,
        ssl: bool = True,
        path: str = "",
        authorize: Authorize | None = None,
        authenticate: Authenticate | None = None,
        verify: bool | tls.SSLContext = True,
        proxy: str | None = None,
        headers: Mapping[str, str] | None = None,
        max_waiting: int = 1000,
        max_message: int = 1_048_576,
        activity_timeout: float = 120.0,
        pong_timeout: float = 30.0,
        open_timeout: float | None = 10.0,
        attempt_timeout: float = 10.0,
        answer_timeout: float = 10.0,
        close_timeout: float = 2.0,
        reconnection: Reconnection | None = None,
    ) -> None:
        require_websockets()
        if not text("key", key):
            raise ValueError("key must not be empty")
        if not host and not cluster:
            raise ValueError("host or cluster must be given")
        if max_waiting < 1:
            raise ValueError(f"max_waiting must be at least 1, not {max_waiting}")
        name = text("host", host) if host else f"ws-{text('cluster', cluster)}.pusher.com"
        self._url = socket_url(key, host=name, port=port, ssl=ssl, path=path)
        self._options = LinkOptions(
            attempt_timeout=attempt_timeout,
            pong_timeout=pong_timeout,
            close_timeout=close_timeout,
            max_message=max_message,
            verify=verify,
            proxy=proxy,
            headers=dict(headers or {}),
        )
        self._activity_timeout = activity_timeout
        self._open_timeout = open_timeout
        self._reconnection = reconnection or Reconnection()
        self._applications: tuple[object, ...] = (authorize, authenticate)
        self._tasks = Tasks()
        super().__init__(Feed(max_waiting, self._tasks, system_events=True))
        self._roster = Roster(
            authorize,
            authenticate,
            self._feed.publish,
            backoff=self._reconnection.backoff,
            answer_timeout=answer_timeout,
            size=max_waiting,
            tasks=self._tasks,
        )
        self._state = State.NEW
        self._watchers: list[Callable[[StateChange], object]] = []
        self._session: Session | None = None
        self._runner: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self._over = asyncio.Event()
        self._error: OyezError | None = None
        self._last: OyezError | None = None
        self._since: float | None = None  # when the present connection was accepted

    @classmethod
    def from_url(
        cls, url: str, *, encryption_master_key: str | bytes | None = None, **options: Any
    ) -> Self:
        """From ``http(s)://KEY:SECRET@HOST[:PORT][/PREFIX]/apps/APP_ID``; it authorizes itself.

        Args:
            encryption_master_key: base64 of 32 bytes, or the bytes; for encrypted channels.
            options: further arguments of the constructor.

        Raises:
            ValueError: another form.
        """
        return cls._with_secret(options_of_url(url), encryption_master_key, options)

    @classmethod
    def from_env(
        cls,
        name: str = "PUSHER_URL",
        *,
        encryption_master_key: str | bytes | None = None,
        **options: Any,
    ) -> Self:
        """From an environment variable, or from ``PUSHER_APP_KEY`` and so on; authorizes itself.

        Raises:
            ValueError: they are not there.
        """
        return cls._with_secret(options_of_environment(name), encryption_master_key, options)

    @classmethod
    def _with_secret(
        cls, found: dict[str, Any], key: str | bytes | None, options: dict[str, Any]
    ) -> Self:
        cipher = Cipher(master_key(key) if isinstance(key, str) else key) if key else None
        authorizer = Authorizer(Token(found["key"], found.pop("secret")), cipher, encode_json)
        del found["app_id"]
        hosted = _HOSTED_API.fullmatch(found.get("host") or "")
        if hosted:  # backends and clients of hosted Pusher go to different hosts
            found = {**found, "host": None, "cluster": hosted[1]}
        own: dict[str, Any] = {"authorize": authorizer.channel, "authenticate": authorizer.user}
        return cls(**{**own, **found, **options})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url.partition('?')[0]}, {self._state})"

    @property
    def state(self) -> State:
        """How it is connected."""
        return self._state

    @property
    def socket_id(self) -> str | None:
        """Of the present connection; each has another one."""
        return self._session.socket_id if self._session else None

    def subscription(self, channel: str) -> Subscription | None:
        """The subscription to a channel, if there is one."""
        return self._roster.subscription(channel)

    def on_state(self, watcher: Callable[[StateChange], object]) -> None:
        """Call a plain function at each change of state; it must not block."""
        self._watchers.append(watcher)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect, and stay connected until `close`; ``async with`` does both.

        Raises:
            ConnectionRejected: the server does not want the connection.
            ConnectionFailed: no attempt has worked within ``open_timeout``.
            RuntimeError: it was opened before.
        """
        if self._state is not State.NEW:
            raise RuntimeError("a subscriber can be opened once; make another one")
        self._runner = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._open_timeout):
                await self._opened.wait()
        except TimeoutError:
            await self.close()
            why = f": {self._last}" if self._last else ""
            raise TimedOut(f"not connected within {self._open_timeout:g} s{why}") from self._last
        except BaseException:
            await self.close()
            raise
        if self._error is not None:
            await self.close()
            raise self._error

    async def close(self) -> None:
        """Leave all channels and disconnect; iterators end, handlers are called no more."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait({self._runner})
        self._end(State.CLOSED, self._error)
        await self._tasks.stop()
        for application in self._applications:
            if isinstance(application, Closable):
                await application.aclose()

    async def wait_closed(self) -> None:
        """Wait as long as it is open; for programs that only listen by `on`.

        Raises:
            ConnectionRejected: the server does not want the connection any more.
        """
        await self._over.wait()
        if self._error is not None:
            raise self._error

    async def subscribe(
        self,
        channel: str,
        member: Mapping[str, Any] | None = None,
        *,
        system_events: bool = False,
    ) -> Subscription:
        """Subscribe to a channel and wait until the server confirms it.

        A second call with the same name gives the same subscription.

        Args:
            channel: its name; the prefix says of what kind it is.
            member: passed on to ``authorize``: ``user_id`` and perhaps ``user_info`` of a presence
                channel. Without it a signed-in user is the member.
            system_events: whether iterating gives what the protocol reports as well.

        Raises:
            SubscriptionError: the application or the server refuses.
            TimedOut: no answer within ``answer_timeout``.
            ConnectionFailed: the subscriber has been closed.
            ValueError: an argument that cannot be.
            ModuleNotFoundError: an encrypted channel without ``pip install 'oyez[encryption]'``.
        """
        self._must_be_open()
        return await self._roster.subscribe(channel, member, system_events=system_events)

    async def signin(self, user: Any = None) -> User:
        """Sign in, now and on every later connection, and get the events of the user.

        Args:
            user: passed on to ``authenticate``: ``id`` and perhaps ``user_info``, ``watchlist``.

        Raises:
            SigninError: the application or the server refuses.
            TimedOut: no answer within ``answer_timeout``.
            ConnectionFailed: the subscriber has been closed.
            ValueError: signed in as somebody else, or nothing to authenticate with.
        """
        self._must_be_open()
        return await self._roster.sign_in(user)

    def _must_be_open(self) -> None:
        if self._error is not None:
            raise self._error
        if self._state is State.CLOSED:
            raise ConnectionFailed("the subscriber is closed")
        if self._state is State.NEW:
            raise RuntimeError("a subscriber must be opened first: async with subscriber")

    async def _run(self) -> None:
        try:
            await self._stay_connected()
        except Exception as error:  # ours; whoever waits has to learn that nothing will come
            log.exception("the subscriber failed")
            self._end(State.FAILED, OyezError(f"the subscriber failed: {error!r}"))

    async def _stay_connected(self) -> None:
        loop, attempts = asyncio.get_running_loop(), 0
        while True:
            self._change(State.CONNECTING)
            self._since = None
            ended = await self._serve()
            lasted = 0.0 if self._since is None else loop.time() - self._since
            attempts = 1 if lasted >= self._reconnection.steady else attempts + 1
            delay = self._reconnection.delay(ended.code, attempts)
            if delay is None or (ended.hopeless and not self._opened.is_set()):
                log.error("%s; not connecting again", ended)
                return self._end(State.FAILED, ended.error)
            self._last = ended.error
            log.info("%s; connecting again in %.1f s", ended, delay)
            self._change(State.DISCONNECTED, ended.error, delay)
            await asyncio.sleep(delay)

    async def _serve(self) -> Ended:
        """One connection from its beginning to its end."""
        try:
            session = await Session.open(self._url, self._options)
        except Ended as ended:
            return ended
        self._since, self._session = asyncio.get_running_loop().time(), session
        log.info("connected to %s as %s", self._url.partition("?")[0], session.socket_id)
        try:
            self._roster.connected(session)
            self._change(State.CONNECTED)
            self._opened.set()
            return await session.run(
                self._activity_timeout, joined=self._roster.joined, received=self._roster.received
            )
        finally:
            self._session = None
            self._roster.disconnected()
            await session.close()

    def _end(self, state: State, error: OyezError | None) -> None:
        self._error = error
        self._roster.end(error)
        self._feed.end(error)
        self._change(state, error)
        self._over.set()
        self._opened.set()

    def _change(
        self, state: State, error: OyezError | None = None, retry_in: float | None = None
    ) -> None:
        change = StateChange(self._state, state, error, retry_in)
        self._state = state
        if change.previous is state:
            return
        for watcher in list(self._watchers):
            try:
                watcher(change)
            except Exception:
                log.exception("a watcher of the state failed")
