"""One running node: builds the parts from the settings, starts them, drains them, stops them."""

import asyncio
import contextlib
import gc
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import structlog
from starlette.routing import BaseRoute

from oyez.protocol.errors import CloseCode
from oyez.protocol.messages import Member
from oyez.server.addresses import Addresses
from oyez.server.admin import AdminServer, admin_app
from oyez.server.api import Api, error_response
from oyez.server.apps import Apps
from oyez.server.broadcast import broadcasting, write_to_each
from oyez.server.capacity import capacity_of, open_files, usable_memory
from oyez.server.config import SAMPLE_SECRET, Settings, is_nats
from oyez.server.deadlines import Deadlines
from oyez.server.engine import EngineUnavailable, Joined, Left
from oyez.server.engine.memory import MemoryEngine
from oyez.server.fallback import Fallbacks
from oyez.server.gate import Gate
from oyez.server.http_reader import HttpLimits
from oyez.server.http_server import HttpServer
from oyez.server.hub import Hub, Socket
from oyez.server.listener import listen, securing
from oyez.server.metering import Metering
from oyez.server.metrics import Counters, Metrics
from oyez.server.reached import Reached
from oyez.server.redaction import shown_url
from oyez.server.session import Services
from oyez.server.siblings import Siblings
from oyez.server.tls import load_tls, renew_tls
from oyez.server.unanswered import Unanswered
from oyez.server.welcome import welcome_pages

if TYPE_CHECKING:
    from oyez.server.engine.backplane import Backplane
    from oyez.server.engine.cluster import ClusterEngine
    from oyez.server.webhooks import Webhooks

__all__ = ["Node", "serve"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.node")

_CLOSES_PER_SECOND = 200  # a small node need not use the whole drain window
_TICK = 1.0
_ROUNDS = 100  # of the garbage collector over what is young, for each one over everything


class Node:
    """The parts of one node and their life.

    Args:
        siblings: other workers of this machine, which listen at the same port.

    Attributes:
        port: the port that is listened on, known once started.
        admin_port: likewise.
    """

    def __init__(self, settings: Settings, siblings: Siblings | None = None) -> None:
        memory = usable_memory() // (siblings.count if siblings is not None else 1)
        self.settings = settings
        self._siblings = siblings
        self._serving = False
        self.port = settings.port
        self.admin_port = settings.admin_port
        self.apps = Apps(each.app() for each in settings.apps)
        self.metering = Metering(time.time())
        self.hub = Hub(self.metering)
        self.counters = Counters()
        self.engine = self._build_engine()
        self._deadlines = Deadlines(time.monotonic())
        self.capacity = capacity_of(settings, files=open_files(), memory=memory)
        if siblings is not None:
            siblings.files = self.capacity.files
        self._reached = Reached(self._deadlines, self.counters.reached)
        self._addresses = Addresses(
            self.capacity.per_address, self._reached, public_only=self.capacity.public_only
        )
        self.webhooks = self._build_webhooks()
        self.metrics = Metrics(self.apps, self.hub, self.counters, self, self.engine, self.webhooks)
        self._services = Services(
            self.hub,
            self.engine,
            self.counters,
            self._deadlines,
            self._addresses,
            self._reached,
            self.webhooks,
        )
        self._tls = load_tls(settings) if settings.secure else None
        self._gate = self._build_gate()
        self._fallbacks = Fallbacks(
            self._gate,
            self._deadlines,
            self._services.readings,
            prefix=settings.path_prefix,
            send_buffer=settings.limits.send_buffer,
            siblings=siblings,
        )
        self._http = self._build_http()

    @property
    def ready(self) -> bool:
        """See `oyez.server.metrics.Ready`."""
        return self._serving and not self.engine.away

    @property
    def unready(self) -> str:
        """See `oyez.server.metrics.Ready`."""
        return "Engine away" if self._serving else "Not ready"

    def _build_engine(self) -> "MemoryEngine | ClusterEngine":
        settings = self.settings
        if settings.engine == "memory":
            return MemoryEngine(self.hub.deliver)
        from oyez.server.engine.cluster import ClusterEngine, Timing

        timing = Timing(settings.cluster.lease_seconds, settings.cluster.timeout)
        return ClusterEngine(
            _backplane(settings, timing.lease, timing.limit),
            self.hub.deliver,
            apps=lambda: [app.id for app in self.apps],
            went_away=self._went_away,
            came_back=self._came_back,
            restated=self._doubt,
            timing=timing,
        )

    async def _went_away(self, app_id: str, channel: str, left: Left, user_id: str | None) -> None:
        app = self.apps.by_id(app_id)
        if app is not None:
            self._doubt(app_id)
            await self._services.announcer.went_away(app, channel, left, user_id)

    async def _came_back(
        self, app_id: str, channel: str, joined: Joined, member: Member | None
    ) -> None:
        app = self.apps.by_id(app_id)
        if app is not None:
            self._doubt(app_id)
            await self._services.announcer.came_back(app, channel, joined, member)

    def _doubt(self, app_id: str) -> None:
        """Where nodes come and go without a word, something may not have been told."""
        if self.webhooks is not None:
            self.webhooks.doubt(app_id)

    def _build_webhooks(self) -> "Webhooks | None":
        if not any(app.endpoints() for app in self.settings.apps):
            return None
        from oyez.server.webhooks.assembly import build_webhooks

        shared = None if isinstance(self.engine, MemoryEngine) else self.engine
        return build_webhooks(self.settings, self.apps, shared)

    def _build_gate(self) -> Gate:
        settings = self.settings
        return Gate(
            self.apps,
            self._services,
            self._deadlines,
            prefix=settings.path_prefix,
            max_connections=self.capacity.connections,
            send_buffer=settings.limits.send_buffer,
            trust_proxy=settings.trust_proxy,
        )

    def _build_http(self) -> HttpServer:
        settings, limits = self.settings, self.settings.limits
        api = Api(
            self.apps,
            self.engine,
            self.metering,
            self,
            self._fallbacks,
            prefix=settings.path_prefix,
            cors_origins=settings.cors_origins,
        )
        server = HttpServer(
            handle=api.handle,
            upgrade=self._gate.upgrade,
            judge=api.judge,
            refuse=error_response,
            answers=self.counters.requests,
            limits=HttpLimits(
                head=limits.head_bytes,
                body=max(app.limits.http_request_body for app in self.apps),
                head_seconds=limits.head_seconds,
                body_seconds=limits.body_seconds,
                idle_seconds=limits.idle_seconds,
            ),
            deadlines=self._deadlines,
            most=self.capacity.http_connections,
            files=self.capacity.files,
            unanswered=Unanswered(self.capacity.unanswered_bytes),
            addresses=self._addresses,
            reached=self._reached,
            trust_proxy=settings.trust_proxy,
        )
        server.tick(time.time())
        return server

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve while the context is open, drain when it is left."""
        async with contextlib.AsyncExitStack() as stack:
            self.hub.broadcast = stack.enter_context(broadcasting(self.settings.broadcast))
            stack.callback(setattr, self.hub, "broadcast", write_to_each)
            if self.webhooks is not None:  # also told what ends when the engine is left
                await stack.enter_async_context(self.webhooks)
            await stack.enter_async_context(self.engine)
            for work in (self._tick(), self._share_usage()):
                stack.push_async_callback(_end, asyncio.create_task(work))
            if self._siblings is not None:
                await stack.enter_async_context(self._siblings.listening(self._fallbacks.answer))
            if self._tls is not None:
                self._http.secure = securing(self.settings, self._tls)
            listener = await listen(self.settings, self._http, shared=self._siblings is not None)
            self.port = listener.sockets[0].getsockname()[1]
            stack.callback(listener.close)
            names = (self.settings.admin_host, *self.settings.admin_names)
            admin = AdminServer(admin_app(self.metrics, self, self._pages(), names))
            self.admin_port = await stack.enter_async_context(
                admin.serving(self.settings.admin_host, self.settings.admin_port)
            )
            self._serving = True
            try:
                yield
            finally:
                await self._drain(listener)

    def reload(self) -> None:
        """Use renewed certificate files for new connections; those that are open stay."""
        if self._tls is None:
            log.info("nothing to reload")
            return
        try:
            renew_tls(self._tls, self.settings)
        except ValueError as error:
            log.error("certificate not reloaded", error=str(error))
        else:
            log.info("certificate reloaded")

    def _pages(self) -> list[BaseRoute]:
        """Webhooks, and the welcome page as long as there is an app that everybody may use."""
        pages: list[BaseRoute] = []
        if self.webhooks is not None:
            from oyez.server.webhooks.pages import webhook_pages

            pages += webhook_pages(self.webhooks)
        for app in self.apps:
            if app.tokens[0].secret == SAMPLE_SECRET:
                pages += welcome_pages(app, self.engine, self.settings, self.port)
                break
        return pages

    async def _tick(self) -> None:
        """Do once a second what is due, and renew the Date header."""
        while True:
            await asyncio.sleep(_TICK)
            now = time.time()
            for work, when in (
                (self._deadlines.advance, time.monotonic()),
                (self._http.tick, now),
                (self.metering.tick, now),
            ):
                try:
                    work(when)
                except Exception:  # ours: what else is due must happen all the same
                    log.exception("bug in what happens once a second")

    async def _share_usage(self) -> None:
        """Tell other nodes once a second what was used here, and learn what was used there."""
        while True:
            await asyncio.sleep(_TICK)
            try:
                for app in self.apps:
                    _ = self.metering[app.id]  # also of apps that only other nodes have used so far
                await self.metering.share(self.engine)
            except EngineUnavailable:
                pass  # the next report has all of it
            except Exception:
                log.exception("bug in sharing what was used")

    async def _drain(self, listener: asyncio.Server) -> None:
        """Stop as design section 4 says; cancelling it ends the waiting, not the closing."""
        self._serving = False
        try:
            if self.settings.lame_duck_seconds:
                log.info("lame duck", seconds=self.settings.lame_duck_seconds)
                await asyncio.sleep(self.settings.lame_duck_seconds)
            self._gate.draining = True
            listener.close()
            sockets = list(self.hub.all_sockets())
            log.info("draining", connections=len(sockets))
            self._http.drain()
            await self._close_spread(sockets)
            await self._settle()
        finally:
            for connection in tuple(self._http.connections):
                connection.abort()
            log.info("stopped")

    async def _close_spread(self, sockets: list[Socket]) -> None:
        """Close with 4200 over the drain window, so that not all come back in one moment."""
        random.shuffle(sockets)
        window = min(self.settings.drain_seconds, len(sockets) / _CLOSES_PER_SECOND)
        started = time.monotonic()
        for count, each in enumerate(sockets):
            due = started + window * count / len(sockets)
            pause = due - time.monotonic()
            if pause > 0.01:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            each.close(CloseCode.RECONNECT, "Server is shutting down")

    async def _settle(self) -> None:
        """Give answers and close frames under way a moment to leave."""
        tasks = self._services.tasks | self._http.tasks
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        await asyncio.sleep(0.05)


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel a task of ours, and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serve(node: Node, *, started: Callable[[], None]) -> None:
    """Run a node until SIGTERM or SIGINT; a second signal ends the drain at once.

    Args:
        started: called once the node listens.

    Raises:
        OSError: an address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    task = asyncio.current_task()

    def stop() -> None:
        if asked.is_set() and task is not None:
            task.cancel()
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, node.reload)
    with contextlib.suppress(asyncio.CancelledError):
        async with node.running():
            log.info(
                "listening",
                host=node.settings.host,
                port=node.port,
                admin_host=node.settings.admin_host,
                admin_port=node.admin_port,
                apps=[app.id for app in node.apps],
                engine=shown_url(node.settings.engine),
                transport=node.settings.transport,
                broadcast="write" if node.hub.broadcast is write_to_each else "io_uring",
                tls=node.settings.secure,
                file_limit=open_files(),
                most_connections=node.capacity.connections,
                most_http_connections=node.capacity.http_connections,
            )
            started()
            _settle_memory()
            await asked.wait()


def _settle_memory() -> None:
    """Spare the garbage collector what is no garbage, as looking at all of it stops the server.

    What was loaded at the start stays. Connections come in great numbers and refer to each other in
    one direction only, so they need no rounds of their own (ten thousand take it 10 ms).
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _ROUNDS)


def _backplane(settings: Settings, lease: float, limit: float) -> "Backplane":
    """The backplane that the settings ask for.

    Raises:
        ValueError: the address cannot be understood, or what it needs is not installed.
    """
    make: Callable[..., Backplane]
    extra = "nats" if is_nats(settings.engine) else "redis"
    try:
        if extra == "nats":
            from oyez.server.engine.nats import NatsBackplane

            make = NatsBackplane
        else:
            from oyez.server.engine.redis import RedisBackplane

            make = RedisBackplane
    except ImportError as error:
        raise ValueError(f"engine: {error.name} is missing, pip install 'oyez[{extra}]'") from error
    cluster = settings.cluster
    try:
        return make(
            settings.engine, cluster.options, prefix=cluster.prefix, lease=lease, limit=limit
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"engine: {error}") from error
