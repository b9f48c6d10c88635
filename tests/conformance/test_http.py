"""Requests and answers of HTTP/1.1: routes, methods, persistence, pipelining (RFC 9110, 9112)."""

import time
from email.utils import parsedate_to_datetime

import pytest

from tests.conformance.probes import expect_end, expect_json_error
from tests.conformance.publishing import event_body, publish_target, signed_target
from tests.conformance.raw import Headers, RawSocket, request
from tests.conftest import RunningServer

UP = request("GET", "/up")
EXPECT_NOT_FOUND = (404, "404 NOT FOUND")
EXPECT_NOT_ALLOWED = (405, "405 METHOD NOT ALLOWED")


def expect_up(connection: RawSocket) -> None:
    """The connection still serves requests, and nothing else was waiting to be read on it."""
    connection.send(UP)
    response = connection.read_response()
    assert (response.status, response.json()) == (200, {"health": "OK"})


def test_the_health_route_answers(connection: RawSocket) -> None:
    connection.send(UP)
    response = connection.read_response()
    assert response.status == 200
    assert response.body == b'{"health":"OK"}'
    assert response.header("Content-Type") == "application/json"


@pytest.mark.parametrize("target", ["/up", "/nowhere"])
def test_an_answer_carries_the_current_date(connection: RawSocket, target: str) -> None:
    # RFC 9110 6.6.1 and 5.6.7
    connection.send(request("GET", target))
    date = connection.read_response().header("Date") or ""
    assert date.endswith(" GMT")
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 5


# RFC 9110 2.2 and 7.1, RFC 9112 2.2, 3.2: what a server has to put up with.
TOLERATED = {
    "a query": request("GET", "/up?x=1&y=%20"),
    "an unknown header": request("GET", "/up", (("X-Whatever", "yes"),)),
    "an empty header": request("GET", "/up", (("X-Empty", ""),)),
    "header names in lower case": request("GET", "/up").replace(b"Host:", b"host:"),
    "no space behind the colon": request("GET", "/up").replace(b"Host: ", b"Host:"),
    "tabs around a value": request("GET", "/up", (("X-Tabs", "\t v \t"),)),
    "an empty line before the request": b"\r\n" + request("GET", "/up"),
    "compression offered": request("GET", "/up", (("Accept-Encoding", "gzip, br"),)),
    "a target in absolute form": request("GET", "http://127.0.0.1/up"),
    "one with a query": request("GET", "http://127.0.0.1/up?x=http://h/nowhere"),
    "a body of a GET": request("GET", "/up", (("Content-Length", "2"),), b"{}"),
}


@pytest.mark.parametrize("data", TOLERATED.values(), ids=TOLERATED)
@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])
def test_a_valid_request_is_served(connection: RawSocket, data: bytes, chunk: int | None) -> None:
    connection.send(data, chunk)
    assert connection.read_response().status == 200
    expect_up(connection)


@pytest.mark.parametrize("target", ["/", "/nowhere", "/up/", "/UP", "/apps", "/apps/1001/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_not_found_and_the_connection_stays(
    connection: RawSocket, method: str, target: str
) -> None:
    connection.send(request(method, target, (("Content-Length", "0"),)))
    expect_json_error(connection.read_response(), *EXPECT_NOT_FOUND)
    expect_up(connection)


# RFC 9112 3.2.2: the path begins behind the authority, which ends with the first of these (RFC 3986
# 3.2). A proxy that looks at the path sees none of the routes that are hidden in what follows.
@pytest.mark.parametrize(
    "target",
    ["http://h?x=/up", "http://h?/up", "http://h?x=http://h/up", "http://h/?x=/up"],
)
def test_no_path_is_found_behind_a_question_mark(connection: RawSocket, target: str) -> None:
    connection.send(request("GET", target))
    expect_json_error(connection.read_response(), *EXPECT_NOT_FOUND)
    expect_up(connection)


def test_an_unknown_app_is_not_found(connection: RawSocket) -> None:
    connection.send(request("GET", "/apps/9999999/channels"))
    expect_json_error(connection.read_response(), 404, "App 9999999 not found")


WRONG_METHODS = {
    "POST /up": "GET",
    "DELETE /up": "GET",
    "GET /apps/1001/events": "POST",
    "PUT /apps/1001/events": "POST",
    "DELETE /apps/1001/batch_events": "POST",
    "POST /apps/1001/channels": "GET",
    "PATCH /apps/1001/channels/news": "GET",
    "POST /apps/1001/channels/presence-news/users": "GET",
}


@pytest.mark.parametrize(("line", "allowed"), WRONG_METHODS.items())
def test_a_wrong_method_is_told_the_right_one_and_the_connection_stays(
    connection: RawSocket, line: str, allowed: str
) -> None:
    # RFC 9110 15.5.6: Allow is a must.
    method, target = line.split()
    connection.send(request(method, target, (("Content-Length", "2"),), b"{}"))
    response = connection.read_response()
    expect_json_error(response, *EXPECT_NOT_ALLOWED)
    names = [name.strip() for name in (response.header("Allow") or "").split(",")]
    assert allowed in names
    assert method not in names
    expect_up(connection)


def test_head_is_answered_like_get_without_the_body(connection: RawSocket) -> None:
    connection.send(request("HEAD", "/up") + UP)
    head = connection.read_response("HEAD")
    get = connection.read_response()
    assert head.status == get.status == 200
    # RFC 9110 9.3.2, 8.6: the same headers; the length is the one that GET would have.
    assert head.header("Content-Length") == get.header("Content-Length") == str(len(get.body))
    assert head.header("Content-Type") == get.header("Content-Type")


@pytest.mark.parametrize("target", ["/nowhere", "/apps/1001/channels"])
def test_head_of_an_error_has_no_body_either(connection: RawSocket, target: str) -> None:
    connection.send(request("HEAD", target))
    assert connection.read_response("HEAD").status in (401, 404)
    expect_up(connection)


@pytest.mark.parametrize("target", ["/up", "/apps/1001/events", "/apps/1001/channels", "*"])
def test_options_needs_no_signature(connection: RawSocket, target: str) -> None:
    connection.send(request("OPTIONS", target))
    assert connection.read_response().status == 204
    expect_up(connection)


def test_a_request_that_is_not_signed_is_unauthorized_and_the_connection_stays(
    connection: RawSocket,
) -> None:
    connection.send(request("GET", "/apps/1001/channels"))
    expect_json_error(connection.read_response(), 401, "Missing parameter: auth_key")
    expect_up(connection)


def test_a_connection_serves_one_request_after_the_other(
    connection: RawSocket, server: RunningServer
) -> None:
    for _ in range(20):
        expect_up(connection)
        body = event_body()
        target = publish_target(server, body)
        connection.send(request("POST", target, (("Content-Length", str(len(body))),), body))
        assert connection.read_response().body == b"{}"


@pytest.mark.parametrize("chunk", [None, 1, 50], ids=["one packet", "bytewise", "50 bytes"])
def test_three_requests_in_a_row_are_answered_in_order(
    connection: RawSocket, server: RunningServer, chunk: int | None
) -> None:
    # RFC 9112 9.3.2
    body = event_body()
    publish = request(
        "POST", publish_target(server, body), (("Content-Length", str(len(body))),), body
    )
    connection.send(UP + publish + request("GET", "/nowhere"), chunk)
    answers = [connection.read_response() for _ in range(3)]
    assert [(answer.status, answer.body[:10]) for answer in answers] == [
        (200, b'{"health":'),
        (200, b"{}"),
        (404, b'{"error":"'),
    ]
    expect_up(connection)


def test_five_hundred_requests_in_a_row_are_answered_in_order(
    connection: RawSocket, server: RunningServer
) -> None:
    listing = request("GET", signed_target(server, "GET", f"/apps/{server.app_id}/channels"))
    connection.send((UP + request("GET", "/nowhere") + listing + UP + UP) * 100)
    statuses = [connection.read_response().status for _ in range(500)]
    assert statuses == [200, 404, 200, 200, 200] * 100


def test_nothing_behind_a_request_that_asked_to_close_is_answered(connection: RawSocket) -> None:
    closing = request("GET", "/nowhere", (("Connection", "close"),))
    connection.send(UP + closing + UP)
    assert [connection.read_response().status for _ in range(2)] == [200, 404]
    expect_end(connection)


CLOSING = {
    "Connection: close": request("GET", "/up", (("Connection", "close"),)),
    "Connection: Close": request("GET", "/up", (("Connection", "Close"),)),
    "close among others": request("GET", "/up", (("Connection", "x-thing, close"),)),
    "close beside an upgrade that is ignored": request(
        "GET", "/up", (("Connection", "Upgrade, close"), ("Upgrade", "h2c"))
    ),
    "HTTP/1.0": request("GET", "/up", version="HTTP/1.0"),
    "HTTP/1.0 without Host": b"GET /up HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with close": request("GET", "/up", (("Connection", "close"),), version="HTTP/1.0"),
}


@pytest.mark.parametrize("data", CLOSING.values(), ids=CLOSING)
def test_a_connection_that_is_not_to_be_kept_is_closed(connection: RawSocket, data: bytes) -> None:
    connection.send(data)
    response = connection.read_response()
    assert response.status == 200
    assert (response.header("Connection") or "").lower() == "close"  # RFC 9112 9.6
    expect_end(connection)


KEPT: dict[str, tuple[str, Headers]] = {
    "HTTP/1.1": ("HTTP/1.1", ()),
    "HTTP/1.1 keep-alive": ("HTTP/1.1", (("Connection", "keep-alive"),)),
    "HTTP/1.0 keep-alive": ("HTTP/1.0", (("Connection", "keep-alive"),)),
    "HTTP/1.0 Keep-Alive": ("HTTP/1.0", (("Connection", "Keep-Alive"),)),
}


@pytest.mark.parametrize(("version", "headers"), KEPT.values(), ids=KEPT)
def test_a_connection_that_is_to_be_kept_is_kept(
    connection: RawSocket, version: str, headers: Headers
) -> None:
    for _ in range(3):
        connection.send(request("GET", "/up", headers, version=version))
        response = connection.read_response()
        assert response.status == 200
        if version == "HTTP/1.0":  # without the header its client would wait for the end
            assert (response.header("Connection") or "").lower() == "keep-alive"


OTHER_UPGRADES = pytest.mark.parametrize("offer", ["h2c", "TLS/1.0", "foo/2, bar"])


def upgrade_headers(offer: str) -> Headers:
    return (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", offer), ("HTTP2-Settings", "AA"))


@OTHER_UPGRADES
def test_an_upgrade_to_something_else_is_ignored(connection: RawSocket, offer: str) -> None:
    # RFC 9110 7.8. Java's HttpClient offers h2c with every request.
    connection.send(request("GET", "/up", upgrade_headers(offer)))
    expect_served(connection)


@OTHER_UPGRADES
def test_the_body_of_a_request_that_offers_another_upgrade_is_read(
    connection: RawSocket, server: RunningServer, offer: str
) -> None:
    body = event_body()
    headers = (*upgrade_headers(offer), ("Content-Length", str(len(body))))
    connection.send(request("POST", publish_target(server, body), headers, body))
    expect_served(connection)


def expect_served(connection: RawSocket) -> None:
    """Answered, and then either kept or closed as announced."""
    response = connection.read_response()
    assert response.status == 200
    if (response.header("Connection") or "").lower() == "close":
        expect_end(connection)
    else:
        expect_up(connection)


def test_a_client_that_ends_its_side_still_gets_its_answer(connection: RawSocket) -> None:
    connection.send(UP + UP)
    connection.finish()
    assert [connection.read_response().status for _ in range(2)] == [200, 200]
    expect_end(connection)
