"""Cache channels: the last event of the API, replayed to each new subscriber."""

from oyez.conformance.check import ADVICE, DOCS, Checks
from oyez.conformance.client import Client, Message
from oyez.conformance.expectations import expect, expect_that
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
MISS = "pusher:cache_miss"
_KINDS = (
    ("public", "cache-"),
    ("private", "private-cache-"),
    ("encrypted", "private-encrypted-cache-"),
    ("presence", "presence-cache-"),
)
_LIFETIME = 1800


async def first_after_joining(client: Client, channel: str) -> Message:
    """The first message of the channel after the acknowledgement."""
    await client.subscribe(channel, "u-1" if channel.startswith("presence-") else None)
    messages = await client.read_until(lambda m: m.channel == channel, f"a message on {channel}")
    return messages[-1]


def _kind(name: str, prefix: str) -> None:
    async def is_replayed(probe: Probe) -> None:
        channel = probe.channel(prefix)
        await probe.publish(channel, "price", '{"v": 1}')
        message = await first_after_joining(await probe.connect(), channel)
        expected = {"event": "price", "channel": channel, "data": '{"v": 1}'}
        expect("message", message.value, expected)

    async def is_missed(probe: Probe) -> None:
        channel = probe.channel(prefix)
        message = await first_after_joining(await probe.connect(), channel)
        expect("message", message.value, {"event": MISS, "channel": channel, "data": "{}"})

    rule = f"A {name} cache channel replays its last event right after the acknowledgement."
    CHECKS.add(f"cache.hit.{name}", "10", DOCS, rule=rule)(is_replayed)
    rule = f"A {name} cache channel without an event sends `pusher:cache_miss` with data `{{}}`."
    CHECKS.add(f"cache.miss.{name}", "10", DOCS, rule=rule)(is_missed)


for _row in _KINDS:
    _kind(*_row)


@CHECKS.add("cache.last_event", "10", DOCS)
async def the_last_event_counts(probe: Probe) -> None:
    """Each publish replaces the cached event, name and data."""
    channel = probe.channel("cache-")
    for number in range(3):
        await probe.publish(channel, f"event-{number}", str(number))
    message = await first_after_joining(await probe.connect(), channel)
    expect("event and data", (message.event, message.data), ("event-2", "2"))


@CHECKS.add("cache.to_newcomers_only", "10", DOCS)
async def only_the_newcomer_gets_it(probe: Probe) -> None:
    """Neither the replay nor the miss reaches those who are subscribed already."""
    channel = probe.channel("cache-")
    old = await probe.subscribed(channel)
    await old.wait_for(MISS, channel)
    await probe.subscribed(channel)
    await probe.publish(channel, "price", "1")
    await old.wait_for("price", channel)
    await first_after_joining(await probe.connect(), channel)
    messages = await probe.before_marker(channel, old)
    found = [m.event for m in messages if m.event in (MISS, "price")]
    expect("events", found, [])


@CHECKS.add("cache.once", "10", DOCS)
async def a_cached_event_comes_once(probe: Probe) -> None:
    """A new subscriber gets the cached event once, and no miss with it."""
    channel = probe.channel("cache-")
    await probe.publish(channel, "price", "1")
    client = await probe.subscribed(channel)
    messages = await probe.before_marker(channel, client)
    found = [m.event for m in messages if m.event in (MISS, "price")]
    expect("events", found, ["price"])


@CHECKS.add("cache.race", "10", DOCS)
async def a_publish_during_a_subscription_comes_once(probe: Probe) -> None:
    """A publish that happens during a subscription reaches the client exactly once."""
    for _ in range(10):
        channel = probe.channel("cache-")
        client = await probe.connect()
        await client.ask(channel)
        await probe.publish(channel, "price", "1")
        messages = await probe.before_marker(channel, client)
        found = [m.event for m in messages if m.event == "price"]
        expect("deliveries", found, ["price"])


@CHECKS.add("cache.vacated", "10", DOCS)
async def a_cache_outlives_its_subscribers(probe: Probe) -> None:
    """The cached event stays while nobody is subscribed."""
    channel = probe.channel("cache-")
    client = await probe.subscribed(channel)
    await probe.publish(channel, "price", "1")
    await client.close()
    await probe.vacated(channel)
    message = await first_after_joining(await probe.connect(), channel)
    expect("event", message.event, "price")


@CHECKS.add("cache.excluded_socket", "10 and ambiguities.md A-55", ADVICE)
async def an_excluded_socket_finds_the_event_later(probe: Probe) -> None:
    """An event that excluded a socket is cached, and replayed to that socket when it rejoins."""
    channel = probe.channel("cache-")
    client = await probe.subscribed(channel)
    await client.wait_for(MISS, channel)
    await probe.publish(channel, "price", "1", socket_id=client.socket_id)
    await client.unsubscribe(channel)
    message = await first_after_joining(client, channel)
    expect("event", message.event, "price")


@CHECKS.add("cache.batch", "10", DOCS)
async def batches_are_cached(probe: Probe) -> None:
    """Events of a batch are cached."""
    channel = probe.channel("cache-")
    events = [{"name": f"price-{n}", "channel": channel, "data": "1"} for n in range(2)]
    (await probe.api.post("/batch_events", {"batch": events})).ok()
    message = await first_after_joining(await probe.connect(), channel)
    expect("event", message.event, "price-1")


@CHECKS.add("cache.deprecated_route", "10", DOCS)
async def the_old_route_is_cached(probe: Probe) -> None:
    """Events of the deprecated per-channel route are cached."""
    channel = probe.channel("cache-")
    path = probe.api.path(f"/channels/{channel}/events")
    (await probe.api.call("POST", path, [("name", "price")], b"1")).expect(202)
    message = await first_after_joining(await probe.connect(), channel)
    expect("event", message.event, "price")


@CHECKS.add("cache.not_client_events", "10 and 8", DOCS, "client_events")
async def client_events_are_not_cached(probe: Probe) -> None:
    """Client events are never cached."""
    channel = probe.channel("private-cache-")
    client = await probe.subscribed(channel)
    await client.send("client-price", "1", channel=channel)
    await client.read_until_pong()
    message = await first_after_joining(await probe.connect(), channel)
    expect("event", message.event, MISS)


@CHECKS.add("cache.not_others", "README.md 5", DOCS)
async def other_channels_have_no_cache(probe: Probe) -> None:
    """Channels without a cache prefix neither replay nor miss anything."""
    for prefix in ("", "private-", "private-encrypted-", "presence-"):
        channel = probe.channel(prefix)
        await probe.publish(channel, "price", "1")
        client = await probe.subscribed(channel, "u-1" if prefix == "presence-" else None)
        messages = await probe.before_marker(channel, client)
        found = [m.event for m in messages if m.event in (MISS, "price")]
        expect(f"events on {prefix}", found, [])


@CHECKS.add("cache.info_empty", "http-api.md 3.4", DOCS)
async def an_empty_cache_is_null(probe: Probe) -> None:
    """`info=cache` of an empty cache channel answers null."""
    channel = probe.channel("cache-")
    answer = (await probe.api.get(f"/channels/{channel}", info="cache")).ok()
    expect("body", answer, {"occupied": False, "cache": None})


@CHECKS.add("cache.info", "http-api.md 3.4", DOCS)
async def a_cache_can_be_queried(probe: Probe) -> None:
    """`info=cache` answers the data and the whole seconds that are left."""
    channel = probe.channel("cache-")
    await probe.publish(channel, "price", '{"v": 1}')
    answer = (await probe.api.get(f"/channels/{channel}", info="cache")).ok()
    cache = answer.get("cache")
    expect_that(isinstance(cache, dict), "an object as cache", answer)
    if isinstance(cache, dict):
        expect("fields", sorted(cache), ["data", "ttl"])
        expect("data", cache["data"], '{"v": 1}')
        expect_that(type(cache["ttl"]) is int and cache["ttl"] >= 1, "whole seconds", cache)


@CHECKS.add("limits.cache_lifetime", "README.md 4 and ambiguities.md A-54", DOCS)
async def a_cache_lives_for_half_an_hour(probe: Probe) -> None:
    """A cached event has 1800 seconds to live."""
    channel = probe.channel("cache-")
    await probe.publish(channel, "price", "1")
    answer = (await probe.api.get(f"/channels/{channel}", info="cache")).ok()
    cache = answer.get("cache")
    ttl = cache.get("ttl") if isinstance(cache, dict) else None
    good = isinstance(ttl, int) and _LIFETIME - 15 <= ttl <= _LIFETIME
    expect_that(good, "a ttl of 1800 seconds or a little less", answer)
