"""Writing the same bytes to many sockets: the innermost loop of the server.

A transport with nothing queued is bypassed: writing to its socket takes half the time of its
``write``. What the socket does not take, and every error, is left to the transport.
"""

import contextlib
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Protocol

from oyez.server.ring import Ring

__all__ = ["Broadcast", "RingBroadcast", "Way", "Writer", "broadcasting", "write_to_each"]

Way = Literal["auto", "io_uring", "write"]

_FEW = 128  # writers for whom preparing the ring takes as long as it saves


class Writer(Protocol):
    """Where bytes go: an asyncio transport, or anything else with these methods."""

    def write(self, data: bytes) -> None:
        """Queue ``data``; never raises and never waits."""

    def get_write_buffer_size(self) -> int:
        """Bytes that are queued."""


Broadcast = Callable[[Mapping[Writer, int], bytes], None]
"""Writes to all writers; each has the descriptor of its plain socket, or -1 where there is none."""


def write_to_each(writers: Mapping[Writer, int], data: bytes) -> None:
    """One system call per writer and little else."""
    send, size = os.write, len(data)
    for writer, descriptor in writers.items():
        if descriptor < 0 or writer.get_write_buffer_size():
            writer.write(data)
            continue
        try:
            sent = send(descriptor, data)
        except OSError:
            writer.write(data)
        else:
            if sent < size:
                writer.write(data[sent:])


class RingBroadcast:
    """One system call for up to 256 writers.

    Raises:
        OSError: see `oyez.server.ring.Ring`.
    """

    def __init__(self) -> None:
        self._ring = Ring()

    def __call__(self, writers: Mapping[Writer, int], data: bytes) -> None:
        """See `Broadcast`."""
        if len(writers) < _FEW:
            write_to_each(writers, data)
            return
        # A comprehension: calling the method from C, by ``map``, takes three times as long.
        clear = [each for writer, each in writers.items() if not writer.get_write_buffer_size()]
        descriptors = array("i", clear)
        if len(clear) < len(writers) or -1 in descriptors:
            writers = self._write_to_others(writers, data)
            descriptors = array("i", writers.values())
        amiss = self._ring.send(descriptors, data)
        if amiss:
            in_order = list(writers)
            for position, sent in amiss.items():
                in_order[position].write(data[max(sent, 0) :])

    def close(self) -> None:
        """Nothing can be written any more."""
        self._ring.close()

    @staticmethod
    def _write_to_others(writers: Mapping[Writer, int], data: bytes) -> dict[Writer, int]:
        """Write to those with something queued, or without a plain socket; who is left."""
        direct = {}
        for writer, descriptor in writers.items():
            if descriptor < 0 or writer.get_write_buffer_size():
                writer.write(data)
            else:
                direct[writer] = descriptor
        return direct


@contextlib.contextmanager
def broadcasting(way: Way) -> Iterator[Broadcast]:
    """The way that is asked for; ``auto`` is ``io_uring`` where it may be used.

    Raises:
        ValueError: ``io_uring`` may not be used here.
    """
    ring = None
    if way != "write":
        try:
            ring = RingBroadcast()
        except OSError as error:
            if way == "io_uring":
                raise ValueError(f"broadcast: io_uring cannot be used: {error}") from error
    if ring is None:
        yield write_to_each
        return
    with contextlib.closing(ring):
        yield ring
