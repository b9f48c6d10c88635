"""The example applications as processes, started as their first lines say."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oyez.testing import OyezServer

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COMMANDS = {
    "fastapi": ["-m", "uvicorn", "fastapi_app:app", "--port", "{port}"],
    "flask": ["-m", "flask", "--app", "flask_app", "run", "--port", "{port}"],
    "django": ["django_app.py", "runserver", "--noreload", "{port}"],
}
_START_SECONDS = 90


class Application:
    """A running example.

    Attributes:
        server: what it publishes to; it has its webhooks sent to the application.
        url: where it is.
        log: what it has written so far.
    """

    def __init__(self, framework: str, server: OyezServer, port: int) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{port}"
        self.log: list[str] = []
        self._logged = threading.Condition()
        key = {"ENCRYPTION_MASTER_KEY": server.encryption_master_key, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *(each.format(port=port) for each in COMMANDS[framework])],
            cwd=EXAMPLES,
            env={**os.environ, **server.environment, **key},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for_log(self, text: str, *, count: int = 1, seconds: float = 90) -> None:
        with self._logged:
            if not self._logged.wait_for(lambda: self.logged(text) >= count, seconds):
                raise AssertionError(f"not {count} times {text!r}:\n{''.join(self.log)}")

    def logged(self, text: str) -> int:
        return sum(text in line for line in self.log)

    def wait_until_it_listens(self) -> None:
        port = int(self.url.rpartition(":")[2])
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                return
            time.sleep(0.05)
        raise AssertionError(f"it does not listen:\n{''.join(self.log)}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._logged:
                self.log.append(line)
                self._logged.notify_all()


@pytest.fixture(scope="module", params=list(COMMANDS))
def application(request: pytest.FixtureRequest) -> Iterator[Application]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    events = ["channel_occupied", "member_added", "member_removed"]
    hooks = [{"url": f"http://127.0.0.1:{port}/webhooks", "events": events}]
    with OyezServer({"app": {"webhooks": hooks}}) as server:
        running = Application(request.param, server, port)
        try:
            running.wait_until_it_listens()
            yield running
        finally:
            running.stop()
