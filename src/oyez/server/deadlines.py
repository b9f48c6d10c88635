"""Coarse deadlines for very many connections: one set per second instead of one timer each.

A connection says once when it wants to be asked, and when asked says when it wants to be asked
next. Activity in between costs nothing here: the connection only notes the time.
"""

from typing import Final, Protocol

import structlog

__all__ = ["Deadlines", "Expiring"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.deadlines")

_AGAIN: Final = 10.0  # seconds until somebody is asked again whose answer was an error


class Expiring(Protocol):
    """Something that wants to be asked at a time of its choice.

    Attributes:
        bucket: owned by `Deadlines`; 0 while nothing is due.
    """

    bucket: int

    def expire(self, now: float) -> float | None:
        """The time asked for has come; the next time, or None for never."""


class Deadlines:
    """Who is due when, to the second.

    Args:
        now: seconds on any clock that only goes forward.

    Attributes:
        now: the time of the last `advance`; good enough wherever a second does not matter.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._buckets: dict[int, set[Expiring]] = {}
        self._done = int(now)

    def set(self, item: Expiring, when: float) -> None:
        """Ask ``item`` at ``when`` or up to a second later, instead of at any earlier choice."""
        if item.bucket:
            self.discard(item)
        item.bucket = max(int(when) + 1, self._done + 1)
        self._buckets.setdefault(item.bucket, set()).add(item)

    def discard(self, item: Expiring) -> None:
        """Never ask ``item``."""
        bucket = self._buckets.get(item.bucket)
        if bucket is not None:
            bucket.discard(item)
            if not bucket:
                del self._buckets[item.bucket]
        item.bucket = 0

    def advance(self, now: float) -> None:
        """Ask everything that is due at ``now``; call it about once a second."""
        self.now = now
        while self._done < int(now):
            self._done += 1
            for item in self._buckets.pop(self._done, ()):
                item.bucket = 0
                try:
                    when = item.expire(now)
                except Exception:  # ours: the others of this second must be asked all the same
                    log.exception("bug in a deadline")
                    when = now + _AGAIN
                if when is not None:
                    self.set(item, when)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))
