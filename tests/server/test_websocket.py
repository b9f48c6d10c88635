"""One WebSocket on a transport: turns, pauses, liveness, closing; the clock is an argument."""

import asyncio
from typing import cast

import pytest

from oyez.server.deadlines import Deadlines
from oyez.server.frames import EMPTY_PING, Opcode, frame
from oyez.server.pace import PER_TURN
from oyez.server.turns import Turns
from oyez.server.websocket import WebSocket, WebSocketLimits
from tests.server.transport import Transport

LIMITS = WebSocketLimits(
    message=10_000, send_buffer=10_000, activity_timeout=100, pong_wait=30, messages_per_second=0
)


class Listener:
    """Keeps what it hears; holds every message back if told to."""

    def __init__(self, *, busy: bool = False) -> None:
        self.busy = busy
        self.texts: list[bytes] = []
        self.ended: list[int] = []
        self.by_us: list[bool] = []

    def received(self, text: bytes) -> bool:
        self.texts.append(text)
        return not self.busy

    def farewell(self, code: int, reason: str) -> bytes:
        return b""

    def closed(self, code: int, reason: str, *, by_us: bool) -> None:
        self.ended.append(code)
        self.by_us.append(by_us)


class Connection:
    """A WebSocket with its doubles and its clock."""

    def __init__(
        self,
        limits: WebSocketLimits = LIMITS,
        *,
        busy: bool = False,
        partings: Turns | None = None,
        readings: Turns | None = None,
        plain: bool = False,
    ) -> None:
        self.transport = Transport()
        self.deadlines = Deadlines(0)
        self.listener = Listener(busy=busy)
        transport = cast(asyncio.Transport, self.transport)
        self.websocket = WebSocket(
            transport, limits, self.deadlines, partings or Turns(), readings or Turns(per_turn=1)
        )
        if plain:
            self.websocket.descriptor = 0
        self.websocket.start(self.listener)

    def at(self, second: float) -> None:
        self.deadlines.advance(second)

    def sends(
        self, opcode: int, payload: bytes = b"", times: int = 1, *, final: bool = True
    ) -> None:
        one = bytes((final << 7 | opcode, 0x80 | len(payload))) + bytes(4) + payload
        self.websocket.data_received(one * times)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_turn_that_is_over_does_not_wake_a_listener_that_is_busy() -> None:
    connection = Connection(busy=True)
    connection.sends(Opcode.PING, b"x", PER_TURN - 1)
    connection.sends(Opcode.TEXT, b"one")
    connection.sends(Opcode.TEXT, b"two")
    await turns(20)
    assert connection.listener.texts == [b"one"]

    connection.websocket.resume()
    assert connection.listener.texts == [b"one", b"two"]


@pytest.mark.parametrize("part", [b"", b"x"])
async def test_fragments_are_worked_off_in_several_turns_like_other_frames(part: bytes) -> None:
    connection = Connection()
    connection.sends(Opcode.TEXT, part, final=False)
    connection.sends(Opcode.CONTINUATION, part, 500, final=False)
    connection.sends(Opcode.PING, b"x")
    assert not connection.transport.reading
    assert connection.transport.stream == b""
    await turns(20)

    assert connection.transport.stream == frame(Opcode.PONG, b"x")
    assert connection.transport.reading


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, Opcode.PONG])
async def test_frames_of_each_kind_count_for_the_rate(opcode: Opcode) -> None:
    connection = Connection(WebSocketLimits(10_000, 10_000, 100, 30, messages_per_second=30))
    connection.sends(Opcode.TEXT, b"a", final=False)
    connection.sends(opcode, b"", 28, final=opcode is not Opcode.CONTINUATION)
    before = connection.transport.reading
    connection.sends(Opcode.CONTINUATION, b"", final=False)
    connection.sends(Opcode.CONTINUATION, b"b")
    await turns(20)

    assert (before, connection.transport.reading) == (True, False)
    assert connection.listener.texts == []


async def test_our_close_ends_a_wait_so_that_the_answer_is_read() -> None:
    connection = Connection(busy=True)
    connection.sends(Opcode.TEXT, b"one")
    connection.sends(Opcode.TEXT, b"two")
    connection.sends(Opcode.CLOSE, (1000).to_bytes(2))
    connection.websocket.close(4200, "bye")
    await turns(2)

    assert connection.transport.aborted
    assert connection.listener.texts == [b"one"]
    assert (connection.listener.ended, connection.listener.by_us) == ([4200], [True])


@pytest.mark.parametrize("code", [1000, 1009, 4001, 4100])
async def test_a_code_that_the_peer_closes_with_is_not_ours(code: int) -> None:
    connection = Connection()
    connection.sends(Opcode.CLOSE, code.to_bytes(2))

    assert (connection.listener.ended, connection.listener.by_us) == ([code], [False])


async def test_a_broken_rule_is_ended_by_us() -> None:
    connection = Connection()
    connection.sends(Opcode.BINARY)

    assert (connection.listener.ended, connection.listener.by_us) == ([1003], [True])


async def test_a_silent_peer_is_asked_once_and_then_given_up() -> None:
    connection = Connection()
    connection.at(99)
    assert connection.transport.stream == b""
    connection.at(101)
    assert connection.transport.stream == EMPTY_PING
    connection.at(130)
    assert connection.listener.ended == []
    connection.at(132)
    assert connection.listener.ended == [4201]
    connection.at(140)
    assert connection.transport.aborted


@pytest.mark.parametrize("answer", [Opcode.PONG, Opcode.PING, Opcode.TEXT])
async def test_anything_the_peer_sends_is_a_sign_of_life(answer: Opcode) -> None:
    connection = Connection()
    connection.at(101)
    connection.sends(answer)
    connection.at(200)
    assert connection.listener.ended == []
    assert connection.transport.stream.count(EMPTY_PING) == 1
    connection.at(202)
    assert connection.transport.stream.count(EMPTY_PING) == 2


async def test_a_short_timeout_and_a_long_wait_for_the_pong_do_not_mix() -> None:
    connection = Connection(WebSocketLimits(10_000, 10_000, 10, 60, 0))
    connection.at(11)
    connection.sends(Opcode.PONG)
    for second in range(12, 200, 5):
        connection.at(second)
        connection.sends(Opcode.PONG)

    assert connection.listener.ended == []


async def test_our_close_is_answered_or_ends_by_itself() -> None:
    connection = Connection()
    connection.websocket.close(4200, "bye")
    connection.websocket.close(4100, "again")
    connection.sends(Opcode.TEXT, b"late")
    assert connection.transport.stream == frame(Opcode.CLOSE, (4200).to_bytes(2) + b"bye")
    assert (connection.listener.ended, connection.listener.texts) == ([4200], [])

    connection.at(7)
    assert connection.transport.aborted


async def test_a_connection_that_is_lost_is_over_once() -> None:
    connection = Connection()
    connection.websocket.close(4200, "bye")
    connection.websocket.connection_lost(None)

    assert connection.listener.ended == [4200]
    assert len(connection.deadlines) == 0


async def test_a_peer_that_does_not_read_is_closed_in_the_next_turn() -> None:
    connection = Connection()
    connection.websocket.pause_writing()  # perhaps in the middle of a fan-out
    assert connection.listener.ended == []
    await turns(1)
    assert connection.listener.ended == [4100]


async def test_a_connection_that_is_lost_is_not_written_to() -> None:
    """Whoever still has it may close it or send to it; uvloop raises for a write to it."""
    connection = Connection()
    connection.websocket.connection_lost(None)
    connection.websocket.close(4200, "bye")
    connection.websocket.send(b"late")

    assert connection.transport.stream == b""


async def test_peers_that_hang_up_at_once_are_closed_a_few_in_each_turn() -> None:
    partings = Turns(per_turn=2)
    connections = [Connection(partings=partings, plain=True) for _ in range(5)]

    assert all(connection.websocket.eof_received() for connection in connections)
    closed = []
    for _ in range(3):
        await asyncio.sleep(0)
        closed.append(sum(connection.transport.aborted for connection in connections))

    assert closed == [2, 4, 5]


async def test_over_tls_a_peer_that_hangs_up_is_closed_by_the_transport() -> None:
    assert not Connection().websocket.eof_received()
