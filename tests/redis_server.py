"""Real Redis servers on free ports of this machine: one, one watched by Sentinels, or a cluster."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.processes import pause

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
redis_is_installed = pytest.mark.skipif(
    PROGRAM is None and not os.environ.get("CI"),
    reason="Redis is not installed: sudo apt-get install redis-server",
)
_START_SECONDS = 90


def free_port(*, highest: int = 65535, among: range = range(1)) -> int:
    """A port where nobody listens; a cluster node needs the one 10000 above as well.

    Args:
        among: to choose from; with 0 the system does.
    """
    while True:
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", random.choice(among)))
            port: int = free.getsockname()[1]
            if port <= highest:
                return port


class RedisServer:
    """One process, which can be stopped, killed and started again on the same port.

    Args:
        arguments: further settings for its command line.
        file: a file with settings, which it may also write.
    """

    def __init__(
        self, directory: Path, *arguments: str, port: int = 0, file: Path | None = None
    ) -> None:
        self.port = port or free_port()
        self.directory = directory
        self._arguments = arguments
        self._file = [str(file)] if file is not None else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert PROGRAM is not None, "install it: sudo apt-get install redis-server"
        self._process = subprocess.Popen(
            [
                PROGRAM,
                *self._file,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
                *("--appendonly", "no", "--dir", str(self.directory)),
                *self._arguments,
            ],
            stdout=subprocess.DEVNULL,
        )
        until(self._answers)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it as hard as it goes; what it had is lost."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """It hangs: connections stay open and nothing is answered."""
        assert self._process is not None
        pause(self._process.pid)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def client(self) -> Iterator["Redis"]:
        """A plain client of this server."""
        with Redis(port=self.port, decode_responses=True) as client:
            yield client

    def ask(self, *command: str | int) -> str:
        """What it answers to a command."""
        with self.client() as client:
            return str(client.execute_command(*command))  # type: ignore[no-untyped-call]

    def _answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())


def until(condition: Callable[[], object]) -> None:
    """Wait for something that other processes do; errors mean that it is not so yet."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(Exception):
            if condition():
                return
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@dataclass
class Watched:
    """A master and a replica, with sentinels that watch them.

    Attributes:
        servers: the one that is the master at first, and the replica.
    """

    servers: list[RedisServer]
    sentinels: list[RedisServer]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/main"

    def master(self) -> RedisServer:
        """Who is the master, as the first sentinel says."""
        said = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(each for each in self.servers if str(each.port) in said)


@contextlib.contextmanager
def running_sentinels() -> Iterator[Watched]:
    """A master, a replica and two sentinels that agree within a second."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running_redis("--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(running_redis("--replicaof", f"127.0.0.1 {master.port}"))
        sentinels = [stack.enter_context(_running_sentinel(master)) for _ in range(2)]
        watched = Watched([master, replica], sentinels)
        until(lambda: all(sees_all(each) for each in sentinels))
        yield watched


def sees_all(sentinel: RedisServer) -> bool:
    """Whether a sentinel knows a replica and the other sentinel, and nobody is down."""
    with sentinel.client() as client:
        state: Any = client.sentinel_master("main")
    return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 1)


@contextlib.contextmanager
def _running_sentinel(master: RedisServer) -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "sentinel.conf"
        file.write_text(
            f"sentinel monitor main 127.0.0.1 {master.port} 2\n"
            "sentinel down-after-milliseconds main 1000\n"
            "sentinel failover-timeout main 3000\n"
        )
        sentinel = RedisServer(Path(directory), "--sentinel", file=file)
        sentinel.start()
        try:
            yield sentinel
        finally:
            sentinel.stop()


@contextlib.contextmanager
def running_cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running_redis(*settings, highest=55535)) for _ in range(3)]
        _meet(servers)
        yield servers


def _meet(servers: list[RedisServer]) -> None:
    share = 16384 // len(servers)
    for at, server in enumerate(servers):
        last = 16383 if server is servers[-1] else (at + 1) * share - 1
        server.ask("CLUSTER", "ADDSLOTSRANGE", at * share, last)
        server.ask("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
        server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
    until(lambda: all(_is_whole(server, len(servers)) for server in servers))


def _is_whole(server: RedisServer, size: int) -> bool:
    info = server.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in info and f"cluster_known_nodes:{size}" in info


@contextlib.contextmanager
def running_redis(*arguments: str, highest: int = 65535) -> Iterator[RedisServer]:
    """One server that runs until the block is left."""
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory), *arguments, port=free_port(highest=highest))
        server.start()
        try:
            yield server
        finally:
            server.stop()
