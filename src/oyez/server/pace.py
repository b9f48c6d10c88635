"""How fast what one client says is handled, the same for each transport.

What it says may come in any amount at once. So that others are heard in between, the event loop
goes on after some of it, and where clients have to wait for that, one of them follows in each turn.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from oyez.server.turns import Turns

__all__ = ["PER_TURN", "Pace"]

PER_TURN: Final = 50  # frames or messages of one client

_FOR_LISTENER, _FOR_TIME = 1, 2


class Pace:
    """When the next frame or message of a client may be handled.

    Args:
        per_second: 0 for no limit.
        readings: where clients wait who have said more than fits into a turn.

    Attributes:
        waiting: not 0 while nothing may be handled.
    """

    __slots__ = ("_count", "_per_second", "_readings", "_second", "waiting")

    def __init__(self, per_second: int, readings: Turns) -> None:
        self.waiting = 0
        self._per_second = per_second
        self._readings = readings
        self._second = 0.0
        self._count = 0

    def follows(self, now: float) -> bool:
        """Count one; return whether the next may follow at once, by what we grant."""
        if now != self._second:
            self._second, self._count = now, 0
        self._count = count = self._count + 1
        return count % PER_TURN != 0 and not 0 < self._per_second <= count

    def wait(self, go_on: Callable[[], None], *, held: bool) -> None:
        """Handle nothing more for now.

        Args:
            go_on: called when it is time for the next; asks `rested`.
            held: whether the listener is not ready, either, until `resumed`.
        """
        if held:
            self.waiting |= _FOR_LISTENER
        if 0 < self._per_second <= self._count:
            asyncio.get_running_loop().call_later(1.0, self._readings.add, go_on)
        elif self._count % PER_TURN == 0:
            self._readings.add(go_on)
        else:
            return
        self.waiting |= _FOR_TIME

    def rested(self) -> bool:
        """Note that it is time for the next; return whether that was all there was to wait for."""
        self.waiting &= ~_FOR_TIME
        return not self.waiting

    def resumed(self) -> bool:
        """Note that the listener is ready; return whether that was all there was to wait for."""
        self.waiting &= ~_FOR_LISTENER
        return not self.waiting

    def close(self, go_on: Callable[[], None]) -> None:
        """Wait for nobody any more: what still comes is thrown away, which costs little."""
        if self.waiting:
            self._readings.add(go_on)
        self.waiting = self._per_second = 0
