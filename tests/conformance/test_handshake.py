"""The opening handshake, RFC 6455 section 4, up to the first message of the server."""

import base64
import hashlib
import os
from collections.abc import Callable

import pytest

from tests.conformance.probes import (
    PING_EVENT,
    PONG_EVENT,
    app_target,
    expect_alive,
    expect_end,
    expect_established,
    expect_json_error,
    read_event,
)
from tests.conformance.raw import (
    ACCEPT,
    TEXT,
    Frame,
    Headers,
    RawSocket,
    handshake,
    request,
)
from tests.conftest import RunningServer

Changes = dict[str, str | None]


def test_the_answer_proves_that_the_nonce_was_read(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server)))
    response = connection.read_response()
    assert response.status == 101
    assert (response.header("Upgrade") or "").lower() == "websocket"
    assert (response.header("Connection") or "").lower() == "upgrade"
    assert response.header("Sec-WebSocket-Accept") == ACCEPT


def test_every_nonce_has_its_own_proof(connection: RawSocket, server: RunningServer) -> None:
    nonce = base64.b64encode(os.urandom(16)).decode()
    proof = hashlib.sha1(f"{nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    connection.send(handshake(app_target(server), {"Sec-WebSocket-Key": nonce}))
    accepted = connection.read_response().header("Sec-WebSocket-Accept")
    assert accepted == base64.b64encode(proof).decode()


DEFLATE = "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"

# Everything a server has to put up with: RFC 6455 4.2.1, RFC 9110 5.1, 5.5 and 7.8.
ACCEPTED: dict[str, tuple[Changes, Headers]] = {
    "as browsers send it": ({}, (("Origin", "http://127.0.0.1"), ("Pragma", "no-cache"))),
    "more in Connection": ({"Connection": "keep-alive, Upgrade"}, ()),
    "Connection in capitals": ({"Connection": "UPGRADE"}, ()),
    "Connection without space": ({"Connection": "keep-alive,upgrade"}, ()),
    "Connection in two headers": ({"Connection": "keep-alive"}, (("Connection", "Upgrade"),)),
    "Upgrade in mixed case": ({"Upgrade": "WebSocket"}, ()),
    "more in Upgrade": ({"Upgrade": "h2c, websocket"}, ()),
    "spaces around the nonce": ({"Sec-WebSocket-Key": "  dGhlIHNhbXBsZSBub25jZQ== \t"}, ()),
    "deflate offered": ({}, (("Sec-WebSocket-Extensions", DEFLATE),)),
    "unknown extension offered": ({}, (("Sec-WebSocket-Extensions", "x-unknown; a=1"),)),
    "a cookie": ({}, (("Cookie", "session=" + "c" * 4000),)),
    "a hundred other headers": ({}, tuple((f"X-Other-{n}", "v" * 20) for n in range(100))),
    "a byte that is not ASCII": ({}, (("X-Name", "Zo\u00eb"),)),
    "a length of nothing": ({}, (("Content-Length", "0"),)),
}


@pytest.mark.parametrize(("changes", "extra"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_valid_handshake_is_accepted(
    connection: RawSocket, server: RunningServer, changes: Changes, extra: Headers
) -> None:
    connection.send(handshake(app_target(server), changes, extra=extra))
    response = connection.read_response()
    assert response.status == 101
    assert response.header("Sec-WebSocket-Accept") == ACCEPT
    # Declined on purpose: one frame for all subscribers. RFC 6455 9.1: then name no extension.
    assert response.header("Sec-WebSocket-Extensions") is None
    assert response.header("Sec-WebSocket-Protocol") is None
    expect_established(connection)
    expect_alive(connection)


@pytest.mark.parametrize("case", [str.lower, str.upper], ids=["lower", "upper"])
def test_the_case_of_header_names_does_not_matter(
    connection: RawSocket, server: RunningServer, case: Callable[[str], str]
) -> None:
    start, *lines = handshake(app_target(server)).decode().split("\r\n")
    cased = [case(name) + colon + value for name, colon, value in (x.partition(":") for x in lines)]
    connection.send("\r\n".join([start, *cased]).encode())
    assert connection.read_response().header("Sec-WebSocket-Accept") == ACCEPT
    expect_established(connection)


REFUSED: dict[str, tuple[Changes, tuple[int, ...]]] = {
    "no nonce": ({"Sec-WebSocket-Key": None}, (400,)),
    "empty nonce": ({"Sec-WebSocket-Key": ""}, (400,)),
    "nonce that is not base64": ({"Sec-WebSocket-Key": "!!!!IHNhbXBsZSBub25jZQ=="}, (400,)),
    "nonce with a stray letter": ({"Sec-WebSocket-Key": "dGhl!IHNhbXBsZSBub25jZQ=="}, (400,)),
    "nonce without padding": ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, (400,)),
    "nonce of 15 bytes": ({"Sec-WebSocket-Key": base64.b64encode(b"x" * 15).decode()}, (400,)),
    "nonce of 17 bytes": ({"Sec-WebSocket-Key": base64.b64encode(b"x" * 17).decode()}, (400,)),
    "no version": ({"Sec-WebSocket-Version": None}, (400, 426)),
    "version 0": ({"Sec-WebSocket-Version": "0"}, (426,)),
    "version 8": ({"Sec-WebSocket-Version": "8"}, (426,)),
    "version 12": ({"Sec-WebSocket-Version": "12"}, (426,)),
    "version 14": ({"Sec-WebSocket-Version": "14"}, (426,)),
    "version 130": ({"Sec-WebSocket-Version": "130"}, (426,)),
    "no Connection": ({"Connection": None}, (400, 404, 426)),
    "Connection without upgrade": ({"Connection": "keep-alive"}, (400, 404, 426)),
    "no Upgrade": ({"Upgrade": None}, (400, 404, 426)),
    "upgrade to something else": ({"Upgrade": "h2c"}, (400, 404, 426)),
}


@pytest.mark.parametrize(("changes", "statuses"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_handshake_is_refused_without_an_upgrade(
    connection: RawSocket, server: RunningServer, changes: Changes, statuses: tuple[int, ...]
) -> None:
    connection.send(handshake(app_target(server), changes))
    response = connection.read_response()
    assert response.status in statuses
    expect_json_error(response, response.status)


def test_another_version_is_told_which_one_is_spoken(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server), {"Sec-WebSocket-Version": "8"}))
    response = connection.read_response()
    assert response.status == 426
    assert response.header("Sec-WebSocket-Version") == "13"  # RFC 6455 4.4
    assert (response.header("Upgrade") or "").lower() == "websocket"  # RFC 9110 15.5.22


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD"])
def test_only_get_upgrades(connection: RawSocket, server: RunningServer, method: str) -> None:
    connection.send(handshake(app_target(server), method=method))
    assert 400 <= connection.read_response(method).status < 500


def test_http_1_0_does_not_upgrade(connection: RawSocket, server: RunningServer) -> None:
    # RFC 6455 4.2.1: "HTTP/1.1 or higher".
    connection.send(handshake(app_target(server), version="HTTP/1.0"))
    assert 400 <= connection.read_response().status < 600


SUBPROTOCOLS = {
    "pusher-channels-protocol-7": "pusher-channels-protocol-7",
    "pusher-channels-protocol-5": "pusher-channels-protocol-5",
    "pusher-channels-protocol-6, pusher-channels-protocol-7": "pusher-channels-protocol-6",
    "chat, pusher-channels-protocol-7": "pusher-channels-protocol-7",
    "chat,pusher-channels-protocol-7,other": "pusher-channels-protocol-7",
    "chat, superchat": None,
    "my-pusher-channels-protocol-7": None,
}


@pytest.mark.parametrize(("offered", "echoed"), SUBPROTOCOLS.items())
def test_the_first_offered_subprotocol_of_ours_is_echoed(
    connection: RawSocket, server: RunningServer, offered: str, echoed: str | None
) -> None:
    connection.send(handshake(app_target(server), extra=(("Sec-WebSocket-Protocol", offered),)))
    response = connection.read_response()
    assert response.status == 101
    assert response.header("Sec-WebSocket-Protocol") == echoed
    expect_established(connection)


def test_subprotocols_may_come_in_several_headers(
    connection: RawSocket, server: RunningServer
) -> None:
    # RFC 6455 11.3.4
    names = ("chat", "pusher-channels-protocol-7", "pusher-channels-protocol-6")
    extra = tuple(("Sec-WebSocket-Protocol", name) for name in names)
    connection.send(handshake(app_target(server), extra=extra))
    assert connection.read_response().header("Sec-WebSocket-Protocol") == names[1]


def test_a_handshake_may_arrive_byte_by_byte(connection: RawSocket, server: RunningServer) -> None:
    connection.send(handshake(app_target(server)), chunk=1)
    assert connection.read_response().status == 101
    expect_established(connection)
    expect_alive(connection)


def test_frames_in_the_packet_of_the_handshake_are_answered(
    connection: RawSocket, server: RunningServer
) -> None:
    # Pysher pings before it is greeted; the greeting is the first message all the same.
    ping = Frame(TEXT, PING_EVENT).encode()
    connection.send(handshake(app_target(server)) + ping + ping)
    assert connection.read_response().status == 101
    expect_established(connection)
    assert [read_event(connection) for _ in range(2)] == [PONG_EVENT, PONG_EVENT]
    expect_alive(connection)


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 20])
def test_a_frame_may_begin_in_the_packet_of_the_handshake(
    connection: RawSocket, server: RunningServer, cut: int
) -> None:
    ping = Frame(TEXT, PING_EVENT).encode()
    connection.send(handshake(app_target(server)) + ping[:cut])
    assert connection.read_response().status == 101
    expect_established(connection)
    connection.send(ping[cut:])
    assert read_event(connection) == PONG_EVENT


def test_a_connection_that_served_requests_can_upgrade(
    connection: RawSocket, server: RunningServer
) -> None:
    up = request("GET", "/up")
    connection.send(up + up + handshake(app_target(server)) + Frame(TEXT, PING_EVENT).encode())
    statuses = [connection.read_response().status for _ in range(3)]
    assert statuses == [200, 200, 101]
    expect_established(connection)
    assert read_event(connection) == PONG_EVENT


@pytest.mark.parametrize("protocol", ["4", "5", "6", "7"])
def test_protocols_4_to_7_are_greeted(
    connection: RawSocket, server: RunningServer, protocol: str
) -> None:
    connection.send(handshake(app_target(server, protocol)))
    assert connection.read_response().status == 101
    expect_established(connection)
    expect_alive(connection)


BODIES: dict[str, tuple[Headers, bytes]] = {
    "declared": ((("Content-Length", "5"),), b"hello"),
    "chunked": ((("Transfer-Encoding", "chunked"),), b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("headers", "body"), BODIES.values(), ids=BODIES)
def test_the_body_of_a_handshake_is_not_taken_for_frames(
    connection: RawSocket, server: RunningServer, headers: Headers, body: bytes
) -> None:
    # RFC 9110 7.8: the other protocol begins behind the whole request. To refuse is right too.
    data = handshake(app_target(server), extra=headers) + body
    connection.send(data + Frame(TEXT, PING_EVENT).encode())
    response = connection.read_response()
    if response.status == 101:
        expect_established(connection)
        assert read_event(connection) == PONG_EVENT
    else:
        expect_json_error(response, response.status)
        expect_end(connection)


def test_a_peer_that_hangs_up_in_the_handshake_is_forgotten(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server))[:-2])
    connection.finish()
    answer = connection.read_until_end()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


def test_a_refused_handshake_leaves_no_websocket_behind(
    connection: RawSocket, server: RunningServer
) -> None:
    refused = handshake(app_target(server), {"Sec-WebSocket-Key": None, "Connection": "close"})
    connection.send(refused + Frame(TEXT, PING_EVENT).encode())
    assert 400 <= connection.read_response().status < 500
    expect_end(connection)
