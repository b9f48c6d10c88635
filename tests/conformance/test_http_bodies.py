"""Bodies of requests: declared, chunked, announced, and their limit (RFC 9112 6 and 7)."""

import pytest

from tests.conformance.probes import expect_end, expect_json_error, let_it_be_read
from tests.conformance.publishing import event_body, publish_target
from tests.conformance.raw import Headers, RawSocket, request
from tests.conftest import RunningServer

MIB = 1 << 20
CHUNKED: Headers = (("Transfer-Encoding", "chunked"),)
BODY = event_body()


def chunked(body: bytes, size: int, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """The body in chunks of ``size`` bytes."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join([*chunks, b"0", extension, b"\r\n", trailers, b"\r\n"])


def declared(size: int) -> Headers:
    return (("Content-Length", str(size)),)


def expect_published(connection: RawSocket) -> None:
    response = connection.read_response()
    assert (response.status, response.body) == (200, b"{}")


BODIES: dict[str, tuple[Headers, bytes]] = {
    "declared": (declared(len(BODY)), BODY),
    "one chunk": (CHUNKED, chunked(BODY, 1000)),
    "chunks of one byte": (CHUNKED, chunked(BODY, 1)),
    "chunks of seven bytes": (CHUNKED, chunked(BODY, 7)),
    "sizes in capitals and with zeros": (
        CHUNKED,
        b"000A\r\n%b\r\n%X\r\n%b\r\n000\r\n\r\n" % (BODY[:10], len(BODY) - 10, BODY[10:]),
    ),
    "chunk extensions": (CHUNKED, chunked(BODY, 9, b';name=value;flag;quoted="a b"')),
    "trailers": (CHUNKED, chunked(BODY, 9, trailers=b"X-Checksum: 1\r\nX-Other: 2\r\n")),
    "Transfer-Encoding in capitals": (
        (("Transfer-Encoding", "Chunked"),),
        chunked(BODY, 9),
    ),
    "a header that the trailers name": (
        (*CHUNKED, ("Trailer", "X-Checksum")),
        chunked(BODY, 9, trailers=b"X-Checksum: 1\r\n"),
    ),
}


@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("headers", "body"), BODIES.values(), ids=BODIES)
def test_a_body_arrives_whole_and_the_connection_stays(
    connection: RawSocket,
    server: RunningServer,
    headers: Headers,
    body: bytes,
    chunk: int | None,
) -> None:
    data = request("POST", publish_target(server, BODY), headers, body)
    for _ in range(2):
        connection.send(data, chunk)
        expect_published(connection)


@pytest.mark.parametrize(
    ("headers", "body"), [BODIES["declared"], BODIES["trailers"]], ids=["declared", "trailers"]
)
def test_a_request_may_be_cut_at_any_byte(
    connection: RawSocket, server: RunningServer, headers: Headers, body: bytes
) -> None:
    data = request("POST", publish_target(server, BODY), headers, body)
    for cut in range(1, len(data)):
        connection.send(data[:cut])
        let_it_be_read(server)
        connection.send(data[cut:])
        expect_published(connection)


def test_a_trailer_is_not_a_header(connection: RawSocket, server: RunningServer) -> None:
    # RFC 9110 6.5.1: it must not change how a message is framed, routed or answered.
    trailers = b"Expect: 100-continue\r\nHost: other\r\nContent-Type: x\r\n"
    body = chunked(BODY, 9, trailers=trailers)
    for _ in range(2):
        connection.send(request("POST", publish_target(server, BODY), CHUNKED, body))
        expect_published(connection)


def test_requests_with_bodies_can_be_pipelined(
    connection: RawSocket, server: RunningServer
) -> None:
    target = publish_target(server, BODY)
    whole = request("POST", target, declared(len(BODY)), BODY)
    pieces = request("POST", target, CHUNKED, chunked(BODY, 5, trailers=b"X-A: b\r\n"))
    connection.send((whole + pieces) * 10, chunk=333)
    for _ in range(20):
        expect_published(connection)


@pytest.mark.parametrize("headers", [declared(len(BODY)), CHUNKED], ids=["declared", "chunked"])
def test_a_client_that_expects_100_gets_it_before_it_sends_the_body(
    connection: RawSocket, server: RunningServer, headers: Headers
) -> None:
    # RFC 9110 10.1.1
    target = publish_target(server, BODY)
    connection.send(request("POST", target, (*headers, ("Expect", "100-continue"))))
    assert connection.read_response().status == 100
    connection.send(chunked(BODY, 9) if headers == CHUNKED else BODY)
    expect_published(connection)


def test_a_body_that_comes_unasked_is_read_without_waiting_for_100(
    connection: RawSocket, server: RunningServer
) -> None:
    headers = (*declared(len(BODY)), ("Expect", "100-continue"))
    connection.send(request("POST", publish_target(server, BODY), headers, BODY))
    response = connection.read_response()
    if response.status == 100:  # may be left out once the body is there
        response = connection.read_response()
    assert (response.status, response.body) == (200, b"{}")


def test_http_1_0_gets_no_100(connection: RawSocket, server: RunningServer) -> None:
    headers = (*declared(len(BODY)), ("Expect", "100-continue"))
    target = publish_target(server, BODY)
    connection.send(request("POST", target, headers, version="HTTP/1.0"))
    let_it_be_read(server)
    connection.send(BODY)
    expect_published(connection)


@pytest.mark.parametrize("size", [MIB - 1, MIB])
def test_a_declared_body_up_to_the_limit_is_read(
    connection: RawSocket, server: RunningServer, size: int
) -> None:
    body = event_body(size)
    connection.send(request("POST", publish_target(server, body), declared(size), body))
    expect_published(connection)


def test_a_large_body_does_not_count_against_the_next_head(
    connection: RawSocket, server: RunningServer
) -> None:
    body = event_body(MIB)
    target = publish_target(server, body)
    for headers, sent in ((declared(MIB), body), (CHUNKED, chunked(body, 1000))):
        connection.send(request("POST", target, headers, sent))
        expect_published(connection)
        connection.send(request("GET", "/up"), chunk=1)
        assert connection.read_response().status == 200


@pytest.mark.parametrize("size", [1000, 65_536, MIB])
def test_a_chunked_body_up_to_the_limit_is_read(
    connection: RawSocket, server: RunningServer, size: int
) -> None:
    body = event_body(MIB)
    data = chunked(body, size)
    connection.send(request("POST", publish_target(server, body), CHUNKED, data))
    expect_published(connection)


@pytest.mark.parametrize("expect", [(), (("Expect", "100-continue"),)], ids=["", "expect 100"])
@pytest.mark.parametrize("size", [MIB + 1, 1 << 32, 1 << 62])
def test_a_declared_body_over_the_limit_is_refused_before_it_comes(
    connection: RawSocket, server: RunningServer, size: int, expect: Headers
) -> None:
    connection.send(request("POST", publish_target(server, b"x"), (*declared(size), *expect)))
    response = connection.read_response()
    expect_json_error(response, 413)
    assert response.json()["error"].startswith("Request body too large")
    expect_end(connection)


def test_the_body_of_an_unknown_route_is_limited_too(connection: RawSocket) -> None:
    connection.send(request("POST", "/nowhere", declared(1 << 40)))
    response = connection.read_response()
    expect_json_error(response, response.status)
    assert response.status in (404, 413)
    expect_end(connection)


def test_a_client_that_sends_its_huge_body_all_the_same_can_read_the_refusal(
    connection: RawSocket, server: RunningServer
) -> None:
    target = publish_target(server, b"x")
    connection.push(request("POST", target, declared(3 * MIB)) + b"x" * (3 * MIB))
    expect_json_error(connection.read_response(), 413)
    expect_end(connection)


GROWING = {
    "one byte over the limit": chunked(event_body(MIB + 1), 65_536),
    "one large chunk": b"%x\r\n%b" % (1 << 40, b"x" * (MIB + 1)),
    "many small chunks": b"1\r\nx\r\n" * (MIB + 1),
    "no end": chunked(b"x" * 3 * MIB, 10_000)[:-5],
}


@pytest.mark.parametrize("body", GROWING.values(), ids=GROWING)
def test_a_chunked_body_that_grows_over_the_limit_is_refused(
    connection: RawSocket, server: RunningServer, body: bytes
) -> None:
    connection.push(request("POST", publish_target(server, b"x"), CHUNKED, body))
    expect_json_error(connection.read_response(), 413)
    expect_end(connection)


ENDLESS = {
    "a chunk extension": b"1;" + b"x" * (2 * MIB),
    "chunk extensions": (b"1;" + b"x" * 10_000 + b"\r\nx\r\n") * 200,
    "a trailer": b"0\r\nX-Long: " + b"x" * (2 * MIB),
    "trailers": b"0\r\n" + b"X-Many: x\r\n" * 200_000,
    "zeros of a chunk size": b"0" * (2 * MIB),
}


@pytest.mark.parametrize("body", ENDLESS.values(), ids=ENDLESS)
def test_what_surrounds_the_chunks_is_limited_too(
    connection: RawSocket, server: RunningServer, body: bytes
) -> None:
    connection.push(request("POST", publish_target(server, b"x"), CHUNKED, body))
    response = connection.read_response()
    assert response.status in (400, 413, 431)
    expect_json_error(response, response.status)
    expect_end(connection)
