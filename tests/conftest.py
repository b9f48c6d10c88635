"""The real server on a real port, for every test that wants to talk to it."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.processes import ForkedServer, Process, execute, heeding_signals

_START_SECONDS = 90

_DEVELOPMENT = json.dumps(
    [
        {
            "id": "1001",
            "name": "development",
            "key": "app-key",
            "secret": "app-secret",
            "client_events": True,
            "subscription_count": True,
        }
    ]
)

# The same examples in each run, so that a red run is about the change; `make soak` tries others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("other", deadline=None)
settings.load_profile("same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was not tried, and why."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("not tried here", sep="-")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5} {'test ' if count == 1 else 'tests'}  {reason}")


@dataclass
class RunningServer:
    """A server process that listens.

    Attributes:
        log: every line it has logged so far, parsed.
    """

    process: Process
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

    def wait_for_log(self, event: str, *, seconds: float = 90, **fields: object) -> dict[str, Any]:
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
        code = self.process.wait(90)
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


def launch(
    *arguments: str,
    environment: dict[str, str] | None = None,
    executed: bool = False,
    files: int | None = None,
) -> RunningServer:
    """Start ``oyez serve`` on free ports and wait until it listens.

    Args:
        executed: in a new interpreter, as people do; else in a fork of one, which is much quicker.
        files: that it may open, if that is to be less than what we may; it is executed then.
    """
    arguments = ("--port", "0", "--admin-port", "0", "--log-format", "json", *arguments)
    variables = {"OYEZ_LOG_LEVEL": "debug", **os.environ, **(environment or {})}
    process: Process
    if executed or files:
        process = execute(arguments, variables, files)
    else:
        process = ForkedServer(arguments, variables)
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


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> Iterator[None]:
    """Signals mean to our processes what they usually do, however the run was started."""
    with heeding_signals():
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server with the development app, shared by all tests that leave it as it was."""
    running = launch(environment={"OYEZ_APPS": _DEVELOPMENT}, executed=True)
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
        config_toml: str = "",
        *arguments: str,
        environment: dict[str, str] | None = None,
        executed: bool = False,
        files: int | None = None,
    ) -> RunningServer:
        file = tmp_path / f"oyez-{len(started)}.toml"
        file.write_text(config_toml)
        command = ("--config", str(file), *arguments)
        started.append(launch(*command, environment=environment, executed=executed, files=files))
        return started[-1]

    yield start
    for running in started:
        running.stop()
