"""What every transport of a client promises, a WebSocket as well as plain HTTP requests."""

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from oyez.protocol.app import App, Limits
from oyez.server.deadlines import Deadlines
from oyez.server.fallback_socket import FallbackSocket, Receiver
from oyez.server.frames import Opcode, split_frames, text_frame
from oyez.server.gate import Guest
from oyez.server.pace import PER_TURN
from oyez.server.turns import Turns
from oyez.server.websocket import WebSocket, WebSocketLimits
from tests.server.cycles import cycles
from tests.server.transport import Transport

LARGEST = 10_000


class Clock:
    """The seconds of a test, and the timers that are set in it."""

    def __init__(self) -> None:
        self.deadlines = Deadlines(0)
        self.readings = Turns(per_turn=1)
        self.forgotten = 0  # sessions over requests
        self._timers: list[Callable[[], object]] = []

    def forget(self, socket: FallbackSocket) -> None:
        self.forgotten += 1

    def call_later(self, delay: float, call: Callable[..., object], *args: object) -> None:
        assert delay == 1
        self._timers.append(lambda: call(*args))

    async def second(self) -> None:
        """One passes, with all that is done in it."""
        self.deadlines.advance(self.deadlines.now + 1)
        timers, self._timers = self._timers, []
        for call in timers:
            call()
        await turns()


class Listener:
    """Keeps what it hears.

    Args:
        patience: how many messages it takes before it holds the next one back.
    """

    def __init__(self, patience: int = 1_000_000) -> None:
        self.patience = patience
        self.heard: list[str] = []
        self.ended: list[tuple[int, bool]] = []

    def received(self, text: bytes) -> bool:
        self.heard.append(text.decode())
        return len(self.heard) < self.patience

    def farewell(self, code: int, reason: str) -> bytes:
        return b""

    def closed(self, code: int, reason: str, *, by_us: bool) -> None:
        self.ended.append((code, by_us))


class OverWebSocket:
    """A client that sends each message in a frame of its own."""

    def __init__(self, clock: Clock, listener: Listener, per_second: int = 0) -> None:
        self.transport = Transport()
        self.socket = WebSocket(
            cast(asyncio.Transport, self.transport),
            WebSocketLimits(LARGEST, 1_000_000, 100, 30, per_second),
            clock.deadlines,
            Turns(),
            clock.readings,
        )
        self.socket.start(listener)

    def says(self, *texts: str) -> bool:
        """Send messages; False once they are not taken any more."""
        frames = b""
        for text in texts:
            size = len(text)
            head = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2)
            frames += b"\x81" + head + bytes(4) + text.encode()
        self.socket.data_received(frames)
        return self.transport.reading and not self.transport.aborted

    def stalls(self) -> None:
        """Read nothing any more of what it is sent."""
        self.socket.pause_writing()  # what the transport says when too much is waiting

    def dropped(self) -> bool:
        return self.transport.aborted

    def vanishes(self, clock: Clock) -> None:
        self.transport.aborted = True
        self.socket.connection_lost(None)

    def closed_with(self) -> int | None:
        for opcode, payload in split_frames(self.transport.stream):
            if opcode is Opcode.CLOSE:
                return int.from_bytes(payload[:2])
        return None


class Output:
    """The answer to a receiving request."""

    def __init__(self, *, writable: bool = True) -> None:
        self.writable = writable
        self.body = b""
        self.ended = False

    def write_piece(self, data: bytes) -> None:
        self.body += data

    def end_stream(self) -> None:
        self.ended = True


class OverRequests:
    """A client that sends all messages in one request, and receives with another."""

    def __init__(self, clock: Clock, listener: Listener, per_second: int = 0) -> None:
        self.socket = FallbackSocket(
            clock.deadlines, clock.readings, send_buffer=1_000_000, forget=clock.forget
        )
        limits = Limits(messages_per_second=per_second, inbound_websocket_message=LARGEST)
        self.socket.start(
            listener,
            Guest(App(id="1", tokens=(), limits=limits), 7, "test", "1.2.3.4:5", "1.2.3.4"),
        )

    def says(self, *texts: str) -> bool:
        self.socket.receive(list(texts))
        return not self.socket.over()

    def stalls(self) -> None:
        self.stalled = self.receives(writable=False)
        for _ in range(150):
            self.socket.send(text_frame(b"x" * 9_000))

    def dropped(self) -> bool:
        return self.stalled.ended and self.stalled.body == b""

    def vanishes(self, clock: Clock) -> None:
        for _ in range(20):
            clock.deadlines.advance(clock.deadlines.now + 1)
        assert clock.forgotten == 1

    def receives(self, *, writable: bool = True) -> Output:
        output = Output(writable=writable)
        Receiver(self.socket, polling=False).attached(output)
        return output

    def closed_with(self) -> int | None:
        last = self.receives().body.splitlines()[-1]
        return int(json.loads(last[1:])[0]) if last[:1] == b"c" else None


Client = OverWebSocket | OverRequests
pytestmark = pytest.mark.parametrize("over", [OverWebSocket, OverRequests])


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", clock.call_later)
    return clock


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_messages_over_the_rate_wait_for_another_second_without_being_lost(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener()
    client = over(clock, listener, per_second=3)
    client.says(*numbers(8))
    for expected in (3, 6, 8, 8):
        await turns()
        assert listener.heard == numbers(expected)
        await clock.second()


async def test_messages_that_wait_for_the_engine_count_as_well(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener(patience=0)
    client = over(clock, listener, per_second=3)
    client.says(*numbers(5))
    for expected in (1, 2, 3, 3):
        assert listener.heard == numbers(expected)
        client.socket.resume()
        await turns()
    await clock.second()
    assert listener.heard == numbers(4)


async def test_a_flood_of_messages_is_worked_off_in_several_turns(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener()
    over(clock, listener).says(*numbers(10 * PER_TURN))
    assert listener.heard == numbers(PER_TURN)

    await turns()

    assert listener.heard == numbers(10 * PER_TURN)


async def test_those_who_flood_at_once_take_turns(
    over: Callable[..., Client], clock: Clock
) -> None:
    listeners = [Listener() for _ in range(5)]
    for listener in listeners:
        over(clock, listener).says(*numbers(4 * PER_TURN))
    heard = [sum(len(listener.heard) for listener in listeners)]
    while heard[-1] < 5 * 4 * PER_TURN:
        await asyncio.sleep(0)
        heard.append(sum(len(listener.heard) for listener in listeners))
        assert len(heard) < 100

    assert max(after - before for before, after in itertools.pairwise(heard)) == PER_TURN


async def test_a_listener_that_is_busy_is_not_woken_by_a_turn(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener(patience=PER_TURN)
    client = over(clock, listener)
    client.says(*numbers(PER_TURN + 5))
    await turns()
    assert len(listener.heard) == PER_TURN

    listener.patience = 1_000_000
    client.socket.resume()

    assert listener.heard == numbers(PER_TURN + 5)


async def test_a_message_too_big_ends_it_behind_what_came_before(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener()
    client = over(clock, listener)
    client.says("one", "x" * LARGEST, "x" * (LARGEST + 1), "late")
    await turns()

    assert listener.heard == ["one", "x" * LARGEST]
    assert listener.ended == [(1009, True)]
    assert client.closed_with() == 1009


async def test_nothing_is_taken_after_the_end(over: Callable[..., Client], clock: Clock) -> None:
    listener = Listener(patience=1)
    client = over(clock, listener)
    client.says("one", "two")
    client.socket.close(4200, "bye")
    with growth() as held:
        for _ in range(100):
            client.says(*["x" * 9_000] * 10)
            await turns(5)
            client.socket.resume()

    assert held() < 100_000
    assert (listener.heard, listener.ended) == (["one"], [(4200, True)])
    assert client.closed_with() == 4200


async def test_what_waits_takes_a_bounded_number_of_bytes(
    over: Callable[..., Client], clock: Clock
) -> None:
    client = over(clock, Listener(patience=1))
    with growth() as held:
        for _ in range(1000):
            if not client.says("x" * 9_000):
                break

    assert held() < 600_000


async def test_who_does_not_read_is_closed_and_then_dropped_with_all_that_waits(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener()
    client = over(clock, listener)
    with growth() as held:
        client.stalls()
        await turns()
        assert listener.ended == [(4100, True)]
        for _ in range(15):
            clock.deadlines.advance(clock.deadlines.now + 1)

    assert client.dropped()
    assert held() < 50_000


async def test_a_connection_that_is_lost_was_not_ended_by_us(
    over: Callable[..., Client], clock: Clock
) -> None:
    listener = Listener()
    over(clock, listener).vanishes(clock)

    assert listener.ended == [(1006, False)]


@pytest.mark.parametrize("by_us", [True, False])
async def test_what_has_ended_is_freed_without_a_search_for_cycles(
    over: Callable[..., Client], clock: Clock, *, by_us: bool
) -> None:
    with cycles() as found:
        listener = Listener(patience=1)
        client = over(clock, listener)
        client.says("one", "two")
        if by_us:
            client.socket.close(4200, "bye")
            assert client.closed_with() == 4200
        else:
            client.vanishes(clock)
        del client, listener
        clock.deadlines.advance(100)
        await turns()

    assert found == []


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """Give what counts the bytes that were allocated inside and are still held at its end."""
    sizes: list[int] = []
    tracemalloc.start()
    try:
        yield sizes.pop
        sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
