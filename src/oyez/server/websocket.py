"""One WebSocket on a transport: reading messages, liveness, backpressure, closing.

It knows frames and time, nothing of what is said. Outgoing data goes straight to the transport,
which buffers at most ``send_buffer`` bytes; a peer that lets more pile up is closed with 4100
rather than waited for.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from oyez.server.deadlines import Deadlines
from oyez.server.descriptors import plain_socket, write_directly
from oyez.server.frames import (
    EMPTY_PING,
    FrameError,
    FrameReader,
    Opcode,
    close_frame,
    frame,
    read_close,
)
from oyez.server.pace import Pace
from oyez.server.turns import Turns

__all__ = ["Listener", "WebSocket", "WebSocketLimits"]

_SLOW_CONSUMER = 4100
_NO_PONG = 4201
_ABNORMAL = 1006  # never sent: stands in logs for a connection that ended without a close frame
_NO_STATUS = 1005  # never sent either: a close frame without a code


class Listener(Protocol):
    """Who reads what a WebSocket receives."""

    def received(self, text: bytes) -> bool:
        """A whole text message. False holds back the next one until `WebSocket.resume`."""

    def farewell(self, code: int, reason: str) -> bytes:
        """Frames to send before our close frame, if any."""

    def closed(self, code: int, reason: str, *, by_us: bool) -> None:
        """The conversation is over; called once, nothing can be sent any more.

        Args:
            by_us: whether code and reason are ours; any client may send any.
        """


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Bytes and seconds of one app's connections.

    Attributes:
        message: most bytes of a received message.
        send_buffer: most bytes waiting to be sent.
        activity_timeout: silence after which a ping frame is sent.
        pong_wait: silence after that ping which ends the connection.
        messages_per_second: frames read per second; the rest is read later. 0: no limit.
        close_wait: how long the peer may take to answer a close frame.
    """

    message: int
    send_buffer: int
    activity_timeout: int
    pong_wait: int
    messages_per_second: int
    close_wait: int = 5


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()  # our close frame is sent, the peer's is awaited
    FAILED = auto()  # the peer broke the protocol, or is gone; what it still sends is thrown away


_OPEN, _CLOSING, _FAILED = _State  # looking a member up costs 80 ns in Python 3.11
_, _TEXT, _, _CLOSE, _PING, _PONG = Opcode


class WebSocket(asyncio.Protocol):
    """The server's end of one WebSocket, from the moment the handshake is answered.

    Args:
        partings: closes connections whose client has gone.
        readings: reads on where a peer has sent more than fits into a turn.
    """

    __slots__ = (
        "_deadlines",
        "_limits",
        "_listener",
        "_pace",
        "_partings",
        "_probed_at",
        "_reader",
        "_seen_at",
        "_state",
        "bucket",
        "descriptor",
        "writer",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        limits: WebSocketLimits,
        deadlines: Deadlines,
        partings: Turns,
        readings: Turns,
    ) -> None:
        self.writer = transport
        self.descriptor = plain_socket(transport)
        self.bucket = 0
        self._limits = limits
        self._deadlines = deadlines
        self._partings = partings
        self._reader = FrameReader(limits.message)
        self._listener: Listener | None = None
        self._state = _OPEN
        self._pace = Pace(limits.messages_per_second, readings)
        self._seen_at = deadlines.now
        self._probed_at = 0.0

    def start(self, listener: Listener) -> None:
        """Take over the transport; ``listener`` hears of everything from now on."""
        self._listener = listener
        self.writer.set_write_buffer_limits(high=self._limits.send_buffer)
        self.writer.set_protocol(self)
        self._deadlines.set(self, self._seen_at + self._limits.activity_timeout)

    def send(self, data: bytes) -> None:
        """Send a ready frame; nothing happens once closing has begun."""
        if self._state is _OPEN:
            write_directly(self.writer, self.descriptor, data)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, and end it after a while whatever the peer does."""
        if self._state is _OPEN:
            farewell = self._listener.farewell(code, reason) if self._listener else b""
            self._end(code, reason, by_us=True)
            self._state = _CLOSING
            self.writer.write(farewell + close_frame(code, reason))
            self._deadlines.set(self, self._deadlines.now + self._limits.close_wait)
            self._pace.close(self._read_on)

    def resume(self) -> None:
        """The listener is ready for the message it held back."""
        if self._pace.resumed():
            self._read_on()

    def _rested(self) -> None:
        """It is time for the next frame."""
        if self._pace.rested():
            self._read_on()

    def _read_on(self) -> None:
        if self._read(b"") and not self.writer.is_closing():
            self.writer.resume_reading()

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._seen_at = self._deadlines.now
        if self._pace.waiting:  # it was under way when reading was paused
            self._reader.append(data)
        elif not self._read(data) and not self.writer.is_closing():
            self.writer.pause_reading()

    def pause_writing(self) -> None:
        """The peer does not keep up. It is dropped from the loop, as a fan-out may be under way."""
        asyncio.get_running_loop().call_soon(
            self.close, _SLOW_CONSUMER, "Too slow to keep up with its channels"
        )

    def eof_received(self) -> bool:
        """The peer has hung up. Thousands may do so at once, and each close takes its time."""
        if self.descriptor < 0:
            return False  # TLS cannot be half open: closed at once
        self._partings.add(self.writer.close)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, and must not be written to any more."""
        self._state = _FAILED
        self._deadlines.discard(self)
        self._end(_ABNORMAL, "Connection lost", by_us=False)

    def expire(self, now: float) -> float | None:
        """Probe a silent peer, then give it up (spec ``websocket-protocol.md`` 4)."""
        if self._state is not _OPEN:
            self.writer.abort()
            return None
        limits = self._limits
        if now - self._seen_at < limits.activity_timeout:
            return self._seen_at + limits.activity_timeout
        if self._seen_at >= self._probed_at:
            self._probed_at = now
            self.writer.write(EMPTY_PING)
            return now + limits.pong_wait
        self.close(_NO_PONG, "Pong reply not received")
        return None

    def _read(self, data: bytes) -> bool:
        """Handle what is there as far as the pace allows; return whether more may come."""
        if self._state is _FAILED:
            return True
        pace = self._pace
        try:
            for opcode, payload in self._reader.feed(data):
                held = False
                if opcode is _TEXT:
                    listener = self._listener  # after our close frame only the peer's counts
                    held = listener is not None and not listener.received(payload)
                elif opcode is _PING:
                    self.send(frame(_PONG, payload))
                elif opcode is _CLOSE:
                    self._closed_by_peer(payload)
                    break
                if not pace.follows(self._deadlines.now) or held:
                    pace.wait(self._rested, held=held)
                    return False
        except FrameError as error:
            self._fail(error)
        return True

    def _closed_by_peer(self, payload: bytes) -> None:
        """Answer the peer's close frame and close; the server goes first (RFC 6455 7.1.1)."""
        code, reason = read_close(payload)
        if self._state is _OPEN:
            self._end(_NO_STATUS if code is None else code, reason, by_us=False)
            self.writer.write(close_frame(code))
        self._state = _FAILED
        self._deadlines.set(self, self._deadlines.now + self._limits.close_wait)
        self.writer.close()

    def _fail(self, error: FrameError) -> None:
        """Tell the peer what it broke, then only wait for it to hang up (RFC 6455 7.1.7)."""
        if self._state is _OPEN:
            self._end(error.code, error.reason, by_us=True)
            self.writer.write(close_frame(error.code, error.reason))
        self._state = _FAILED
        self._deadlines.set(self, self._deadlines.now + self._limits.close_wait)
        if self.writer.can_write_eof():  # closing at once could destroy the close frame under way
            self.writer.write_eof()
        else:
            self.writer.close()

    def _end(self, code: int, reason: str, *, by_us: bool) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.closed(code, reason, by_us=by_us)
