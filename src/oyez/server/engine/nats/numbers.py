"""Numbers that grow for ever, also from one keeper to the next and after the loss of all data.

They are microseconds of Unix time, so that they are large enough where nobody remembers the last
one. Clocks of machines differ, so each keeper says beforehand, where its successors read it, how
far it may go; they begin above that.
"""

from collections.abc import Callable

__all__ = ["Numbers"]


class Numbers:
    """Numbers of one keeper, each larger than the one before.

    Args:
        unix_time: a clock; it may be set back and forth.
        after: all are larger than this.

    Attributes:
        limit: what may be reached at present; `reserve` raises it.
    """

    def __init__(self, unix_time: Callable[[], float], after: int = 0) -> None:
        self._unix_time = unix_time
        self._last = after
        self.limit = after

    def next(self) -> int:
        """The next number. A clock that leaps does not carry it past the limit."""
        now = min(int(self._unix_time() * 1_000_000), self.limit)
        self._last = max(self._last + 1, now)
        return self._last

    def reserve(self, seconds: float) -> int:
        """What numbers may reach within so many seconds; to be kept, and then to be set."""
        now = max(self._last, int(self._unix_time() * 1_000_000))
        return max(self.limit, now + int(seconds * 1_000_000))
