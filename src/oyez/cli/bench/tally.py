"""What a run of ``bench`` counts: deliveries against what was published, and how long they took."""

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

__all__ = ["Latencies", "Received", "Tally"]

Verdict = Literal["in order", "late", "again"]

_LOG_STEP = math.log(1.01)  # a bucket is 1% wide, so a percentile is as exact as that
_BUCKETS = 2_600  # up to several minutes in nanoseconds
_NS_PER_MS = 1_000_000


class Latencies:
    """Durations in buckets, so that a long run needs no more memory than a short one."""

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self._count = 0
        self._longest = 0

    def add(self, nanoseconds: int) -> None:
        """Count one."""
        bucket = int(math.log(max(nanoseconds, 1)) / _LOG_STEP)
        self._buckets[min(bucket, _BUCKETS - 1)] += 1
        self._count += 1
        self._longest = max(self._longest, nanoseconds)

    def percentile(self, percent: float) -> float | None:
        """Milliseconds that so many of a hundred took at most; None if there are none."""
        if not self._count:
            return None
        rank = self._count * percent / 100
        bucket = next(at for at, seen in enumerate(accumulate(self._buckets)) if seen >= rank)
        return round(min(math.exp((bucket + 0.5) * _LOG_STEP), self._longest) / _NS_PER_MS, 3)

    @property
    def longest(self) -> float | None:
        """Milliseconds of the longest; None if there are none."""
        return round(self._longest / _NS_PER_MS, 3) if self._count else None


@dataclass(slots=True)
class Received:
    """What one subscriber has of one publisher, whose events are numbered from 0."""

    next: int = 0
    missing: set[int] = field(default_factory=set[int])

    def take(self, number: int) -> Verdict:
        """Note an event."""
        if number >= self.next:
            self.missing.update(range(self.next, number))
            self.next = number + 1
            return "in order"
        if number in self.missing:
            self.missing.remove(number)
            return "late"
        return "again"

    def lacks(self, published: int) -> set[int]:
        """The numbers that have not come, of the first ``published``."""
        return self.missing | set(range(self.next, published))


@dataclass(slots=True)
class Tally:
    """Everything that was counted.

    Attributes:
        sent: when each event of each publisher left, on the clock of this process.
        published: events that the server accepted.
        failed: numbers that the server did not accept, by publisher; nobody need have them.
        reason: why the last of these was not accepted.
        deliveries: events that came, those that came again not included.
        late: that came after one published after them.
        again: that came although they had come before.
        lost: that never came; known at the end.
        disconnected: subscribers that the server, or the network, cut off.
    """

    sent: list[list[int]]
    failed: list[set[int]]
    published: int = 0
    reason: str = ""
    deliveries: int = 0
    late: int = 0
    again: int = 0
    lost: int = 0
    disconnected: int = 0
    delivering: Latencies = field(default_factory=Latencies)
    publishing: Latencies = field(default_factory=Latencies)

    @classmethod
    def of(cls, publishers: int) -> "Tally":
        """With nothing in it."""
        return cls([[] for _ in range(publishers)], [set() for _ in range(publishers)])

    @property
    def refused(self) -> int:
        """Events that the server did not accept."""
        return sum(map(len, self.failed))

    @property
    def flawless(self) -> bool:
        """Whether each subscriber got each event, once and in order."""
        return not (self.refused or self.late or self.again or self.lost or self.disconnected)

    def accept(self, nanoseconds: int) -> None:
        """Note that the server has answered a publish after so long."""
        self.published += 1
        self.publishing.add(nanoseconds)

    def refuse(self, publisher: int, number: int, reason: str) -> None:
        """Note that the server has not taken an event, as far as anybody can tell."""
        self.failed[publisher].add(number)
        self.reason = reason

    def deliver(self, received: list[Received], publisher: int, number: int, now: int) -> None:
        """Note that a subscriber, who has ``received`` so much, gets an event."""
        if not (0 <= publisher < len(self.sent) and 0 <= number < len(self.sent[publisher])):
            return  # of another run on the same channel
        match received[publisher].take(number):
            case "again":
                self.again += 1
                return
            case "late":
                self.late += 1
            case "in order":
                pass
        self.deliveries += 1
        self.delivering.add(now - self.sent[publisher][number])

    def miss(self, received: list[Received]) -> None:
        """Note at the end what a subscriber has not got."""
        for each, sent, failed in zip(received, self.sent, self.failed, strict=True):
            self.lost += len(each.lacks(len(sent)) - failed)
