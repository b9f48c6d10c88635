"""When to connect again after a connection has ended (spec ``websocket-protocol.md`` 5.2)."""

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Reconnection"]

_FOR_GOOD = range(4000, 4100)
_AFTER_A_PAUSE = range(4100, 4200)
_AT_ONCE = range(4200, 4300)
_PAUSE = 1.0  # what the protocol asks for at least


@dataclass(frozen=True, slots=True)
class Reconnection:
    """How soon to try again, and how the waits grow.

    Attributes:
        first: seconds of the first wait; each further one is twice as long.
        longest: seconds that no wait exceeds.
        steady: seconds after which a connection counts as good, so that waits begin anew. Without
            it a server that says "reconnect at once" and means always would be called in a loop.
        pause: seconds that codes 4100 to 4199 add; the protocol asks for 1 at least.
        jitter: a number from 0 to 1, drawn for each wait: many clients that lose one server must
            not come back in the same moment.
    """

    first: float = 1.0
    longest: float = 30.0
    steady: float = 5.0
    pause: float = _PAUSE
    jitter: Callable[[], float] = random.random

    def delay(self, code: int | None, attempts: int) -> float | None:
        """Seconds to wait before the next attempt.

        Args:
            code: with which the server closed, also if it said so in a `pusher:error`; None if it
                did not answer or the connection broke.
            attempts: connections in a row that were not good, the one that ended included.

        Returns:
            None to give up: the code says that the same attempt will fail again.
        """
        if code in _FOR_GOOD:
            return None
        if code in _AT_ONCE and attempts <= 1:
            return 0.0
        wait = self.backoff(attempts)
        return self.pause + wait if code in _AFTER_A_PAUSE else wait

    def backoff(self, attempts: int) -> float:
        """Seconds after so many failures, between half of the full wait and all of it."""
        # Far beyond any `longest`, and far below what a float can hold.
        full = min(self.first * 2.0 ** min(max(attempts - 1, 0), 60), self.longest)
        return full * (0.5 + self.jitter() / 2)
