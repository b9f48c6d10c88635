"""Work that may wait a moment, spread over turns of the event loop.

Ten thousand clients that leave at once would otherwise take a third of a second in which no event
is delivered.
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

    def add(self, job: Callable[[], None]) -> None:
        """Do ``job`` in one of the next turns; an error of it is logged."""
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._turn)
        self._jobs.append(job)

    def _turn(self) -> None:
        for _ in range(min(self._per_turn, len(self._jobs))):
            job = self._jobs.popleft()
            try:
                job()
            except Exception:  # ours: the jobs behind it must be done all the same
                log.exception("bug in a job")
        if self._jobs:
            asyncio.get_running_loop().call_soon(self._turn)
