"""The client of this folder is held to the RFCs too: it must notice what it is there to notice."""

import socket
from collections.abc import Iterator

import pytest

from tests.conformance.raw import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    RawSocket,
    ServerFrame,
    ServerMisbehaved,
    close_payload,
)

Pair = tuple[RawSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The client and the server's end of its connection."""
    ours, theirs = socket.socketpair()
    with RawSocket(ours) as client, theirs:
        yield client, theirs


# RFC 6455 5.7, and the forms that only a test sends.
ENCODED = {
    "masked text": (Frame(TEXT, b"Hello"), "8185 37fa213d 7f9f4d5158"),
    "unmasked text": (Frame(TEXT, b"Hello", key=None), "8105 48656c6c6f"),
    "first fragment": (Frame(TEXT, b"Hel", fin=False, key=None), "0103 48656c"),
    "last fragment": (Frame(CONTINUATION, b"lo", key=None), "8002 6c6f"),
    "unmasked ping": (Frame(PING, b"Hello", key=None), "8905 48656c6c6f"),
    "other mask": (Frame(TEXT, b"\0\1", key=b"\1\2\3\4"), "8182 01020304 0103"),
    "length in 16 bits": (Frame(TEXT, b"a", key=None, length_bits=16), "817e0001 61"),
    "length in 64 bits": (Frame(TEXT, b"a", key=None, length_bits=64), "817f0000000000000001 61"),
    "reserved bits": (Frame(TEXT, rsv=5, key=None), "d100"),
    "declared length": (Frame(TEXT, b"a", key=None, declared=1 << 40), "817f0000010000000000 61"),
    "close": (Frame(CLOSE, close_payload(1000, b"x"), key=None), "8803 03e8 78"),
}


@pytest.mark.parametrize(("frame", "wire"), ENCODED.values(), ids=ENCODED)
def test_frames_are_encoded_bit_by_bit_as_asked(frame: Frame, wire: str) -> None:
    assert frame.encode() == bytes.fromhex(wire)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_server_frame_of_any_length_form_is_read(pair: Pair, size: int) -> None:
    client, server = pair
    server.sendall(Frame(TEXT, b"x" * size, key=None).encode())
    assert client.read_frame() == ServerFrame(TEXT, b"x" * size)


WRONG_FRAMES = {
    "masked": Frame(TEXT, b"a"),
    "reserved bit": Frame(TEXT, b"a", key=None, rsv=4),
    "reserved opcode": Frame(3, b"a", key=None),
    "fragmented control frame": Frame(PING, b"a", key=None, fin=False),
    "control frame too long": Frame(PING, b"a" * 126, key=None),
    "length not minimal in 16 bits": Frame(TEXT, b"a", key=None, length_bits=16),
    "length not minimal in 64 bits": Frame(TEXT, b"a" * 126, key=None, length_bits=64),
    "nothing but half a frame": Frame(TEXT, b"a", key=None, declared=5),
}


@pytest.mark.parametrize("frame", WRONG_FRAMES.values(), ids=WRONG_FRAMES)
def test_a_wrong_server_frame_is_noticed(pair: Pair, frame: Frame) -> None:
    client, server = pair
    server.sendall(frame.encode())
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ServerMisbehaved):
        client.read_frame()


WRONG_RESPONSES = {
    "not HTTP": b"hello\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length in a 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
}


@pytest.mark.parametrize("wire", WRONG_RESPONSES.values(), ids=WRONG_RESPONSES)
def test_a_wrong_response_is_noticed(pair: Pair, wire: bytes) -> None:
    client, server = pair
    server.sendall(wire)
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ServerMisbehaved):
        client.read_response()


def test_two_responses_in_one_packet_are_told_apart(pair: Pair) -> None:
    client, server = pair
    server.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\n\r\nhiHTTP/1.1 204 No Content\r\n\r\n"
    )
    first, second = client.read_response(), client.read_response()
    assert (first.status, first.body, first.header("x-a")) == (200, b"hi", "b")
    assert (second.status, second.body) == (204, b"")
