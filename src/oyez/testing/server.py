"""A server for tests: where to reach it, what it has accepted, what it has told by webhook."""

import asyncio
import base64
import contextlib
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from oyez.protocol.channels import kind_of, user_of
from oyez.protocol.errors import CloseCode
from oyez.protocol.events import Event
from oyez.protocol.webhooks import WebhookEvent
from oyez.sdk.client import AsyncClient, Client
from oyez.sdk.errors import DecryptionFailed
from oyez.server.node import Node
from oyez.testing.published import ANY, PublishedEvent, Wanted, listed
from oyez.testing.receiver import Receiver, Told
from oyez.testing.record import Record
from oyez.testing.settings import build_settings
from oyez.testing.thread import NodeThread
from oyez.testing.transport import OneRequestTransport

__all__ = ["OyezServer"]

_TIMEOUT = 5.0
_POLL = 0.005  # seconds between two looks whether the server has come to rest
_LOOKS = 20  # before a client that does not answer is cut off


class OyezServer:
    """A real server in a thread of this process, on free ports and with an app of its own.

    It runs while its context is open; any thread and any event loop may use it. Webhooks come
    without the usual grace: a subscription that ends is told at once, unless the settings say
    otherwise (``app``, ``limits``, ``webhook_delay``).

    Args:
        settings: as in ``oyez.toml``; those of the app under ``app``.

    Attributes:
        host: where clients and the HTTP API are.
        port: likewise.
        app_id: of the app.
        key: of its token.
        secret: of its token.
        encryption_master_key: base64, for encrypted channels; `client` has it, too.
        url: all of it, as ``Client.from_url`` reads it:
            ``http(s)://KEY:SECRET@HOST:PORT[/PREFIX]/apps/APP_ID``.
    """

    host: str
    port: int
    app_id: str
    key: str
    secret: str
    url: str

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.encryption_master_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._given = dict(settings or {})
        self._stack = contextlib.ExitStack()
        self._published: Record[PublishedEvent] = Record()
        self._leaving: list[asyncio.Transport] = []

    def __repr__(self) -> str:
        where = f"{self.host}:{self.port}" if hasattr(self, "port") else "not started"
        return f"OyezServer({where})"

    def __enter__(self) -> Self:
        """Start.

        Raises:
            OSError: an address cannot be bound.
            ValueError: a setting is unknown or out of range.
        """
        with contextlib.ExitStack() as stack:
            self._receiver = Receiver()
            stack.enter_context(self._receiver.running())
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="oyez-"))
            settings = build_settings(
                self._given, webhooks_to=self._receiver.url, directory=Path(directory)
            )
            app = settings.apps[0].app()
            self.app_id, self.key, self.secret = app.id, app.tokens[0].key, app.tokens[0].secret
            self._patience = _TIMEOUT + app.limits.webhook_delay
            self._thread = NodeThread(settings, self._observe)
            stack.callback(self._thread.stop)
            self._node = self._thread.start()
            self.host, self.port = settings.host, self._node.port
            self._scheme = "https" if settings.secure else "http"
            place = settings.place(self.port)
            self.url = f"{self._scheme}://{self.key}:{self.secret}@{place}/apps/{self.app_id}"
            self._verifier = self._receiver.verifier = stack.enter_context(self.client())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close connections in a way that nobody comes back, then stop."""
        try:
            self._thread.call(self._hang_up)
        finally:
            self._stack.close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for an application that reads its settings from the environment."""
        return {
            "PUSHER_URL": self.url,
            "PUSHER_APP_ID": self.app_id,
            "PUSHER_APP_KEY": self.key,
            "PUSHER_APP_SECRET": self.secret,
            "PUSHER_HOST": self.host,
            "PUSHER_PORT": str(self.port),
            "PUSHER_SCHEME": self._scheme,
        }

    def client(self, **options: Any) -> Client:
        """A client of the app, to be closed by the caller; ``options`` are those of `Client`."""
        return Client.from_url(self.url, **self._options(options))

    def async_client(self, **options: Any) -> AsyncClient:
        """A client for asyncio that keeps no connection, so any event loop may use it."""
        transport = OneRequestTransport()
        return AsyncClient.from_url(self.url, **self._options({"transport": transport, **options}))

    @property
    def published(self) -> list[PublishedEvent]:
        """Every event accepted since the last `clear`, in order; one per channel."""
        return self._published.all()

    @property
    def webhooks(self) -> list[WebhookEvent]:
        """Every webhook event received and verified since the last `clear`, in order."""
        return self._receiver.events.all()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return self._thread.call(self._count_connections)

    def wait_for_event(
        self,
        channel: str,
        event: str = ANY,
        *,
        data: Any = ANY,
        socket_id: str | None = ANY,
        timeout: float = _TIMEOUT,
    ) -> PublishedEvent:
        """The first such event, whether it is there already or still to come.

        Args:
            timeout: seconds.

        Raises:
            AssertionError: there is none in time.
            RuntimeError: it would stop a running event loop; await `async_wait_for_event`.
        """
        __tracebackhide__ = True
        wanted = Wanted(channel, event, data, socket_id)
        return self._expect(wanted, self._published.wait(wanted, timeout), timeout)

    async def async_wait_for_event(
        self,
        channel: str,
        event: str = ANY,
        *,
        data: Any = ANY,
        socket_id: str | None = ANY,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - the same arguments as its twin
    ) -> PublishedEvent:
        """See `wait_for_event`."""
        __tracebackhide__ = True
        wanted = Wanted(channel, event, data, socket_id)
        return self._expect(wanted, await self._published.async_wait(wanted, timeout), timeout)

    def assert_published(
        self,
        channel: str,
        event: str = ANY,
        *,
        data: Any = ANY,
        socket_id: str | None = ANY,
        times: int | None = None,
    ) -> PublishedEvent:
        """The first such event; what a backend publishes is there when its call returns.

        Args:
            data: as it was given to the client, before it became JSON.
            socket_id: the connection that was excluded; None for nobody.
            times: how many there must be; any number by default.

        Raises:
            AssertionError: with what there is instead.
        """
        __tracebackhide__ = True
        wanted = Wanted(channel, event, data, socket_id)
        events = self.published
        found = [each for each in events if wanted(each)]
        if not found:
            raise AssertionError(wanted.missing(events))
        if times is not None and len(found) != times:
            text = f"{wanted} was published {len(found)} times, not {times}"
            raise AssertionError("\n".join([text, *listed("published", events)]))
        return found[0]

    def assert_not_published(
        self,
        channel: str,
        event: str = ANY,
        *,
        data: Any = ANY,
        socket_id: str | None = ANY,
    ) -> None:
        """No such event.

        Raises:
            AssertionError: with those there are.
        """
        __tracebackhide__ = True
        wanted = Wanted(channel, event, data, socket_id)
        self._expect_none(str(wanted), list(filter(wanted, self.published)))

    def assert_nothing_published(self) -> None:
        """No event at all.

        Raises:
            AssertionError: with those there are.
        """
        __tracebackhide__ = True
        self._expect_none("event", self.published)

    def wait_for_webhook(
        self, name: str, *, timeout: float = _TIMEOUT, **fields: object
    ) -> WebhookEvent:
        """The first webhook event of a type, whether it is there already or still to come.

        Args:
            name: its type, such as ``channel_occupied``.
            timeout: seconds.
            fields: what else it must have: ``channel``, ``user_id``, ``event`` and so on.

        Raises:
            AssertionError: there is none in time.
            RuntimeError: it would stop a running event loop; await `async_wait_for_webhook`.
            TypeError: webhook events have no such field.
        """
        __tracebackhide__ = True
        wanted = Told(name, fields)
        return self._expect_told(wanted, self._receiver.events.wait(wanted, timeout), timeout)

    async def async_wait_for_webhook(
        self,
        name: str,
        *,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109 - the same arguments as its twin
        **fields: object,
    ) -> WebhookEvent:
        """See `wait_for_webhook`."""
        __tracebackhide__ = True
        wanted = Told(name, fields)
        found = await self._receiver.events.async_wait(wanted, timeout)
        return self._expect_told(wanted, found, timeout)

    def clear(self) -> None:
        """Close all connections, wait until that has been told, and forget everything.

        Whoever was connected is told not to come back (4009). Cache channels are empty afterwards;
        only a `cache_miss` is still told at most once in three seconds per channel.

        Raises:
            RuntimeError: the server does not come to rest.
        """
        self._thread.call(self._settle)
        self._published.clear()
        self._receiver.events.clear()

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"encryption_master_key": self.encryption_master_key, **options}

    def _observe(self, node: Node) -> None:
        """Record what the engine accepts: every event goes through it."""
        accept = node.engine.publish

        async def publish(app_id: str, events: Sequence[Event], *, cache_seconds: int = 0) -> None:
            await accept(app_id, events, cache_seconds=cache_seconds)
            for event in events:
                if app_id == self.app_id and not _is_ours(event):
                    self._published.add(self._read(event))

        node.engine.publish = publish  # type: ignore[method-assign]

    def _read(self, event: Event) -> PublishedEvent:
        plain = event.data
        if kind_of(event.channel).encrypted:
            with contextlib.suppress(DecryptionFailed, ModuleNotFoundError):
                plain = self._verifier.decrypt(event.channel, plain)
        return PublishedEvent.of(
            event.channel,
            event.name,
            event.data,
            plain=plain,
            socket_id=event.socket_id,
            user_id=event.user_id,
        )

    async def _count_connections(self) -> int:
        return len(self._node.hub)

    async def _close_connections(self) -> None:
        """Say goodbye; the connection ends when the client has answered."""
        self._leaving = [each for each in self._leaving if not each.is_closing()]
        for socket in list(self._node.hub.all_sockets()):
            if isinstance(socket.writer, asyncio.Transport):
                self._leaving.append(socket.writer)
            socket.close(CloseCode.UNAUTHORIZED, "The test is over")

    async def _hang_up(self) -> None:
        """End every connection, also of clients that do not answer, whose tests are long over."""
        await self._close_connections()
        for _ in range(_LOOKS):
            if all(each.is_closing() for each in self._leaving):
                break
            await asyncio.sleep(_POLL)
        for each in self._leaving:
            each.abort()

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                while not await self._at_rest():
                    await self._close_connections()
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise RuntimeError(f"the server did not come to rest in {self._patience:g} s") from None
        # Leaving and entering is how an engine forgets; nobody is subscribed any more.
        await self._node.engine.__aexit__(None, None, None)
        await self._node.engine.__aenter__()

    async def _at_rest(self) -> bool:
        """Whether nobody is connected and all that follows from their leaving has been told.

        Occupied and vacated alternate, so whoever was told to be there will be told to be gone.
        """
        node = self._node
        if len(node.hub) or await node.engine.channels(self.app_id, ""):
            return False
        couriers = node.webhooks.couriers.values() if node.webhooks is not None else ()
        return not self._receiver.present and not any(each.pending for each in couriers)

    def _expect(
        self, wanted: Wanted, found: PublishedEvent | None, seconds: float
    ) -> PublishedEvent:
        __tracebackhide__ = True
        if found is None:
            raise AssertionError(wanted.missing(self.published, f"within {seconds:g} s"))
        return found

    def _expect_none(self, what: str, found: Sequence[PublishedEvent]) -> None:
        __tracebackhide__ = True
        if found:
            lines = [f"there should be no {what}", *listed("published", found)]
            raise AssertionError("\n".join(lines))

    def _expect_told(
        self, wanted: Told, found: WebhookEvent | None, seconds: float
    ) -> WebhookEvent:
        __tracebackhide__ = True
        if found is None:
            lines = [f"no webhook {wanted} within {seconds:g} s", *listed("told", self.webhooks)]
            raise AssertionError("\n".join(lines))
        return found


def _is_ours(event: Event) -> bool:
    """Whether the server says this by itself: nobody else can use such names and channels."""
    of_the_server = event.name.startswith(("pusher:", "pusher_internal:"))
    return of_the_server or user_of(event.channel) is not None
