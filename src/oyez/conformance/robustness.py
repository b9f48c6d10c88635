"""Bad input from clients: what it costs them, and that it costs nobody else anything."""

import json
from collections.abc import AsyncIterator

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, Checks, Source
from oyez.conformance.client import PONG, SUCCEEDED, Client
from oyez.conformance.expectations import Failed, Silence, expect, expect_that
from oyez.conformance.probe import QUERY, Probe
from oyez.conformance.raw_socket import TEXT, frame

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
_INVALID = "Invalid message format"
_LARGEST = 131_072


async def refused(client: Client, text: str, message: str) -> None:
    """This message is refused with `pusher:error`, code null, and the connection stays."""
    await client.send_text(text)
    error = await client.wait_for("pusher:error")
    expect("data", error.data, {"code": None, "message": message})
    await client.read_until_pong()


def _format(id: str, what: str, *texts: str, source: Source = ADVICE) -> None:
    async def is_refused(probe: Probe) -> None:
        client = await probe.connect()
        for text in texts:
            await refused(client, text, _INVALID)

    rule = f"{what}: `pusher:error`, code null, “{_INVALID}”, and the connection stays."
    CHECKS.add(f"ws.bad.{id}", "14", source, rule=rule)(is_refused)


_format("no_json", "Text that is no JSON", "hello", "{", '{"event":"pusher:ping"} x')
_format("no_object", "JSON that is no object", "[]", '"x"', "7", "null")
_format("no_event", "An object without a string event", "{}", '{"event":7}', '{"event":null}')
_format("deep", "JSON nested 20 000 deep", '{"event":"pusher:ping","data":' + "[" * 20_000)


@CHECKS.add("ws.surrogate", "14", ADVICE)
async def half_a_letter_is_no_reason_to_refuse(probe: Probe) -> None:
    r"""An escape of half a surrogate pair, which `JSON.stringify` writes, is read as JSON."""
    client = await probe.connect()
    await client.send_text('{"event":"pusher:ping","data":"Anna \\ud83d"}')
    await client.wait_for(PONG)


@CHECKS.add("ws.bad.unknown_event", "14", OBSERVED)
async def an_unknown_event_is_refused(probe: Probe) -> None:
    """An unknown `pusher:` or `pusher_internal:` event is refused, with the observed text."""
    client = await probe.connect()
    for event in ("pusher:unknown", "pusher_internal:member_added", "pusher:"):
        text = json.dumps({"event": event, "data": {}})
        await refused(client, text, f"Unsupported event received on socket: '{event}'")


@CHECKS.add("ws.bad.connection_stays", "6.2 and 14", DOCS)
async def bad_input_ends_no_connection(probe: Probe) -> None:
    """After any refused message the connection works as before."""
    client, channel = await probe.connect(), probe.channel()
    for text in (
        "hello",
        "[]",
        '{"event":7}',
        '{"event":"pusher:unsubscribe","data":7}',
        '{"event":"pusher:subscribe","data":{"channel":{}}}',
        '{"event":"pusher:signin","data":[]}',
        '{"event":"pusher:signin"}',
        '{"event":"client-a","channel":7,"data":1}',
        '{"event":"client-a"}',
    ):
        await client.send_text(text)
    await client.read_until_pong()
    await client.subscribe(channel)
    await probe.publish(channel, "event", "x")
    await client.wait_for("event", channel)


@CHECKS.add("ws.bad.duplicate_keys", "14", ADVICE)
async def the_last_of_two_keys_wins(probe: Probe) -> None:
    """Of duplicate JSON keys the last one wins."""
    client = await probe.connect()
    await client.send_text('{"event":"pusher:unknown","event":"pusher:ping"}')
    await client.wait_for(PONG)


@CHECKS.add("ws.bad.empty", "14", ADVICE)
async def an_empty_message_is_ignored(probe: Probe) -> None:
    """An empty text message is ignored."""
    client = await probe.connect()
    await client.send_text("")
    expect("messages", [m.text for m in await client.read_until_pong()], [])


async def closed_with(client: Client) -> int | None:
    """The code with which the server closes."""
    return (await client.until_closed())[0].code


@CHECKS.add("ws.close.1003", "14 and ambiguities.md A-49", ADVICE)
async def binary_is_not_supported(probe: Probe) -> None:
    """A binary message closes the connection with 1003."""
    client = await probe.connect()
    await client.send_text(b'{"event":"pusher:ping"}', binary=True)
    expect("close code", await closed_with(client), 1003)


@CHECKS.add("ws.close.1007", "14", ADVICE)
async def text_has_to_be_utf8(probe: Probe) -> None:
    """A text message that is not UTF-8 closes the connection with 1007."""
    client = await probe.connect()
    await client.send_text(b'{"event":"\xff"}')
    expect("close code", await closed_with(client), 1007)


@CHECKS.add("ws.close.1009", "14", ADVICE)
async def a_message_can_be_too_big(probe: Probe) -> None:
    """A message above 128 KiB closes the connection with 1009."""
    client = await probe.connect()
    await client.send_text("x" * (_LARGEST + 1))
    expect("close code", await closed_with(client), 1009)


@CHECKS.add("limits.inbound_message", "README.md 4", ADVICE)
async def a_large_message_is_read(probe: Probe) -> None:
    """A message of 128 KiB is read."""
    client = await probe.connect()
    head, tail = '{"event":"pusher:ping","data":"', '"}'
    await client.send_text(head + "x" * (_LARGEST - len(head) - len(tail)) + tail)
    await client.wait_for(PONG)


@CHECKS.add("ws.fragments", "14", ADVICE)
async def a_message_may_come_in_fragments(probe: Probe) -> None:
    """A message in several frames, with a ping frame between them, is read as one."""
    client = await probe.connect()

    async def parts() -> AsyncIterator[str]:
        yield '{"event":'
        await client.socket.ping()
        yield '"pusher:ping"'
        yield "}"

    await client.socket.send(parts())
    await client.wait_for(PONG)


@CHECKS.add("ws.close.1002", "1", ADVICE)
async def frames_have_to_be_masked(probe: Probe) -> None:
    """An unmasked frame closes the connection with 1002."""
    connection = await probe.raw()
    await connection.upgrade(probe.target, probe.target.socket_path(probe.app.key, QUERY))
    await connection.read_frame()
    await connection.send_frame(b'{"event":"pusher:ping"}', masked=False)
    expect("close code", (await connection.read_close()).code, 1002)


@CHECKS.add("ws.early_frame", "3.2", ADVICE)
async def a_frame_may_come_with_the_handshake(probe: Probe) -> None:
    """A message in the same packet as the handshake is not lost."""
    connection = await probe.raw()
    path = probe.target.socket_path(probe.app.key, QUERY)
    status = await connection.upgrade(probe.target, path, frame(b'{"event":"pusher:ping"}'))
    expect("status", status, 101)
    payloads = [(await connection.read_frame()).payload for _ in range(2)]
    found = [json.loads(payload).get("event") for payload in payloads]
    expect("events", sorted(found), ["pusher:connection_established", PONG])


@CHECKS.add("ws.storm", "14", ADVICE)
async def a_storm_is_weathered(probe: Probe) -> None:
    """300 times subscribing and unsubscribing leave the client alive and the channel empty."""
    client, channel = await probe.connect(), probe.channel()
    for _ in range(300):
        await client.ask(channel)
        await client.unsubscribe(channel)
    for _ in range(300):
        await client.wait_for(SUCCEEDED, channel, seconds=10)
    await client.read_until_pong()
    await probe.vacated(channel)


@CHECKS.add("ws.garbage", "14", ADVICE)
async def garbage_hurts_nobody(probe: Probe) -> None:
    """Connections that speak no HTTP, or break off, do not disturb others."""
    bystander = await probe.connect()
    for data in (
        b"\x00\xff" * 100,
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01",
    ):
        connection = await probe.raw()
        await connection.write(data)
        await connection.close()
    await bystander.read_until_pong()
    await probe.connect()


@CHECKS.add("ws.slow_consumer", "14", ADVICE)
async def a_slow_consumer_is_dropped(probe: Probe) -> None:
    """A client that does not read is closed so that it reconnects (4100 to 4299, or cut off)."""
    channel = probe.channel()
    slow = await probe.raw(receive_buffer=4096)
    await slow.upgrade(probe.target, probe.target.socket_path(probe.app.key, QUERY))
    await slow.read_frame()
    subscribe = {"event": "pusher:subscribe", "data": {"channel": channel}}
    await slow.send_frame(json.dumps(subscribe).encode(), TEXT)
    await slow.read_frame()
    reader = await probe.subscribed(channel)
    batch = {"batch": [{"name": "e", "channel": channel, "data": "x" * 10_000}] * 10}
    for _ in range(200):
        (await probe.api.post("/batch_events", batch)).ok()
        if not await _two_there(probe, channel):
            break
    else:
        raise Failed("the slow client to be dropped", "20 MB kept for it")
    await reader.read_until_pong()
    try:
        code = (await slow.read_close()).code
    except Silence:
        raise
    except Failed:
        return  # cut off before a close frame could be written
    expect_that(code in range(4100, 4300), "a close code from 4100 to 4299", code)


async def _two_there(probe: Probe, channel: str) -> bool:
    answer = (await probe.api.get(f"/channels/{channel}", info="subscription_count")).json()
    return bool(answer.get("subscription_count", 2) == 2)
