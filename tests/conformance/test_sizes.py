"""Lengths: the three forms of RFC 6455 5.2 and the limit of 128 KiB per message."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from tests.conformance.probes import (
    PONG_EVENT,
    expect_alive,
    expect_close,
    expect_not_json,
    let_it_be_read,
    open_websocket,
    ping_of_size,
    read_event,
)
from tests.conformance.raw import (
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Frame,
    RawSocket,
    close_payload,
)
from tests.conftest import RunningServer

LIMIT = 131_072
MIB = 1 << 20

# Around every border of the length forms.
SIZES = [40, 124, 125, 126, 127, 128, 65535, 65536, 65537, LIMIT - 1, LIMIT]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_up_to_the_limit_arrives_whole(websocket: RawSocket, size: int) -> None:
    websocket.send_frames(Frame(TEXT, ping_of_size(size)))
    assert read_event(websocket) == PONG_EVENT
    expect_alive(websocket)


@pytest.mark.parametrize("chunk", [1, 3, 997])
def test_a_message_may_arrive_in_pieces_of_any_size(websocket: RawSocket, chunk: int) -> None:
    websocket.send_frames(Frame(TEXT, ping_of_size(3000)), chunk=chunk)
    assert read_event(websocket) == PONG_EVENT


@pytest.mark.parametrize("bits", [7, 16, 64])
def test_a_frame_may_be_cut_at_any_byte(
    websocket: RawSocket, server: RunningServer, bits: int
) -> None:
    frame = Frame(TEXT, ping_of_size(40), length_bits=bits).encode()
    for cut in range(1, len(frame)):
        websocket.send(frame[:cut])
        let_it_be_read(server)
        websocket.send(frame[cut:])
        assert read_event(websocket) == PONG_EVENT, f"cut after {cut} bytes"


def test_the_largest_message_may_arrive_in_small_pieces(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(TEXT, ping_of_size(LIMIT)), chunk=100)
    assert read_event(websocket) == PONG_EVENT


@pytest.mark.parametrize(
    ("size", "bits"), [(0, 16), (0, 64), (1, 16), (100, 16), (100, 64), (126, 64), (65535, 64)]
)
def test_a_length_in_a_longer_form_than_needed_is_accepted(
    websocket: RawSocket, size: int, bits: int
) -> None:
    # RFC 6455 5.2 demands the shortest form of the sender. We are lenient in what we read: there
    # is nothing ambiguous about it, and some embedded clients always send one form.
    websocket.send_frames(Frame(TEXT, b"x" * size, length_bits=bits))
    if size:
        expect_not_json(websocket)
    expect_alive(websocket)


def test_one_byte_above_the_limit_is_too_big(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(TEXT, b"x" * (LIMIT + 1)))
    expect_close(websocket, 1009)


# Judged from the header alone: the payload never comes.
DECLARED = [LIMIT + 1, 1 << 20, 1 << 32, 1 << 40, (1 << 63) - 1]


@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("declared", DECLARED)
def test_a_declared_length_above_the_limit_is_too_big_before_the_payload(
    websocket: RawSocket, declared: int, chunk: int | None
) -> None:
    websocket.send_frames(Frame(TEXT, declared=declared), chunk=chunk)
    expect_close(websocket, 1009)


@pytest.mark.parametrize("declared", [1 << 63, (1 << 64) - 1])
def test_a_length_with_the_top_bit_set_is_refused(websocket: RawSocket, declared: int) -> None:
    # RFC 6455 5.2 forbids the bit (1002); the length it makes is too big as well (1009).
    websocket.send_frames(Frame(TEXT, declared=declared))
    frame = websocket.read_frame()
    assert frame.opcode == CLOSE
    assert frame.payload[:2] in (close_payload(1002), close_payload(1009))


def test_fragments_up_to_the_limit_arrive_whole(websocket: RawSocket) -> None:
    message = ping_of_size(LIMIT)
    websocket.send_frames(
        Frame(TEXT, message[:50_000], fin=False),
        Frame(CONTINUATION, message[50_000:100_000], fin=False),
        Frame(CONTINUATION, message[100_000:], fin=False),
        Frame(CONTINUATION),
    )
    assert read_event(websocket) == PONG_EVENT
    expect_alive(websocket)


@pytest.mark.parametrize("first", [1, 65_536, LIMIT])
def test_fragments_above_the_limit_together_are_too_big_before_the_last_payload(
    websocket: RawSocket, first: int
) -> None:
    websocket.send_frames(
        Frame(TEXT, b"x" * first, fin=False),
        Frame(CONTINUATION, declared=LIMIT + 1 - first),
    )
    expect_close(websocket, 1009)


def test_many_small_fragments_above_the_limit_are_too_big(websocket: RawSocket) -> None:
    piece = b"x" * 1024
    websocket.send_frames(
        Frame(TEXT, piece, fin=False), *[Frame(CONTINUATION, piece, fin=False)] * 127
    )
    expect_alive_between_fragments(websocket)
    websocket.send_frames(Frame(CONTINUATION, b"x", fin=False))
    expect_close(websocket, 1009)


def expect_alive_between_fragments(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(PING, b"there?"))
    assert websocket.read_frame().payload == b"there?"


def test_the_limit_is_per_message_not_per_connection(websocket: RawSocket) -> None:
    for _ in range(3):
        websocket.send_frames(Frame(TEXT, ping_of_size(LIMIT)))
        assert read_event(websocket) == PONG_EVENT


@contextmanager
def many_websockets(server: RunningServer, count: int) -> Iterator[list[RawSocket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_websocket(server)) for _ in range(count)]


def test_a_huge_message_takes_no_memory_however_much_of_it_comes(server: RunningServer) -> None:
    process = psutil.Process(server.pid)
    with many_websockets(server, 10) as websockets:
        before = process.memory_info().rss
        for websocket in websockets:
            websocket.send_frames(Frame(TEXT, declared=1 << 40))
            websocket.push(b"x" * (2 * MIB))
        for websocket in websockets:
            expect_close(websocket, 1009)
        grown = process.memory_info().rss - before
    assert grown < 5 * MIB, f"{grown} bytes more for 20 MiB thrown at it"
