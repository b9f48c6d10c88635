"""Connecting: the greeting, protocol versions, and refusals that come after the upgrade."""

import re
from itertools import pairwise

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, SDK, Checks, Source
from oyez.conformance.client import Client
from oyez.conformance.expectations import Failed, expect, expect_in, expect_that, shown
from oyez.conformance.probe import QUERY, Probe

__all__ = ["CHECKS", "expect_refusal"]

CHECKS = Checks("websocket-protocol.md")
_SAFE = 2**53


async def expect_refusal(client: Client, code: int, text: str = "", *, event: bool = True) -> None:
    """The connection is refused: `pusher:error`, then a close frame, both with this code.

    Args:
        text: what both have to say; empty for anything.
        event: whether `pusher:error` has to come.
    """
    closed, messages = await client.until_closed(client.patience * 2)
    expect("close code", closed.code, code)
    if text not in closed.reason:
        raise Failed(f"the close reason {shown(text)}", shown(closed.reason))
    if not event:
        return
    errors = [message for message in messages if message.event == "pusher:error"]
    if not errors or not isinstance(errors[0].data, dict):
        raise Failed("pusher:error before the close frame", shown([m.text for m in messages]))
    expect("code in pusher:error", errors[0].data.get("code"), code)
    if text not in errors[0].error_text():
        raise Failed(f"pusher:error with {shown(text)}", shown(errors[0].text))


@CHECKS.add("ws.established", "3.1", DOCS)
async def a_client_is_greeted(probe: Probe) -> None:
    """The first message is pusher:connection_established with socket_id and activity_timeout."""
    client = await probe.open()
    data = await client.established()
    expect("fields", sorted(data), ["activity_timeout", "socket_id"])


@CHECKS.add("ws.established.double_encoded", "2 and README.md 7", DOCS | SDK)
async def the_greeting_is_double_encoded(probe: Probe) -> None:
    """The data of pusher:connection_established is a string of JSON."""
    message = await (await probe.open()).receive()
    expect_that(isinstance(message.data, str), "a string as data", message.text)
    message.json()


@CHECKS.add("ws.established.activity_timeout", "3.1", DOCS | SDK)
async def the_activity_timeout_is_positive(probe: Probe) -> None:
    """activity_timeout is a positive number, without which pusher-js fails."""
    timeout = (await (await probe.open()).established()).get("activity_timeout")
    good = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
    expect_that(good, "a positive activity_timeout", timeout)


@CHECKS.add("limits.activity_timeout", "README.md 4", DOCS)
async def the_activity_timeout_is_120(probe: Probe) -> None:
    """The default activity_timeout is 120 seconds."""
    data = await (await probe.open()).established()
    expect("activity_timeout", data.get("activity_timeout"), 120)


@CHECKS.add("ws.socket_id", "1", DOCS | SDK)
async def a_socket_id_is_two_numbers(probe: Probe) -> None:
    """A socket id is two decimal numbers with a dot between them."""
    client = await probe.connect()
    good = re.fullmatch(r"[0-9]+\.[0-9]+", client.socket_id) is not None
    expect_that(good, "a socket id like 1234.5678", client.socket_id)


@CHECKS.add("ws.socket_id.unique", "1", DOCS)
async def socket_ids_are_unique(probe: Probe) -> None:
    """Every connection has a socket id of its own."""
    found = [(await probe.connect()).socket_id for _ in range(20)]
    expect_that(len(set(found)) == 20, "20 different socket ids", found)


@CHECKS.add("ws.socket_id.safe_numbers", "1", ADVICE)
async def socket_ids_fit_javascript(probe: Probe) -> None:
    """Each part of a socket id is below 2^53."""
    for _ in range(5):
        parts = (await probe.connect()).socket_id.split(".")
        good = all(part.isdecimal() and int(part) < _SAFE for part in parts)
        expect_that(good, "parts below 2^53", parts)


@CHECKS.add("ws.socket_id.not_guessable", "1", ADVICE)
async def socket_ids_are_random(probe: Probe) -> None:
    """Socket ids are random: of many, each has at least 10 digits, and none follows another."""
    ids = [(await probe.connect()).socket_id for _ in range(10)]
    found = sorted(int(id.replace(".", "")) for id in ids)
    long = all(len(str(number)) >= 10 for number in found)
    apart = all(b - a > 1000 for a, b in pairwise(found))
    expect_that(long and apart, "random socket ids", found)


def _accepted(version: int, source: Source) -> None:
    async def is_accepted(probe: Probe) -> None:
        client = await probe.connect(f"client=conformance&version=1.0&protocol={version}")
        await client.subscribe(probe.channel())

    rule = f"Protocol version {version} is accepted."
    CHECKS.add(f"ws.protocol.{version}", "1", source, rule=rule)(is_accepted)


for _version, _source in ((7, DOCS), (6, DOCS | PEERS), (5, DOCS | SDK), (4, DOCS)):
    _accepted(_version, _source)


@CHECKS.add("ws.query_ignored", "1", DOCS)
async def other_parameters_are_ignored(probe: Probe) -> None:
    """Client name, library version and unknown parameters are not looked at."""
    await probe.connect("protocol=7")
    await probe.connect("flash=true&future=%00&protocol=7&version=x.y&client=")


def _refused(code: int, text: str, query: str, what: str, id: str = "", key: str = "") -> None:
    """Two checks: the close code, and `pusher:error` with the same code and text."""
    path = f"/{key or '{key}'}?{query}".rstrip("?")

    async def opened(probe: Probe) -> Client:
        return await probe.open(f"{probe.target.prefix}/app{path.format(key=probe.app.key)}")

    async def is_closed(probe: Probe) -> None:
        await expect_refusal(await opened(probe), code, event=False)

    async def says_why(probe: Probe) -> None:
        await expect_refusal(await opened(probe), code, text.format(key=key))

    name = f"ws.close.{code}{id}"
    CHECKS.add(name, "1 and 5.2", DOCS, rule=f"{what}: upgraded and closed with {code}.")(is_closed)
    rule = (
        f"{what}: `pusher:error` and the close frame say {code} “{text.format(key=key or 'KEY')}”."
    )
    CHECKS.add(f"{name}.error_event", "5.1", OBSERVED, rule=rule)(says_why)


_UNKNOWN = "App key {key} not in this cluster. Did you forget to specify the cluster?"
_refused(4001, _UNKNOWN, "protocol=7", "An unknown key", key="nobody")
_refused(4001, _UNKNOWN, "protocol=5", "An unknown key, old client", ".protocol_5", key="nobody")
_refused(4006, "Invalid version string format", "protocol=abc", "A protocol that is no number")
_refused(4006, "Invalid version string format", "protocol=", "An empty protocol", ".empty")
_refused(4007, "Unsupported protocol version", "protocol=8", "A newer protocol")
_refused(4007, "Unsupported protocol version", "protocol=3", "An older protocol", ".older")


@CHECKS.add("ws.close.4008", "1 and ambiguities.md A-29", DOCS)
async def a_protocol_is_required(probe: Probe) -> None:
    """A connection without a protocol version is upgraded and closed with 4008."""
    client = await probe.open(probe.target.socket_path(probe.app.key, "client=js"))
    await expect_refusal(client, 4008, event=False)


@CHECKS.add("ws.close.4008.error_event", "5.1", DOCS)
async def a_missing_protocol_is_explained(probe: Probe) -> None:
    """It is told 4008 “No protocol version supplied” by `pusher:error` and the close frame."""
    client = await probe.open(probe.target.socket_path(probe.app.key, ""))
    await expect_refusal(client, 4008, "No protocol version supplied")


@CHECKS.add("ws.close.4005", "1 and 5.2", DOCS)
async def another_path_is_refused(probe: Probe) -> None:
    """A WebSocket on another path is upgraded and closed with 4005."""
    for path in ("/", "/nowhere?protocol=7", f"/app/{probe.app.key}/more?protocol=7"):
        client = await probe.open(f"{probe.target.prefix}{path}")
        await expect_refusal(client, 4005, event=False)


@CHECKS.add("ws.close.4005.error_event", "5.1", DOCS)
async def another_path_is_explained(probe: Probe) -> None:
    """It is told 4005 “Path not found” by `pusher:error` and the close frame."""
    client = await probe.open(f"{probe.target.prefix}/nowhere?protocol=7")
    await expect_refusal(client, 4005, "Path not found")


@CHECKS.add("ws.refusal_order", "1", ADVICE)
async def refusals_have_an_order(probe: Probe) -> None:
    """The path is looked at before the protocol, the protocol before the key."""
    prefix = probe.target.prefix
    for path, code in (("/nowhere?protocol=99", 4005), ("/app/nobody?protocol=99", 4007)):
        await expect_refusal(await probe.open(f"{prefix}{path}"), code, event=False)


@CHECKS.add("ws.upgrade_always", "1", DOCS)
async def refusals_come_after_the_upgrade(probe: Probe) -> None:
    """A refused connection is answered 101 first; an HTTP error would look like 1006."""
    connection = await probe.raw()
    path = f"{probe.target.prefix}/app/nobody?{QUERY}"
    expect("status", await connection.upgrade(probe.target, path), 101)


@CHECKS.add("ws.close_codes_below_4300", "5.2 and README.md 7", DOCS | SDK)
async def no_close_code_stops_pusher_js(probe: Probe) -> None:
    """A server closes with codes below 4300 only; at others pusher-js gives up for good."""
    closed, _ = await (await probe.open(f"{probe.target.prefix}/app/nobody?{QUERY}")).until_closed()
    expect_that((closed.code or 9999) < 4300, "a close code below 4300", closed.code)


@CHECKS.add("ws.subprotocol", "1 and ambiguities.md A-53", SDK)
async def the_subprotocol_is_echoed(probe: Probe) -> None:
    """The subprotocol that Swift offers is echoed."""
    name = "pusher-channels-protocol-7"
    client = await probe.open(subprotocols=(name,))
    await client.established()
    expect("subprotocol", client.socket.subprotocol, name)


@CHECKS.add("ws.early_message", "3.2", PEERS)
async def an_early_message_is_processed(probe: Probe) -> None:
    """A pusher:ping sent right after the upgrade, before the greeting (Pysher), gets its pong."""
    client = await probe.open()
    await client.send("pusher:ping", {})
    events = [(await client.receive()).event for _ in range(2)]
    expect("events", sorted(events), ["pusher:connection_established", "pusher:pong"])


@CHECKS.add("ws.deflate_optional", "1", ADVICE)
async def compression_is_optional(probe: Probe) -> None:
    """A client that does not offer permessage-deflate is accepted."""
    await probe.connect()


@CHECKS.add("ws.close.1000", "5.2", DOCS)
async def a_close_is_answered(probe: Probe) -> None:
    """A client's close frame with 1000 is answered with 1000."""
    client = await probe.connect()
    await client.socket.close(1000, "done")
    expect_in("close code", client.socket.close_code, (1000,))


@CHECKS.add("ws.key_per_app", "1", DOCS, "other")
async def the_key_decides_the_app(probe: Probe) -> None:
    """Connections of another app's key belong to that app."""
    channel = probe.channel()
    client = await probe.connect(app=probe.second("other"))
    await client.subscribe(channel)
    expect("occupied", await probe.occupied(channel), False)


@CHECKS.add("ws.second_token", "README.md 2", DOCS, "token")
async def every_key_of_an_app_connects(probe: Probe) -> None:
    """Clients connect with any active key of the app, and meet on its channels."""
    channel = probe.channel("private-")
    client = await probe.connect(app=probe.second("token"))
    await client.subscribe(channel)
    await probe.publish(channel, "event", "x")
    await client.wait_for("event", channel)
