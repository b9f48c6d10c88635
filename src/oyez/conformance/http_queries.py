"""Asking the HTTP API for channels, their counts and their members."""

from urllib.parse import quote

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, SDK, Checks, Source
from oyez.conformance.expectations import expect, expect_fields, expect_that
from oyez.conformance.probe import Probe
from oyez.conformance.signed import credentials, encode, signature

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")


async def listed(probe: Probe, prefix: str, **params: str) -> dict[str, object]:
    """The channels whose names start so."""
    body = (await probe.api.get("/channels", filter_by_prefix=prefix, **params)).ok()
    channels = body.get("channels")
    expect_that(isinstance(channels, dict), "an object of channels", body)
    return dict(channels) if isinstance(channels, dict) else {}


@CHECKS.add("http.channels.list", "3.3", DOCS)
async def occupied_channels_are_listed(probe: Probe) -> None:
    """The list has every occupied channel, and no other."""
    name = probe.channel()
    client = await probe.subscribed(f"{name}-a")
    await client.subscribe(f"{name}-b")
    await client.subscribe(f"{name}-c")
    await client.unsubscribe(f"{name}-c")
    await client.read_until_pong()
    await probe.vacated(f"{name}-c")
    expect("channels", sorted(await listed(probe, name)), [f"{name}-a", f"{name}-b"])


@CHECKS.add("http.channels.list_values", "3.3", DOCS)
async def unasked_nothing_is_told(probe: Probe) -> None:
    """Without `info` each channel in the list is an empty object."""
    name = probe.channel()
    await probe.subscribed(name)
    expect("channels", await listed(probe, name), {name: {}})


@CHECKS.add("http.channels.list_all", "3.3", DOCS)
async def without_a_prefix_all_are_listed(probe: Probe) -> None:
    """Without a prefix, or with an empty one, all channels are listed."""
    name = probe.channel()
    await probe.subscribed(name)
    found = (await probe.api.get("/channels")).ok().get("channels", {})
    expect_that(name in found, f"{name} in the list", found)
    found = await listed(probe, "")
    expect_that(name in found, f"{name} in the list", found)


@CHECKS.add("http.channels.list_empty", "3.3 and 7", DOCS | SDK)
async def no_channels_are_an_object(probe: Probe) -> None:
    """If nothing is occupied the list is an empty object, not an array."""
    expect("channels", await listed(probe, probe.channel()), {})


@CHECKS.add("http.channels.prefix_is_no_pattern", "3.3", DOCS)
async def a_prefix_is_no_pattern(probe: Probe) -> None:
    """filter_by_prefix matches the beginning of names only, and is no pattern."""
    name = probe.channel("x.")
    await probe.subscribed(name)
    expect("channels", await listed(probe, name[1:]), {})
    expect("channels", await listed(probe, name.replace(".", ",", 1)), {})
    expect("channels", list(await listed(probe, name)), [name])


@CHECKS.add("http.channels.list_user_count", "3.3", DOCS)
async def the_list_counts_users(probe: Probe) -> None:
    """With a prefix of presence channels the list tells each user_count, of distinct users."""
    name = probe.channel("presence-")
    await probe.subscribed(name, "u-1")
    await probe.subscribed(name, "u-1")
    await probe.subscribed(name, "u-2")
    found = await listed(probe, name, info="user_count")
    expect_fields("counts", found.get(name), {"user_count": 2})


@CHECKS.add(
    "http.channels.list_subscription_count",
    "3.3 and ambiguities.md A-18",
    PEERS,
    "subscription_count",
)
async def the_list_counts_subscriptions(probe: Probe) -> None:
    """The list tells each subscription_count, whatever the prefix."""
    name = probe.channel()
    await probe.subscribed(name)
    counts = await listed(probe, name, info="subscription_count")
    expect_fields("counts", counts.get(name), {"subscription_count": 1})


@CHECKS.add("http.channel.occupied", "3.4", DOCS)
async def a_channel_says_whether_it_is_occupied(probe: Probe) -> None:
    """A channel answers `occupied`, true or false."""
    name = probe.channel()
    expect("occupied", (await probe.api.get(f"/channels/{name}")).ok().get("occupied"), False)
    await probe.subscribed(name)
    expect("occupied", (await probe.api.get(f"/channels/{name}")).ok().get("occupied"), True)


@CHECKS.add("http.channel.nothing_unasked", "3.4", DOCS)
async def a_channel_tells_nothing_unasked(probe: Probe) -> None:
    """Without `info` a channel answers `occupied` and nothing else."""
    answer = await probe.api.get(f"/channels/{probe.channel()}")
    expect("body", answer.ok(), {"occupied": False})


@CHECKS.add("http.channel.vacated", "README.md 2", DOCS)
async def a_channel_ends_with_its_last_subscription(probe: Probe) -> None:
    """A channel is not occupied any more when its last subscriber has disconnected."""
    name = probe.channel()
    client = await probe.subscribed(name)
    await client.close()
    await probe.vacated(name)


@CHECKS.add("http.channel.user_count", "3.4", DOCS)
async def a_channel_counts_its_users(probe: Probe) -> None:
    """A presence channel answers its user_count, of distinct users."""
    name = probe.channel("presence-")
    await probe.subscribed(name, "u-1")
    await probe.subscribed(name, "u-1")
    answer = (await probe.api.get(f"/channels/{name}", info="user_count")).ok()
    expect_fields("a body", answer, {"occupied": True, "user_count": 1})


@CHECKS.add("http.channel.zero", "4", SDK)
async def nobody_counts_zero(probe: Probe) -> None:
    """The user_count of an unoccupied presence channel is 0, not left out."""
    answer = await probe.api.get(f"/channels/{probe.channel('presence-')}", info="user_count")
    expect_fields("a body", answer.ok(), {"user_count": 0})


def _counts(id: str, prefix: str, source: Source, what: str) -> None:
    async def is_counted(probe: Probe) -> None:
        name = probe.channel(prefix)
        presence = prefix.startswith("presence-")
        for user in ("u-1", "u-1", "u-2"):
            await probe.subscribed(name, user if presence else None)
        answer = (await probe.api.get(f"/channels/{name}", info="subscription_count")).ok()
        expect_fields("a body", answer, {"occupied": True, "subscription_count": 3})

    rule = f"A {what} channel answers its subscription_count, of all connections."
    CHECKS.add(id, "3.4 and 4", source, "subscription_count", rule=rule)(is_counted)


_counts("http.channel.subscription_count", "", DOCS, "public")
_counts("http.channel.subscription_count_private", "private-", DOCS, "private")
_counts("http.channel.subscription_count_presence", "presence-", DOCS | SDK, "presence")
_counts("http.channel.subscription_count_cache", "cache-", DOCS, "cache")


@CHECKS.add("http.channel.encoded_name", "3", SDK)
async def a_name_may_be_encoded(probe: Probe) -> None:
    """A channel name in a path may be percent-encoded."""
    name = f"{probe.channel()}=@,;"
    await probe.subscribed(name)
    path = probe.api.path(f"/channels/{name}")
    pairs = credentials(probe.api.token)
    pairs.append(("auth_signature", signature(probe.api.token, "GET", path, pairs)))
    answer = await probe.api.send("GET", f"{quote(path)}?{encode(pairs)}")
    expect_fields("a body", answer.ok(), {"occupied": True})


@CHECKS.add("http.channel.info_spaces", "4", ADVICE)
async def spaces_in_info_are_harmless(probe: Probe) -> None:
    """Spaces and duplicates in `info` are harmless; an empty `info` equals its absence."""
    name = probe.channel("presence-")
    answer = await probe.api.get(f"/channels/{name}", info=" user_count , user_count")
    expect_fields("a body", answer.ok(), {"user_count": 0})
    empty = (await probe.api.get(f"/channels/{name}", info="")).ok()
    expect_fields("a body", empty, {"occupied": False})


@CHECKS.add("http.users.list", "3.5", DOCS)
async def members_are_listed(probe: Probe) -> None:
    """A presence channel lists its distinct users, ids as strings."""
    name = probe.channel("presence-")
    for user in (7, "u-8", "u-8"):
        await probe.subscribed(name, user)
    users = (await probe.api.get(f"/channels/{name}/users")).ok().get("users")
    expect_that(isinstance(users, list), "an array of users", users)
    found = sorted((user for user in users or []), key=str)
    expect("users", found, [{"id": "7"}, {"id": "u-8"}])


@CHECKS.add("http.users.join_order", "3.5", ADVICE)
async def members_are_listed_in_join_order(probe: Probe) -> None:
    """Users are listed in the order they joined."""
    name = probe.channel("presence-")
    for user in ("c", "a", "b"):
        await probe.subscribed(name, user)
    users = (await probe.api.get(f"/channels/{name}/users")).ok().get("users")
    expect("users", users, [{"id": "c"}, {"id": "a"}, {"id": "b"}])


@CHECKS.add("http.users.unoccupied", "3.5 and ambiguities.md A-20", ADVICE)
async def nobody_is_an_empty_list(probe: Probe) -> None:
    """An unoccupied presence channel answers 200 with `{"users":[]}`."""
    answer = await probe.api.get(f"/channels/{probe.channel('presence-')}/users")
    expect("body", answer.ok(), {"users": []})


def _refused(
    id: str, source: Source, words: Source, what: str, text: str, path: str, params: dict[str, str]
) -> None:
    """Two checks of one query that is refused."""

    async def is_refused(probe: Probe) -> None:
        (await probe.api.get(path.format(probe.channel()), **params)).expect(400)

    async def says_why(probe: Probe) -> None:
        (await probe.api.get(path.format(probe.channel()), **params)).refused(400, text)

    CHECKS.add(id, "5", source, rule=f"{what} is answered 400.")(is_refused)
    CHECKS.add(f"{id}.text", "5", words, rule=f"{what} is answered with “{text}”.")(says_why)


_LIST = (
    "user_count may only be requested for presence channels - please supply filter_by_prefix "
    "begining with presence-"
)
_COUNT = "Cannot retrieve the user count unless the channel is a presence channel"
_CACHE = "Cannot retrieve the cache unless the channel is a cache channel"
_USERS = "Users can only be retrieved for presence channels"
_INFO = "info should be a comma separated list of attributes"
_NAME = "Invalid channel name"
_ASK = {"info": "user_count"}
_OTHER = {"info": "weather"}
for _id, _source, _words, _what, _text, _path, _params in (
    (
        "channels.bad.user_count",
        DOCS | OBSERVED,
        OBSERVED,
        "user_count without prefix",
        _LIST,
        "/channels",
        _ASK,
    ),
    (
        "channels.bad.info",
        OBSERVED,
        OBSERVED,
        "A list with unknown info",
        _INFO,
        "/channels",
        _OTHER,
    ),
    (
        "channels.bad.cache",
        OBSERVED,
        OBSERVED,
        "A list with cache",
        _INFO,
        "/channels",
        {"info": "cache"},
    ),
    (
        "channel.bad.user_count",
        DOCS | OBSERVED,
        OBSERVED,
        "user_count of a public channel",
        _COUNT,
        "/channels/{}",
        _ASK,
    ),
    (
        "channel.bad.cache",
        DOCS,
        ADVICE,
        "cache of a public channel",
        _CACHE,
        "/channels/{}",
        {"info": "cache"},
    ),
    ("channel.bad.info", OBSERVED, OBSERVED, "Unknown info", _INFO, "/channels/{}", _OTHER),
    ("channel.bad.name", DOCS, ADVICE, "A bad channel name", _NAME, "/channels/a b", {}),
    (
        "users.bad.public",
        DOCS | OBSERVED,
        OBSERVED,
        "Users of a public channel",
        _USERS,
        "/channels/{}/users",
        {},
    ),
    (
        "users.bad.private",
        DOCS | OBSERVED,
        OBSERVED,
        "Users of a private channel",
        _USERS,
        "/channels/private-{}/users",
        {},
    ),
):
    _refused(f"http.{_id}", _source, _words, _what, _text, _path, _params)


@CHECKS.add(
    "settings.subscription_count_off.http", "4 and ambiguities.md A-19", OBSERVED, "featureless"
)
async def counting_can_be_off(probe: Probe) -> None:
    """With counting switched off, a query for subscription_count is answered 400."""
    api = probe.api_of(probe.second("featureless"))
    text = "Cannot retrieve the subscription count because subscription counting is not enabled"
    name = probe.channel()
    (await api.get(f"/channels/{name}", info="subscription_count")).refused(400, text)


@CHECKS.add(
    "settings.subscription_count_off.publish", "4 and ambiguities.md A-19", ADVICE, "featureless"
)
async def a_publish_never_fails_for_counting(probe: Probe) -> None:
    """With counting switched off, a publish leaves subscription_count out."""
    api = probe.api_of(probe.second("featureless"))
    name = probe.channel()
    body = {"name": "e", "channels": [name], "data": "x", "info": "subscription_count"}
    expect("body", (await api.post("/events", body)).ok(), {"channels": {name: {}}})
