"""What anybody may cause to be told is bounded, and costs nothing that others cause."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from oyez.protocol.signing import Token
from oyez.protocol.webhooks import EVENT_TYPES, Endpoint, WebhookEvent, name_of, write_event
from oyez.server.webhooks import letters as letters_module
from oyez.server.webhooks import writer as writer_module
from oyez.server.webhooks.courier import Courier, Policy
from oyez.server.webhooks.database import Database
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Change, Desk, Letter, OutboxUnavailable
from oyez.server.webhooks.local import LocalLedger
from oyez.server.webhooks.outbox import Outbox
from oyez.server.webhooks.presences import Signal
from oyez.server.webhooks.shares import fair_share
from oyez.server.webhooks.writer import Writer

NUMBERS = itertools.count(1)


def letter(name: str, channel: str, *, app_id: str = "1", count: int | None = None) -> Letter:
    body = write_event(WebhookEvent(name, channel, subscription_count=count))
    number = next(NUMBERS)
    return Letter(f"{number}", number, app_id, "http://x", channel, body, number)


class Kept:
    """A ledger that notes what is no longer needed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove(self, ids: Sequence[str]) -> None:
        self.removed += ids

    def failed(self, letters: Sequence[Letter]) -> None: ...

    def bury(self, letter: Letter) -> None: ...

    def may_deliver(self) -> bool:
        return True


class Receives:
    """Takes nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.taken: list[bytes] = []

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        await self.opened.wait()
        self.taken += events

    async def close(self) -> None: ...


async def settle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


def a_courier(receives: Receives, kept: Kept, most: int) -> Courier:
    endpoint = Endpoint("http://x", frozenset(EVENT_TYPES))
    policy = Policy(most_pending=most)
    return Courier(endpoint, Token("k", "s"), receives, kept, policy, sleep=at_once)


async def test_of_the_counts_of_a_channel_only_the_last_one_waits() -> None:
    receives, kept = Receives(), Kept()
    courier = a_courier(receives, kept, 20_000)
    for count in range(1000):
        for channel in ("news", "sports"):
            courier.post(letter("subscription_count", channel, count=count))
        if count == 500:
            await settle()  # one of each is under way
    waiting = courier.pending
    receives.opened.set()
    await settle()

    assert waiting <= 4
    for channel in ("news", "sports"):
        told = [body for body in receives.taken if f'"{channel}"'.encode() in body]
        assert len(told) <= 2
        assert b'"subscription_count":999}' in told[-1]
    assert len(set(kept.removed)) == 2000
    assert (courier.pending, courier.tally.dropped) == (0, 0)


@pytest.mark.parametrize("flood", ["subscription_count", "channel_occupied", "client_event"])
async def test_a_flood_of_one_type_costs_only_that_type(flood: str) -> None:
    receives, kept = Receives(), Kept()
    courier = a_courier(receives, kept, 100)
    others = [letter("member_added", f"presence-{number}") for number in range(20)]
    with capture_logs() as log:
        for each in others:
            courier.post(each)
        for number in range(1000):
            courier.post(letter(flood, f"c{number}", count=1))
        late = letter("channel_vacated", "news")
        courier.post(late)

    assert courier.pending == 100
    waiting = {each.id for each in courier.letters()}
    assert waiting >= {late.id, *(each.id for each in others)}
    assert [(line["event"], line["type"]) for line in log] == [
        ("webhooks dropped, too many wait", flood)
    ]
    assert courier.tally.dropped == len(kept.removed) == 921
    receives.opened.set()
    await settle()
    assert {name_of(body) for body in receives.taken} == {"member_added", flood, "channel_vacated"}
    assert courier.pending == 0


async def test_what_is_dropped_is_the_oldest_of_what_there_is_most_of() -> None:
    receives, kept = Receives(), Kept()
    courier = a_courier(receives, kept, 10)
    for number in range(20):
        courier.post(letter("channel_occupied", f"c{number}"))
        courier.post(letter("channel_vacated", f"c{number}"))

    with capture_logs():
        waiting = courier.letters()
    assert [each.channel for each in waiting] == [f"c{n}" for n in range(15, 20) for _ in "ab"]
    receives.opened.set()
    await settle()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 100))
def test_a_share_is_fair(sizes: list[int], most: int) -> None:
    share = fair_share(sizes, most)

    kept = [min(size, share) for size in sizes]
    assert sum(kept) <= most
    if sum(sizes) <= most:
        assert kept == sizes
    else:
        assert sum(kept) > most - len(sizes)


async def test_the_dead_of_one_app_or_type_push_out_no_others(
    shared_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters_module, "MOST_DEAD", 30)
    few = [
        *(letter("channel_occupied", f"c{n}", app_id="2") for n in range(5)),
        *(letter("member_added", "presence-x") for _ in range(5)),
        *(letter("channel_occupied", f"c{n}") for n in range(5)),
    ]
    many = [letter("channel_vacated", f"c{number}") for number in range(100)]
    async with Outbox(shared_url) as outbox:
        await outbox.store(Change([*few, *many]))
        for each in (*few, *many):
            outbox.bury(each)
        await outbox.store(Change())
        kept = {each.id for each in await outbox.dead()}

    assert kept == {each.id for each in (*few, *many[-15:])}


class Away:
    """A database that does not answer."""

    async def write(self, do: object) -> object:
        raise OutboxUnavailable("away")


async def test_while_the_database_is_away_everybody_keeps_a_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "MOST_WAITING", 5000)
    database = cast(Database, Away())
    writer = Writer(database, {}, lambda before, letters: None, patience=1)
    running = asyncio.create_task(writer.run(cast(Desk, None)))
    with capture_logs() as log:
        await writer.keep(letters=[letter("member_added", "presence-x", app_id="2")])
        writer.note([Signal(Presence("2", "news"), True, 1)])
        for number in range(20_000):
            await writer.keep(letters=[letter("client_event", f"private-{number}")])
            writer.note([Signal(Presence("3", f"c{number}"), True, number)])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    batches = writer._batches
    kept = Counter(each.app_id for batch in batches for each in batch.letters)
    kept.update(each.presence.app_id for batch in batches for each in batch.signals)
    assert sum(kept.values()) <= 6001
    assert kept["2"] == 2
    assert min(kept["1"], kept["3"]) > 1500
    assert {app_id for batch in batches for app_id in batch.doubted} == {"3"}
    lost = [line for line in log if line["event"].startswith("webhooks lost")]
    assert set(lost[0]["events"]) == {"client_event of 1", "presence of 3"}


def steps(misses: int, path: Path) -> int:
    """How many lines of code it takes to see so many cache misses, each of another channel."""
    ledger = LocalLedger(Outbox(f"sqlite:///{path / 'outbox.db'}"), {})
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return trace

    async def miss() -> None:
        sys.settrace(trace)
        for number in range(misses):
            assert await ledger.is_first("1", f"cache-{number}", 300.0)
        sys.settrace(None)
        assert not await ledger.is_first("1", "cache-0", 300.0)

    asyncio.run(miss())
    return count


def test_a_cache_miss_costs_the_same_however_many_there_were(tmp_path: Path) -> None:
    assert steps(800, tmp_path) < 2.5 * steps(400, tmp_path)
