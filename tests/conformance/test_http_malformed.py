"""Requests that are none, or could be read in two ways (RFC 9112 2.2, 3, 5, 6.3, 11)."""

import pytest

from tests.conformance.probes import connect, expect_end, expect_json_error
from tests.conformance.raw import RawSocket, request
from tests.conftest import RunningServer

TLS_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(154))
HTTP_2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def head(*lines: bytes) -> bytes:
    """A request that is right but for these header lines."""
    return b"\r\n".join([b"POST /apps/1001/events HTTP/1.1", b"Host: h", *lines, b"", b""])


MALFORMED = {
    # The request line.
    "garbage": b"\x80\x81\x82garbage\r\n\r\n",
    "garbage without lines": b"\xff" * 100,
    "zeros": b"\0" * 100,
    "TLS hello": TLS_HELLO,
    "HTTP/2 preface": HTTP_2_PREFACE,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO example.com\r\n\r\n",
    "a JSON object": b'{"event":"pusher:ping"}\r\n\r\n',
    "a WebSocket frame": bytes.fromhex("818537fa213d7f9f4d5158"),
    "unknown method": b"BREW /up HTTP/1.1\r\nHost: h\r\n\r\n",
    "method in lower case": b"get /up HTTP/1.1\r\nHost: h\r\n\r\n",
    "no target": b"GET HTTP/1.1\r\nHost: h\r\n\r\n",
    "space in the target": b"GET /u p HTTP/1.1\r\nHost: h\r\n\r\n",
    "control character in the target": b"GET /u\x01p HTTP/1.1\r\nHost: h\r\n\r\n",
    "NUL in the target": b"GET /u\0p HTTP/1.1\r\nHost: h\r\n\r\n",
    "version that is none": b"GET /up HTTP/x.y\r\nHost: h\r\n\r\n",
    "other protocol": b"GET /up SPDY/1.1\r\nHost: h\r\n\r\n",
    # Header lines.
    "bare line feeds": b"GET /up HTTP/1.1\nHost: h\n\n",
    "one bare line feed": head(b"X-A: b\nX-C: d"),
    "bare carriage return": head(b"X-A: b\rX-C: d"),
    "NUL in a value": head(b"X-A: b\0c"),
    "NUL in a name": head(b"X-\0A: b"),
    "control character in a value": head(b"X-A: b\x01c"),
    "space before the colon": head(b"X-A : b"),
    "space in a name": head(b"X A: b"),
    "no name": head(b": b"),
    "no colon": head(b"X-A"),
    "folded header": head(b"X-A: b", b" c"),
    "folded first header": b"GET /up HTTP/1.1\r\n Host: h\r\n\r\n",
    "no Host": b"GET /up HTTP/1.1\r\nX-A: b\r\n\r\n",  # RFC 9112 3.2
    "two Hosts": head(b"Host: other"),
    # Two lengths, or none that can be understood: request smuggling (RFC 9112 11.2).
    "length and chunked": head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked and length": head(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two different lengths": head(b"Content-Length: 5", b"Content-Length: 6"),
    "length that is no number": head(b"Content-Length: five"),
    "negative length": head(b"Content-Length: -1"),
    "length with a sign": head(b"Content-Length: +5"),
    "length in hexadecimal": head(b"Content-Length: 0x5"),
    "list of lengths": head(b"Content-Length: 5, 6"),
    "empty length": head(b"Content-Length: "),
    # RFC 9112 6.1: a proxy that speaks 1.0 has passed on a header that it did not understand.
    "chunked in HTTP/1.0": b"POST /up HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0 that stays": (
        b"POST /up HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "other coding in HTTP/1.0": b"GET /up HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
    "length beyond 64 bits": head(b"Content-Length: 18446744073709551616"),
    # Chunks.
    "chunk size that is no number": head(b"Transfer-Encoding: chunked") + b"zz\r\n",
    "negative chunk size": head(b"Transfer-Encoding: chunked") + b"-1\r\n",
    "chunk size in C notation": head(b"Transfer-Encoding: chunked") + b"0x5\r\nhello\r\n",
    "chunk size beyond 64 bits": head(b"Transfer-Encoding: chunked") + b"f" * 17 + b"\r\n",
    "chunk longer than its size": head(b"Transfer-Encoding: chunked") + b"2\r\nhello\r\n",
    "bare line feed behind a size": head(b"Transfer-Encoding: chunked") + b"5\nhello\r\n",
    "bare line feed behind a chunk": head(b"Transfer-Encoding: chunked") + b"5\r\nhello\n0\r\n",
}


@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_refused_and_the_connection_closed(
    connection: RawSocket, data: bytes, chunk: int | None
) -> None:
    if chunk is None:
        connection.push(data)
    else:
        for at in range(len(data)):
            connection.push(data[at : at + 1])
    response = connection.read_response()
    expect_json_error(response, 400)
    assert (response.header("Connection") or "").lower() == "close"
    expect_end(connection)


# Understood, but not spoken here: 400 will do, the RFCs have more exact words.
UNSUPPORTED = {
    "no version, which is HTTP/0.9": b"GET /up\r\nHost: h\r\n\r\n",
    "HTTP/2.0 in the request line": b"GET /up HTTP/2.0\r\nHost: h\r\n\r\n",
    "HTTP/0.9 in the request line": b"GET /up HTTP/0.9\r\nHost: h\r\n\r\n",
    "HTTP/3.7 in the request line": b"GET /up HTTP/3.7\r\nHost: h\r\n\r\n",
    "coding that is not chunked": head(b"Transfer-Encoding: gzip"),
    "coding before chunked": head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "coding behind chunked": head(b"Transfer-Encoding: chunked, gzip"),
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "almost chunked": head(b"Transfer-Encoding: xchunked"),
    "tunnel": b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n",
}


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_is_not_spoken_here_is_refused_and_the_connection_closed(
    connection: RawSocket, data: bytes
) -> None:
    connection.send(data)
    response = connection.read_response()
    assert response.status in (400, 404, 405, 501, 505)
    expect_json_error(response, response.status)
    expect_end(connection)


def test_a_malformed_request_does_not_take_the_answers_before_it_away(
    connection: RawSocket,
) -> None:
    up = request("GET", "/up")
    connection.send(up + up + b"garbage\r\n\r\n")
    assert [connection.read_response().status for _ in range(2)] == [200, 200]
    expect_json_error(connection.read_response(), 400)
    expect_end(connection)


def test_nothing_behind_a_malformed_request_is_answered(connection: RawSocket) -> None:
    # Where it ends nobody can know: what follows may be part of it.
    connection.send(head(b"X-A : b") + request("GET", "/up"))
    expect_json_error(connection.read_response(), 400)
    expect_end(connection)


KIB = 1024
LONG_HEADS = {
    "one long header": head(b"X-Long: " + b"x" * 17 * KIB),
    "one header without an end": head()[:-2] + b"X-Long: " + b"x" * 20 * KIB,
    "one name without an end": head()[:-2] + b"x" * 20 * KIB,
    "many headers": head(*(b"X-%d: %b" % (n, b"v" * 60) for n in range(300))),
    "very many short headers": head(*[b"a:b"] * 5000),
    "a megabyte of headers": head(*[b"X: " + b"x" * 1000] * 1000),
}


@pytest.mark.parametrize("data", LONG_HEADS.values(), ids=LONG_HEADS)
def test_a_header_section_over_16_kib_is_too_large(connection: RawSocket, data: bytes) -> None:
    # RFC 6585 5
    connection.push(data)
    expect_json_error(connection.read_response(), 431)
    expect_end(connection)


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\nHost: h\r\n\r\n"], ids=["endless", "whole"])
def test_a_target_over_16_kib_is_too_long(connection: RawSocket, end: bytes) -> None:
    connection.push(b"GET /" + b"x" * 20 * KIB + end)
    response = connection.read_response()
    assert response.status in (414, 431)
    expect_json_error(response, response.status)
    expect_end(connection)


def test_a_header_section_of_15_kib_is_read(connection: RawSocket) -> None:
    headers = tuple((f"X-{number}", "v" * 1000) for number in range(15))
    connection.send(request("GET", "/up", headers) * 2)
    assert [connection.read_response().status for _ in range(2)] == [200, 200]


def test_the_limit_is_per_request_not_per_connection(connection: RawSocket) -> None:
    data = request("GET", "/up", (("X-Long", "x" * 10 * KIB),))
    for _ in range(5):
        connection.send(data)
        assert connection.read_response().status == 200


@pytest.mark.parametrize("size", [1, 3, 10, 30, 60])
def test_a_client_that_hangs_up_in_mid_request_is_hung_up_on(
    server: RunningServer, size: int
) -> None:
    data = request("POST", "/apps/1001/events", (("Content-Length", "100"),), b"{")
    with connect(server) as connection:
        connection.send(data[:size])
        connection.finish()
        # Either is right: nobody is there to read a 400, or somebody may be.
        answer = connection.read_until_end()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
