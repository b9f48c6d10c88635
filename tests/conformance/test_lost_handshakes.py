"""What proxies make of an upgrade when they are not told to pass it on, and of other requests."""

import pytest

from tests.conformance.probes import app_target, expect_json_error
from tests.conformance.publishing import event_body, publish_target, signed_target
from tests.conformance.raw import Headers, RawSocket, handshake, request
from tests.conftest import RunningServer

UP = request("GET", "/up")
STATIC: Headers = (("Upgrade", "websocket"), ("Connection", "upgrade"))

LOST = {
    "nginx without any of it": (
        "HTTP/1.0",
        {"Upgrade": None, "Connection": "close"},
        ["HTTP/1.1", "Upgrade: websocket", "Connection: upgrade"],
    ),
    "nginx 1.29.7 without any of it": (
        "HTTP/1.1",
        {"Upgrade": None, "Connection": None},
        ["Upgrade: websocket", "Connection: upgrade"],
    ),
    "nginx without proxy_http_version": ("HTTP/1.0", {}, ["HTTP/1.1"]),
    "nginx without Connection": ("HTTP/1.1", {"Connection": "close"}, ["Connection: upgrade"]),
    "nginx without Upgrade": ("HTTP/1.1", {"Upgrade": None}, ["Upgrade: websocket"]),
    "something else is offered": ("HTTP/1.1", {"Upgrade": "h2c"}, ["Upgrade: websocket"]),
    "a browser's address bar": (
        "HTTP/1.1",
        dict.fromkeys(("Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")),
        ["Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Key"],
    ),
    "an address bar behind static headers": (
        "HTTP/1.1",
        dict.fromkeys(("Sec-WebSocket-Key", "Sec-WebSocket-Version")),
        ["Sec-WebSocket-Key"],
    ),
}


@pytest.mark.parametrize(("version", "changes", "lost"), LOST.values(), ids=LOST)
def test_a_handshake_that_lost_something_is_told_what(
    connection: RawSocket,
    server: RunningServer,
    version: str,
    changes: dict[str, str | None],
    lost: list[str],
) -> None:
    connection.send(handshake(app_target(server), changes, version=version))
    response = connection.read_response()
    expect_json_error(response, 426)
    assert response.header("Upgrade") == "websocket"  # RFC 9110 15.5.22
    sentence = response.json()["error"]
    named = ("HTTP/1.1", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Key")
    assert [each for each in named if f"without {each}" in sentence] == lost
    assert ("proxy_http_version 1.1;" in sentence) == ("HTTP/1.1" in lost)


def test_only_the_place_of_websockets_explains_them(connection: RawSocket) -> None:
    connection.send(request("GET", "/nowhere") + request("POST", "/app/key"))
    assert [connection.read_response().status for _ in range(2)] == [404, 404]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_publish_with_a_static_upgrade_header_is_served(
    connection: RawSocket, server: RunningServer, version: str
) -> None:
    body = event_body()
    headers = (*STATIC, ("Content-Length", str(len(body))))
    connection.send(request("POST", publish_target(server, body), headers, body, version=version))
    assert connection.read_response().status == 200


def test_questions_with_a_static_upgrade_header_are_served(
    connection: RawSocket, server: RunningServer
) -> None:
    target = signed_target(server, "GET", f"/apps/{server.app_id}/channels")
    asked = request("GET", target, STATIC) + request("GET", "/up", STATIC)
    connection.send(asked + request("HEAD", "/up", STATIC) + UP)
    assert connection.read_response().status == 200
    assert connection.read_response().status == 200
    assert connection.read_response("HEAD").status == 200
    assert connection.read_response().status == 200


def test_a_fallback_with_a_static_upgrade_header_is_served(
    connection: RawSocket, server: RunningServer
) -> None:
    target = f"/app/{server.key}/1/static01/xhr_send"
    headers = (*STATIC, ("Content-Length", "2"))
    connection.send(request("POST", target, headers, b"[]") + UP)
    response = connection.read_response()
    assert response.json()["error"] == "No such session"
    assert connection.read_response().status == 200


def test_a_handshake_without_a_version_is_told_which_one_is_spoken(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server), {"Sec-WebSocket-Version": None}))
    response = connection.read_response()
    expect_json_error(response, 426, "Only WebSocket version 13 is supported, not none")
