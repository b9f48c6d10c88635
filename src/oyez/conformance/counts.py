"""Subscription counts: told to all subscribers when their number changes."""

import asyncio

from oyez.conformance.check import ADVICE, DOCS, Checks
from oyez.conformance.client import Client, Message
from oyez.conformance.expectations import Failed, expect, expect_that
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
COUNT = "pusher_internal:subscription_count"
ON = "subscription_count"
_THROTTLE = 5.0


async def wait_for_count(client: Client, channel: str, count: int) -> Message:
    """The next count event has this value; earlier values may be passed."""

    def wanted(message: Message) -> bool:
        is_count = message.event == COUNT and message.channel == channel
        return is_count and message.json() == {"subscription_count": count}

    return (await client.read_until(wanted, f"{COUNT} {count} on {channel}"))[-1]


def counts(messages: list[Message]) -> list[object]:
    """The values of the count events among them."""
    return [
        message.json().get("subscription_count") for message in messages if message.event == COUNT
    ]


def _kind(name: str, prefix: str) -> None:
    async def is_counted(probe: Probe) -> None:
        channel = probe.channel(prefix)
        first = await probe.subscribed(channel)
        await wait_for_count(first, channel, 1)
        second = await probe.subscribed(channel)
        await wait_for_count(first, channel, 2)
        await wait_for_count(second, channel, 2)

    rule = f"Each subscription to a {name} channel is counted to all subscribers, the new one too."
    CHECKS.add(f"counts.{name}", "11 and README.md 5", DOCS, ON, rule=rule)(is_counted)


for _name, _prefix in (
    ("public", ""),
    ("public_cache", "cache-"),
    ("private", "private-"),
    ("private_cache", "private-cache-"),
):
    _kind(_name, _prefix)


@CHECKS.add("counts.form", "11", DOCS, ON)
async def a_count_has_string_data(probe: Probe) -> None:
    """The data is a string with the number of subscriptions."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    message = await client.wait_for(COUNT, channel)
    expected = {"event": COUNT, "channel": channel, "data": '{"subscription_count":1}'}
    expect("message", message.value, expected)


@CHECKS.add("counts.after_acknowledgement", "6.1", DOCS, ON)
async def the_count_follows_the_acknowledgement(probe: Probe) -> None:
    """The count follows the acknowledgement, and on cache channels the cached event or the miss."""
    channel = probe.channel("cache-")
    client = await probe.subscribed(channel)
    await client.wait_for(COUNT, channel)
    events = [message.event for message in client.seen if message.channel == channel]
    expected = ["pusher_internal:subscription_succeeded", "pusher:cache_miss", COUNT]
    expect("events", events, expected)


@CHECKS.add("counts.unsubscribe", "11", DOCS, ON)
async def leaving_is_counted(probe: Probe) -> None:
    """An unsubscribe and a disconnect are counted to those who stay."""
    channel = probe.channel()
    first = await probe.subscribed(channel)
    second, third = await probe.subscribed(channel), await probe.subscribed(channel)
    await wait_for_count(first, channel, 3)
    await second.unsubscribe(channel)
    await wait_for_count(first, channel, 2)
    await third.close()
    await wait_for_count(first, channel, 1)


async def crowd(probe: Probe, channel: str, size: int) -> list[Client]:
    """So many subscribers."""
    clients = await asyncio.gather(*(probe.connect() for _ in range(size)))
    await asyncio.gather(*(client.subscribe(channel) for client in clients))
    return clients


@CHECKS.add("counts.up_to_100", "11 and README.md 4", DOCS, ON)
async def up_to_100_every_change_is_told(probe: Probe) -> None:
    """With at most 100 subscriptions every change is told."""
    channel = probe.channel()
    clients = await crowd(probe, channel, 99)
    await wait_for_count(clients[0], channel, 99)
    late = await probe.subscribed(channel)
    await wait_for_count(clients[0], channel, 100)
    await late.unsubscribe(channel)
    await wait_for_count(clients[0], channel, 99)
    await late.subscribe(channel)
    await wait_for_count(clients[0], channel, 100)


@CHECKS.add("counts.throttled", "11 and README.md 4", DOCS, ON)
async def above_100_counts_are_rare(probe: Probe) -> None:
    """Above 100 subscriptions at most one count is told in 5 s, with the value of then."""
    channel = probe.channel()
    clients = await crowd(probe, channel, 103)
    watcher, late = clients[0], await probe.connect()
    await probe.before_marker(channel, watcher)
    start = len(watcher.seen)
    for _ in range(5):
        await late.subscribe(channel)
        await late.unsubscribe(channel)
    await late.subscribe(channel)
    await probe.before_marker(channel, watcher)
    found = counts(watcher.seen[start:])
    expect_that(len(found) <= 1, "at most one count at once", found)
    try:
        await watcher.wait_for(COUNT, channel, seconds=_THROTTLE + 2)
    except Failed:
        expect_that(bool(found), "a count within 5 s", "none")
    expect("last count", counts(watcher.seen)[-1], 104)


@CHECKS.add("counts.throttled_silence", "11", DOCS, ON)
async def without_a_change_nothing_is_told(probe: Probe) -> None:
    """Above 100 subscriptions nothing is told as long as nothing changes."""
    channel = probe.channel()
    clients = await crowd(probe, channel, 101)
    await asyncio.sleep(_THROTTLE + 0.5)
    await probe.before_marker(channel, clients[0])
    start = len(clients[0].seen)
    await asyncio.sleep(_THROTTLE + 0.5)
    await probe.before_marker(channel, clients[0])
    expect("counts", counts(clients[0].seen[start:]), [])


@CHECKS.add("settings.subscription_count_off", "README.md 6", DOCS, "featureless")
async def counting_can_be_off(probe: Probe) -> None:
    """With counting switched off no subscription_count is told."""
    app = probe.second("featureless")
    channel = probe.channel()
    client = await probe.connect(app=app)
    await client.subscribe(channel)
    body = {"name": "marker", "channels": [channel], "data": "x"}
    (await probe.api_of(app).post("/events", body)).ok()
    await client.wait_for("marker", channel)
    expect("counts", counts(client.seen), [])


@CHECKS.add("settings.subscription_count_on", "README.md 6", ADVICE)
async def counting_is_on(probe: Probe) -> None:
    """Counting is switched on."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await client.wait_for(COUNT, channel)
