"""A client connection made of HTTP requests: to its session and to the hub a socket like any other.

What the session and the hub write is queued as lines for the receiving request, or the next one.
What the client sends is handled at the pace of a WebSocket; a client that sends more than may wait
is closed, as nothing holds its requests back.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from oyez.protocol import messages
from oyez.protocol.errors import CloseCode
from oyez.server.deadlines import Deadlines
from oyez.server.frames import Opcode, read_close, split_frames
from oyez.server.gate import Guest
from oyez.server.http_response import StreamOutput
from oyez.server.pace import Pace
from oyez.server.turns import Turns
from oyez.server.websocket import Listener

__all__ = ["FallbackSocket", "Receiver"]

_INBOX = 1_000  # messages of one client that wait
_INBOX_SIZE = 262_144  # their bytes, as much as is read off a WebSocket at once
_ABSENCE = 10  # seconds without a receiving request after which a client is gone
_STREAM_LENGTH = 262_144  # characters, above which pusher-js replaces a stream it has read so far
_HEARTBEAT = 25  # seconds of silence after which proxies might cut a request


class FallbackSocket:
    """A client connection made of requests, as a session and the hub see it."""

    def __init__(
        self,
        deadlines: Deadlines,
        readings: Turns,
        *,
        send_buffer: int,
        forget: "Callable[[FallbackSocket], None]",
    ) -> None:
        self.descriptor = -1
        self.bucket = 0
        self._deadlines = deadlines
        self._readings = readings
        self._send_buffer = send_buffer
        self._forget = forget
        self._guest: Guest | None = None
        self._pace = Pace(0, readings)
        self._largest = 0  # message, in bytes
        self._listener: Listener | None = None
        self._lines: list[bytes] = [b"o\n"]
        self._size = 2
        self._receiver: Receiver | None = None
        self._inbox: deque[bytes] = deque()  # what may not be handled yet
        self._inbox_size = 0
        self._seen_at = self._left_at = self._wrote_at = deadlines.now
        self._probed_at = 0.0

    def start(self, listener: Listener, guest: Guest | None = None) -> None:
        """``listener`` hears of everything from now on; what no guest says is not listened to."""
        self._listener, self._guest = listener, guest
        if guest is not None:
            limits = guest.app.limits
            self._pace = Pace(limits.messages_per_second, self._readings)
            self._largest = limits.inbound_websocket_message
        self._deadlines.set(self, self._seen_at + 1)

    @property
    def writer(self) -> "FallbackSocket":
        """Itself. An attribute would be a cycle, and keep all this until a rare collection."""
        return self

    def over(self) -> bool:
        """Whether the session has ended, and only has something left to say."""
        return self._listener is None

    # What the session and the hub call.

    def write(self, data: bytes) -> None:
        """Queue ready frames as lines for the next or the current receiving request."""
        texts = []
        for opcode, payload in split_frames(data):
            if opcode is Opcode.TEXT:
                texts.append(payload.decode())
            elif opcode is Opcode.CLOSE:
                self._add(b"c", list(read_close(payload)))
        if texts:
            self._add(b"a", texts)
        if self._size > self._send_buffer and self._listener is not None:
            reason = "Too slow to keep up with its channels"
            asyncio.get_running_loop().call_soon(self.close, CloseCode.OVER_CAPACITY, reason)

    def get_write_buffer_size(self) -> int:
        """Bytes that are queued."""
        return self._size

    def send(self, data: bytes) -> None:
        """Send ready frames; nothing happens once closing has begun."""
        if self._listener is not None:
            self.write(data)

    def close(self, code: int, reason: str) -> None:
        """End the session; the client learns it with its current or next receiving request."""
        if self._listener is None:
            return
        farewell = self._listener.farewell(code, reason)
        self._end(code, reason, by_us=True)
        if farewell:
            self.write(farewell)
        self._add(b"c", [code, reason])
        self._deadlines.set(self, self._deadlines.now + _ABSENCE)

    def resume(self) -> None:
        """The listener is ready for the next message."""
        if self._pace.resumed():
            self._hand_over()

    # What the requests call.

    def receive(self, texts: list[str]) -> None:
        """Messages of the client; an empty list only says that it is alive."""
        self._seen_at = self._deadlines.now
        if self.over():
            return
        if (count := len(self._inbox) + len(texts)) > _INBOX:
            reason = f"Too many messages ({count} > {_INBOX} waiting)"
            self.close(CloseCode.OVER_CAPACITY, reason)
            return
        for text in texts:
            message = text.encode()
            self._inbox.append(message)
            self._inbox_size += len(message)
        if not self._pace.waiting:
            self._hand_over()
        most = max(_INBOX_SIZE, self._largest)
        if self._inbox_size > most:
            reason = f"Too many messages ({self._inbox_size} > {most} bytes waiting)"
            self.close(CloseCode.OVER_CAPACITY, reason)

    def attach(self, receiver: "Receiver") -> None:
        """A receiving request is here; it replaces an older one that has not ended yet."""
        if self._receiver is not None:
            self._receiver.end()
        self._receiver = receiver
        self._seen_at = self._deadlines.now
        self.flush()

    def detach(self, receiver: "Receiver") -> None:
        """A receiving request has ended."""
        if self._receiver is receiver:
            self._receiver = None
            self._left_at = self._deadlines.now

    def flush(self) -> None:
        """Hand what is queued to the receiving request, if there is one that can take it."""
        receiver = self._receiver
        if receiver is None or not receiver.writable or not self._lines:
            return
        count = receiver.fitting(self._lines)
        data = b"".join(self._lines[:count])
        del self._lines[:count]
        self._size -= len(data)
        self._wrote_at = self._deadlines.now
        receiver.write(data)
        if self._lines:
            return
        if self._listener is None:
            receiver.end()
            self._forget(self)
            self._deadlines.discard(self)

    def expire(self, now: float) -> float | None:
        """Notice clients that are gone, and keep proxies from cutting silent requests."""
        if self.over() or self._guest is None:
            self._lines.clear()  # it has had time enough to read them
            if self._receiver is not None:
                self._receiver.end()
            self._forget(self)
            return None
        if self._receiver is None and now - self._left_at >= _ABSENCE:
            self._end(1006, "Connection lost", by_us=False)
            self._forget(self)
            return None
        self._probe(now, self._guest)
        if self._receiver is not None and now - self._wrote_at >= _HEARTBEAT:
            self._lines.append(b"h\n")
            self._size += 2
            self.flush()
        if self.over():
            return None
        limits = self._guest.app.limits
        return now + min(_ABSENCE / 2, limits.activity_timeout, limits.pong_wait)

    def _probe(self, now: float, guest: Guest) -> None:
        """Spec ``websocket-protocol.md`` 4: protocol 4 cannot be asked and is given a day."""
        limits, quiet = guest.app.limits, now - self._seen_at
        if guest.version < 5:
            if quiet >= limits.inactivity_timeout:
                self.close(CloseCode.INACTIVE, "Closed after inactivity")
        elif quiet < limits.activity_timeout:
            return
        elif self._seen_at >= self._probed_at:
            self._probed_at = now
            self._add(b"a", [messages.PING.decode()])
        elif now - self._probed_at >= limits.pong_wait:
            self.close(CloseCode.PONG_NOT_RECEIVED, "Pong reply not received")

    def _rested(self) -> None:
        """It is time for the next message."""
        if self._pace.rested():
            self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what is there as far as the pace allows."""
        pace, inbox = self._pace, self._inbox
        while inbox and self._listener is not None:
            message = inbox.popleft()
            size = len(message)
            self._inbox_size -= size
            if size > self._largest:
                self.close(CloseCode.TOO_BIG, f"Message too big ({size} > {self._largest} bytes)")
                return
            done = self._listener.received(message)
            if not pace.follows(self._deadlines.now) or not done:
                pace.wait(self._rested, held=not done)
                return

    def _add(self, kind: bytes, value: object) -> None:
        line = kind + messages.compact(value) + b"\n"
        if not self._lines and self._receiver is not None:
            asyncio.get_running_loop().call_soon(self.flush)  # with what else comes in this turn
        self._lines.append(line)
        self._size += len(line)

    def _end(self, code: int, reason: str, *, by_us: bool) -> None:
        listener, self._listener = self._listener, None
        self._inbox.clear()
        self._inbox_size = 0
        if listener is not None:
            listener.closed(code, reason, by_us=by_us)


class Receiver:
    """One receiving request: it stays open, or ends with the first lines if it is polling.

    A stream that has become so long that the client will replace it gets nothing more: whatever is
    under way when the client hangs up would be lost.
    """

    def __init__(self, socket: FallbackSocket, *, polling: bool) -> None:
        self._socket = socket
        self._polling = polling
        self._length = 0
        self._connection: StreamOutput | None = None

    @property
    def writable(self) -> bool:
        return (
            self._connection is not None
            and self._connection.writable
            and self._length <= _STREAM_LENGTH
        )

    def fitting(self, lines: list[bytes]) -> int:
        """How many lines, at least one, go into this answer before it is too long."""
        length = self._length
        for count, line in enumerate(lines, 1):
            length += _characters(line)
            if length > _STREAM_LENGTH:
                return count
        return len(lines)

    def write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write_piece(data)
            self._length += _characters(data)
            if self._polling:
                self.end()

    def end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._socket.detach(self)
            connection.end_stream()

    # What the connection calls.

    def attached(self, connection: StreamOutput) -> None:
        self._connection = connection
        self._socket.attach(self)

    def detached(self) -> None:
        self._connection = None
        self._socket.detach(self)

    def resumed(self) -> None:
        self._socket.flush()


def _characters(data: bytes) -> int:
    """Length as JavaScript counts it."""
    return len(data) if data.isascii() else len(data.decode().encode("utf-16-le")) // 2
