"""Text has to be UTF-8 (RFC 6455 5.6, 8.1; Autobahn section 6)."""

import json

import pytest

from tests.conformance.probes import expect_alive, expect_close, expect_not_json, read_event
from tests.conformance.raw import CONTINUATION, PING, TEXT, Frame, RawSocket
from tests.conformance.utf8 import BROKEN_AT_ONCE, INVALID, VALID

PROSE = "\u03ba\u1f79\u03c3\u03bc\u03b5 \u00df\u00f6\u4e16 \U0001f30d\U0001f44d"


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_valid_utf_8_is_accepted(websocket: RawSocket, text: bytes) -> None:
    websocket.send_frames(Frame(TEXT, text))
    expect_not_json(websocket)
    expect_alive(websocket)


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_valid_utf_8_may_be_cut_between_any_two_bytes(websocket: RawSocket, text: bytes) -> None:
    pieces = [text[at : at + 1] for at in range(len(text))]
    websocket.send_frames(
        Frame(TEXT, fin=False),
        *(Frame(CONTINUATION, piece, fin=False) for piece in pieces),
        Frame(CONTINUATION),
    )
    expect_not_json(websocket)
    expect_alive(websocket)


@pytest.mark.parametrize("size", [None, 1, 2, 3, 5])
def test_text_that_is_not_ascii_arrives_as_it_was_sent(
    websocket: RawSocket, size: int | None
) -> None:
    text = json.dumps({"event": f"pusher:{PROSE}"}, ensure_ascii=False).encode()
    step = size or len(text)
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    last = len(pieces) - 1
    websocket.send_frames(
        *(
            Frame(CONTINUATION if number else TEXT, piece, fin=number == last)
            for number, piece in enumerate(pieces)
        )
    )
    message = f"Unsupported event received on socket: 'pusher:{PROSE}'"
    assert read_event(websocket)["data"] == {"code": None, "message": message}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_utf_8_is_invalid_data(websocket: RawSocket, text: bytes) -> None:
    websocket.send_frames(Frame(TEXT, text))
    expect_close(websocket, 1007)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_utf_8_inside_good_text_is_invalid_data(websocket: RawSocket, text: bytes) -> None:
    websocket.send_frames(Frame(TEXT, b'{"event":"' + text + b'"}'))
    expect_close(websocket, 1007)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_invalid_utf_8_over_several_fragments_is_invalid_data(
    websocket: RawSocket, text: bytes
) -> None:
    websocket.push(
        b"".join(
            frame.encode()
            for frame in (
                Frame(TEXT, PROSE.encode(), fin=False),
                *(Frame(CONTINUATION, bytes((byte,)), fin=False) for byte in text),
                Frame(CONTINUATION),
            )
        )
    )
    expect_close(websocket, 1007)


@pytest.mark.parametrize("text", BROKEN_AT_ONCE.values(), ids=BROKEN_AT_ONCE)
def test_text_that_nothing_can_mend_is_refused_before_it_ends(
    websocket: RawSocket, text: bytes
) -> None:
    # RFC 6455 8.1 asks for failing on invalid text; Autobahn 6.4 asks for doing it at once.
    websocket.send_frames(Frame(TEXT, PROSE.encode(), fin=False))
    websocket.send_frames(Frame(CONTINUATION, text, fin=False))
    expect_close(websocket, 1007)


def test_a_character_cut_in_two_is_not_refused_before_the_message_ends(
    websocket: RawSocket,
) -> None:
    websocket.send_frames(Frame(TEXT, "\U0001f30d".encode()[:3], fin=False), Frame(PING, b"ping"))
    assert websocket.read_frame().payload == b"ping"
    websocket.send_frames(Frame(CONTINUATION))
    expect_close(websocket, 1007)


def test_a_message_after_a_fragmented_one_starts_with_a_fresh_decoder(
    websocket: RawSocket,
) -> None:
    greek = "\u03ba".encode()
    websocket.send_frames(Frame(TEXT, greek[:1], fin=False), Frame(CONTINUATION, greek[1:]))
    expect_not_json(websocket)
    websocket.send_frames(Frame(TEXT, greek[1:]))
    expect_close(websocket, 1007)
