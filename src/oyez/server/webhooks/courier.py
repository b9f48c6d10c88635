"""Delivery to one endpoint: in order per channel, retried, and finally given up.

An endpoint has a few lanes; a channel always uses the same one. A lane has one request under way at
a time, so what follows a failing request of a channel waits for it, and other endpoints and most
other channels do not.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from oyez.protocol.signing import Token
from oyez.protocol.webhooks import Endpoint, request_headers, write_body
from oyez.server.webhooks.ledger import Kept, Letter
from oyez.server.webhooks.outage import Outage
from oyez.server.webhooks.pile import Pile
from oyez.server.webhooks.senders import CONNECTIONS, DeliveryFailed, Sender

__all__ = ["Courier", "Policy", "Tally"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_LANES = CONNECTIONS
_BATCH = 100
_DOUBTFUL = 0.5  # seconds between two questions whether this node may go on


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a courier is; seconds, and counts of letters.

    Attributes:
        collect: how long a batch waits for company.
        first_retry: pause after the first failure; it doubles up to ``longest_retry``.
        give_up: after this time since the first attempt a letter is dead.
        most_pending: letters that wait for one endpoint; beyond it the oldest of the type of
            which most are waiting is dropped.
    """

    collect: float = 0.05
    first_retry: float = 1.0
    longest_retry: float = 60.0
    give_up: float = 300.0
    most_pending: int = 20_000


@dataclass(slots=True)
class Tally:
    """What became of the letters to one endpoint, and its last error."""

    delivered: int = 0
    failed_attempts: int = 0
    died: int = 0
    dropped: int = 0
    last_error: str = ""


class Courier:
    """Delivers the letters of one endpoint.

    Args:
        token: the oldest active one of the app, which signs.
        label: what the endpoint is called in the log.
        clock: seconds that only go forward.
        sleep: waits; both are arguments so that tests need not wait.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        token: Token,
        sender: Sender,
        ledger: Kept,
        policy: Policy,
        *,
        label: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.tally = Tally()
        self._token = token
        self._sender = sender
        self._ledger = ledger
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._label = label or endpoint.target
        self._outage = Outage(self._label, clock, sleep)
        self._pile = Pile(_LANES)
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._dropping: set[str] = set()  # types of which letters are dropped, and that is logged

    @property
    def pending(self) -> int:
        """Letters that wait or are under way."""
        return len(self._pile)

    def oldest_ms(self) -> int:
        """When the oldest of them happened, Unix milliseconds; 0 if there is none."""
        return self._pile.oldest_ms()

    def letters(self) -> list[Letter]:
        """What waits or is under way, oldest first."""
        return sorted(self._pile, key=lambda x: x.position)

    def post(self, letter: Letter) -> None:
        """Deliver a letter that is in the ledger."""
        number, replaced = self._pile.add(letter)
        if replaced is not None:
            self._ledger.remove([replaced.id])
        if len(self._pile) > self._policy.most_pending:
            self._drop_surplus()
        if number not in self._busy:
            self._busy[number] = asyncio.create_task(self._run(number))

    def drop(self, ids: frozenset[str]) -> None:
        """Forget letters that wait."""
        self._pile.remove(ids)

    async def settle(self, seconds: float) -> None:
        """Wait a while for what is under way, then leave the rest to the ledger."""
        tasks = list(self._busy.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def abandon(self) -> None:
        """Stop at once and forget everything that waits: another node delivers it."""
        await self.settle(0)
        self._pile.clear()

    def _drop_surplus(self) -> None:
        kind, oldest = self._pile.surplus()
        if kind not in self._dropping:
            self._dropping.add(kind)
            log.warning(
                "webhooks dropped, too many wait",
                target=self._label,
                type=kind,
                most_pending=self._policy.most_pending,
            )
        self._pile.remove([oldest.id])
        self.tally.dropped += 1
        self._ledger.remove([oldest.id])

    async def _run(self, number: int) -> None:
        try:
            while self._pile.first(number, 1):
                try:
                    await self._empty(number)
                except Exception:  # ours: a lane must not end with letters in it
                    log.exception("bug in the webhooks", target=self._label)
                    await self._sleep(self._policy.first_retry)
        finally:  # in the same step as the last look: a letter in between would wait for the next
            del self._busy[number]
            self._outage.leave(number)

    async def _empty(self, number: int) -> None:
        size = _BATCH if self.endpoint.batching else 1
        while self._pile.first(number, 1):
            if self.endpoint.batching:
                await self._sleep(self._policy.collect)
            letters = self._pile.first(number, size)
            if not letters:
                return
            await self._deliver(number, letters)
            self._pile.remove([letter.id for letter in letters])
            if len(self._pile) <= self._policy.most_pending // 2:
                self._dropping.clear()

    async def _deliver(self, number: int, letters: Sequence[Letter]) -> None:
        """Send one request until it is taken or given up; its bytes stay the same."""
        ids = [letter.id for letter in letters]
        events = [letter.body for letter in letters]
        body = write_body(time.time_ns() // 1_000_000, events)
        headers = {**dict(self.endpoint.headers), **request_headers(self._token, body, ids)}
        began, pause = self._clock(), self._policy.first_retry
        while True:
            while not self._ledger.may_deliver():  # we shall be abandoned, or it passes
                await self._sleep(_DOUBTFUL)
            error = await self._attempt(headers, body, events)
            if not error:
                self.tally.delivered += len(letters)
                self._ledger.remove(ids)
                self._outage.succeeded(number)
                return
            self._failed(number, letters, error)
            if self._clock() - began + pause > self._policy.give_up:
                self._bury(letters, error)
                return
            jittered = pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
            woken = await self._outage.pause(number, jittered)
            pause = (
                self._policy.first_retry if woken else min(2 * pause, self._policy.longest_retry)
            )

    async def _attempt(
        self, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> str:
        """Send once, and return why it was not taken; empty if it was."""
        try:
            await self._sender.send(self.endpoint.target, headers, body, events)
        except DeliveryFailed as error:
            return str(error) or type(error).__name__
        except Exception as error:
            log.exception("bug in the webhooks", target=self._label)
            return f"{type(error).__name__}: {error}"
        return ""

    def _failed(self, number: int, letters: Sequence[Letter], error: str) -> None:
        self.tally.failed_attempts += 1
        self.tally.last_error = error
        for letter in letters:
            letter.attempts += 1
            letter.error = error
        self._ledger.failed(letters)
        self._outage.failed(number, error)

    def _bury(self, letters: Sequence[Letter], error: str) -> None:
        self.tally.died += len(letters)
        log.warning(
            "webhook given up",
            target=self._label,
            events=len(letters),
            attempts=letters[0].attempts,
            error=error,
        )
        for letter in letters:
            self._ledger.bury(letter)
