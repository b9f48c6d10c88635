"""Time limits on a real clock: for a head, for a body and between requests."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.conformance.probes import (
    connect,
    expect_alive,
    expect_end,
    expect_json_error,
    open_websocket,
)
from tests.conformance.raw import RawSocket, request
from tests.conftest import RunningServer

StartServer = Callable[[str], RunningServer]

# Two seconds: the server's clock ticks once a second, which with one hides that time starts anew.
SLOW_REQUESTS = """
[limits]
head_seconds = 2
body_seconds = 2
idle_seconds = 60
"""
QUICK_REQUESTS = """
[limits]
head_seconds = 1
body_seconds = 1
idle_seconds = 60
"""
SHORT_PAUSES = """
[limits]
head_seconds = 1
body_seconds = 1
idle_seconds = 2
"""
UP = request("GET", "/up")

STALLED = {
    "first byte": b"G",
    "request line without end": b"GET /up",
    "headers without end": b"GET /up HTTP/1.1\r\nHost: h\r\n",
    "last line feed missing": UP[:-1],
    "head of a second request": UP + b"GET /up HTTP/1.1\r\n",
    "body that never comes": request("POST", "/apps/1001/events", (("Content-Length", "9"),)),
    "body without end": request("POST", "/apps/1001/events", (("Content-Length", "9"),), b"{"),
    "chunks without end": request(
        "POST", "/apps/1001/events", (("Transfer-Encoding", "chunked"),), b"1\r\n{\r\n"
    ),
    "chunk cut short": request(
        "POST", "/apps/1001/events", (("Transfer-Encoding", "chunked"),), b"5\r\n{"
    ),
    "body after 100": request(
        "POST", "/apps/1001/events", (("Content-Length", "9"), ("Expect", "100-continue"))
    ),
}


@contextmanager
def connections(server: RunningServer, count: int) -> Iterator[list[RawSocket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(server)) for _ in range(count)]


def test_a_request_that_stalls_is_answered_408(start_server: StartServer) -> None:
    with connections(start_server(QUICK_REQUESTS), len(STALLED)) as stalled:
        for connection, data in zip(stalled, STALLED.values(), strict=True):
            connection.send(data)
        started = time.monotonic()
        for connection, name in zip(stalled, STALLED, strict=True):
            response = connection.read_response()
            if name in ("head of a second request", "body after 100"):
                assert response.status in (100, 200), name
                response = connection.read_response()
            assert time.monotonic() - started > 0.8, name
            assert response.status == 408, name
            expect_json_error(response, 408)
            assert (response.header("Connection") or "").lower() == "close", name
            expect_end(connection)


def test_a_request_that_trickles_is_not_given_more_time(start_server: StartServer) -> None:
    # A head or body that grows by a byte now and then holds a connection for ever otherwise.
    head = b"GET /up HTTP/1.1\r\nX-Slow: " + b"x" * 1000
    body = request("POST", "/apps/1001/events", (("Content-Length", "900"),), b"{" + b" " * 899)
    with connections(start_server(SLOW_REQUESTS), 2) as (slow_head, slow_body):
        slow_body.send(body[:-890])
        sent = 0
        # Until both are told; what is there to be sent would last for a minute and a half.
        while sent < 890 and slow_head.push(head[sent : sent + 1]) and slow_body.push(b" "):
            sent += 1
            time.sleep(0.1)
        for connection in (slow_head, slow_body):
            expect_json_error(connection.read_response(), 408)
        assert sent < 890


def test_idle_connections_are_closed_and_websockets_are_not(start_server: StartServer) -> None:
    server = start_server(SHORT_PAUSES)
    with connections(server, 2) as (silent, kept), open_websocket(server) as websocket:
        kept.send(UP)
        assert kept.read_response().status == 200
        time.sleep(1.2)  # over the limits of a head and a body, which do not run between requests
        kept.send(UP)
        assert kept.read_response().status == 200
        idle_since = time.monotonic()
        expect_end(kept)  # without a word: the client may be sending its next request
        assert time.monotonic() - idle_since > 1.8
        answer = silent.read_until_end()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
        expect_alive(websocket)
