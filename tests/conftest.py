"""The real server on a real port, for every test that wants to talk to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_START_SECONDS = 20


@dataclass
class RunningServer:
    """A server process that listens.

    Attributes:
        log: every line it has logged so far, parsed.
    """

    process: "subprocess.Popen[str]"
    host: str = "127.0.0.1"
    port: int = 0
    admin_port: int = 0
    app_id: str = "1001"
    key: str = "app-key"
    secret: str = "app-secret"
    log: list[dict[str, Any]] = field(default_factory=list)
    _logged: threading.Condition = field(default_factory=threading.Condition)
    _reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for_log(self, event: str, *, seconds: float = 10, **fields: object) -> dict[str, Any]:
        """The first log line with this event and these fields, as soon as there is one."""

        def found() -> dict[str, Any] | None:
            for line in self.log:
                if line.get("event") == event and fields.items() <= line.items():
                    return line
            return None

        with self._logged:
            if not self._logged.wait_for(lambda: found() is not None, seconds):
                raise AssertionError(f"no {event!r} with {fields} in the log: {self.log}")
            line = found()
        assert line is not None
        return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        assert self.process.stderr is not None
        if self._reader is not None:
            self._reader.join(10)
        self.process.stderr.close()
        return code

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip()}
            with self._logged:
                self.log.append(line)
                self._logged.notify_all()


def launch(*arguments: str, environment: dict[str, str] | None = None) -> RunningServer:
    """Start ``oyez serve`` on free ports and wait until it listens."""
    command = [sys.executable, "-X", "dev", "-m", "oyez", "serve"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--admin-port", "0", "--log-format", "json", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"OYEZ_LOG_LEVEL": "debug", **os.environ, **(environment or {})},
    )
    server = RunningServer(process)
    server._reader = threading.Thread(target=server._read_log, daemon=True)
    server._reader.start()
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(AssertionError):
            line = server.wait_for_log("listening", seconds=0.5)
            server.port, server.admin_port = line["port"], line["admin_port"]
            return server
    server.stop(signal.SIGKILL)
    raise AssertionError(f"the server did not start: {server.log}")


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server with the development app, shared by all tests that leave it as it was."""
    running = launch()
    yield running
    assert running.process.poll() is None, "the shared server died"
    bugs = [line for line in running.log if line.get("level") in ("error", "critical")]
    assert running.stop() == 0
    assert not bugs


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers with a configuration of the test's own; they stop with the test."""
    started: list[RunningServer] = []

    def start(
        config_toml: str = "", *arguments: str, environment: dict[str, str] | None = None
    ) -> RunningServer:
        file = tmp_path / f"oyez-{len(started)}.toml"
        file.write_text(config_toml)
        started.append(launch("--config", str(file), *arguments, environment=environment))
        return started[-1]

    yield start
    for running in started:
        running.stop()
