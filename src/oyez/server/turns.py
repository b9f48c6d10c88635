"""Work that may wait a moment, spread over turns of the event loop.

Ten thousand clients that leave at once would otherwise take a third of a second in which no event
is delivered; a hundred that talk at once, as long.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

__all__ = ["Turns"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.turns")


class Turns:
    """Does a few jobs in each turn, in the order in which they came.

    Args:
        per_turn: jobs that are done in one turn.
    """

    def __init__(self, per_turn: int = 20) -> None:
        self._per_turn = per_turn
        self._jobs: deque[Callable[[], None]] = deque()
        self._due = False  # a turn is, or is under way

    def add(self, job: Callable[[], None]) -> None:
        """Do ``job`` in one of the next turns; an error of it is logged."""
        self._jobs.append(job)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        for _ in range(min(self._per_turn, len(self._jobs))):
            job = self._jobs.popleft()
            try:
                job()
            except Exception:  # ours: the jobs behind it must be done all the same
                log.exception("bug in a job")
        self._due = bool(self._jobs)
        if self._due:
            asyncio.get_running_loop().call_soon(self._turn)
