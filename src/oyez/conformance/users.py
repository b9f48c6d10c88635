"""Users: signing in, the presence it gives, and events to a user."""

import json

from oyez.conformance.check import ADVICE, DOCS, SDK, Checks, Source
from oyez.conformance.client import SUCCEEDED, Client
from oyez.conformance.expectations import expect, expect_contains, expect_that
from oyez.conformance.presence import REMOVED, members_in
from oyez.conformance.probe import Probe

__all__ = ["CHECKS", "TO_USER", "signed_in"]

CHECKS = Checks("websocket-protocol.md")
ON = "users"
TO_USER = "#server-to-user-"
SUCCESS = "pusher:signin_success"


async def signed_in(probe: Probe, user: str, **more: object) -> Client:
    """A new client that is this user."""
    client = await probe.connect()
    await client.sign_in(user, **more)
    return client


async def listening(probe: Probe, user: str) -> Client:
    """A new client that is this user and has joined the own server-to-user channel."""
    client = await signed_in(probe, user)
    await client.subscribe(TO_USER + user)
    return client


@CHECKS.add("users.signin", "12.1", DOCS, ON)
async def a_user_signs_in(probe: Probe) -> None:
    """A correctly signed pusher:signin is answered with pusher:signin_success."""
    await signed_in(probe, probe.user(), user_info={"name": "Ada"})


@CHECKS.add("users.signin_success_bytes", "12.1", DOCS, ON)
async def user_data_comes_back(probe: Probe) -> None:
    """signin_success echoes user_data byte for byte, unknown keys included."""
    text = f'{{ "x": [1.0], "id" : "{probe.user()}","user_info":{{"n":"\\u00fc\\/ 世界"}} }}'
    message = await (await probe.connect()).sign_in_with(text)
    data = json.loads(message.data) if isinstance(message.data, str) else message.data
    expect("user_data", data.get("user_data"), text)


@CHECKS.add("users.signin_success_string", "12.1 and ambiguities.md A-30", SDK, ON)
async def success_has_string_data(probe: Probe) -> None:
    """The data of signin_success is a string of JSON with user_data and nothing else."""
    message = await (await probe.connect()).sign_in(probe.user())
    expect("fields", sorted(message.value), ["data", "event"])
    expect("fields of data", sorted(message.json()), ["user_data"])


@CHECKS.add("users.signin_string_data", "2", ADVICE, ON)
async def data_may_be_a_string(probe: Probe) -> None:
    """The data of pusher:signin may be a string of JSON."""
    client, text = await probe.connect(), json.dumps({"id": probe.user()})
    data = json.dumps({"auth": client.user_auth(text), "user_data": text})
    await client.send("pusher:signin", data)
    await client.wait_for(SUCCESS)


@CHECKS.add("users.signin_again", "12.1 and ambiguities.md A-36", ADVICE, ON)
async def the_same_user_may_sign_in_again(probe: Probe) -> None:
    """The same user on a signed-in connection gets signin_success again."""
    user = probe.user()
    client = await signed_in(probe, user)
    await client.sign_in(user, user_info={"v": 2})


@CHECKS.add("users.signin_other", "12.1", DOCS, ON)
async def another_user_is_refused(probe: Probe) -> None:
    """Another user on a signed-in connection is refused; the first one stays."""
    user = probe.user()
    client = await signed_in(probe, user)
    text = json.dumps({"id": probe.user()})
    await client.send("pusher:signin", {"auth": client.user_auth(text), "user_data": text})
    error = await client.wait_for("pusher:error")
    expect("code", error.data.get("code", "absent"), None)
    await client.subscribe(TO_USER + user)


def _refused(
    id: str, what: str, source: Source, user_data: object, auth: str | None = None
) -> None:
    async def is_refused(probe: Probe) -> None:
        client = await probe.connect()
        signed = user_data if isinstance(user_data, str) else json.dumps(user_data)
        data = {"auth": client.user_auth(signed) if auth is None else auth, "user_data": user_data}
        await client.send("pusher:signin", data)
        error = await client.wait_for("pusher:error")
        expect("code", error.data.get("code", "absent"), None)
        expect("success", [m.text for m in client.seen if m.event == SUCCESS], [])
        await client.subscribe(probe.channel())

    rule = f"{what} is refused with `pusher:error` and code null, and the connection stays."
    CHECKS.add(f"users.bad.{id}", "12.1 and ambiguities.md A-35", source, ON, rule=rule)(is_refused)


_GOOD = '{"id":"u"}'
_LONG_INFO = '{"id":"u","user_info":"' + "x" * 1023 + '"}'
for _id, _what, _source, _data, _auth in (
    ("auth_missing", "A signin without auth", DOCS, _GOOD, ""),
    ("auth_format", "A signin whose auth has no colon", DOCS, _GOOD, "nonsense"),
    ("auth_key", "A signin with an unknown key", DOCS, _GOOD, f"nobody:{'ab' * 32}"),
    ("no_json", "user_data that is no JSON", DOCS, "{", None),
    ("no_object", "user_data that is no object", DOCS, '["u"]', None),
    ("no_string", "user_data that is no string", ADVICE, {"id": "u"}, None),
    ("id_missing", "user_data without id", DOCS, '{"user_info":{}}', None),
    ("id_empty", "An empty id", DOCS, '{"id":""}', None),
    ("id_number", "A number as id", DOCS | SDK, '{"id":7}', None),
    ("id_long", "An id of 129 characters", ADVICE, '{"id":"' + "u" * 129 + '"}', None),
    ("user_info", "A user_info above 1024 bytes", DOCS, _LONG_INFO, None),
):
    _refused(_id, _what, _source, _data, _auth)


@CHECKS.add("users.bad.signature", "12.1", DOCS, ON)
async def a_wrong_signature_is_refused(probe: Probe) -> None:
    """A wrong signature is refused with the string that should have been signed."""
    client = await probe.connect()
    auth = f"{probe.app.key}:{'ab' * 32}"
    await client.send("pusher:signin", {"auth": auth, "user_data": _GOOD})
    text = f"Expected HMAC SHA256 hex digest of {client.socket_id}::user::{_GOOD}, but got"
    expect_contains("message", (await client.wait_for("pusher:error")).error_text(), text)


@CHECKS.add("users.bad.other_socket", "12.1", DOCS, ON)
async def another_sockets_signature_is_refused(probe: Probe) -> None:
    """A signature made for another connection is refused."""
    client, other = await probe.connect(), await probe.connect()
    await client.send("pusher:signin", {"auth": other.user_auth(_GOOD), "user_data": _GOOD})
    await client.wait_for("pusher:error")


@CHECKS.add("users.bad.docs_format", "12.1 and ambiguities.md A-47", SDK, ON)
async def the_misprint_of_the_docs_is_refused(probe: Probe) -> None:
    """`KEY::user::SIGNATURE`, printed on one page of the docs, is refused."""
    client = await probe.connect()
    key, _, signature = client.user_auth(_GOOD).partition(":")
    data = {"auth": f"{key}::user::{signature}", "user_data": _GOOD}
    await client.send("pusher:signin", data)
    await client.wait_for("pusher:error")


@CHECKS.add("users.presence", "7.1", DOCS, ON)
async def a_user_is_a_member_without_channel_data(probe: Probe) -> None:
    """A signed-in connection joins presence channels without channel_data, as that user."""
    user, channel = probe.user(), probe.channel("presence-")
    client = await signed_in(probe, user, user_info={"name": "Ada"})
    await client.ask(channel)
    presence = members_in(await client.wait_for(SUCCEEDED, channel))
    expect("presence", presence, {"count": 1, "ids": [user], "hash": {user: {"name": "Ada"}}})


@CHECKS.add("users.presence_channel_data_wins", "7.1", DOCS, ON)
async def channel_data_wins(probe: Probe) -> None:
    """channel_data wins over the signed-in user."""
    channel = probe.channel("presence-")
    client = await signed_in(probe, probe.user())
    presence = members_in(await client.subscribe(channel, "someone-else"))
    expect("ids", presence["ids"], ["someone-else"])


@CHECKS.add("users.memberships_stay", "12.1", DOCS, ON)
async def signing_in_changes_no_membership(probe: Probe) -> None:
    """Signing in does not touch presence memberships."""
    channel = probe.channel("presence-")
    client = await probe.subscribed(channel, "u-1")
    await client.sign_in(probe.user())
    events = [m.event for m in await probe.before_marker(channel, client)]
    expect_that(REMOVED not in events, "no member_removed", events)
    users = (await probe.api.get(f"/channels/{channel}/users")).ok().get("users")
    expect("users", users, [{"id": "u-1"}])


@CHECKS.add("to_user.subscribe", "12.1", DOCS, ON)
async def a_user_joins_the_own_channel(probe: Probe) -> None:
    """The own server-to-user channel is joined without a signature."""
    user = probe.user()
    client = await signed_in(probe, user)
    message = await client.subscribe(TO_USER + user)
    expect("data", message.data, "{}")


@CHECKS.add("to_user.others_refused", "12.1", DOCS, ON)
async def another_users_channel_is_refused(probe: Probe) -> None:
    """The server-to-user channel of another user is refused."""
    client = await signed_in(probe, probe.user())
    await client.ask(TO_USER + probe.user())
    error = await client.wait_for("pusher:error")
    expect("code", error.data.get("code", "absent"), None)
    events = [m.event for m in await client.read_until_pong()]
    expect_that(SUCCEEDED not in events, "no subscription", events)


@CHECKS.add("to_user.event", "12.2", DOCS, ON)
async def an_event_reaches_a_user(probe: Probe) -> None:
    """An event to a user reaches all connections of the user, with the channel in it."""
    user = probe.user()
    clients = [await listening(probe, user) for _ in range(2)]
    stranger = await listening(probe, probe.user())
    channel = TO_USER + user
    await probe.publish(channel, "greeting", '{"message":"hello"}')
    expected = {"event": "greeting", "channel": channel, "data": '{"message":"hello"}'}
    for client in clients:
        expect("message", (await client.wait_for("greeting")).value, expected)
    events = [m.event for m in await stranger.read_until_pong()]
    expect_that("greeting" not in events, "nothing at another user", events)


@CHECKS.add("to_user.batch", "http-api.md 3.7", DOCS, ON)
async def a_batch_reaches_a_user(probe: Probe) -> None:
    """Events to a user travel in batches."""
    user = probe.user()
    client = await listening(probe, user)
    event = {"name": "greeting", "channel": TO_USER + user, "data": "x"}
    (await probe.api.post("/batch_events", {"batch": [event]})).ok()
    await client.wait_for("greeting", TO_USER + user)


@CHECKS.add("to_user.exclusion", "http-api.md 3.7", DOCS, ON)
async def one_of_the_users_sockets_can_be_left_out(probe: Probe) -> None:
    """socket_id excludes one connection of the user."""
    user = probe.user()
    excluded, other = await listening(probe, user), await listening(probe, user)
    await probe.publish(TO_USER + user, "greeting", "x", socket_id=excluded.socket_id)
    await other.wait_for("greeting")
    events = [m.event for m in await probe.before_marker(TO_USER + user, excluded)]
    expect_that("greeting" not in events, "nothing at the excluded socket", events)


@CHECKS.add("to_user.nobody", "http-api.md 3.7", DOCS)
async def nobody_is_no_error(probe: Probe) -> None:
    """An event to a user who is not there is accepted."""
    await probe.publish(TO_USER + probe.user(), "greeting", "x")


@CHECKS.add("to_user.hidden", "http-api.md 3.3 and ambiguities.md A-46", ADVICE, ON)
async def server_to_user_channels_are_hidden(probe: Probe) -> None:
    """Server-to-user channels are in no list and have no counts."""
    user = probe.user()
    client = await listening(probe, user)
    channels = (await probe.api.get("/channels")).ok().get("channels", {})
    expect("listed", [name for name in channels if name.startswith("#")], [])
    channel = TO_USER + user
    answer = await probe.publish(channel, "e", "x", info="user_count")
    expect("info", answer.ok(), {"channels": {channel: {}}})
    events = [m.event for m in await client.read_until_pong()]
    found = [event for event in events if event.endswith(":subscription_count")]
    expect("count events", found, [])


@CHECKS.add("to_user.id_characters", "12.1", ADVICE, ON)
async def a_user_id_may_have_other_characters(probe: Probe) -> None:
    """The channel's part after the prefix follows the rules of user ids, not of channel names."""
    user = f"{probe.user()}+ä@example.com"
    client = await signed_in(probe, user)
    await client.subscribe(TO_USER + user)


@CHECKS.add("settings.users_off", "12.1 and README.md 6", ADVICE, "featureless")
async def user_authentication_can_be_off(probe: Probe) -> None:
    """With user authentication switched off a signin is refused, with the text for it."""
    client = await probe.connect(app=probe.second("featureless"))
    data = {"auth": client.user_auth(_GOOD), "user_data": _GOOD}
    await client.send("pusher:signin", data)
    text = "User authentication is not enabled for this app"
    error = await client.wait_for("pusher:error")
    expect("data", error.data, {"code": None, "message": text})
