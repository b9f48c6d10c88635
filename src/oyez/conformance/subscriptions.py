"""Subscribing and unsubscribing, for every type of channel."""

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, SDK, Checks, Source
from oyez.conformance.client import SUCCEEDED
from oyez.conformance.expectations import Failed, expect, expect_fields, expect_that, shown
from oyez.conformance.presence import members_in
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")

# README.md 5: prefix, whether a signature is needed, whether it has members.
TYPES = (
    ("public", "", False, False),
    ("public_cache", "cache-", False, False),
    ("private", "private-", True, False),
    ("private_cache", "private-cache-", True, False),
    ("encrypted", "private-encrypted-", True, False),
    ("encrypted_cache", "private-encrypted-cache-", True, False),
    ("presence", "presence-", True, True),
    ("presence_cache", "presence-cache-", True, True),
)


def _type(name: str, prefix: str, signed: bool, members: bool) -> None:
    async def is_subscribed(probe: Probe) -> None:
        channel = probe.channel(prefix)
        client = await probe.connect()
        message = await client.subscribe(channel, "u-1" if members else None)
        if members:
            expect_fields("members", members_in(message), {"count": 1, "ids": ["u-1"]})
        await probe.publish(channel, "event", "x")
        await client.wait_for("event", channel)

    async def needs_a_signature(probe: Probe) -> None:
        channel = probe.channel(prefix)
        client = await probe.connect()
        data = '{"user_id":"u-1"}' if members else None
        for auth in ("", ..., f"{probe.app.key}:{'0' * 64}"):
            await client.ask(channel, data, auth=auth)
            messages = await client.read_until_pong()
            events = [message.event for message in messages]
            expect_that(SUCCEEDED not in events, "no subscription without signature", events)
        expect("occupied", await probe.occupied(channel), False)

    what = name.replace("_", " ")
    rule = f"A subscription to a {what} channel is acknowledged, and gets what is published."
    CHECKS.add(f"channels.{name}", "README.md 5", DOCS, rule=rule)(is_subscribed)
    if signed:
        rule = f"A subscription to a {what} channel needs a good signature."
        CHECKS.add(f"channels.{name}.signed", "README.md 5", DOCS, rule=rule)(needs_a_signature)


for _row in TYPES:
    _type(*_row)


@CHECKS.add("ws.subscribe.ack_form", "2 and 6.1", DOCS | SDK)
async def the_acknowledgement_has_string_data(probe: Probe) -> None:
    """subscription_succeeded has the channel and the string `{}` as data, never no data."""
    client = await probe.connect()
    for prefix in ("", "private-", "cache-", "private-cache-", "private-encrypted-cache-"):
        channel = probe.channel(prefix)
        message = await client.subscribe(channel)
        expect("message", message.value, {"event": SUCCEEDED, "channel": channel, "data": "{}"})


@CHECKS.add("channels.prefix_anchored", "README.md 5", DOCS)
async def prefixes_stand_at_the_beginning(probe: Probe) -> None:
    """`my-private-x`, `xcache-y`, `cached` and `Private-z` are plain public channels."""
    client = await probe.connect()
    for prefix in ("my-private-", "xcache-", "cached", "x-presence-", "Private-"):
        channel = probe.channel(prefix)
        await client.subscribe(channel)
        extra = [m.event for m in await probe.before_marker(channel, client)]
        expect_that("pusher:cache_miss" not in extra, f"no cache for {channel}", extra)


@CHECKS.add("channels.prefix_alone", "README.md 3.1", ADVICE)
async def a_prefix_alone_is_a_name(probe: Probe) -> None:
    """`private-` with nothing after it is a legal name."""
    client = await probe.connect()
    await client.subscribe("private-")
    await client.unsubscribe("private-")


@CHECKS.add("channels.case", "README.md 3.1", DOCS)
async def case_matters(probe: Probe) -> None:
    """Names that differ in case are different channels."""
    channel = probe.channel("case-")
    client = await probe.subscribed(channel)
    await probe.publish(channel.upper(), "event", "x")
    messages = await probe.before_marker(channel, client)
    expect("events", [m.event for m in messages if m.event == "event"], [])


@CHECKS.add("channels.users_only_presence", "README.md 5", DOCS)
async def only_presence_channels_have_users(probe: Probe) -> None:
    """`/users` works on presence and presence-cache channels."""
    for prefix in ("presence-", "presence-cache-"):
        channel = probe.channel(prefix)
        await probe.subscribed(channel, "u-1")
        users = (await probe.api.get(f"/channels/{channel}/users")).ok().get("users")
        expect("users", users, [{"id": "u-1"}])


@CHECKS.add("ws.subscribe.auth_ignored_on_public", "6.1", SDK)
async def public_channels_ignore_auth(probe: Probe) -> None:
    """On public channels `auth` may be empty, absent, null or anything."""
    for auth in ("", ..., None, "nonsense"):
        client = await probe.connect()
        channel = probe.channel()
        await client.ask(channel, auth=auth)
        await client.wait_for(SUCCEEDED, channel)


@CHECKS.add("ws.subscribe.string_data", "2", ADVICE)
async def data_may_be_a_string(probe: Probe) -> None:
    """The data of pusher:subscribe may be a string of JSON, as Java sends it."""
    client, channel = await probe.connect(), probe.channel()
    await client.send("pusher:subscribe", f'{{"channel":"{channel}"}}')
    await client.wait_for(SUCCEEDED, channel)


@CHECKS.add("ws.subscribe.ack_first", "6.1", DOCS)
async def the_acknowledgement_comes_first(probe: Probe) -> None:
    """Nothing of a channel arrives before pusher_internal:subscription_succeeded."""
    for prefix, user in (("", None), ("private-", None), ("presence-", "u-1"), ("cache-", None)):
        channel = probe.channel(prefix)
        client = await probe.connect()
        await client.ask(channel, '{"user_id":"u-1"}' if user else None)
        await probe.publish(channel, "event", "x")
        await client.wait_for(SUCCEEDED, channel)
        first = next(m for m in client.seen if m.channel == channel)
        expect("first message", first.event, SUCCEEDED)


@CHECKS.add("ws.subscribe.again", "6.1", DOCS)
async def one_can_come_back(probe: Probe) -> None:
    """Unsubscribing and subscribing again on one connection works, with the same signature."""
    channel = probe.channel("private-")
    client = await probe.subscribed(channel)
    for _ in range(2):
        await client.unsubscribe(channel)
        await client.subscribe(channel)
    await probe.publish(channel, "event", "x")
    messages = await probe.before_marker(channel, client)
    expect("deliveries", [m.event for m in messages].count("event"), 1)


@CHECKS.add("ws.unsubscribe.silent", "6.1", DOCS)
async def unsubscribing_is_not_acknowledged(probe: Probe) -> None:
    """pusher:unsubscribe is not answered."""
    client = await probe.subscribed(channel := probe.channel())
    await client.read_until_pong()
    await client.unsubscribe(channel)
    expect("messages", [m.text for m in await client.read_until_pong()], [])


@CHECKS.add("ws.subscribe.twice", "6.2 and ambiguities.md A-34", OBSERVED)
async def a_second_subscription_is_refused(probe: Probe) -> None:
    """A second subscription to the same channel is refused, and the first one stays."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await client.ask(channel)
    error = await client.wait_for("pusher:error")
    expect("text", error.error_text(), f"Existing subscription to channel {channel}")
    await probe.publish(channel, "event", "x")
    messages = await probe.before_marker(channel, client)
    expect("deliveries", [m.event for m in messages].count("event"), 1)


@CHECKS.add("ws.subscribe.twice_once", "6.2", OBSERVED)
async def a_second_subscription_is_not_acknowledged(probe: Probe) -> None:
    """A second subscription is neither acknowledged nor told as pusher:subscription_error."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await client.ask(channel)
    messages = await probe.before_marker(channel, client)
    events = [m.event for m in messages]
    expect_that(SUCCEEDED not in events, "no second acknowledgement", events)
    expect_that("pusher:subscription_error" not in events, "no subscription_error", events)


@CHECKS.add("ws.unsubscribe.unknown", "6.2", OBSERVED)
async def one_cannot_leave_what_one_has_not_joined(probe: Probe) -> None:
    """Unsubscribing without a subscription is refused with the observed text."""
    client, channel = await probe.connect(), probe.channel()
    await client.unsubscribe(channel)
    error = await client.wait_for("pusher:error")
    text = f"No current subscription to channel {channel}, or subscription in progress"
    expect("text", error.error_text(), text)


@CHECKS.add("ws.subscribe.many", "README.md 4", ADVICE)
async def subscriptions_are_not_limited(probe: Probe) -> None:
    """One connection may have 200 subscriptions."""
    client = await probe.connect()
    channels = [probe.channel() for _ in range(200)]
    for channel in channels:
        await client.ask(channel)
    for channel in channels:
        await client.wait_for(SUCCEEDED, channel)


def _signed_with(id: str, source: Source, what: str, prefix: str, data: str) -> None:
    async def is_accepted(probe: Probe) -> None:
        channel = probe.channel(prefix)
        client = await probe.connect()
        await client.ask(channel, data)
        await client.wait_for(SUCCEEDED, channel)

    CHECKS.add(id, "auth.md 1.3", source, rule=f"{what}.")(is_accepted)


_signed_with(
    "ws.auth.exact_bytes",
    DOCS | SDK,
    "channel_data is verified as it travels, with its spaces, escapes and key order",
    "presence-",
    '{ "user_info": {"n":"\\u00fc\\/ 世界"},  "user_id" :"u-1" }',
)
_signed_with(
    "ws.auth.private_channel_data",
    ADVICE,
    "channel_data on a private channel is part of what is signed",
    "private-",
    '{"x":1}',
)


@CHECKS.add("ws.auth.other_socket", "auth.md 1.3", DOCS)
async def another_sockets_signature_is_refused(probe: Probe) -> None:
    """A signature made for another socket id or another channel does not fit."""
    channel = probe.channel("private-")
    client, other = await probe.connect(), await probe.connect()
    for auth in (other.auth(channel), client.auth(f"{channel}x"), client.user_auth(channel)):
        await client.ask(channel, auth=auth)
        events = [m.event for m in await client.read_until_pong()]
        if SUCCEEDED in events:
            raise Failed("a refusal", shown(events))
    expect("occupied", await probe.occupied(channel), False)


@CHECKS.add("ws.auth.other_app", "auth.md 1.3", DOCS, "other")
async def another_apps_signature_is_refused(probe: Probe) -> None:
    """A signature made with another app's key and secret is refused."""
    channel = probe.channel("private-")
    client = await probe.connect()
    client.app, own = probe.second("other"), client.app
    auth = client.auth(channel)
    client.app = own
    await client.ask(channel, auth=auth)
    error = await client.wait_for("pusher:error")
    key = probe.second("other").key
    expect("text", error.error_text(), f"Invalid key in subscription auth data: '{key}'")
