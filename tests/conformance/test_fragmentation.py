"""Messages in several frames, and control frames between them (RFC 6455 5.4)."""

import pytest

from tests.conformance.probes import (
    PING_EVENT,
    PONG_EVENT,
    expect_alive,
    expect_close,
    expect_end,
    expect_not_json,
    ping_of_size,
    read_event,
)
from tests.conformance.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    ServerFrame,
    close_payload,
)


def fragments(payload: bytes, *cuts: int) -> list[Frame]:
    """A text message cut at these places; a place named twice makes an empty fragment."""
    edges = [0, *cuts, len(payload)]
    return [
        Frame(
            CONTINUATION if number else TEXT,
            payload[edges[number] : edges[number + 1]],
            fin=number == len(cuts),
        )
        for number in range(len(cuts) + 1)
    ]


WHOLE_BYTEWISE_OR_ODD = pytest.mark.parametrize(
    "chunk", [None, 1, 7], ids=["whole", "bytewise", "7 bytes"]
)

CUTS = {
    "two fragments": (9,),
    "three fragments": (9, 20),
    "first fragment empty": (0,),
    "last fragment empty": (33,),
    "middle fragment empty": (9, 9),
    "all but one empty": (0, 0, 0, 33, 33, 33),
    "one byte each": tuple(range(1, 33)),
}


@WHOLE_BYTEWISE_OR_ODD
@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_fragments_make_one_message(
    websocket: RawSocket, cuts: tuple[int, ...], chunk: int | None
) -> None:
    websocket.send_frames(*fragments(PING_EVENT, *cuts), chunk=chunk)
    assert read_event(websocket) == PONG_EVENT
    expect_alive(websocket)


def test_a_thousand_fragments_make_one_message(websocket: RawSocket) -> None:
    message = ping_of_size(1000)
    websocket.send_frames(*fragments(message, *range(1, 1000)))
    assert read_event(websocket) == PONG_EVENT


def test_a_thousand_empty_fragments_make_an_empty_message(websocket: RawSocket) -> None:
    websocket.send_frames(*fragments(b"", *[0] * 999))
    expect_alive(websocket)


def test_an_unfinished_message_is_not_answered_before_its_end(websocket: RawSocket) -> None:
    first, last = fragments(PING_EVENT, 20)
    websocket.send_frames(first, Frame(PING, b"still here"))
    assert websocket.read_frame() == ServerFrame(PONG, b"still here")
    websocket.send_frames(last)
    assert read_event(websocket) == PONG_EVENT


@WHOLE_BYTEWISE_OR_ODD
def test_pings_between_fragments_are_answered_at_once(
    websocket: RawSocket, chunk: int | None
) -> None:
    one, two, three = fragments(PING_EVENT, 5, 25)
    first, second = Frame(PING, b"first"), Frame(PING, b"second")
    websocket.send_frames(one, first, two, second, chunk=chunk)
    assert websocket.read_frame() == ServerFrame(PONG, b"first")
    assert websocket.read_frame() == ServerFrame(PONG, b"second")
    websocket.send_frames(three, chunk=chunk)
    assert read_event(websocket) == PONG_EVENT


def test_a_pong_between_fragments_is_ignored(websocket: RawSocket) -> None:
    one, two = fragments(PING_EVENT, 5)
    websocket.send_frames(one, Frame(PONG, b"unsolicited"), two)
    assert read_event(websocket) == PONG_EVENT
    expect_alive(websocket)


def test_fragmented_messages_may_follow_each_other(websocket: RawSocket) -> None:
    websocket.send_frames(*fragments(PING_EVENT, 5), *fragments(b"junk", 2), Frame(TEXT, b"junk"))
    assert read_event(websocket) == PONG_EVENT
    expect_not_json(websocket)
    expect_not_json(websocket)
    expect_alive(websocket)


OUT_OF_ORDER = {
    "continuation without a start": [Frame(CONTINUATION, b"x")],
    "unfinished continuation without a start": [Frame(CONTINUATION, b"x", fin=False)],
    "empty continuation without a start": [Frame(CONTINUATION)],
    "text inside a message": [Frame(TEXT, b"a", fin=False), Frame(TEXT, b"b")],
    "start of a text inside a message": [
        Frame(TEXT, b"a", fin=False),
        Frame(TEXT, b"b", fin=False),
    ],
    "empty text inside an empty message": [Frame(TEXT, fin=False), Frame(TEXT)],
    "text behind a continuation": [
        Frame(TEXT, b"a", fin=False),
        Frame(CONTINUATION, b"b", fin=False),
        Frame(TEXT, b"c"),
    ],
    "reserved opcode inside a message": [Frame(TEXT, b"a", fin=False), Frame(3, b"b")],
    "reserved bit on a continuation": [
        Frame(TEXT, b"a", fin=False),
        Frame(CONTINUATION, b"b", rsv=4),
    ],
    "unmasked continuation": [
        Frame(TEXT, b"a", fin=False),
        Frame(CONTINUATION, b"b", key=None),
    ],
    "fragmented ping inside a message": [
        Frame(TEXT, b"a", fin=False),
        Frame(PING, b"b", fin=False),
    ],
}


@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("frames", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER)
def test_frames_out_of_order_are_a_protocol_error(
    websocket: RawSocket, frames: list[Frame], chunk: int | None
) -> None:
    websocket.send_frames(*frames, chunk=chunk)
    expect_close(websocket, 1002)


def test_a_continuation_behind_a_finished_message_is_a_protocol_error(
    websocket: RawSocket,
) -> None:
    websocket.send_frames(*fragments(PING_EVENT, 5), Frame(CONTINUATION, b"x"))
    assert read_event(websocket) == PONG_EVENT
    expect_close(websocket, 1002)


def test_binary_data_inside_a_text_message_is_refused(websocket: RawSocket) -> None:
    # Two rules are broken at once, either may be named.
    websocket.send_frames(Frame(TEXT, b"a", fin=False), Frame(BINARY, b"b"))
    frame = websocket.read_frame()
    assert frame.opcode == CLOSE
    assert frame.payload[:2] in (close_payload(1002), close_payload(1003))


def test_a_close_frame_between_fragments_ends_the_connection(websocket: RawSocket) -> None:
    one, two = fragments(PING_EVENT, 5)
    websocket.send_frames(one, Frame(CLOSE, close_payload(1000)), two)
    assert websocket.read_frame() == ServerFrame(CLOSE, close_payload(1000))
    expect_end(websocket)
