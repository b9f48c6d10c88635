"""An endpoint that does not take anything: who asks again, and who waits.

Every lane of a courier has pauses of its own, which grow. So that a receiver which is back gets
what is new within seconds, one of the failing lanes probes it: its pauses stay short. A success of
any lane wakes the others. A lane that fails again right after that has troubles of its own (a
receiver that refuses one channel): it wakes and is woken no more until it has succeeded, or each
success would cost an attempt in vain.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

__all__ = ["Outage"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_PROBE: Final = 4.0  # seconds, at most, between two attempts of the lane that probes


class Outage:
    """Knows whether an endpoint takes anything; has its lanes pause while it does not.

    Args:
        target: of the endpoint, for the log.
        clock: seconds that only go forward.
        sleep: waits.
    """

    def __init__(
        self,
        target: str,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._since: float | None = None
        self._attempts = 0
        self._prober: int | None = None
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._alone: set[int] = set()  # lanes that fail while others succeed

    def failed(self, lane: int, error: str) -> None:
        """Note a failed attempt; the first one of an outage is logged."""
        if lane in self._alone:
            return
        if self._since is None:
            self._since = self._clock()
            self._attempts = 0
            log.warning("webhook endpoint fails", target=self._target, error=error)
        self._attempts += 1

    def succeeded(self, lane: int) -> None:
        """Note a success, which ends an outage and the pauses of all other lanes."""
        self._alone.discard(lane)
        if self._since is None:
            return
        log.info(
            "webhook endpoint works again",
            target=self._target,
            failed_attempts=self._attempts,
            seconds=round(self._clock() - self._since, 1),
        )
        self._since = self._prober = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)

    def leave(self, lane: int) -> None:
        """Leave the probing to others: a lane is empty."""
        if self._prober == lane:
            self._prober = None

    async def pause(self, lane: int, seconds: float) -> bool:
        """Wait before another attempt of a lane; return whether a success has ended it early."""
        if lane in self._alone:
            await self._sleep(seconds)
            return False
        if self._prober is None:
            self._prober = lane
        if self._prober == lane:
            seconds = min(seconds, _PROBE)
        woken = self._waiting[lane] = asyncio.get_running_loop().create_future()
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((woken, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[lane]
            sleeping.cancel()
        if woken.done():
            self._alone.add(lane)  # until it succeeds
        return woken.done()
