"""What all connections together keep of requests that are not answered yet: one sum, bounded.

What is kept longest has to go first. Usual requests arrive whole and are answered at once, so they
are never here; a body that arrives in parts is here for moments, and whoever wants to drive it out
has to send the whole sum in these moments. What backends have signed goes only when there is
nothing else.
"""

from collections import OrderedDict
from typing import Protocol

__all__ = ["Holder", "Unanswered"]


class Holder(Protocol):
    """A connection that keeps something."""

    def give_up(self, limit: int) -> None:
        """Refuse what is kept and let go of it, as all together keep more than ``limit`` bytes."""


class Unanswered:
    """Who keeps how many bytes.

    Args:
        limit: of the sum; more than any one holder may keep.

    Attributes:
        total: the sum.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._strangers: OrderedDict[Holder, int] = OrderedDict()  # the oldest first
        self._known: OrderedDict[Holder, int] = OrderedDict()

    def set(self, holder: Holder, size: int, *, known: bool) -> None:
        """Note what a holder keeps now, and have others give up where it is too much together.

        Args:
            known: whether a backend has signed it.
        """
        mine, other = (self._known, self._strangers) if known else (self._strangers, self._known)
        self.total += size - mine.get(holder, 0) - other.pop(holder, 0)
        mine[holder] = size
        while self.total > self.limit:
            oldest = next(iter(self._strangers or self._known))
            self.discard(oldest)
            oldest.give_up(self.limit)

    def discard(self, holder: Holder) -> None:
        """A holder keeps nothing any more."""
        self.total -= self._strangers.pop(holder, 0) + self._known.pop(holder, 0)
