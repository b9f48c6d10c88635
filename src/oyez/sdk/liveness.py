"""Whether the other end is still there (spec ``websocket-protocol.md`` 4); time is an argument."""

from enum import Enum, auto

__all__ = ["Liveness", "Verdict"]


class Verdict(Enum):
    """What to do about a silence."""

    WAIT = auto()
    ASK = auto()  # send a `pusher:ping`
    LOST = auto()  # nothing has come since: close and connect again


class Liveness:
    """Watches one connection.

    Args:
        activity_timeout: seconds of silence after which to ask.
        pong_timeout: seconds of silence after asking that end the connection.
        now: seconds on a clock that only goes forward.
    """

    __slots__ = ("_activity_timeout", "_asked", "_heard", "_pong_timeout")

    def __init__(self, activity_timeout: float, pong_timeout: float, now: float) -> None:
        self._activity_timeout = activity_timeout
        self._pong_timeout = pong_timeout
        self._heard = now
        self._asked: float | None = None

    def heard(self, now: float) -> None:
        """Something has come: any message counts, not only a pong."""
        self._heard = now
        self._asked = None

    @property
    def due(self) -> float:
        """When the next `check` can have another answer than to wait."""
        if self._asked is not None:
            return self._asked + self._pong_timeout
        return self._heard + self._activity_timeout

    def check(self, now: float) -> Verdict:
        """Judge the silence so far; whoever is told to ask has to do so."""
        if now < self.due:
            return Verdict.WAIT
        if self._asked is not None:
            return Verdict.LOST
        self._asked = now
        return Verdict.ASK
