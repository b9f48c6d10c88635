"""Watchlists, and how a backend ends the connections of a user."""

import asyncio

from oyez.conformance.check import ADVICE, DOCS, PEERS, SDK, Checks
from oyez.conformance.client import Client, Message
from oyez.conformance.expectations import Failed, expect, expect_that, shown
from oyez.conformance.presence import REMOVED
from oyez.conformance.probe import Probe
from oyez.conformance.users import TO_USER, signed_in

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
ON = "users"
EVENT = "pusher_internal:watchlist_events"
_REASON = "You got disconnected by the app."
_PATIENCE = 5.0  # offline may be delayed by 3 s


def states(message: Message) -> dict[str, list[str]]:
    """Who is online and who offline, according to one message."""
    data = message.json()
    events = data.get("events") if isinstance(data, dict) else None
    if not isinstance(events, list) or not all(isinstance(each, dict) for each in events):
        raise Failed("a list of events", shown(message.text))
    return {each["name"]: sorted(each["user_ids"]) for each in events}


async def watch(probe: Probe, *users: str) -> tuple[Client, dict[str, list[str]]]:
    """A new client that watches these users, and what it is told at first."""
    client = await signed_in(probe, probe.user(), watchlist=list(users))
    return client, states(await client.wait_for(EVENT))


async def next_states(client: Client) -> dict[str, list[str]]:
    """What the watcher is told next."""
    return states(await client.wait_for(EVENT, seconds=_PATIENCE))


@CHECKS.add("watchlist.first", "12.3", DOCS, ON)
async def a_watcher_learns_who_is_there(probe: Probe) -> None:
    """Right after signin_success the watcher is told who is online and who offline."""
    here, away = probe.user(), probe.user()
    await signed_in(probe, here)
    _, found = await watch(probe, here, away)
    expect("states", found, {"online": [here], "offline": [away]})


@CHECKS.add("watchlist.form", "12.3", DOCS | SDK, ON)
async def watchlist_events_have_no_channel(probe: Probe) -> None:
    """Watchlist events have no channel, and string data."""
    client, _ = await watch(probe, probe.user())
    message = next(message for message in client.seen if message.event == EVENT)
    expect("fields", sorted(message.value), ["data", "event"])


@CHECKS.add("watchlist.empty_list_left_out", "12.3", DOCS, ON)
async def an_empty_list_is_left_out(probe: Probe) -> None:
    """If all are online there is no offline list, and the other way round."""
    here = probe.user()
    await signed_in(probe, here)
    expect("states", (await watch(probe, here))[1], {"online": [here]})
    away = probe.user()
    expect("states", (await watch(probe, away))[1], {"offline": [away]})


@CHECKS.add("watchlist.empty", "12.3", DOCS, ON)
async def an_empty_watchlist_is_silent(probe: Probe) -> None:
    """An empty watchlist, or none, sends nothing."""
    without: tuple[dict[str, object], ...] = ({"watchlist": []}, {})
    for more in without:
        client = await signed_in(probe, probe.user(), **more)
        events = [message.event for message in await client.read_until_pong()]
        expect_that(EVENT not in events, "no watchlist events", events)


@CHECKS.add("watchlist.online", "12.3", DOCS, ON)
async def a_watcher_learns_who_comes(probe: Probe) -> None:
    """The first connection of a watched user is told as online, further ones are not."""
    user, other = probe.user(), probe.user()
    watcher, _ = await watch(probe, user, other)
    await signed_in(probe, user)
    expect("states", await next_states(watcher), {"online": [user]})
    await signed_in(probe, user)
    await signed_in(probe, other)
    expect("states", await next_states(watcher), {"online": [other]})


@CHECKS.add("watchlist.offline", "12.3", DOCS, ON)
async def a_watcher_learns_who_goes(probe: Probe) -> None:
    """The end of the last connection of a watched user is told as offline, of others not."""
    user = probe.user()
    first, second = await signed_in(probe, user), await signed_in(probe, user)
    watcher, _ = await watch(probe, user)
    await first.close()
    await asyncio.sleep(0.1)
    events = [message.event for message in await watcher.read_until_pong()]
    expect_that(EVENT not in events, "nothing while one connection is there", events)
    await second.close()
    expect("states", await next_states(watcher), {"offline": [user]})


@CHECKS.add("watchlist.others_not_told", "12.3", DOCS, ON)
async def only_watchers_are_told(probe: Probe) -> None:
    """Connections whose signin had no watchlist with the user are told nothing."""
    user = probe.user()
    watcher, _ = await watch(probe, user)
    stranger = await signed_in(probe, probe.user())
    await signed_in(probe, user)
    await next_states(watcher)
    events = [message.event for message in await stranger.read_until_pong()]
    expect_that(EVENT not in events, "nothing at others", events)


@CHECKS.add("watchlist.presence_irrelevant", "12.3", DOCS, ON)
async def presence_is_not_online(probe: Probe) -> None:
    """Membership in a presence channel does not make a user online."""
    user = probe.user()
    await probe.subscribed(probe.channel("presence-"), user)
    expect("states", (await watch(probe, user))[1], {"offline": [user]})


@CHECKS.add("watchlist.self", "12.3", ADVICE, ON)
async def one_is_online_to_oneself(probe: Probe) -> None:
    """A user in the own watchlist is reported online."""
    user = probe.user()
    client = await signed_in(probe, user, watchlist=[user])
    expect("states", states(await client.wait_for(EVENT)), {"online": [user]})


@CHECKS.add("limits.watchlist", "12.3 and README.md 4", DOCS, ON)
async def a_watchlist_has_a_limit(probe: Probe) -> None:
    """Of 101 ids the first 100 are kept, and signing in succeeds."""
    users = [probe.user() for _ in range(101)]
    _, found = await watch(probe, *users)
    expect("states", found, {"offline": sorted(users[:100])})


@CHECKS.add("limits.watchlist_4302", "12.3", DOCS, ON)
async def too_long_a_watchlist_is_told(probe: Probe) -> None:
    """101 ids get `pusher:error` 4302 after signin_success, and the connection stays."""
    client = await signed_in(probe, probe.user(), watchlist=[probe.user() for _ in range(101)])
    error = await client.wait_for("pusher:error")
    text = "Watchlist limit exceeded. Only the first 100 user IDs are accepted."
    expect("data", error.data, {"code": 4302, "message": text})
    await client.read_until_pong()


@CHECKS.add("limits.watchlist_100", "12.3", DOCS, ON)
async def a_hundred_ids_are_no_error(probe: Probe) -> None:
    """100 ids are accepted without an error."""
    client, found = await watch(probe, *(probe.user() for _ in range(100)))
    expect("number of offline users", len(found.get("offline", [])), 100)
    errors = [m.text for m in await client.read_until_pong() if m.event == "pusher:error"]
    expect("errors", errors, [])


@CHECKS.add("settings.watchlist_off", "README.md 6", DOCS, "featureless", ON)
async def watchlists_can_be_off(probe: Probe) -> None:
    """With watchlist events switched off nothing is told about anybody."""
    client = await probe.connect(app=probe.second("featureless"))
    text = '{"id":"u","watchlist":["v"]}'
    await client.send("pusher:signin", {"auth": client.user_auth(text), "user_data": text})
    events = [message.event for message in await client.read_until_pong()]
    expect_that(EVENT not in events, "no watchlist events", events)


async def terminate(probe: Probe, user: str) -> None:
    """End the connections of a user."""
    (await probe.api.post(f"/users/{user}/terminate_connections", {})).ok()


@CHECKS.add("terminate.4009", "12.4 and ambiguities.md A-27", PEERS, ON)
async def a_terminated_user_is_closed_with_4009(probe: Probe) -> None:
    """The connections are closed with 4009 “You got disconnected by the app.”."""
    user = probe.user()
    client = await signed_in(probe, user)
    await terminate(probe, user)
    closed, _ = await client.until_closed()
    expect("code and reason", (closed.code, closed.reason), (4009, _REASON))


@CHECKS.add("terminate.all", "12.4 and http-api.md 3.6", DOCS, ON)
async def all_connections_of_a_user_end(probe: Probe) -> None:
    """Every connection signed in as the user ends, in a way that is not reconnected at once."""
    user = probe.user()
    clients = [await signed_in(probe, user) for _ in range(3)]
    await terminate(probe, user)
    for client in clients:
        code = (await client.until_closed())[0].code
        expect_that(code in range(4000, 4100), "a close code from 4000 to 4099", code)


@CHECKS.add("terminate.others_stay", "http-api.md 3.6", DOCS, ON)
async def others_stay(probe: Probe) -> None:
    """Other users stay, and so do connections that only have this user_id as a member."""
    user, channel = probe.user(), probe.channel("presence-")
    member = await probe.subscribed(channel, user)
    other = await signed_in(probe, probe.user())
    target = await signed_in(probe, user)
    await terminate(probe, user)
    await target.until_closed()
    await member.read_until_pong()
    await other.read_until_pong()


@CHECKS.add("terminate.clean_up", "12.4", DOCS, ON)
async def a_terminated_user_leaves_channels(probe: Probe) -> None:
    """The presence memberships of the ended connections end."""
    user, channel = probe.user(), probe.channel("presence-")
    watcher = await probe.subscribed(channel, "u-1")
    client = await signed_in(probe, user)
    await client.subscribe(channel, user)
    await terminate(probe, user)
    expect("data", (await watcher.wait_for(REMOVED, channel)).json(), {"user_id": user})


@CHECKS.add("terminate.return", "http-api.md 3.6", DOCS, ON)
async def a_terminated_user_may_come_back(probe: Probe) -> None:
    """The user may connect and sign in again."""
    user = probe.user()
    client = await signed_in(probe, user)
    await terminate(probe, user)
    await client.until_closed()
    again = await signed_in(probe, user)
    await again.subscribe(TO_USER + user)


@CHECKS.add("terminate.old_protocol", "12.4 and 5.1", DOCS, ON)
async def old_clients_are_told_first(probe: Probe) -> None:
    """Below protocol 6 `pusher:error` comes first; from 6 on there is only the close frame."""
    user = probe.user()
    old = await probe.connect("protocol=5&client=java-client&version=2")
    await old.sign_in(user)
    new = await signed_in(probe, user)
    await terminate(probe, user)
    _, told = await old.until_closed()
    errors = [message.data for message in told if message.event == "pusher:error"]
    expect_that(len(errors) == 1, "pusher:error for protocol 5", errors)
    _, told = await new.until_closed()
    errors = [message.data for message in told if message.event == "pusher:error"]
    expect("pusher:error for protocol 7", errors, [])


@CHECKS.add("terminate.alias_ends", "http-api.md 3.10", ADVICE, ON)
async def the_alias_ends_connections(probe: Probe) -> None:
    """The path of the Python library, without `/apps/{id}`, ends the connections."""
    user = probe.user()
    client = await signed_in(probe, user)
    (await probe.api.call("POST", f"/users/{user}/terminate_connections", None, b"{}")).ok()
    expect("close code", (await client.until_closed())[0].code, 4009)
