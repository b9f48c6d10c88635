"""Whether both sides are still there: pings of both kinds, and what follows silence."""

import asyncio

from oyez.conformance.check import DOCS, SDK, Checks
from oyez.conformance.client import PONG
from oyez.conformance.expectations import Failed, Skipped, expect, expect_that, shown
from oyez.conformance.probe import QUERY, Probe
from oyez.conformance.raw_socket import CLOSE, PING, RawSocket
from oyez.conformance.target import Credentials

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
_SECONDS = 10.0  # an impatient app does everything within this time
_SLOW_SECONDS = 170.0  # 120 s of silence, 30 s for the answer, and some time to notice


@CHECKS.add("ws.ping", "4", DOCS)
async def a_ping_is_answered(probe: Probe) -> None:
    """pusher:ping is answered with pusher:pong, whether its data is `{}`, `""` or absent."""
    client = await probe.connect()
    for text in ('"data":{}', '"data":""', '"data":"{}"', ""):
        await client.send_text('{"event":"pusher:ping"' + (f",{text}" if text else "") + "}")
        await client.wait_for(PONG)


@CHECKS.add("ws.pong_form", "4 and ambiguities.md A-30", SDK)
async def a_pong_has_string_data(probe: Probe) -> None:
    """pusher:pong has the string `{}` as data."""
    client = await probe.connect()
    await client.send("pusher:ping", {})
    expect("message", (await client.wait_for(PONG)).value, {"event": PONG, "data": "{}"})


@CHECKS.add("ws.ping_frame", "4", DOCS)
async def a_ping_frame_is_answered(probe: Probe) -> None:
    """A WebSocket ping frame is answered with a pong frame."""
    await (await probe.connect()).ping_frame()


@CHECKS.add("ws.pong_ignored", "4", DOCS)
async def a_pong_is_only_activity(probe: Probe) -> None:
    """pusher:pong from a client is not answered."""
    client = await probe.connect()
    await client.send("pusher:pong", {})
    expect("messages", [m.text for m in await client.read_until_pong()], [])


async def silent(probe: Probe, query: str = QUERY) -> tuple[RawSocket, float]:
    """A connection that answers nothing, and how long it may take."""
    given = probe.target.second_apps.impatient
    app: Credentials = given or probe.app
    if given is None and not probe.target.slow:
        raise Skipped("needs --slow, or --second-app impatient=…, an app with short timeouts")
    connection = await probe.raw()
    await connection.upgrade(probe.target, probe.target.socket_path(app.key, query))
    await connection.read_frame()
    return connection, _SECONDS if given else _SLOW_SECONDS


@CHECKS.add("ws.server_ping", "4 and ambiguities.md A-44", DOCS | SDK)
async def the_server_probes_with_frames(probe: Probe) -> None:
    """A silent client is sent a ping frame; JSON pings are ignored by Java, Swift and .NET."""
    connection, seconds = await silent(probe)
    frame = await connection.read_frame(seconds)
    if frame.opcode != PING:
        raise Failed("a ping frame first", shown(frame.payload))


@CHECKS.add("ws.close.4201", "4 and 5.2", DOCS)
async def silence_ends_a_connection(probe: Probe) -> None:
    """A client that does not answer the probe within 30 s is closed with 4201."""
    connection, seconds = await silent(probe)
    expect("close code", (await connection.read_close(seconds)).code, 4201)


@CHECKS.add("ws.close.4201.text", "5.2", DOCS)
async def the_end_is_explained(probe: Probe) -> None:
    """It is told “Pong reply not received”."""
    connection, seconds = await silent(probe)
    frame = await connection.read_close(seconds)
    expect("reason", frame.payload[2:].decode("utf-8", "replace"), "Pong reply not received")


@CHECKS.add("ws.close_old_protocol", "5.1", DOCS)
async def old_clients_are_told_first(probe: Probe) -> None:
    """Below protocol 6, `pusher:error` comes before a close of an established connection."""
    connection, seconds = await silent(probe, "protocol=5&client=java-client&version=2")
    seen: list[bytes] = []
    for _ in range(100):
        frame = await connection.read_frame(seconds)
        if frame.opcode == CLOSE:
            break
        seen.append(frame.payload)
    told = any(b"pusher:error" in payload and b"4201" in payload for payload in seen)
    expect_that(told, "pusher:error with 4201 before the close frame", seen)


@CHECKS.add("ws.activity_counts", "4", DOCS)
async def every_message_counts_as_activity(probe: Probe) -> None:
    """A client that answers ping frames is kept."""
    given = probe.target.second_apps.impatient
    if given is None and not probe.target.slow:
        raise Skipped("needs --slow, or --second-app impatient=…, an app with short timeouts")
    client = await probe.connect(app=given)
    await asyncio.sleep(_SECONDS if given else _SLOW_SECONDS)
    await client.read_until_pong()
