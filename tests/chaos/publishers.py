"""Application servers that publish numbered events through the HTTP API of any node."""

import asyncio
import random
from collections.abc import Sequence

from oyez import AsyncClient, ConnectionFailed, OyezError, ServerError
from tests.chaos.clients import Surroundings
from tests.chaos.history import Outcome, Publish

__all__ = ["Publisher", "outcome_of"]


def outcome_of(error: OyezError) -> Outcome:
    """What an error of the SDK says about the event."""
    if isinstance(error, ServerError) and error.status == 503:
        return Outcome.REFUSED
    if isinstance(error, ConnectionFailed) and not error.may_have_arrived:
        return Outcome.REFUSED
    return Outcome.UNKNOWN


class Publisher:
    """Publishes one event after the other, and writes down what it was told.

    Args:
        apis: one client per node, which do not retry.
        pause: seconds between two events, on average.
    """

    def __init__(
        self,
        name: str,
        channels: Sequence[str],
        apis: Sequence[AsyncClient],
        around: Surroundings,
        chance: random.Random,
        *,
        pause: float,
    ) -> None:
        self._name = name
        self._channels = channels
        self._apis = apis
        self._around = around
        self._chance = chance
        self._pause = pause
        self._sent: dict[str, int] = {}

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / self._pause))
            if self._chance.random() < 0.1:
                channels = self._chance.sample(self._channels, k=3)
            else:
                channels = [self._chance.choice(self._channels)]
            await self._publish(channels, self._chance.randrange(len(self._apis)))

    async def publish_everywhere(self) -> None:
        """One event on every channel through every node."""
        for channel in self._channels:
            for node in range(len(self._apis)):
                await self._publish([channel], node)

    async def _publish(self, channels: list[str], node: int) -> None:
        """One request; all its events have the same number, so that their data is the same."""
        number = max(self._sent.get(channel, 0) for channel in channels) + 1
        self._sent.update(dict.fromkeys(channels, number))
        clock = self._around.clock
        started, outcome = clock(), Outcome.UNKNOWN
        records = [
            Publish(self._name, channel, number, node, started, ended=float("inf"))
            for channel in channels
        ]
        self._around.history.publishes.extend(records)
        try:
            await self._apis[node].trigger(channels, "said", f"{self._name} #{number}")
            outcome = Outcome.ACCEPTED
        except OyezError as error:
            outcome = outcome_of(error)
            if isinstance(error, ServerError) and error.status not in (503, 504):
                self._around.history.oddities.append(f"{self._name} #{number}: {error}")
        finally:
            for record in records:
                record.ended, record.outcome = clock(), outcome
