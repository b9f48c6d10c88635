"""A real HTTP server that receives webhooks and behaves as it is told."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.body)["events"]
        return found

    @property
    def ids(self) -> list[str]:
        return self.headers["X-Oyez-Event-Ids"].split(",")


Behaviour = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Keeps each request, then does what the receiver's behaviour says."""

    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.arrived:
            self.server.requests.append(Received(self.path, dict(self.headers.items()), body))
            count = len(self.server.requests)
            self.server.arrived.notify_all()
        self.server.behaviour(self, count)

    def answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


def accepts(handler: Handler, count: int) -> None:
    handler.answer(200)


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of this machine until it is closed."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour = accepts) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.requests: list[Received] = []
        self.arrived = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, in the order of arrival."""
        with self.arrived:
            return [event for request in self.requests for event in request.events]

    def names(self, channel: str) -> list[str]:
        """The types of the events of a channel, as they arrived."""
        return [event["name"] for event in self.events() if event["channel"] == channel]

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 90) -> None:
        with self.arrived:
            if not self.arrived.wait_for(condition, seconds):
                raise AssertionError(f"it never came true: {self.events()}")

    def wait_for(self, count: int, *, seconds: float = 90) -> list[dict[str, Any]]:
        """As many events as that, and no fewer."""
        self.wait_until(lambda: len(self.events()) >= count, seconds=seconds)
        return self.events()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is none of the test's business."""

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
