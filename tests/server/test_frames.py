"""Frames without a socket: what is read, what is refused, and when."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.server.frames import (
    FrameError,
    FrameReader,
    Opcode,
    close_frame,
    frame,
    read_close,
    text_frame,
)

KEY = b"\x01\x80\xff\x10"


def masked(opcode: int, payload: bytes = b"", *, final: bool = True, key: bytes = KEY) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((final << 7 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((final << 7 | opcode, 0x80 | 126)) + size.to_bytes(2)
    else:
        head = bytes((final << 7 | opcode, 0x80 | 127)) + size.to_bytes(8)
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def read(*packets: bytes, limit: int = 1000) -> list[tuple[Opcode, bytes]]:
    """The messages and control frames, without the frames that complete none."""
    reader = FrameReader(limit)
    found = [each for packet in packets for each in reader.feed(packet)]
    return [each for each in found if each[0] is not Opcode.CONTINUATION]


def code_of(*packets: bytes, limit: int = 1000) -> int:
    with pytest.raises(FrameError) as caught:
        read(*packets, limit=limit)
    return caught.value.code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_text_is_read_and_written_at_every_length(size: int) -> None:
    text = b"x" * size

    assert read(masked(1, text), limit=70000) == [(Opcode.TEXT, text)]
    written = text_frame(text)
    assert written[0] == 0x81
    assert written.endswith(text)
    header = 2 if size < 126 else 4 if size < 65536 else 10
    assert len(written) == header + size


def test_control_frames_come_between_fragments() -> None:
    packet = (
        masked(1, b"a", final=False)
        + masked(9, b"p")
        + masked(0, b"", final=False)
        + masked(0, b"b")
    )

    assert read(packet) == [(Opcode.PING, b"p"), (Opcode.TEXT, b"ab")]


def test_each_frame_is_given_so_that_it_can_be_counted() -> None:
    reader = FrameReader(1000)
    packet = masked(1, b"a", final=False) + masked(0, final=False) + masked(0, b"b")

    assert list(reader.feed(packet)) == [(0, b""), (0, b""), (1, b"ab")]


@pytest.mark.parametrize("part", [b"", b"x"])
def test_a_message_has_a_bounded_number_of_frames(part: bytes) -> None:
    first, next_one, last = (
        masked(1, part, final=False),
        masked(0, part, final=False),
        masked(0, part),
    )
    whole = first + next_one * 1022 + last

    assert read(whole, whole, limit=5000) == [(Opcode.TEXT, part * 1024)] * 2
    assert code_of(first + next_one * 1023 + last, limit=5000) == 1009


def test_a_message_in_small_pieces_takes_hardly_more_memory_than_its_bytes() -> None:
    reader = FrameReader(1_000_000)
    pieces = masked(1, b"x" * 100, final=False) + masked(0, b"x" * 100, final=False) * 1000
    tracemalloc.start()
    try:
        for _ in reader.feed(pieces):
            pass
        reader.append(b"")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 2 * 100_100


def test_stopping_early_loses_nothing() -> None:
    reader = FrameReader(1000)
    packet = masked(1, b"one") + masked(1, b"two") + masked(1, b"three")[:4]

    first = next(reader.feed(packet))
    rest = list(reader.feed(masked(1, b"three")[4:]))

    assert [first, *rest] == [(1, b"one"), (1, b"two"), (1, b"three")]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"\xc1\x80", 1002),
        (b"\xa1\x80", 1002),
        (b"\x91\x80", 1002),
        (b"\x83\x80", 1002),
        (b"\x8b\x80", 1002),
        (b"\x81\x00", 1002),
        (b"\x89\xfe", 1002),
        (b"\x09\x80", 1002),
        (b"\x82\x80", 1003),
        (masked(0, b"x"), 1002),
        (masked(1, b"x", final=False) + masked(1, b"x"), 1002),
        (masked(1, b"\xff"), 1007),
        (masked(1, b"\xc3"), 1007),
        (masked(1, b"\xed\xa0\x80"), 1007),
        (masked(1, b"\xff", final=False), 1007),
        (masked(1, b"\xc3", final=False) + masked(0, b"\x28", final=False), 1007),
        (masked(1, b"\xc3", final=False) + masked(0), 1007),
        (b"\x81\xfe\x03\xe9", 1009),
        (b"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00", 1009),
        (masked(1, b"x" * 600, final=False) + b"\x80\xfe\x01\x91", 1009),
    ],
)
def test_a_broken_rule_is_noticed_with_the_first_byte_that_breaks_it(
    packet: bytes, code: int
) -> None:
    assert code_of(packet) == code
    assert code_of(*(packet[at : at + 1] for at in range(len(packet)))) == code


def test_the_limit_itself_is_allowed() -> None:
    text = b"x" * 1000
    parts = masked(1, text[:400], final=False) + masked(0, text[400:])

    assert read(masked(1, text)) == read(parts) == [(Opcode.TEXT, text)]
    assert read(parts, parts) == [(Opcode.TEXT, text)] * 2


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999])
def test_a_close_code_that_may_be_sent_is_read(code: int) -> None:
    assert read_close(code.to_bytes(2) + "tschüß".encode()) == (code, "tschüß")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_a_close_code_that_may_not_be_sent_is_refused(code: int) -> None:
    with pytest.raises(FrameError) as caught:
        read_close(code.to_bytes(2))
    assert caught.value.code == 1002


def test_the_body_of_a_close_frame_is_checked() -> None:
    assert read_close(b"") == (None, "")
    for body, code in ((b"\x03", 1002), (b"\x03\xe8\xff", 1007)):
        with pytest.raises(FrameError) as caught:
            read_close(body)
        assert caught.value.code == code


def test_a_close_reason_is_cut_at_a_character() -> None:
    written = close_frame(4001, "ü" * 100)

    assert len(written) <= 2 + 125
    assert written[4:].decode() == "ü" * 61
    assert close_frame() == b"\x88\x00"


messages = st.lists(
    st.tuples(st.sampled_from(["text", "ping", "pong"]), st.text(max_size=60), st.integers(1, 4)),
    max_size=8,
)


@given(messages, st.lists(st.integers(1, 40), min_size=1), st.binary(min_size=4, max_size=4))
def test_messages_arrive_whole_and_in_order_however_they_are_cut(
    sent: list[tuple[str, str, int]], cuts: list[int], key: bytes
) -> None:
    stream, expected = b"", []
    for kind, text, pieces in sent:
        payload = text.encode()
        if kind == "text":
            expected.append((Opcode.TEXT, payload))
            step = max(1, -(-len(payload) // pieces))
            parts = [payload[at : at + step] for at in range(0, len(payload), step)] or [b""]
            for at, part in enumerate(parts):
                last = at == len(parts) - 1
                stream += masked(0 if at else 1, part, final=last, key=key)
        else:
            opcode = Opcode.PING if kind == "ping" else Opcode.PONG
            expected.append((opcode, payload[:125]))
            stream += masked(opcode, payload[:125], key=key)
    packets, at, turn = [], 0, 0
    while at < len(stream):
        packets.append(stream[at : at + cuts[turn % len(cuts)]])
        at += len(packets[-1])
        turn += 1

    assert read(*packets) == expected


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_no_bytes_raise_anything_but_a_frame_error(packets: list[bytes]) -> None:
    reader = FrameReader(200)
    codes = set()
    for packet in packets:
        try:
            for opcode, payload in reader.feed(packet):
                assert len(payload) <= 200
                if opcode is Opcode.CLOSE:
                    read_close(payload)
        except FrameError as error:
            codes.add(error.code)
            break
    assert codes <= {1002, 1003, 1007, 1009}


def test_a_pong_has_the_payload_it_is_given() -> None:
    assert frame(Opcode.PONG, b"abc") == b"\x8a\x03abc"
