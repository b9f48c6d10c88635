"""Requests made to hit what a library raises beyond its usual error; anybody can send them."""

import json
import time

import pytest

from tests.conformance.probes import (
    app_target,
    expect_close,
    expect_end,
    expect_established,
    expect_json_error,
    read_event,
)
from tests.conformance.raw import Headers, RawSocket, handshake, request
from tests.conftest import RunningServer

UP = request("GET", "/up")
OTHER_UPGRADE: Headers = (("Upgrade", "a"), ("Connection", "upgrade"))
ZEROS = "0" * 5000


def test_a_length_of_nothing_may_be_written_in_many_zeros(connection: RawSocket) -> None:
    connection.send(request("GET", "/up", (("Content-Length", ZEROS),)))
    assert connection.read_response().status == 200


def test_a_length_behind_many_zeros_is_read(connection: RawSocket) -> None:
    connection.send(request("POST", "/nowhere", (("Content-Length", ZEROS + "5"),), b"hello") + UP)
    assert [connection.read_response().status for _ in range(2)] == [404, 200]


def test_a_length_behind_many_zeros_that_is_too_large_is_named(connection: RawSocket) -> None:
    connection.send(request("POST", "/nowhere", (("Content-Length", f"{ZEROS}99999999"),)))
    response = connection.read_response()
    expect_json_error(response, 413)
    assert "(99999999 > " in response.json()["error"]


def test_any_number_of_pipelined_requests_may_offer_another_upgrade(
    connection: RawSocket,
) -> None:
    connection.send(b"GET /up HTTP/1.1\r\nHost:\r\nUpgrade:a\r\nConnection:upgrade\r\n\r\n" * 500)
    assert {connection.read_response().status for _ in range(500)} == {200}


def test_a_bad_request_behind_an_offered_upgrade_is_refused_like_any_other(
    connection: RawSocket,
) -> None:
    connection.send(request("GET", "/up", OTHER_UPGRADE) + b"GET /up HTTP/1.1\r\n\r\n")
    assert connection.read_response().status == 200
    response = connection.read_response()
    expect_json_error(response, 400)
    assert response.json()["error"] == "Host header is missing"
    expect_end(connection)


def test_what_a_request_writes_to_the_log_is_bounded(
    connection: RawSocket, server: RunningServer
) -> None:
    lines = len(server.log)
    auth = f"auth_key=app-key&auth_timestamp={int(time.time())}&auth_version=1.0"
    target = f"/apps/1001/channels?{auth}&auth_signature={'0' * 64}&x={'%0A' * 5000}"
    connection.send(request("GET", target, (("X-Pusher-Library", "y" * 500),)))
    response = connection.read_response()
    expect_json_error(response, 401)
    assert response.json()["error"].startswith("Invalid signature: you should have sent")

    server.wait_for_log("request refused", path="/apps/1001/channels", library="y" * 100)
    assert len(json.dumps(server.log[lines:])) < 3_000


def refused(connection: RawSocket, code: int) -> str:
    """Why a handshake was refused, after the 101 that every handshake is answered with."""
    assert connection.read_response().status == 101
    message = str(read_event(connection)["data"]["message"])
    expect_close(connection, code)
    return message


def test_a_handshake_has_a_limit_of_parameters(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server) + "&a=b" * 200))
    assert refused(connection, 4005) == "Too many query parameters (204 > 128)"


@pytest.mark.parametrize("zeros", [1, 4300, 5000])
def test_a_version_may_have_leading_zeros(
    connection: RawSocket, server: RunningServer, zeros: int
) -> None:
    connection.send(handshake(app_target(server, "0" * zeros + "7")))
    assert connection.read_response().status == 101
    expect_established(connection)


def test_a_version_of_many_zeros_is_none_of_ours(
    connection: RawSocket, server: RunningServer
) -> None:
    connection.send(handshake(app_target(server, ZEROS)))
    assert refused(connection, 4007) == "Unsupported protocol version"


def test_an_api_request_has_a_limit_of_parameters(connection: RawSocket) -> None:
    query = "auth_key=app-key" + "&a=b" * 200
    connection.send(request("GET", f"/apps/1001/channels?{query}"))
    response = connection.read_response()
    expect_json_error(response, 400)
    assert response.json()["error"] == "Too many query parameters (201 > 128)"


def test_an_api_request_without_an_app_has_the_same_limit(connection: RawSocket) -> None:
    query = "auth_key=app-key" + "&a=b" * 200
    connection.send(request("POST", f"/users/u/terminate_connections?{query}"))
    expect_json_error(connection.read_response(), 400)
