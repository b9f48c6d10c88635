"""What a server keeps of requests that are not answered yet: refused by the head, or bounded."""

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

import pytest

from oyez.server.config import AppSettings, Settings
from oyez.server.http_reader import HttpLimits, RequestReader
from oyez.server.node import Node
from oyez.server.unanswered import Unanswered
from tests.conformance.probes import connect, expect_end, expect_json_error, let_it_be_read
from tests.conformance.publishing import event_body, publish_target
from tests.conformance.raw import Headers, RawSocket, request
from tests.conftest import RunningServer
from tests.operation.clients import metrics
from tests.server.surface import Wire

StartServer = Callable[..., RunningServer]

MIB = 1 << 20
SESSION = "/pusher/app/app-key/7/{}"
NOW = int(time.time())
AUTH = f"auth_key=app-key&auth_version=1.0&body_md5={'0' * 32}&auth_timestamp="
REFUSED = {
    "no such path": ("/nowhere", 404),
    "no such call": ("/apps/1001/nothing", 404),
    "no such app": (f"/apps/9/events?{AUTH}{NOW}&auth_signature={'0' * 64}", 404),
    "no such session": (SESSION.format("nobody") + "/xhr_send", 404),
    "no such transport": (SESSION.format("nobody") + "/xhr_sent", 404),
    "no body expected": ("/up", 404),
    "another method": (f"/apps/1001/channels?{AUTH}{NOW}&auth_signature={'0' * 64}", 405),
    "no key": ("/apps/1001/events", 401),
    "unknown key": (f"/apps/1001/events?auth_key=x&auth_timestamp={NOW}", 401),
    "expired": (f"/apps/1001/events?{AUTH}{NOW - 9999}&auth_signature={'0' * 64}", 401),
    "wrong signature": (f"/apps/1001/events?{AUTH}{NOW}&auth_signature={'0' * 64}", 401),
    "no digest": (f"/apps/1001/events?{AUTH.replace('body_md5', 'x')}{NOW}", 401),
    "no app named": (f"/users/u/terminate_connections?{AUTH}{NOW}", 401),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
@pytest.mark.parametrize(("target", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_whatever_the_body_is_refused_before_it_comes(
    connection: RawSocket, target: str, status: int, chunked: bool
) -> None:
    if chunked:
        coding: Headers = (("Transfer-Encoding", "chunked"),)
        connection.send(request("POST", target, coding, b"20000\r\n" + b"x" * 70_000))
    else:
        connection.send(request("POST", target, (("Content-Length", "900000"),)))
    expect_json_error(connection.read_response(), status)
    expect_end(connection)


def test_what_is_refused_is_not_asked_for(connection: RawSocket) -> None:
    announced: Headers = (("Content-Length", "900000"), ("Expect", "100-continue"))
    connection.send(request("POST", REFUSED["wrong signature"][0], announced))
    expect_json_error(connection.read_response(), 401)


def test_the_body_that_was_not_signed_is_refused_when_it_has_come(
    connection: RawSocket, server: RunningServer
) -> None:
    body = event_body(200_000)
    target = publish_target(server, body)
    connection.send(request("POST", target, (("Content-Length", "200000"),), body[:-1] + b" "))
    response = connection.read_response()
    expect_json_error(response, 401)
    assert response.json()["error"] == "Invalid body_md5"
    connection.send(request("POST", target, (("Content-Length", "200000"),), body))
    assert connection.read_response().status == 200


def test_an_app_that_wants_tls_hears_so_before_the_body_comes(start_server: StartServer) -> None:
    app = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nforce_tls = true\n'
    server = start_server(f"trust_proxy = true\n{app}")
    target = publish_target(server, event_body(200_000))
    for scheme, status in (("https", 100), ("http", 403)):
        headers: Headers = (("Content-Length", "200000"), ("Expect", "100-continue"))
        with connect(server) as connection:
            connection.send(request("POST", target, (*headers, ("X-Forwarded-Proto", scheme))))
            assert connection.read_response().status == status


# The sum.

SMALL = '[limits]\nunanswered_bytes = 2_000_000\n[[apps]]\nid = "1001"\nkey = "app-key"\n'
BIG: Headers = (("Content-Length", str(MIB)),)


def open_session(server: RunningServer, name: str) -> str:
    """Have a session over HTTP, and return where to send to."""
    path = SESSION.format(name)
    with connect(server) as connection:
        connection.send(
            request(
                "POST", f"{path}/xhr?protocol=7", (("Connection", "close"),), version="HTTP/1.0"
            )
        )
        assert b"connection_established" in connection.read_until_end()
    return f"{path}/xhr_send"


def test_the_oldest_body_that_no_backend_has_signed_has_to_go(start_server: StartServer) -> None:
    server = start_server(SMALL + 'secret = "app-secret"\n')
    target, body = open_session(server, "session1"), event_body(MIB)
    part = b'["' + b"x" * 700_000
    with ExitStack() as stack:
        signed, first, second, third = (stack.enter_context(connect(server)) for _ in range(4))
        signed.send(request("POST", publish_target(server, body), BIG, body[:700_000]))
        let_it_be_read(server)
        for connection in (first, second, third):
            connection.send(request("POST", target, BIG, part))
            let_it_be_read(server)
        for connection in (first, second):
            response = connection.read_response()
            expect_json_error(response, 503)
            assert "more than 2000000 bytes together" in response.json()["error"]
            expect_end(connection)
        signed.send(body[700_000:])
        assert signed.read_response().status == 200
        third.send(b"x" * (MIB - len(part) - 2) + b'"]')
        assert third.read_response().status == 204

    line = server.wait_for_log("limit reached", rule="limits.unanswered_bytes")
    assert line["peer"].startswith("127.0.0.1:")
    assert (line["limit"], line["path"]) == (2_000_000, target)
    assert metrics(server)['oyez_limits_reached_total{rule="limits.unanswered_bytes"}'] == 2


def test_a_sum_that_is_less_than_one_request_is_refused_at_the_start() -> None:
    settings = Settings.model_validate({"limits": {"unanswered_bytes": MIB}})
    with pytest.raises(ValueError, match=r"limits.unanswered_bytes must be at least 1327104, not"):
        Node(settings)


class Holder:
    """Keeps count of how often it was told to give up."""

    def __init__(self) -> None:
        self.given_up = 0

    def give_up(self, limit: int) -> None:
        self.given_up += 1


def test_nobody_gives_up_as_long_as_all_is_below_the_limit() -> None:
    unanswered, holders = Unanswered(100), [Holder() for _ in range(3)]
    for holder in holders:
        unanswered.set(holder, 30, known=False)
        unanswered.set(holder, 33, known=True)
    assert unanswered.total == 99
    unanswered.discard(holders[0])
    unanswered.discard(holders[0])
    assert unanswered.total == 66
    unanswered.set(holders[0], 34, known=False)
    assert [holder.given_up for holder in holders] == [0, 0, 0]
    unanswered.set(holders[0], 35, known=True)
    assert [holder.given_up for holder in holders] == [0, 1, 0]
    assert unanswered.total == 68


# One connection, without its socket.


class Reading(Wire):
    """A client that sends as much as is read of it."""

    async def offer(self, data: bytes, *, times: int, size: int = 65_536) -> int:
        """Send again and again, in packets and while it is read; how much was."""
        taken = 0
        for _ in range(times):
            if self.reading and not self.aborted and data:
                start = taken % len(data)
                packet = data[start : start + size]
                self.feed(packet)
                taken += len(packet)
            await asyncio.sleep(0)
        return taken


def in_a_node(work: Callable[[Node], object]) -> None:
    app = AppSettings.model_validate({"id": "1001", "key": "app-key", "secret": "s3cret"})

    async def run() -> None:
        await cast("asyncio.Future[None]", work(Node(Settings(apps=[app]))))

    asyncio.run(run())


STREAM = request("POST", SESSION.format("session1") + "/xhr_streaming?protocol=7")


@pytest.mark.parametrize("size", [1_000, 20_000, 65_536])
def test_nothing_is_read_ahead_behind_an_answer_that_has_no_end(size: int) -> None:
    send = request("POST", SESSION.format("session1") + "/xhr_send", BIG, b"x" * MIB)

    async def work(node: Node) -> None:
        wire = Reading(node)
        wire.feed(STREAM)
        assert b"connection_established" in wire.stream
        taken = await wire.offer(send, times=1000, size=size)
        assert taken == size
        assert node._http.unanswered.total == taken
        wire.protocol.connection_lost(None)
        assert node._http.unanswered.total == 0

    in_a_node(work)


def test_what_came_behind_an_answer_is_answered_after_it() -> None:
    async def work(node: Node) -> None:
        wire = Reading(node)
        poll = request("POST", SESSION.format("session1") + "/xhr?protocol=7")
        wire.feed(poll + poll + request("GET", "/up") * 2000)
        taken = await wire.offer(b"", times=20)
        assert wire.stream.count(b"HTTP/1.1 200") == 2
        assert (taken, wire.reading) == (0, False)
        wire.feed(request("GET", "/up"))
        session = SESSION.format("session1")
        other = Reading(node)
        ping = json.dumps([json.dumps({"event": "pusher:ping"})]).encode()
        other.feed(
            request("POST", f"{session}/xhr_send", (("Content-Length", str(len(ping))),), ping)
        )
        for _ in range(200):
            await asyncio.sleep(0)
        assert wire.stream.count(b"HTTP/1.1 200") == 2 + 2001
        assert wire.reading
        assert node._http.unanswered.total == 0

    in_a_node(work)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_body_takes_its_size_in_however_many_pieces_it_comes(size: int) -> None:
    reader = RequestReader(HttpLimits())
    reader.feed(request("POST", "/", (("Transfer-Encoding", "chunked"),)))
    chunk = b"%x\r\n%b\r\n" % (size, bytes(range(size)))
    tracemalloc.start()
    for _ in range(100_000 // size):
        reader.feed(chunk)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 150_000
    assert 100_000 < reader.held < 101_000


@pytest.mark.parametrize("path", ["/apps/1001/events", "/xhr_streaming", "/nowhere"])
def test_a_connection_keeps_no_body_that_has_been_answered(path: str) -> None:
    target = SESSION.format("session1") + "/xhr_streaming?protocol=7" if "xhr" in path else path
    body = 60_000  # as much as is taken without a look at the head

    async def work(node: Node) -> None:
        wires = [Reading(node) for _ in range(20)]
        tracemalloc.start()
        for number, wire in enumerate(wires):
            place = target.replace("session1", f"session{number}")
            data = request("POST", place, (("Content-Length", str(body)),), b"x" * body)
            wire.feed(data[:30_000], data[30_000:60_000], data[60_000:])
        for _ in range(10):
            await asyncio.sleep(0)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert all(wire.stream.startswith(b"HTTP/1.1 ") for wire in wires)
        assert kept < 20 * 30_000
        assert node._http.unanswered.total == 0

    in_a_node(work)
