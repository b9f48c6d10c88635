"""The batch handler for pusher-js: few requests, and an error for each channel if they fail."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from oyez import Client
from oyez.testing import OyezServer
from tests.webhooks.receiver import closed_port

SCRIPT = Path(__file__).parent / "batch.mjs"
CHANNELS = [f"private-{number}" for number in range(5)]

pytestmark = pytest.mark.xdist_group("examples")


@pytest.fixture(scope="module")
def server() -> Iterator[OyezServer]:
    with OyezServer() as server:
        yield server


class Authorizer(ThreadingHTTPServer):
    """Authorizes as `authorize_channels` does, or answers what it is told to."""

    def __init__(self, client: Client, status: int, body: bytes | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client, self.status, self.body = client, status, body
        self.requests: list[tuple[str, list[str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Authorizer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        [socket_id], channels = form["socket_id"], form["channel_name"]
        self.server.requests.append((socket_id, channels))
        answer = json.dumps(self.server.client.authorize_channels(channels, socket_id)).encode()
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(answer if self.server.body is None else self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


@contextmanager
def authorizing(
    server: OyezServer, *, status: int = 200, body: bytes | None = None
) -> Iterator[Authorizer]:
    with server.client() as client, Authorizer(client, status, body) as authorizer:
        thread = threading.Thread(target=authorizer.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield authorizer
        finally:
            authorizer.shutdown()
            thread.join()


def subscribe(
    server: OyezServer, endpoint: str, *, most: int = 100, connections: int = 1
) -> list[list[str]]:
    """What became of each channel, for each connection."""
    what: dict[str, Any] = {
        "endpoint": endpoint,
        "most": most,
        "channels": CHANNELS,
        "host": server.host,
        "port": server.port,
        "key": server.key,
        "connections": connections,
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(what)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_one_request_for_all_that_is_subscribed_at_once(server: OyezServer) -> None:
    with authorizing(server) as authorizer:
        assert subscribe(server, authorizer.url) == [["succeeded"] * 5]

    assert [channels for _, channels in authorizer.requests] == [CHANNELS]


def test_a_new_connection_is_a_new_request(server: OyezServer) -> None:
    with authorizing(server) as authorizer:
        assert subscribe(server, authorizer.url, connections=2) == [["succeeded"] * 5] * 2

    (first, _), (second, channels) = authorizer.requests
    assert first != second
    assert channels == CHANNELS


def test_no_request_has_too_many(server: OyezServer) -> None:
    with authorizing(server) as authorizer:
        assert subscribe(server, authorizer.url, most=2) == [["succeeded"] * 5]

    assert sorted(channels for _, channels in authorizer.requests) == [
        CHANNELS[:2],
        CHANNELS[2:4],
        CHANNELS[4:],
    ]


def test_an_answer_that_is_none_is_an_error_of_each_channel(server: OyezServer) -> None:
    with authorizing(server, status=500) as authorizer:
        [errors] = subscribe(server, authorizer.url)
        assert errors == [f"{authorizer.url} answered 500"] * 5
    with authorizing(server, body=b"<html>") as authorizer:
        [errors] = subscribe(server, authorizer.url)
        assert all("JSON" in error for error in errors)
    with authorizing(server, body=b"{}") as authorizer:
        [errors] = subscribe(server, authorizer.url)
        assert errors == [f"not authorized: {name}" for name in CHANNELS]
    [errors] = subscribe(server, f"http://127.0.0.1:{closed_port()}/")
    assert errors == ["fetch failed"] * 5
