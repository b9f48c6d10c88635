"""How often something may happen that is told to many.

Whoever comes and goes costs one small message, and everybody else on the channel gets one for it.
So channels, members and users have a rate, and what would go beyond it waits for the next seconds.
"""

from collections.abc import Hashable

from oyez.server.deadlines import Deadlines

__all__ = ["Rate"]


class Rate:
    """Lets each of many things happen a number of times in any second.

    It counts by the seconds of `Deadlines`, and in two that follow each other together no more
    than the number, as any other second lies within two of them.

    Args:
        most: that number.
    """

    __slots__ = ("_before", "_deadlines", "_most", "_now", "_second", "bucket")

    def __init__(self, most: int, deadlines: Deadlines) -> None:
        self.bucket = 0
        self._most = most
        self._deadlines = deadlines
        self._second = int(deadlines.now)
        self._now: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}

    def take(self, key: Hashable) -> bool:
        """Whether it may happen once more now; then that is counted."""
        self._turn()
        count = self._now.get(key, 0)
        if count + self._before.get(key, 0) >= self._most:
            return False
        self._now[key] = count + 1
        if not self.bucket:
            self._deadlines.set(self, self._deadlines.now)
        return True

    def expire(self, now: float) -> float | None:
        """A second is over; nothing is kept of what has not happened in the last two."""
        self._turn()
        return now if self._now or self._before else None

    def _turn(self) -> None:
        """Begin another second if there is one."""
        second = int(self._deadlines.now)
        if second != self._second:
            self._before = self._now if second == self._second + 1 else {}
            self._now = {}
            self._second = second
