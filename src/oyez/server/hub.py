"""The sockets of this process, by app and channel, and the fan-out to them: the hot path.

An event is encoded once into a ready frame, and the same bytes go to every subscriber. Events of
one turn of the event loop are collected and written together, so that a busy channel costs one
write per subscriber and turn, not one per event. What each socket gets, it gets in the order of
publishing, whatever was collected, excluded or sent to it alone in between.

`Hub.deliver` never waits and never raises. A subscriber whose buffer is full is its transport's
affair: the transport tells the WebSocket, and the WebSocket closes.
"""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from oyez.protocol.channels import user_of
from oyez.protocol.errors import CloseCode
from oyez.protocol.events import Event
from oyez.protocol.messages import TERMINATION, event_text
from oyez.server.broadcast import Broadcast, Writer, write_to_each
from oyez.server.frames import text_frame
from oyez.server.metering import Metering, Usage

__all__ = ["Hub", "Socket"]

_LOOKBACK = 16  # runs to compare before a new one is simply opened
_RUN_BYTES = 262_144  # bytes that one run may join, so that one write stays bounded


class Socket(Protocol):
    """One client connection as the hub sees it.

    Attributes:
        descriptor: of the plain TCP socket below ``writer``, -1 if there is none. It is open as
            long as the socket is in the hub.
    """

    writer: Writer
    descriptor: int

    def close(self, code: int, reason: str) -> None:
        """Say goodbye with a close code; the socket leaves the hub before this returns."""


class Channel:
    """The local subscribers of one channel.

    Attributes:
        takes_orders: what is published here is for the server, and no client sees it.
        subscribers: those who get events at once, each with the descriptor of its plain socket,
            or -1 where writing goes through the writer alone.
        held: those whose subscription is not acknowledged yet, with what they get afterwards and
            its place in the channel (`Event.sequence`).
        ahead: subscribers who know all events up to a sequence that has not arrived here yet.
        run: the frames collected for this channel in this turn, if any.
        usage: of the channel's app, where deliveries are counted.
    """

    __slots__ = ("ahead", "held", "run", "subscribers", "takes_orders", "usage")

    def __init__(self, name: str, usage: Usage) -> None:
        self.takes_orders = user_of(name) is not None
        self.usage = usage
        self.subscribers: dict[Writer, int] = {}
        self.held: dict[Writer, list[tuple[int, bytes]]] = {}
        self.ahead: dict[Writer, int] | None = None
        self.run: _Run | None = None


class _Run:
    """Frames of one channel that may be written together without changing any socket's order."""

    __slots__ = ("channel", "frames", "position", "sequences", "size", "skips")

    def __init__(self, channel: Channel, position: int) -> None:
        self.channel = channel
        self.position = position  # among the runs of this turn
        self.frames: list[bytes] = []
        self.sequences: list[int] = []  # of all frames
        self.size = 0
        self.skips: dict[Writer, set[int]] | None = None  # who does not get which frames


class Hub:
    """All sockets and local subscriptions of this node.

    Attributes:
        sockets: app id to socket id to socket; the only record of who is connected.
        channels: (app id, channel name) to its local subscribers.
        metering: where deliveries and the most connections at once are counted.
        broadcast: writes an event to the subscribers of a channel.
    """

    def __init__(self, metering: Metering) -> None:
        self.metering = metering
        self.broadcast: Broadcast = write_to_each
        self.sockets: dict[str, dict[str, Socket]] = {}
        self.channels: dict[tuple[str, str], Channel] = {}
        self._runs: list[_Run] = []

    def connect(self, app_id: str, socket_id: str, socket: Socket) -> None:
        """A client is connected."""
        sockets = self.sockets.setdefault(app_id, {})
        sockets[socket_id] = socket
        usage = self.metering[app_id]
        usage.peak_connections = max(usage.peak_connections, len(sockets))

    def disconnect(self, app_id: str, socket_id: str) -> None:
        """A client is gone; its subscriptions are removed one by one before or after this."""
        sockets = self.sockets[app_id]
        del sockets[socket_id]
        if not sockets:
            del self.sockets[app_id]

    def all_sockets(self) -> Iterator[Socket]:
        """Every socket of every app."""
        for sockets in self.sockets.values():
            yield from sockets.values()

    def __len__(self) -> int:
        return sum(map(len, self.sockets.values()))

    def hold(self, app_id: str, name: str, writer: Writer) -> None:
        """Begin a subscription: from now on nothing is lost, but nothing is written yet either.

        The socket enters before the engine is asked and `release` follows the acknowledgement, so
        an event published in between reaches the client exactly once, after the acknowledgement.
        """
        channel = self.channels.get((app_id, name))
        if channel is None:
            channel = self.channels[app_id, name] = Channel(name, self.metering[app_id])
        elif channel.run is not None:
            self.flush()  # what was published before the subscription is not for this socket
        channel.held[writer] = []

    def release(
        self,
        app_id: str,
        name: str,
        writer: Writer,
        descriptor: int = -1,
        *,
        after: int = 0,
        told: int = 0,
    ) -> None:
        """The subscription is acknowledged: write what was held, then deliver at once.

        Args:
            after: events that have a sequence up to this are not for this socket: those that were
                held, and those that are still on their way here from the broker.
            told: nor are the changes of members up to this place, all of which were held.
        """
        self.flush_for(writer)
        channel = self.channels[app_id, name]
        held = channel.held.pop(writer)
        channel.subscribers[writer] = descriptor
        data = b"".join(
            frames
            for sequence, frames in held
            if not (0 < sequence <= after or -told <= sequence < 0)
        )
        if data:
            writer.write(data)
        if after > max((sequence for sequence, _ in held), default=0):
            channel.ahead = channel.ahead or {}
            channel.ahead[writer] = after

    def remove(self, app_id: str, name: str, writer: Writer) -> None:
        """End a subscription, also one that is still held."""
        channel = self.channels[app_id, name]
        if channel.run is not None:
            self.flush()
        channel.held.pop(writer, None)
        channel.subscribers.pop(writer, None)
        if channel.ahead is not None:
            channel.ahead.pop(writer, None)
        if not channel.subscribers and not channel.held:
            del self.channels[app_id, name]

    def deliver(self, app_id: str, event: Event) -> None:
        """Collect an event for the local subscribers of its channel, all but ``event.socket_id``.

        It is written before the event loop looks at its sockets again.
        """
        channel = self.channels.get((app_id, event.channel))
        if channel is None:
            return
        if channel.takes_orders:
            if event.name == TERMINATION:
                self._terminate(app_id, channel)
            return
        run = channel.run
        if run is None or run.size > _RUN_BYTES or not self._may_extend(run):
            run = self._open_run(channel)
        if event.socket_id is not None:
            self._skip(run, app_id, event.socket_id)
        frame = text_frame(event_text(event))
        if event.sequence > 0 and channel.ahead:
            self._skip_who_is_ahead(run, channel.ahead, event.sequence)
        run.sequences.append(event.sequence)
        run.frames.append(frame)
        run.size += len(frame)

    def _terminate(self, app_id: str, channel: Channel) -> None:
        """Close the connections of a user, who are the subscribers of this channel."""
        writers = channel.subscribers.keys() | channel.held.keys()
        for socket in tuple(self.sockets.get(app_id, {}).values()):
            if socket.writer in writers:
                socket.close(CloseCode.UNAUTHORIZED, "You got disconnected by the app.")

    def flush_for(self, writer: Writer) -> None:
        """Write what is pending for this socket, before something is sent to it alone."""
        for run in self._runs:
            channel = run.channel
            if writer in channel.subscribers or writer in channel.held:
                self.flush()
                return

    def flush(self) -> None:
        """Write everything that was collected, in the order of publishing."""
        runs, self._runs = self._runs, []
        for run in runs:
            channel = run.channel
            channel.run = None
            frames = run.frames
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            if run.skips is None:
                self.broadcast(channel.subscribers, data)
            else:
                self._write_with_skips(run, data, run.skips)
            for writer, held in channel.held.items():
                held.extend(_held(run, writer, data))
            channel.usage.deliveries += len(frames) * len(channel.subscribers) - _skipped(run)

    def _open_run(self, channel: Channel) -> _Run:
        if not self._runs:
            asyncio.get_running_loop().call_soon(self.flush)
        run = channel.run = _Run(channel, len(self._runs))
        self._runs.append(run)
        return run

    def _may_extend(self, run: _Run) -> bool:
        """Whether no socket would get the next frame of ``run`` before an older one.

        That is so if no channel with a later run shares a subscriber with it.
        """
        later = len(self._runs) - 1 - run.position
        if not later:
            return True
        if later > _LOOKBACK:
            return False
        subscribers = run.channel.subscribers.keys()
        return all(
            subscribers.isdisjoint(other.channel.subscribers)
            for other in self._runs[run.position + 1 :]
        )

    def _skip(self, run: _Run, app_id: str, socket_id: str) -> None:
        socket = self.sockets.get(app_id, {}).get(socket_id)
        if socket is None:
            return
        if run.skips is None:
            run.skips = {}
        run.skips.setdefault(socket.writer, set()).add(len(run.frames))

    @staticmethod
    def _skip_who_is_ahead(run: _Run, ahead: dict[Writer, int], sequence: int) -> None:
        """Skip those who know this event already; whom it is news to is no longer ahead."""
        for writer, known in tuple(ahead.items()):
            if sequence > known:
                del ahead[writer]
                continue
            if run.skips is None:
                run.skips = {}
            run.skips.setdefault(writer, set()).add(len(run.frames))

    @staticmethod
    def _write_with_skips(run: _Run, data: bytes, skips: dict[Writer, set[int]]) -> None:
        for writer in run.channel.subscribers:
            if writer not in skips:
                writer.write(data)
            elif rest := _without(run, writer, data):
                writer.write(rest)


def _without(run: _Run, writer: Writer, data: bytes) -> bytes:
    """The joined frames of a run less those that ``writer`` does not get."""
    if run.skips is None or writer not in run.skips:
        return data
    skipped = run.skips[writer]
    return b"".join(frame for at, frame in enumerate(run.frames) if at not in skipped)


def _held(run: _Run, writer: Writer, data: bytes) -> list[tuple[int, bytes]]:
    """What ``writer`` gets of a run once its subscription is acknowledged."""
    if not any(run.sequences):
        return [(0, _without(run, writer, data))]
    skipped = run.skips.get(writer, ()) if run.skips is not None else ()
    frames = enumerate(zip(run.sequences, run.frames, strict=True))
    return [frame for at, frame in frames if at not in skipped]


def _skipped(run: _Run) -> int:
    """How many frames of a run are not for one or another subscriber."""
    if run.skips is None:
        return 0
    subscribers = run.channel.subscribers
    return sum(len(skipped) for writer, skipped in run.skips.items() if writer in subscribers)
