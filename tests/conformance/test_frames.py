"""Single frames: control frames, reserved bits and opcodes, masks (RFC 6455 5.1, 5.2, 5.5)."""

import pytest

from tests.conformance.probes import (
    PING_EVENT,
    PONG_EVENT,
    expect_alive,
    expect_close,
    expect_end,
    expect_not_json,
    open_websocket,
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
)
from tests.conftest import RunningServer

PAYLOADS = {
    "nothing": b"",
    "text": b"Hello, world!",
    "binary": bytes.fromhex("00fffefdfcfb00ff"),
    "125 bytes": bytes(range(125)),
}
WHOLE_OR_BYTEWISE = pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "bytewise"])


@WHOLE_OR_BYTEWISE
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_ping_frame_is_answered_with_its_payload(
    websocket: RawSocket, payload: bytes, chunk: int | None
) -> None:
    websocket.send_frames(Frame(PING, payload), chunk=chunk)
    assert websocket.read_frame() == ServerFrame(PONG, payload)
    expect_alive(websocket)


@WHOLE_OR_BYTEWISE
def test_ten_pings_are_answered_in_order(websocket: RawSocket, chunk: int | None) -> None:
    payloads = [b"ping %d" % number for number in range(10)]
    websocket.send_frames(*(Frame(PING, payload) for payload in payloads), chunk=chunk)
    assert [websocket.read_frame() for _ in payloads] == [ServerFrame(PONG, p) for p in payloads]


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_an_unsolicited_pong_is_ignored(websocket: RawSocket, payload: bytes) -> None:
    websocket.send_frames(Frame(PONG, payload), Frame(PING, b"then a ping"))
    assert websocket.read_frame() == ServerFrame(PONG, b"then a ping")
    expect_alive(websocket)


BROKEN = {
    # RFC 6455 5.5: control frames have at most 125 bytes and are not fragmented.
    "ping of 126 bytes": Frame(PING, b"x" * 126),
    "pong of 126 bytes": Frame(PONG, b"x" * 126),
    "close of 126 bytes": Frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    "ping of 65536 bytes": Frame(PING, b"x" * 65536),
    "ping that declares 2^40 bytes": Frame(PING, declared=1 << 40),
    "fragmented ping": Frame(PING, b"x", fin=False),
    "fragmented pong": Frame(PONG, b"x", fin=False),
    "fragmented close": Frame(CLOSE, b"\x03\xe8", fin=False),
    # 5.1: a client must mask, control frames and empty ones too.
    "unmasked text": Frame(TEXT, PING_EVENT, key=None),
    "unmasked empty text": Frame(TEXT, key=None),
    "unmasked ping": Frame(PING, b"x", key=None),
    "unmasked close": Frame(CLOSE, b"\x03\xe8", key=None),
    # 5.2: no extension was agreed that would give the reserved bits a meaning.
    **{
        f"{name} with reserved bits {rsv:03b}": Frame(opcode, payload, rsv=rsv)
        for name, opcode, payload in [
            ("text", TEXT, PING_EVENT),
            ("ping", PING, b"x"),
            ("close", CLOSE, b"\x03\xe8"),
        ]
        for rsv in range(1, 8)
    },
    **{
        f"reserved opcode {opcode} with {payload!r}": Frame(opcode, payload)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        for payload in (b"", b"x")
    },
}


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
def test_a_frame_that_breaks_the_rules_is_a_protocol_error(
    websocket: RawSocket, frame: Frame
) -> None:
    websocket.send_frames(frame)
    expect_close(websocket, 1002)


@WHOLE_OR_BYTEWISE
@pytest.mark.parametrize(
    "frame", [Frame(TEXT, b"x", rsv=2), Frame(5, b"x")], ids=["reserved bit", "reserved opcode"]
)
def test_what_came_before_a_broken_frame_is_answered_and_nothing_after_it(
    websocket: RawSocket, frame: Frame, chunk: int | None
) -> None:
    text, ping = Frame(TEXT, PING_EVENT), Frame(PING, b"late")
    websocket.send(text.encode(), chunk)
    assert read_event(websocket) == PONG_EVENT
    websocket.send_frames(text, frame, ping)
    assert read_event(websocket) == PONG_EVENT
    expect_close(websocket, 1002)


@pytest.mark.parametrize("payload", [b"", b"x", PING_EVENT, b"\xff" * 1000])
def test_a_binary_message_is_unsupported_data(websocket: RawSocket, payload: bytes) -> None:
    websocket.send_frames(Frame(BINARY, payload))
    expect_close(websocket, 1003)


def test_a_fragmented_binary_message_is_refused_at_its_first_fragment(
    websocket: RawSocket,
) -> None:
    websocket.send_frames(Frame(BINARY, b"x", fin=False))
    expect_close(websocket, 1003)


def test_a_reserved_bit_weighs_more_than_the_kind_of_message(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(BINARY, b"x", rsv=5))
    expect_close(websocket, 1002)


MASKS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4", b"\0\0\0\1", b"\x80\0\0\0"]


@pytest.mark.parametrize("key", MASKS, ids=bytes.hex)
@pytest.mark.parametrize("channel", ["c", "ch", "cha", "chan", "chann", "channel-of-a-longer-name"])
def test_any_mask_is_taken_off(websocket: RawSocket, key: bytes, channel: str) -> None:
    text = b'{"event":"pusher:subscribe","data":{"channel":"%b"}}' % channel.encode()
    websocket.send_frames(Frame(TEXT, text, key=key))
    assert read_event(websocket) == {
        "event": "pusher_internal:subscription_succeeded",
        "channel": channel,
        "data": "{}",
    }


@WHOLE_OR_BYTEWISE
def test_many_messages_in_one_stream_are_answered_one_by_one(
    websocket: RawSocket, chunk: int | None
) -> None:
    ping, text, junk = Frame(PING, b"frame"), Frame(TEXT, PING_EVENT), Frame(TEXT, b"junk")
    websocket.send_frames(*[ping, text, junk] * 8, chunk=chunk)
    for _ in range(8):
        assert websocket.read_frame() == ServerFrame(PONG, b"frame")
        assert read_event(websocket) == PONG_EVENT
        expect_not_json(websocket)
    expect_alive(websocket)


def test_an_empty_text_message_is_ignored(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(TEXT), Frame(TEXT, fin=False), Frame(CONTINUATION))
    expect_alive(websocket)  # which finds no other answer


def test_a_client_that_does_not_answer_a_failure_is_hung_up_on(websocket: RawSocket) -> None:
    # RFC 6455 7.1.7: the server need not wait for an answer, and must not wait for ever.
    websocket.send_frames(Frame(3))
    assert websocket.read_frame().opcode == CLOSE
    expect_end(websocket)


def test_a_broken_frame_ends_one_connection_and_no_other(server: RunningServer) -> None:
    with open_websocket(server) as broken, open_websocket(server) as other:
        broken.send_frames(Frame(TEXT, PING_EVENT, key=None))
        expect_close(broken, 1002)
        expect_alive(other)
