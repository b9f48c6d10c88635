"""No input from the network stops or slows the server for others (websocket-protocol.md 14)."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from tests.conformance.probes import (
    app_target,
    connect,
    expect_alive,
    open_websocket,
)
from tests.conformance.publishing import event_body, publish_target
from tests.conformance.raw import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    RawSocket,
    close_payload,
    handshake,
    request,
)
from tests.conftest import RunningServer

StartServer = Callable[[str], RunningServer]
Attack = Callable[[RawSocket, RunningServer], None]

A_THOUSAND_REQUESTS = request("GET", "/up") * 1000
A_THOUSAND_PINGS = Frame(PING, b"x" * 125).encode() * 1000
TLS_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(154))


def stay_silent(connection: RawSocket, server: RunningServer) -> None:
    """Nothing at all."""


def half_a_head(connection: RawSocket, server: RunningServer) -> None:
    connection.send(b"GET /up HTTP/1.1\r\nHost: ")


def half_a_body(connection: RawSocket, server: RunningServer) -> None:
    target = publish_target(server, event_body())
    connection.send(request("POST", target, (("Content-Length", "1000000"),), b"x" * 500_000))


def half_a_handshake(connection: RawSocket, server: RunningServer) -> None:
    connection.send(handshake(app_target(server))[:-2])


def garbage(connection: RawSocket, server: RunningServer) -> None:
    connection.push(b"\xde\xad\xbe\xef" * 5000)


def tls(connection: RawSocket, server: RunningServer) -> None:
    connection.push(TLS_HELLO)


def half_a_frame(connection: RawSocket, server: RunningServer) -> None:
    frame = Frame(TEXT, b"x" * 100, declared=131_072).encode()
    connection.send(handshake(app_target(server)) + frame)


def declare_a_huge_frame(connection: RawSocket, server: RunningServer) -> None:
    frame = Frame(TEXT, b"x" * 100_000, declared=1 << 40).encode()
    connection.push(handshake(app_target(server)) + frame)


def never_end_a_message(connection: RawSocket, server: RunningServer) -> None:
    frames = [Frame(TEXT, fin=False)] + [Frame(CONTINUATION, fin=False)] * 1000
    connection.send(handshake(app_target(server)) + b"".join(f.encode() for f in frames))


def never_read_the_pongs(connection: RawSocket, server: RunningServer) -> None:
    connection.send(handshake(app_target(server)))
    flood(connection, A_THOUSAND_PINGS, times=3, patience=0.05)


def never_read_the_responses(connection: RawSocket, server: RunningServer) -> None:
    flood(connection, A_THOUSAND_REQUESTS, times=3, patience=0.05)


def flood(connection: RawSocket, data: bytes, *, times: int, patience: float) -> None:
    """Send it again and again, until the server reads no more of it or hangs up."""
    connection.tcp.settimeout(patience)
    with suppress(OSError):
        for _ in range(times):
            connection.tcp.sendall(data)


ATTACKS: tuple[Attack, ...] = (
    stay_silent,
    half_a_head,
    half_a_body,
    half_a_handshake,
    garbage,
    tls,
    half_a_frame,
    declare_a_huge_frame,
    never_end_a_message,
    never_read_the_pongs,
    never_read_the_responses,
)
EACH = 5
_PROMPT = 30.0  # seconds; generous, as a busy machine with debug checks on runs these tests too


@contextmanager
def under_attack(server: RunningServer, attacks: tuple[Attack, ...] = ATTACKS) -> Iterator[None]:
    """While hostile sockets are open, each kind several times."""
    with ExitStack() as stack:
        for attack in attacks * EACH:
            attack(stack.enter_context(connect(server)), server)
        yield


def expect_prompt_service(server: RunningServer) -> None:
    """New and old clients of both kinds get their answers at once."""
    body = event_body()
    target = publish_target(server, body)
    publish = request("POST", target, (("Content-Length", str(len(body))),), body)
    with open_websocket(server) as websocket, connect(server) as publisher:
        for _ in range(20):
            started = time.monotonic()
            expect_alive(websocket)
            publisher.send(publish)
            assert publisher.read_response().status == 200
            assert time.monotonic() - started < _PROMPT


def is_alive(server: RunningServer) -> bool:
    process = psutil.Process(server.pid)
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_hostile_sockets_do_not_keep_a_client_from_its_pong(
    server: RunningServer,
) -> None:
    with open_websocket(server) as before, under_attack(server):
        expect_alive(before)
        expect_prompt_service(server)
        expect_alive(before)
    assert is_alive(server)
    expect_prompt_service(server)


def test_a_client_that_does_not_read_its_responses_is_not_read_from(
    server: RunningServer,
) -> None:
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    with connect(server) as connection:
        flood(connection, A_THOUSAND_REQUESTS, times=300, patience=1)
        grown = process.memory_info().rss - before
    assert grown < 64 << 20, f"{grown} bytes more for requests that need not be read yet"


def test_a_client_that_does_not_read_its_pongs_is_dropped(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.send(handshake(app_target(server)))
        assert connection.read_response().status == 101
        # A small window, so that it is not the kernel which keeps the pongs.
        connection.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        flood(connection, A_THOUSAND_PINGS, times=100, patience=5)
        connection.tcp.settimeout(5)
        frame = connection.read_frame()
        while frame.opcode != CLOSE:
            frame = connection.read_frame()
        assert frame.payload[:2] == close_payload(4100)  # too slow: come back after a pause


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_hostile_socket_that_goes_leaves_nothing_behind(
    server: RunningServer, attack: Attack
) -> None:
    process = psutil.Process(server.pid)
    before = process.num_fds()
    with under_attack(server, (attack,)):
        expect_prompt_service(server)
    deadline = time.monotonic() + 8
    while process.num_fds() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.num_fds() <= before


def test_connections_that_are_reset_in_mid_conversation_harm_nobody(
    server: RunningServer,
) -> None:
    with open_websocket(server) as bystander:
        for data in (b"", b"GET /up HT", request("GET", "/up") * 50, handshake("/app/x")):
            for _ in range(10):
                with connect(server) as connection:
                    connection.send(data)
                    connection.reset()
        for _ in range(10):
            with open_websocket(server) as websocket:
                websocket.send_frames(*[Frame(TEXT, b"junk")] * 20)
                websocket.reset()
        expect_alive(bystander)
    assert is_alive(server)
    expect_prompt_service(server)
