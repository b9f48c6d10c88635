"""The closing handshake (RFC 6455 5.5.1, section 7)."""

import pytest

from tests.conformance.probes import PING_EVENT, PONG_EVENT, expect_end, read_event
from tests.conformance.raw import (
    CLOSE,
    PING,
    TEXT,
    Frame,
    RawSocket,
    ServerFrame,
    close_payload,
)


def test_an_empty_close_is_answered_with_a_close(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(CLOSE))
    answer = websocket.read_frame()
    assert answer.opcode == CLOSE
    # 5.5.1: "typically echos the status code", and here there is none; 1000 is what 5.2 of the
    # protocol names for answering a close.
    assert answer.payload[:2] in (b"", close_payload(1000))
    expect_end(websocket)


# 7.4.1 and 7.4.2, and 1012 to 1014, which were registered with IANA later.
VALID_CODES = (
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
    *(3000, 3999, 4000, 4001, 4200, 4999),
)
REASONS = {
    "no reason": b"",
    "a reason": b"going away",
    "a reason that is not ASCII": "\u00e0 bient\u00f4t \U0001f30d".encode(),
    "the longest reason": b"x" * 123,
}


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
@pytest.mark.parametrize("code", VALID_CODES)
def test_a_close_with_a_code_is_answered_with_that_code(
    websocket: RawSocket, code: int, reason: bytes
) -> None:
    websocket.send_frames(Frame(CLOSE, close_payload(code, reason)))
    answer = websocket.read_frame()
    assert (answer.opcode, answer.payload[:2]) == (CLOSE, close_payload(code))
    expect_end(websocket)


# 7.4.1: 1004 is reserved, 1005, 1006 and 1015 must not be sent; 7.4.2: below 1000 never, below
# 3000 only what is registered. Above 4999 nothing is defined.
INVALID_CODES = (
    *(0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999),
    *(5000, 10000, 65535),
)


@pytest.mark.parametrize("reason", [b"", b"reason"], ids=["no reason", "a reason"])
@pytest.mark.parametrize("code", INVALID_CODES)
def test_a_close_with_a_code_that_may_not_be_sent_is_a_protocol_error(
    websocket: RawSocket, code: int, reason: bytes
) -> None:
    websocket.send_frames(Frame(CLOSE, close_payload(code, reason)))
    answer = websocket.read_frame()
    assert (answer.opcode, answer.payload[:2]) == (CLOSE, close_payload(1002))
    expect_end(websocket)


@pytest.mark.parametrize("byte", [b"\0", b"\x03", b"\xff"])
def test_a_close_of_one_byte_is_a_protocol_error(websocket: RawSocket, byte: bytes) -> None:
    websocket.send_frames(Frame(CLOSE, byte))
    answer = websocket.read_frame()
    assert (answer.opcode, answer.payload[:2]) == (CLOSE, close_payload(1002))
    expect_end(websocket)


INVALID_REASONS = {
    "impossible byte": b"\xff",
    "surrogate in the middle": b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited",
    "overlong": b"\xc0\xaf",
    "cut short": b"x" * 121 + b"\xc3",
}


@pytest.mark.parametrize("reason", INVALID_REASONS.values(), ids=INVALID_REASONS)
def test_a_reason_that_is_not_utf_8_is_invalid_data(websocket: RawSocket, reason: bytes) -> None:
    websocket.send_frames(Frame(CLOSE, close_payload(1000, reason)))
    answer = websocket.read_frame()
    assert (answer.opcode, answer.payload[:2]) == (CLOSE, close_payload(1007))
    expect_end(websocket)


def test_a_close_may_arrive_byte_by_byte(websocket: RawSocket) -> None:
    websocket.send_frames(Frame(CLOSE, close_payload(4000, b"bye")), chunk=1)
    assert websocket.read_frame().payload[:2] == close_payload(4000)
    expect_end(websocket)


def test_what_was_sent_before_the_close_is_answered(websocket: RawSocket) -> None:
    ping = Frame(PING, b"before")
    websocket.send_frames(Frame(TEXT, PING_EVENT), ping, Frame(CLOSE, close_payload(1000)))
    assert read_event(websocket) == PONG_EVENT
    assert websocket.read_frame().payload == b"before"
    assert websocket.read_frame() == ServerFrame(CLOSE, close_payload(1000))
    expect_end(websocket)


IGNORED = {
    "text": Frame(TEXT, PING_EVENT),
    "ping": Frame(PING, b"after"),
    "second close": Frame(CLOSE, close_payload(1001)),
    "broken frame": Frame(3, b"x", key=None),
}


@pytest.mark.parametrize("frame", IGNORED.values(), ids=IGNORED)
def test_what_is_sent_behind_the_close_is_ignored(websocket: RawSocket, frame: Frame) -> None:
    # RFC 6455 5.5.1: after a close frame there is no further data.
    websocket.send_frames(Frame(CLOSE, close_payload(1000)), frame)
    assert websocket.read_frame() == ServerFrame(CLOSE, close_payload(1000))
    expect_end(websocket)


@pytest.mark.parametrize("sent", [b"", b"\x81", Frame(TEXT, b"x", fin=False).encode()])
def test_a_peer_that_hangs_up_without_a_close_frame_is_hung_up_on(
    websocket: RawSocket, sent: bytes
) -> None:
    websocket.send(sent)
    websocket.finish()
    expect_end(websocket)
