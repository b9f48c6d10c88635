"""The engine under test: a real broker that can be killed, emptied, flushed and stopped."""

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Protocol

from tests.nats_server import NatsServer, depose
from tests.redis_server import RedisServer

__all__ = ["Broker", "NatsBroker", "RedisBroker", "open_broker"]


class Broker(Protocol):
    """What the storm does to the engine."""

    flush_is_harmless: bool
    """Whether events are delivered while it forgets what it has."""

    @property
    def port(self) -> int:
        """Where it listens, also after a restart."""

    def url(self, port: int) -> str:
        """The setting ``engine`` of a node that reaches it through a proxy."""

    async def start(self) -> None:
        """Start, and wait until it answers."""

    async def stop(self) -> None:
        """End it as hard as it goes."""

    async def lose_everything(self) -> None:
        """Forget what it kept, while it is stopped."""

    async def flush(self) -> None:
        """Forget what it has, while it runs."""

    def pause(self) -> None:
        """It hangs: connections stay open and nothing is answered."""

    def resume(self) -> None:
        """Go on."""


class RedisBroker:
    """Redis with an append-only file, so that a restart keeps what it had."""

    flush_is_harmless = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = RedisServer(directory, "--appendonly", "yes", "--appendfsync", "always")

    @property
    def port(self) -> int:
        """See `Broker`."""
        return self._server.port

    def url(self, port: int) -> str:
        """See `Broker`."""
        return f"redis://127.0.0.1:{port}"

    async def start(self) -> None:
        """See `Broker`."""
        await asyncio.to_thread(self._server.start)

    async def stop(self) -> None:
        """See `Broker`."""
        await asyncio.to_thread(self._server.stop, signal.SIGKILL)

    async def lose_everything(self) -> None:
        """See `Broker`."""
        shutil.rmtree(self._directory / "appendonlydir")

    async def flush(self) -> None:
        """See `Broker`."""
        await asyncio.to_thread(self._flush)

    def _flush(self) -> None:
        with self._server.client() as client:
            client.flushall()

    def pause(self) -> None:
        """See `Broker`."""
        self._server.pause()

    def resume(self) -> None:
        """See `Broker`."""
        self._server.resume()


class NatsBroker:
    """NATS with JetStream on disk. The state itself is with one of the nodes."""

    flush_is_harmless = True

    def __init__(self, directory: Path) -> None:
        self._server = NatsServer(directory)

    @property
    def port(self) -> int:
        """See `Broker`."""
        return self._server.port

    def url(self, port: int) -> str:
        """See `Broker`."""
        return f"nats://127.0.0.1:{port}"

    async def start(self) -> None:
        """See `Broker`."""
        await asyncio.to_thread(self._server.start)

    async def stop(self) -> None:
        """See `Broker`."""
        await asyncio.to_thread(self._server.stop, signal.SIGKILL)

    async def lose_everything(self) -> None:
        """See `Broker`."""
        self._server.wipe()

    async def flush(self) -> None:
        """See `Broker`."""
        await depose(self._server)

    def pause(self) -> None:
        """See `Broker`."""
        self._server.pause()

    def resume(self) -> None:
        """See `Broker`."""
        self._server.resume()


def open_broker(engine: str, directory: Path) -> Broker:
    """The broker of an engine by its name, not started yet.

    Raises:
        ValueError: there is no such engine.
    """
    if engine == "redis":
        return RedisBroker(directory)
    if engine == "nats":
        return NatsBroker(directory)
    raise ValueError(f"unknown engine {engine!r}")
