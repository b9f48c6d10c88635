"""The lanes of a courier whose endpoint fails: time is the test's own."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from oyez.protocol.signing import Token
from oyez.protocol.webhooks import Endpoint
from oyez.server.webhooks.courier import Courier, Policy
from oyez.server.webhooks.letters import Letter
from oyez.server.webhooks.senders import DeliveryFailed


class Time:
    """Goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.now + seconds, next(self._numbers), waiting))
        await waiting

    async def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        await settle()
        while self._sleeping and self._sleeping[0][0] <= until:
            self.now, _, waiting = heapq.heappop(self._sleeping)
            if not waiting.done():
                waiting.set_result(None)
            await settle()
        self.now = until


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Kept:
    """What a courier asks of a ledger, noted."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.dead: list[Letter] = []
        self.noted: list[tuple[str, int, str]] = []

    def remove(self, ids: Sequence[str]) -> None:
        self.removed += ids

    def failed(self, letters: Sequence[Letter]) -> None:
        self.noted += [(each.id, each.attempts, each.error) for each in letters]

    def bury(self, letter: Letter) -> None:
        self.dead.append(letter)

    def may_deliver(self) -> bool:
        return True


class Receives:
    """Takes what `fails` lets it; when each channel was tried is in `attempts`."""

    def __init__(self, time: Time, fails: Callable[[str], BaseException | None]) -> None:
        self.time = time
        self.fails = fails
        self.attempts: list[tuple[float, str]] = []

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        channel = events[0].decode()
        self.attempts.append((self.time.now, channel))
        if (error := self.fails(channel)) is not None:
            raise error

    async def close(self) -> None: ...


def a_courier(time: Time, receives: Receives, kept: Kept) -> Courier:
    endpoint = Endpoint("http://x", frozenset(), batching=False)
    return Courier(
        endpoint,
        Token("k", "s"),
        receives,
        kept,
        Policy(),
        clock=lambda: time.now,
        sleep=time.sleep,
    )


def letter(channel: str, number: int = 1) -> Letter:
    return Letter(f"{channel}-{number}", number, "1", "http://x", channel, channel.encode(), 0)


CHANNELS = [f"channel-{number}" for number in range(40)]  # all ten lanes have some


async def test_after_an_outage_what_is_new_is_late_by_seconds_only() -> None:
    time, kept = Time(), Kept()
    down = True
    receives = Receives(time, lambda _: DeliveryFailed("down") if down else None)
    courier = a_courier(time, receives, kept)
    with capture_logs() as log:
        for channel in CHANNELS:
            courier.post(letter(channel))
        await time.pass_by(120)
        assert kept.removed == []
        down = False
        for channel in CHANNELS:
            courier.post(letter(channel, 2))
        await time.pass_by(5)

    assert len(kept.removed) == 2 * len(CHANNELS)
    assert courier.pending == 0
    assert [line["event"] for line in log] == [
        "webhook endpoint fails",
        "webhook endpoint works again",
    ]
    assert 100 < log[1]["seconds"] <= 125
    lanes_together = [at for at, _ in receives.attempts if 60 < at < 120]
    assert len(lanes_together) < 40  # who is down is not asked by all lanes all the time


async def test_a_channel_that_is_refused_costs_no_attempt_per_success_of_others() -> None:
    time, kept = Time(), Kept()
    receives = Receives(time, lambda channel: DeliveryFailed("no") if channel == "bad" else None)
    courier = a_courier(time, receives, kept)
    courier.post(letter("bad"))
    with capture_logs() as log:
        for number in range(100):
            for channel in CHANNELS[:10]:
                courier.post(letter(channel, number))
            await time.pass_by(1)

    assert len([channel for _, channel in receives.attempts if channel == "bad"]) < 12
    assert len(log) <= 4


@pytest.mark.parametrize("error", [ValueError("a bug"), UnicodeEncodeError("ascii", "é", 0, 1, "")])
async def test_an_unknown_error_is_a_failed_attempt(error: Exception) -> None:
    time, kept = Time(), Kept()
    courier = a_courier(time, Receives(time, lambda _: error), kept)
    with capture_logs() as log:
        courier.post(letter("news"))
        await time.pass_by(400)

    assert [each.id for each in kept.dead] == ["news-1"]
    assert kept.dead[0].error.startswith(type(error).__name__)
    assert kept.dead[0].attempts > 5
    assert any(line["event"] == "bug in the webhooks" for line in log)


async def test_attempts_and_the_last_error_are_kept_while_they_wait() -> None:
    time, kept = Time(), Kept()
    courier = a_courier(time, Receives(time, lambda _: DeliveryFailed("answered 500")), kept)
    courier.post(letter("news"))
    await time.pass_by(4)

    assert kept.noted[-1] == ("news-1", len(kept.noted), "answered 500")
    assert courier.letters()[0].attempts == len(kept.noted) > 1
