"""Presence channels: who is there, who comes and who goes."""

import asyncio
from typing import Any

from oyez.conformance.check import ADVICE, DOCS, SDK, Checks
from oyez.conformance.client import SUCCEEDED, Client, Message
from oyez.conformance.expectations import Failed, expect, expect_fields, expect_that, shown
from oyez.conformance.probe import Probe

__all__ = ["ADDED", "CHECKS", "REMOVED", "members_in"]

CHECKS = Checks("websocket-protocol.md")
ADDED = "pusher_internal:member_added"
REMOVED = "pusher_internal:member_removed"


def changes(messages: list[Message]) -> list[tuple[str, object]]:
    """The member events among them: name and data."""
    return [(m.event, m.json()) for m in messages if m.event in (ADDED, REMOVED)]


def members_in(message: Message) -> dict[str, Any]:
    """What an acknowledgement says about members."""
    data = message.json()
    presence = data.get("presence") if isinstance(data, dict) else None
    if not isinstance(presence, dict) or not {"count", "ids", "hash"} <= presence.keys():
        raise Failed("presence with count, ids and hash", shown(message.data))
    return presence


async def presence_of(
    client: Client, channel: str, user: object, info: object = None
) -> dict[str, Any]:
    """What the acknowledgement of a new subscription says about members."""
    return members_in(await client.subscribe(channel, user, info))


@CHECKS.add("presence.members", "7.2", DOCS)
async def a_subscriber_learns_who_is_there(probe: Probe) -> None:
    """The acknowledgement has count, ids and hash of all users, the subscriber included."""
    channel = probe.channel("presence-")
    await probe.subscribed(channel, "u-1", {"name": "Zoë"})
    presence = await presence_of(await probe.connect(), channel, "u-2", {"name": "Ada"})
    expect("ids", sorted(presence["ids"]), ["u-1", "u-2"])
    expect("count", presence["count"], 2)
    expect("hash", presence["hash"], {"u-1": {"name": "Zoë"}, "u-2": {"name": "Ada"}})


@CHECKS.add("presence.join_order", "7.2", ADVICE)
async def ids_are_in_join_order(probe: Probe) -> None:
    """`ids` are in the order the users joined."""
    channel = probe.channel("presence-")
    for user in ("c", "a"):
        await probe.subscribed(channel, user)
    presence = await presence_of(await probe.connect(), channel, "b")
    expect("ids", presence["ids"], ["c", "a", "b"])


@CHECKS.add("presence.without_info", "7.1 and ambiguities.md A-22", ADVICE)
async def a_missing_user_info_is_an_empty_object(probe: Probe) -> None:
    """A member without user_info has `{}` in the hash and in member_added."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    presence = await presence_of(await probe.connect(), channel, "u-2")
    expect(
        "presence", presence, {"count": 2, "ids": ["u-1", "u-2"], "hash": {"u-1": {}, "u-2": {}}}
    )
    added = await watcher.wait_for(ADDED, channel)
    expect("data", added.json(), {"user_id": "u-2", "user_info": {}})


@CHECKS.add("presence.number_id", "7.1 and ambiguities.md A-40", DOCS | SDK)
async def a_number_becomes_a_string(probe: Probe) -> None:
    """An integer user_id becomes a string, in ids, hash, member_added and member_removed."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    client = await probe.connect()
    await client.ask(channel, '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}')
    presence = members_in(await client.wait_for(SUCCEEDED, channel))
    expect("ids", sorted(presence["ids"], key=str), ["10", "u-1"])
    expect("keys of hash", sorted(presence["hash"]), ["10", "u-1"])
    expect("user_id", (await watcher.wait_for(ADDED, channel)).json().get("user_id"), "10")
    await client.unsubscribe(channel)
    expect("data", (await watcher.wait_for(REMOVED, channel)).json(), {"user_id": "10"})


@CHECKS.add("presence.info_any_value", "7.1", ADVICE)
async def user_info_may_be_any_value(probe: Probe) -> None:
    """user_info passes through whatever JSON it is; other keys of channel_data are ignored."""
    for info in ({"a": {"b": [1, None]}}, "text", [1], 7, False):
        channel = probe.channel("presence-")
        presence = await presence_of(await probe.connect(), channel, "u", info)
        expect("presence", presence, {"count": 1, "ids": ["u"], "hash": {"u": info}})
    client = await probe.connect()
    channel = probe.channel("presence-")
    await client.ask(channel, '{"user_id":"u","role":"x","user_info":{"a":1}}')
    presence = members_in(await client.wait_for(SUCCEEDED, channel))
    expect("hash", presence["hash"], {"u": {"a": 1}})


@CHECKS.add("presence.any_id", "README.md 3.3", DOCS)
async def a_user_id_may_have_any_character(probe: Probe) -> None:
    """A presence user_id may be an e-mail address, a UUID or any text."""
    for user in ("ada+1@example.com", "9d3f0a2c-77d4-4c0e-8d3c-1f1f3a2b4c5d", "Zoë 世界/🌍"):
        channel = probe.channel("presence-")
        presence = await presence_of(await probe.connect(), channel, user)
        expect_fields("presence", presence, {"count": 1, "ids": [user]})


@CHECKS.add("presence.member_added", "7.2", DOCS)
async def others_learn_who_comes(probe: Probe) -> None:
    """member_added tells the others user_id and user_info, as a string of JSON."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    await probe.subscribed(channel, "u-2", {"name": "Ada"})
    added = await watcher.wait_for(ADDED, channel)
    expect("data", added.json(), {"user_id": "u-2", "user_info": {"name": "Ada"}})


@CHECKS.add("presence.member_added_not_to_self", "7.2 and README.md 7", DOCS)
async def one_does_not_see_oneself_come(probe: Probe) -> None:
    """The joining connection does not get its own member_added."""
    channel = probe.channel("presence-")
    client = await probe.subscribed(channel, "u-1")
    expect("events", changes(await probe.before_marker(channel, client)), [])


@CHECKS.add("presence.member_added_once", "7.2", DOCS)
async def a_second_connection_is_no_news(probe: Probe) -> None:
    """A second connection of a user is no member_added, and the count stays."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    await probe.subscribed(channel, "u-2")
    second = await probe.connect()
    presence = await presence_of(second, channel, "u-2")
    expect("count", presence["count"], 2)
    events = [name for name, _ in changes(await probe.before_marker(channel, watcher))]
    expect("events", events, [ADDED])


@CHECKS.add("presence.member_removed", "7.2", DOCS)
async def others_learn_who_goes(probe: Probe) -> None:
    """member_removed tells the others the user_id, after an unsubscribe and after a disconnect."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    leaver, closer = await probe.subscribed(channel, "u-2"), await probe.subscribed(channel, "u-3")
    await leaver.unsubscribe(channel)
    expect("data", (await watcher.wait_for(REMOVED, channel)).json(), {"user_id": "u-2"})
    await closer.close()
    expect("data", (await watcher.wait_for(REMOVED, channel)).json(), {"user_id": "u-3"})


@CHECKS.add("presence.member_removed_lost", "6.3", DOCS)
async def a_lost_connection_is_gone(probe: Probe) -> None:
    """A connection that breaks without a close frame is removed too."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    client = await probe.subscribed(channel, "u-2")
    client.socket.transport.abort()
    expect("data", (await watcher.wait_for(REMOVED, channel)).json(), {"user_id": "u-2"})


@CHECKS.add("presence.member_removed_once", "7.2", DOCS)
async def a_user_goes_with_the_last_connection(probe: Probe) -> None:
    """member_removed comes when a user's last connection goes, and only then."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    first, second = await probe.subscribed(channel, "u-2"), await probe.subscribed(channel, "u-2")
    await first.unsubscribe(channel)
    await first.read_until_pong()
    events = [name for name, _ in changes(await probe.before_marker(channel, watcher))]
    expect("events after the first has gone", events, [ADDED])
    await second.unsubscribe(channel)
    await second.read_until_pong()
    await watcher.wait_for(REMOVED, channel)
    expect("further events", changes(await probe.before_marker(channel, watcher)), [])


@CHECKS.add("presence.member_removed_not_to_self", "7.2", DOCS)
async def one_does_not_see_oneself_go(probe: Probe) -> None:
    """The leaving connection does not get its own member_removed."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    client = await probe.subscribed(channel, "u-2")
    await client.unsubscribe(channel)
    await watcher.wait_for(REMOVED, channel)
    expect("events", changes(await client.read_until_pong()), [])


@CHECKS.add("presence.first_info_stays", "7.2 and ambiguities.md A-41", ADVICE)
async def the_first_user_info_stays(probe: Probe) -> None:
    """The user_info of a user's first connection stays until the user has left."""
    channel = probe.channel("presence-")
    await probe.subscribed(channel, "u-1", {"v": 1})
    presence = await presence_of(await probe.connect(), channel, "u-1", {"v": 2})
    expect("presence", presence, {"count": 1, "ids": ["u-1"], "hash": {"u-1": {"v": 1}}})


@CHECKS.add("presence.return", "7.2", DOCS)
async def a_user_can_return(probe: Probe) -> None:
    """A user who has left and returns is added again, with the new user_info."""
    channel = probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    client = await probe.subscribed(channel, "u-2", {"v": 1})
    await client.unsubscribe(channel)
    await watcher.wait_for(REMOVED, channel)
    await client.subscribe(channel, "u-2", {"v": 2})
    added = await watcher.wait_for(ADDED, channel)
    expect("data", added.json(), {"user_id": "u-2", "user_info": {"v": 2}})


@CHECKS.add("presence.api_events", "5", DOCS)
async def a_presence_channel_carries_events(probe: Probe) -> None:
    """Events of the API reach all members, without a user_id."""
    channel = probe.channel("presence-")
    client = await probe.subscribed(channel, "u-1")
    await probe.publish(channel, "event", "x")
    message = await client.wait_for("event", channel)
    expect("message", message.value, {"event": "event", "channel": channel, "data": "x"})


@CHECKS.add("presence.no_subscription_count", "7.2 and 11", DOCS)
async def members_are_not_counted_as_subscriptions(probe: Probe) -> None:
    """subscription_count events are never sent on presence channels."""
    for prefix in ("presence-", "presence-cache-"):
        channel = probe.channel(prefix)
        client = await probe.subscribed(channel, "u-1")
        await probe.subscribed(channel, "u-2")
        events = [m.event for m in await probe.before_marker(channel, client)]
        found = [event for event in events if event.endswith(":subscription_count")]
        expect("events", found, [])


async def crowded(probe: Probe) -> tuple[str, Client]:
    """A presence channel with 100 users, and one of their connections."""
    channel = probe.channel("presence-")
    clients = await asyncio.gather(*(probe.connect() for _ in range(100)))
    await asyncio.gather(*(c.subscribe(channel, f"u-{n}") for n, c in enumerate(clients)))
    return channel, clients[0]


@CHECKS.add("limits.presence_members", "README.md 4", DOCS)
async def a_presence_channel_can_be_full(probe: Probe) -> None:
    """100 users fit into a presence channel, the next one is refused."""
    channel, _ = await crowded(probe)
    client = await probe.connect()
    await client.ask(channel, '{"user_id":"one-more"}')
    events = ("pusher:error", "pusher:subscription_error", SUCCEEDED)
    answer = (await client.read_until(lambda m: m.event in events, "a refusal"))[-1]
    expect_that(answer.event != SUCCEEDED, "a refusal", answer.text)
    users = (await probe.api.get(f"/channels/{channel}", info="user_count")).ok()
    expect("user_count", users.get("user_count"), 100)


@CHECKS.add("limits.presence_members.text", "6.2", ADVICE)
async def a_full_channel_is_explained(probe: Probe) -> None:
    """`pusher:error` says “Presence channel X has reached its limit of 100 members”."""
    channel, _ = await crowded(probe)
    client = await probe.connect()
    await client.ask(channel, '{"user_id":"one-more"}')
    text = f"Presence channel {channel} has reached its limit of 100 members"
    error = await client.wait_for("pusher:error")
    expect("data", error.data, {"code": None, "message": text})


@CHECKS.add("limits.presence_members_again", "README.md 4 and 7.2", DOCS)
async def a_member_may_open_more_connections(probe: Probe) -> None:
    """A user who is in a full channel may open further connections to it."""
    channel, _ = await crowded(probe)
    await probe.subscribed(channel, "u-7")


@CHECKS.add("limits.presence_members_freed", "README.md 4", DOCS)
async def a_place_becomes_free(probe: Probe) -> None:
    """When a user has left a full channel, another one may join."""
    channel, client = await crowded(probe)
    await client.unsubscribe(channel)
    await client.read_until_pong()
    await probe.subscribed(channel, "one-more")
