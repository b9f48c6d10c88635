"""Subscriptions that are refused: what is said, and that nothing is registered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, Checks, Source
from oyez.conformance.client import SUCCEEDED, Client, Message
from oyez.conformance.expectations import Failed, expect, expect_contains, expect_that, shown
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
_ERROR, _SUBSCRIPTION_ERROR = "pusher:error", "pusher:subscription_error"
_TEXT = Source.OBSERVED

Ask = Callable[[Client, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table of refusals.

    Attributes:
        prefix: of the channel asked for, a bad name if it is one.
        ask: how it is asked for.
        text: what `pusher:error` says; CHANNEL and SOCKET stand for themselves.
        kind: of `pusher:subscription_error`, None if none is sent.
    """

    id: str
    what: str
    source: Source
    prefix: str
    ask: Ask
    text: str
    words: Source
    kind: str | None = "AuthError"
    status: int = 401


async def refused(probe: Probe, case: Case) -> tuple[Client, str, list[Message]]:
    """Ask, and read until the refusal and all that follows it have come."""
    client = await probe.connect()
    channel = probe.channel(case.prefix)
    await case.ask(client, channel)

    def answered(message: Message) -> bool:
        return message.event in (_ERROR, _SUBSCRIPTION_ERROR, SUCCEEDED)

    messages = await client.read_until(answered, "a refusal of the subscription")
    messages += await client.read_until_pong()
    if any(message.event == SUCCEEDED for message in messages):
        raise Failed("a refusal of the subscription", "pusher_internal:subscription_succeeded")
    return client, channel, messages


def error_of(messages: list[Message]) -> Message:
    """The `pusher:error` among them."""
    for message in messages:
        if message.event == _ERROR:
            return message
    raise Failed(_ERROR, shown([message.text for message in messages]))


def _add(case: Case) -> None:
    async def is_refused(probe: Probe) -> None:
        client, channel, _ = await refused(probe, case)
        if case.prefix.isascii() and "/" not in case.prefix and "#" not in case.prefix:
            expect("occupied", await probe.occupied(channel[:164]), False)
        await client.subscribe(probe.channel())

    async def says_why(probe: Probe) -> None:
        client, channel, messages = await refused(probe, case)
        error = error_of(messages)
        expect("fields of data", sorted(error.data), ["code", "message"])
        expect("code", error.data["code"], None)
        text = case.text.replace("CHANNEL", channel).replace("SOCKET", client.socket_id)
        expect_contains("message", error.error_text(), text)

    async def tells_the_channel(probe: Probe) -> None:
        _, channel, messages = await refused(probe, case)
        found = [message for message in messages if message.event == _SUBSCRIPTION_ERROR]
        expect_that(len(found) == 1, "one pusher:subscription_error", [m.text for m in messages])
        data = found[0].json()
        expect("fields", sorted(data), ["error", "status", "type"])
        expect("type and status", (data["type"], data["status"]), (case.kind, case.status))
        expect_that(channel.startswith(str(found[0].channel)), f"channel {channel}", found[0].text)

    name = f"ws.subscribe.bad.{case.id}"
    rule = f"{case.what} is refused; nothing is registered and the connection stays."
    CHECKS.add(name, "6.2", case.source, rule=rule)(is_refused)
    rule = f"{case.what}: `pusher:error` with code null and “{case.text}”."
    CHECKS.add(f"{name}.text", "6.2", case.words, rule=rule)(says_why)
    if case.kind:
        rule = f"{case.what}: `pusher:subscription_error` with {case.kind} and {case.status}."
        CHECKS.add(f"{name}.subscription_error", "6.2", PEERS, rule=rule)(tells_the_channel)


def _with_auth(auth: object) -> Ask:
    async def ask(client: Client, channel: str) -> None:
        await client.ask(channel, auth=auth)

    return ask


def _with_key(key: str) -> Ask:
    async def ask(client: Client, channel: str) -> None:
        signature = client.auth(channel).partition(":")[2]
        await client.ask(channel, auth=f"{key}:{signature}")

    return ask


async def _wrong_signature(client: Client, channel: str) -> None:
    await client.ask(channel, auth=f"{client.app.key}:{'ab' * 32}")


def _with_data(data: object, signed: str | None = None) -> Ask:
    async def ask(client: Client, channel: str) -> None:
        text = signed if signed is not None else data if isinstance(data, str) else None
        await client.ask(channel, auth=client.auth(channel, text), channel_data=data)

    return ask


async def _plainly(client: Client, channel: str) -> None:
    await client.ask(channel)


_MISSING = "Auth info required to subscribe to CHANNEL"
_FORMAT = "Auth value for subscription to CHANNEL is invalid: should be of format 'key:signature'"
_WRONG = (
    "Invalid signature: Expected HMAC SHA256 hex digest of SOCKET:CHANNEL, but got " + "ab" * 32
)
_NO_DATA = "Presence channel subscription must include channel_data"
_BAD_DATA = "Invalid channel_data for CHANNEL"
_NAME = "Invalid channel name '"
_ALLOWED = "Subscription to CHANNEL is not allowed"
_LONG = '{"user_id":"' + "u" * 129 + '"}'
_LARGE = '{"user_id":"u","user_info":"' + "x" * 1023 + '"}'

for _case in (
    Case(
        "auth_missing",
        "A private channel without auth",
        DOCS | OBSERVED,
        "private-",
        _with_auth(...),
        _MISSING,
        _TEXT,
    ),
    Case(
        "auth_empty",
        "A private channel with empty auth",
        DOCS | OBSERVED,
        "private-",
        _with_auth(""),
        _MISSING,
        _TEXT,
    ),
    Case(
        "auth_presence",
        "A presence channel without auth",
        DOCS | OBSERVED,
        "presence-",
        _with_auth(...),
        _MISSING,
        _TEXT,
    ),
    Case(
        "auth_format",
        "Auth without a colon",
        OBSERVED,
        "private-",
        _with_auth("nonsense"),
        _FORMAT,
        _TEXT,
    ),
    Case(
        "auth_key",
        "Auth with an unknown key",
        DOCS | OBSERVED,
        "private-",
        _with_key("nobody"),
        "Invalid key in subscription auth data: 'nobody'",
        _TEXT,
    ),
    Case(
        "signature",
        "A wrong signature",
        DOCS | OBSERVED,
        "private-",
        _wrong_signature,
        _WRONG,
        _TEXT,
    ),
    Case(
        "no_channel_data",
        "A presence channel without channel_data",
        DOCS | OBSERVED,
        "presence-",
        _with_data(...),
        _NO_DATA,
        _TEXT,
    ),
    Case(
        "data_no_json",
        "channel_data that is no JSON",
        DOCS,
        "presence-",
        _with_data("{"),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "data_no_object",
        "channel_data that is no object",
        DOCS,
        "presence-",
        _with_data("[]"),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "data_no_string",
        "channel_data that is no string",
        ADVICE,
        "presence-",
        _with_data({"user_id": "u"}, '{"user_id":"u"}'),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "user_id_missing",
        "channel_data without user_id",
        DOCS,
        "presence-",
        _with_data("{}"),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "user_id_empty",
        "An empty user_id",
        ADVICE,
        "presence-",
        _with_data('{"user_id":""}'),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "user_id_object",
        "An object as user_id",
        ADVICE,
        "presence-",
        _with_data('{"user_id":{}}'),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "user_id_long",
        "A user_id of 129 characters",
        DOCS,
        "presence-",
        _with_data(_LONG),
        _BAD_DATA,
        ADVICE,
    ),
    Case(
        "user_info",
        "A user_info above 1024 bytes",
        DOCS,
        "presence-",
        _with_data(_LARGE),
        "user_info for CHANNEL exceeds 1024 bytes",
        ADVICE,
        "LimitReached",
        4301,
    ),
    Case(
        "name",
        "A slash in a channel name",
        DOCS,
        "a/b-",
        _plainly,
        _NAME,
        ADVICE,
        "LimitReached",
        4009,
    ),
    Case(
        "name_empty",
        "A name of a space only",
        DOCS,
        " /",
        _plainly,
        _NAME,
        ADVICE,
        "LimitReached",
        4009,
    ),
    Case(
        "name_long",
        "A name of more than 164 characters",
        DOCS,
        "n" * 165,
        _plainly,
        _NAME,
        ADVICE,
        "LimitReached",
        4009,
    ),
    Case(
        "server_to_user",
        "The server-to-user channel without signin",
        DOCS,
        "#server-to-user-",
        _plainly,
        _ALLOWED,
        ADVICE,
    ),
    Case("hash", "Another name with #", DOCS, "#other-", _plainly, _ALLOWED, ADVICE),
):
    _add(_case)


@CHECKS.add("ws.subscribe.bad.no_channel", "6.2", ADVICE)
async def a_channel_has_to_be_named(probe: Probe) -> None:
    """A subscription that names no channel is refused with `pusher:error` and code null."""
    client = await probe.connect()
    without: tuple[object, ...] = ({}, {"channel": 7}, {"channel": None}, "x", [], ...)
    for data in without:
        await client.send("pusher:subscribe", data)
        error = await client.wait_for(_ERROR)
        expect("data", error.data, {"code": None, "message": "Missing channel in pusher:subscribe"})
    await client.read_until_pong()


@CHECKS.add("ws.subscribe.bad.no_close_code", "6.2 and README.md 7", OBSERVED)
async def a_refusal_has_no_close_code(probe: Probe) -> None:
    """The `pusher:error` of a refusal has the code null; Pysher drops everything on 4xxx."""
    client = await probe.connect()
    await client.ask(probe.channel("private-"), auth="")
    error = await client.wait_for(_ERROR)
    expect_that(isinstance(error.data, dict), "an object as data", error.text)
    expect("code", error.data.get("code", "absent"), None)


@CHECKS.add("ws.error_form", "5.1 and ambiguities.md A-31", DOCS)
async def an_error_has_an_object(probe: Probe) -> None:
    """The data of `pusher:error` is an object with code and message, not a string."""
    client = await probe.connect()
    await client.ask(probe.channel("private-"), auth="")
    error = await client.wait_for(_ERROR)
    expect_that(isinstance(error.data, dict), "an object as data", error.text)
    expect("fields", sorted(error.data), ["code", "message"])
    expect("channel", error.channel, None)


@CHECKS.add("limits.user_info", "README.md 4", DOCS)
async def a_user_object_has_a_limit(probe: Probe) -> None:
    """1024 bytes of user_info are accepted, measured as compact JSON in UTF-8."""
    client = await probe.connect()
    await client.subscribe(probe.channel("presence-"), "u-1", "x" * 1022)
    await client.ask(probe.channel("presence-"), '{"user_id":"u","user_info":"' + "ü" * 512 + '"}')
    await client.wait_for(_ERROR)


@CHECKS.add("limits.user_id", "README.md 4", DOCS)
async def a_user_id_has_a_limit(probe: Probe) -> None:
    """A user_id of 128 characters is accepted."""
    await (await probe.connect()).subscribe(probe.channel("presence-"), "u" * 128)


@CHECKS.add("limits.channel_name_subscribed", "README.md 4", DOCS)
async def the_longest_name_is_accepted(probe: Probe) -> None:
    """A channel name of 164 characters is accepted."""
    await (await probe.connect()).subscribe(probe.channel().ljust(164, "n"))
