"""When a call is worth another attempt, and after how long.

Only where repeating cannot publish an event twice: the request never left, or the server said that
it did nothing (429, 503), or doing it twice is the same as once.
"""

import random
from dataclasses import dataclass

from oyez.sdk.errors import ConnectionFailed, OyezError, RateLimited, ServerError

__all__ = ["Retries"]

_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is.

    Attributes:
        count: attempts after the first one.
        first: seconds before the second attempt; doubles up to ``longest``, with jitter.
    """

    count: int = 2
    first: float = 0.1
    longest: float = 5.0

    def pause(self, error: OyezError, attempts: int, *, repeatable: bool) -> float | None:
        """Seconds to wait after ``attempts`` have failed; None to give up."""
        if attempts > self.count or not _is_safe(error, repeatable=repeatable):
            return None
        pause = min(self.first * (1 << (attempts - 1)), self.longest)
        asked = error.retry_after if isinstance(error, RateLimited | ServerError) else None
        if asked is not None:
            if asked > self.longest:
                return None  # the caller decides whether that is worth waiting for
            pause = max(pause, asked)
        return pause * random.uniform(1.0, 1.5)  # noqa: S311 - jitter


def _is_safe(error: OyezError, *, repeatable: bool) -> bool:
    if isinstance(error, ConnectionFailed):
        return repeatable or not error.may_have_arrived
    if isinstance(error, ServerError):
        return repeatable or error.status == _UNAVAILABLE
    return isinstance(error, RateLimited)
