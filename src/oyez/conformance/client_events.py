"""Client events, on private and encrypted channels, among members, and how many of them."""

import asyncio

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, SDK, Checks, Source
from oyez.conformance.client import Client
from oyez.conformance.expectations import expect, expect_that
from oyez.conformance.probe import Probe

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
ON = "client_events"
_RATE = 4301
_TRIES = 5


async def pair(probe: Probe, prefix: str = "private-") -> tuple[str, Client, Client]:
    """A channel, the one who sends and the one who hears."""
    channel = probe.channel(prefix)
    users = ("u-1", "u-2") if prefix.startswith("presence-") else (None, None)
    return (
        channel,
        await probe.subscribed(channel, users[0]),
        await probe.subscribed(channel, users[1]),
    )


def _delivered(name: str, prefix: str) -> None:
    async def is_delivered(probe: Probe) -> None:
        channel, sender, receiver = await pair(probe, prefix)
        await sender.send("client-typing", {"text": "hi"}, channel=channel)
        message = await receiver.wait_for("client-typing", channel)
        expect("fields", sorted(message.value)[:3], ["channel", "data", "event"])

    rule = f"Client events are delivered on {name.replace('_', ' ')} channels."
    CHECKS.add(f"client_events.{name}", "8 and README.md 5", DOCS, ON, rule=rule)(is_delivered)


for _name, _prefix in (
    ("private", "private-"),
    ("private_cache", "private-cache-"),
    ("presence", "presence-"),
    ("presence_cache", "presence-cache-"),
    ("encrypted", "private-encrypted-"),
    ("encrypted_cache", "private-encrypted-cache-"),
):
    _delivered(_name, _prefix)


@CHECKS.add("client_events.no_echo", "8", DOCS, ON)
async def a_sender_hears_no_echo(probe: Probe) -> None:
    """The sending connection does not get its own event; other connections of the user do."""
    channel = probe.channel("presence-")
    sender, same = await probe.subscribed(channel, "u-1"), await probe.subscribed(channel, "u-1")
    await sender.send("client-typing", {}, channel=channel)
    await same.wait_for("client-typing", channel)
    messages = await probe.before_marker(channel, sender)
    expect("events", [m.event for m in messages if m.event == "client-typing"], [])


@CHECKS.add("client_events.no_acknowledgement", "8", DOCS, ON)
async def a_client_event_is_not_acknowledged(probe: Probe) -> None:
    """The sender gets no answer."""
    channel, sender, _ = await pair(probe)
    await probe.before_marker(channel, sender)
    await sender.send("client-typing", {}, channel=channel)
    expect("messages", [m.text for m in await sender.read_until_pong()], [])


@CHECKS.add("client_events.user_id", "8 and ambiguities.md A-39", DOCS, ON)
async def members_are_named(probe: Probe) -> None:
    """On presence channels the event has the sender's user_id, beside the data."""
    channel, sender, receiver = await pair(probe, "presence-")
    await sender.send("client-typing", "{}", channel=channel)
    message = await receiver.wait_for("client-typing", channel)
    expect("user_id", message.value.get("user_id"), "u-1")


@CHECKS.add("client_events.user_id_not_faked", "8", DOCS, ON)
async def a_sender_cannot_pretend(probe: Probe) -> None:
    """The user_id comes from the subscription, never from the message; extra fields are dropped."""
    channel, sender, receiver = await pair(probe, "presence-")
    await sender.send("client-typing", "{}", channel=channel, user_id="admin", extra=1)
    message = await receiver.wait_for("client-typing", channel)
    expected = {"event": "client-typing", "channel": channel, "data": "{}", "user_id": "u-1"}
    expect("message", message.value, expected)


@CHECKS.add("client_events.no_user_id", "8 and ambiguities.md A-39", DOCS, ON)
async def others_are_not_named(probe: Probe) -> None:
    """On private channels there is no user_id."""
    channel, sender, receiver = await pair(probe)
    await sender.send("client-typing", "{}", channel=channel, user_id="admin")
    message = await receiver.wait_for("client-typing", channel)
    expect("fields", sorted(message.value), ["channel", "data", "event"])


@CHECKS.add("client_events.string_data", "8", DOCS, ON)
async def a_string_is_unchanged(probe: Probe) -> None:
    """String data arrives unchanged."""
    channel, sender, receiver = await pair(probe)
    for text in ('{"a": 1, "a":2}', "plain hello", "", "Grüße 🌍\n"):
        await sender.send("client-typing", text, channel=channel)
        expect("data", (await receiver.wait_for("client-typing", channel)).data, text)


@CHECKS.add("client_events.object_data", "8 and ambiguities.md A-37", DOCS | SDK, ON)
async def an_object_becomes_a_string(probe: Probe) -> None:
    """Any other data arrives as a string of compact JSON, keys in order, nothing escaped."""
    channel, sender, receiver = await pair(probe)
    for text, expected in (
        ('{"b": 1, "a": {"ü": [1, 2.5, null, true]}}', '{"b":1,"a":{"ü":[1,2.5,null,true]}}'),
        ("[1, 2]", "[1,2]"),
        ("7", "7"),
        ("false", "false"),
    ):
        await sender.send_text(f'{{"event":"client-a","channel":"{channel}","data":{text}}}')
        expect("data", (await receiver.wait_for("client-a", channel)).data, expected)


@CHECKS.add("client_events.no_data", "8", ADVICE, ON)
async def missing_data_is_null(probe: Probe) -> None:
    """Data that is absent or null arrives as the string `null`."""
    channel, sender, receiver = await pair(probe)
    for data in (..., None):
        await sender.send("client-typing", data, channel=channel)
        expect("data", (await receiver.wait_for("client-typing", channel)).data, "null")


@CHECKS.add("client_events.ordered", "15", DOCS, ON)
async def client_events_keep_their_order(probe: Probe) -> None:
    """Client events of one connection arrive in the order they were sent."""
    channel, sender, receiver = await pair(probe)
    for number in range(10):
        await sender.send("client-typing", str(number), channel=channel)
    found = [(await receiver.wait_for("client-typing", channel)).data for _ in range(10)]
    expect("order", found, [str(number) for number in range(10)])


def _refused(
    id: str, what: str, text: str, words: Source, name: str, prefix: str, data: str
) -> None:
    async def refuse(probe: Probe) -> str:
        """Send it, and see that nobody hears it; returns the text of the refusal."""
        joined = not id.startswith("stranger")
        channel, _, receiver = await pair(probe, prefix)
        sender = await probe.subscribed(channel) if joined else await probe.connect()
        await sender.send(name, data, channel=channel)
        messages = await sender.read_until_pong()
        heard = [m.event for m in await probe.before_marker(channel, receiver)]
        expect_that(name not in heard, f"no {name[:40]} to be delivered", heard)
        errors = [message for message in messages if message.event == "pusher:error"]
        expect_that(len(errors) == 1, "one pusher:error", [m.text for m in messages])
        if isinstance(errors[0].data, dict):
            expect("code", errors[0].data.get("code"), None)
        return errors[0].error_text().replace(channel, "CHANNEL")

    async def is_refused(probe: Probe) -> None:
        await refuse(probe)

    async def says_why(probe: Probe) -> None:
        found = await refuse(probe)
        expect_that(text in found, f"the text “{text}”", found)

    rule = f"{what} is refused with `pusher:error` and code null, and reaches nobody."
    CHECKS.add(f"client_events.bad.{id}", "8", DOCS, ON, rule=rule)(is_refused)
    rule = f"{what} is refused with “{text}”."
    CHECKS.add(f"client_events.bad.{id}.text", "8", words, ON, rule=rule)(says_why)


_PREFIX = "Client event rejected - client events must be prefixed by 'client-'"
_KIND = "Client event rejected - only supported on private and presence channels"
_STRANGER = "Client event rejected - you are not subscribed to channel CHANNEL"
_DATA = "The data content of this event exceeds the allowed maximum (10240 bytes)."
for _case in (
    (
        "name",
        "An event without the prefix `client-`",
        _PREFIX,
        OBSERVED,
        "typing",
        "private-",
        "{}",
    ),
    ("public", "A client event on a public channel", _KIND, OBSERVED, "client-a", "", "{}"),
    (
        "cache",
        "A client event on a public cache channel",
        _KIND,
        OBSERVED,
        "client-a",
        "cache-",
        "{}",
    ),
    ("stranger", "A client event of a stranger", _STRANGER, ADVICE, "client-a", "private-", "{}"),
    ("data", "10 241 bytes of data", _DATA, OBSERVED, "client-a", "private-", "x" * 10_241),
    (
        "long_name",
        "A name of 201 characters",
        "",
        ADVICE,
        "client-".ljust(201, "n"),
        "private-",
        "{}",
    ),
):
    _refused(*_case)


@CHECKS.add("limits.client_event_data", "README.md 4", OBSERVED, ON)
async def client_data_has_a_limit(probe: Probe) -> None:
    """10 240 bytes of client event data are accepted, of an object as it will be delivered."""
    channel, sender, receiver = await pair(probe)
    await sender.send("client-a", "x" * 10_240, channel=channel)
    expect("length", len((await receiver.wait_for("client-a", channel)).data), 10_240)
    spaced = '{"a":%s"x"}' % (" " * 20_000)
    await sender.send_text(f'{{"event":"client-b","channel":"{channel}","data":{spaced}}}')
    expect("data", (await receiver.wait_for("client-b", channel)).data, '{"a":"x"}')


async def codes(sender: Client) -> list[object]:
    """The codes of all errors up to now."""
    messages = await sender.read_until_pong()
    return [m.data.get("code") for m in messages if m.event == "pusher:error"]


@CHECKS.add("limits.client_events", "8 and README.md 4", DOCS, ON)
async def client_events_have_a_rate(probe: Probe) -> None:
    """10 client events in a second are delivered; the 11th is refused with 4301 and dropped."""
    channel, sender, receiver = await pair(probe)
    for number in range(11):
        await sender.send("client-a", str(number), channel=channel)
    expect("codes", await codes(sender), [_RATE])
    messages = await probe.before_marker(channel, receiver)
    found = [m.data for m in messages if m.event == "client-a"]
    expect("delivered", found, [str(number) for number in range(10)])


@CHECKS.add("limits.client_events.text", "8", ADVICE, ON)
async def the_rate_is_explained(probe: Probe) -> None:
    """The text is “The client event rate limit of 10 messages per second was exceeded”."""
    channel, sender, _ = await pair(probe)
    for _ in range(11):
        await sender.send("client-a", "x", channel=channel)
    text = "The client event rate limit of 10 messages per second was exceeded"
    expect("message", (await sender.wait_for("pusher:error")).error_text(), text)


@CHECKS.add("limits.client_events_recover", "8", DOCS, ON)
async def the_rate_recovers(probe: Probe) -> None:
    """After a second the connection, which was never closed, may send again."""
    channel, sender, receiver = await pair(probe)
    for _ in range(15):
        await sender.send("client-a", "x", channel=channel)
    await sender.read_until_pong()
    await asyncio.sleep(1.1)
    await sender.send("client-b", "x", channel=channel)
    await receiver.wait_for("client-b", channel)


@CHECKS.add("limits.client_events_sliding", "README.md 4 and ambiguities.md A-51", ADVICE, ON)
async def the_rate_is_a_sliding_window(probe: Probe) -> None:
    """No window of one second has more than 10 events: 6 and, 0.6 s later, 6 are too many."""
    loop = asyncio.get_running_loop()
    for _ in range(_TRIES):  # this machine may be too busy to send all of them within a second
        channel, sender, _ = await pair(probe)
        began = loop.time()
        for _ in range(6):
            await sender.send("client-a", "x", channel=channel)
        expect("codes", await codes(sender), [])
        await asyncio.sleep(0.6)
        for _ in range(6):
            await sender.send("client-a", "x", channel=channel)
        refused = await codes(sender)
        if loop.time() - began < 1.0:
            break
    expect("codes", refused, [_RATE] * 2)
    await asyncio.sleep(0.5)  # the first six are more than a second ago, refused ones do not count
    for _ in range(6):
        await sender.send("client-a", "x", channel=channel)
    expect("codes", await codes(sender), [])


@CHECKS.add("limits.client_events_per_connection", "README.md 4", DOCS, ON)
async def the_rate_is_per_connection(probe: Probe) -> None:
    """Another connection has a rate of its own."""
    channel, sender, receiver = await pair(probe)
    for _ in range(10):
        await sender.send("client-a", "x", channel=channel)
    await sender.read_until_pong()
    await receiver.send("client-b", "x", channel=channel)
    await sender.wait_for("client-b", channel)


@CHECKS.add("settings.client_events_off", "8 and README.md 6", OBSERVED, "featureless")
async def client_events_can_be_off(probe: Probe) -> None:
    """With client events switched off each one is refused, with the observed text."""
    channel = probe.channel("private-")
    client = await probe.connect(app=probe.second("featureless"))
    await client.subscribe(channel)
    await client.send("client-a", {}, channel=channel)
    text = (
        "To send client events, you must enable this feature in the Settings page "
        "of your dashboard."
    )
    error = await client.wait_for("pusher:error")
    expect("data", error.data, {"code": None, "message": text})
