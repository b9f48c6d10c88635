"""Who the keeper is, as one node knows it; when to look, and when to stand for it.

Without I/O: times are those of this machine's clock that only goes forward, and are compared with
nothing else. The rules that keep two keepers from answering at once:

- The entry in JetStream that says who the keeper is changes only from a version that its writer
  has seen. A new keeper has a new term.
- A keeper answers only until `Pace.reign` seconds have passed since it *began* the last renewal
  that succeeded.
- The others take over when they have seen no renewal for the longer `Pace.patience`, counted from
  when they *learned* of the last one; or sooner, if the broker says twice that nobody listens where
  the keeper would: then it has lost its connection, and with that its reign.
"""

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from oyez.server.engine.nats.wire import Entry

__all__ = ["Election", "Pace", "Step"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    Attributes:
        renew: between two renewals.
        reign: that a keeper may answer after the beginning of a renewal.
        patience: without a renewal, until others take over.
        glance: at most between two looks at an office that seems to be vacant.
    """

    renew: float
    reign: float
    patience: float
    glance: float

    @classmethod
    def within(cls, seconds: float) -> Self:
        """So that a keeper which hangs has a successor well within this time."""
        return cls(seconds / 8, seconds / 2, 0.7 * seconds, min(0.3, seconds / 10))


class Step(enum.Enum):
    """What to do after a look at the entry."""

    FOLLOW = "follow"  # there is a keeper that was not known
    WAIT = "wait"
    PROBE = "probe"  # ask the keeper whether it is there; claim if nobody listens
    CLAIM = "claim"  # write that we are the keeper of the next term


class Election:
    """What one node knows.

    Args:
        uniform: gives a random number between two.

    Attributes:
        term: the largest that was seen.
        place: where the entry was in the stream when it was last looked at, 0 for nowhere.
        numbers: the largest that any keeper may have given, as far as was seen.
        vacant: whether nobody seems to listen.
        since: the term in which the keeper, or one before it, began with nothing.
        handicap: seconds that this node lets others go first.
    """

    def __init__(self, pace: Pace, uniform: Callable[[float, float], float] = random.uniform):
        self.pace = pace
        self.term = 0
        self.place = 0
        self.numbers = 0
        self.vacant = False
        self.since = 0
        self.handicap = 0.0
        self._uniform = uniform
        self._seen = float("-inf")

    def begin(self, now: float) -> None:
        """There is a new connection, and no word of the keeper on it yet."""
        self.vacant = False
        self._seen = now

    def announced(self, entry: Entry, now: float) -> bool:
        """A keeper gives a sign of life; whether it is one to be followed."""
        self.numbers = max(self.numbers, entry.numbers)
        if entry.term < self.term:
            return False
        self.term, self.since = entry.term, entry.since
        self.vacant = False
        self._seen = now
        return True

    def unanswered(self, term: int) -> None:
        """The broker says that nobody listens where the keeper of a term would."""
        if term == self.term:
            self.vacant = True

    def looked(self, entry: Entry | None, place: int, now: float) -> Step:
        """What the entry says, and where it is in the stream."""
        moved, self.place = place != self.place, place
        if entry is not None:
            self.numbers = max(self.numbers, entry.numbers)
            if entry.term > self.term:
                self.announced(entry, now)
                return Step.FOLLOW
            if entry.term == self.term and moved and not self.vacant:
                self._seen = now
        if self.vacant:
            return Step.PROBE
        if self.term == 0 or self.patience(now) <= 0:
            return Step.CLAIM
        return Step.WAIT

    def patience(self, now: float) -> float:
        """Seconds until it is time to look, if nothing is heard."""
        return self._seen + self.pace.patience + self.handicap - now

    def glance(self) -> float:
        """Seconds until the second look; random, so that not all stand at once."""
        return self._uniform(0.4, 1.0) * self.pace.glance + self.handicap
