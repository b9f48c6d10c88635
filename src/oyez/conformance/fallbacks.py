"""The HTTP fallbacks of pusher-js: streaming, polling and sending, framed as SockJS does."""

import asyncio
import contextlib
import json
from collections.abc import Callable

from oyez.conformance.check import ADVICE, SDK, Checks
from oyez.conformance.client import SUCCEEDED
from oyez.conformance.expectations import (
    Failed,
    Silence,
    expect,
    expect_contains,
    expect_that,
    shown,
)
from oyez.conformance.fallback_client import FallbackSession
from oyez.conformance.probe import Probe
from oyez.protocol.signing import channel_string

__all__ = ["CHECKS"]

CHECKS = Checks("websocket-protocol.md")
ON = "fallbacks"
QUERY = "protocol=7&client=js&version=8.6.0&t=1&n=1"
_ESTABLISHED = "pusher:connection_established"
_SECONDS = 25.0  # silence may be noticed late


async def streaming(probe: Probe, query: str = QUERY) -> FallbackSession:
    """A session that streams and has been greeted."""
    session = probe.fallback()
    response = await session.stream(query)
    expect("status", response.status_code, 200)
    await session.event(_ESTABLISHED)
    return session


async def polling(probe: Probe) -> FallbackSession:
    """A session that polls and has been greeted."""
    session = probe.fallback()
    expect("status", (await session.poll(QUERY)).status_code, 200)
    await session.event(_ESTABLISHED, QUERY)
    return session


async def join(session: FallbackSession, channel: str, auth: str = "") -> None:
    """Subscribe."""
    data = {"channel": channel, "auth": auth}
    await session.send({"event": "pusher:subscribe", "data": data})
    await session.event(SUCCEEDED, QUERY)


@CHECKS.add("fallback.offered", "13", ADVICE)
async def the_fallbacks_are_there(probe: Probe) -> None:
    """The server has the HTTP fallbacks, for clients behind proxies that break WebSockets."""
    session = probe.fallback()
    expect("status", (await session.poll(QUERY)).status_code, 200)
    expect("first frame", session.frames[0][:1] if session.frames else "", "o")


@CHECKS.add("fallback.default_path", "13", SDK, ON)
async def the_path_of_pusher_js_works(probe: Probe) -> None:
    """The fallbacks are below `/pusher` too, which pusher-js prefixes unless told otherwise."""
    session = probe.fallback()
    session.path = session.path.replace("/app/", "/pusher/app/", 1)
    await session.poll(QUERY)
    await session.event(_ESTABLISHED, QUERY)


@CHECKS.add("fallback.streaming.open", "13", SDK, ON)
async def a_stream_opens_with_o(probe: Probe) -> None:
    """A streaming response begins with the frame `o`, and greets with connection_established."""
    session = await streaming(probe)
    expect("first frame", session.frames[0][:1], "o")


@CHECKS.add("fallback.streaming.events", "13", SDK, ON)
async def a_stream_carries_events(probe: Probe) -> None:
    """A streaming client subscribes by xhr_send and gets what is published."""
    session, channel = await streaming(probe), probe.channel()
    await join(session, channel)
    for data in ("1", "zwei 世界 \u2028 \n"):
        await probe.publish(channel, "event", data)
        message = await session.event("event")
        expect("message", message, {"event": "event", "channel": channel, "data": data})


@CHECKS.add("fallback.streaming.reopened", "13", SDK, ON)
async def a_second_stream_continues(probe: Probe) -> None:
    """A second stream of the same session continues it, without another `o`."""
    session, channel = await streaming(probe), probe.channel()
    await join(session, channel)
    count = len(session.frames)
    await session.stream(QUERY)
    await probe.publish(channel, "event", "x")
    await session.event("event")
    reopened = [frame for frame in session.frames[count:] if frame[0] == "o"]
    expect("frames o of the second stream", reopened, [])


@CHECKS.add("fallback.polling.open", "13", SDK, ON)
async def a_poll_opens_with_o(probe: Probe) -> None:
    """The first poll answers 200 with the frame `o`; this or the next one greets."""
    session = await polling(probe)
    expect("first frame", session.frames[0][:1], "o")


@CHECKS.add("fallback.polling.events", "13", SDK, ON)
async def polls_carry_events(probe: Probe) -> None:
    """What is published between two polls waits for the next one."""
    session, channel = await polling(probe), probe.channel()
    await join(session, channel)
    for number in range(3):
        await probe.publish(channel, "event", str(number))
    for number in range(3):
        expect("data", (await session.event("event", QUERY)).get("data"), str(number))


@CHECKS.add("fallback.send", "13", SDK, ON)
async def sending_is_answered_204(probe: Probe) -> None:
    """xhr_send with an array of texts is answered 204; `[]` is a heartbeat."""
    session = await streaming(probe)
    await session.send()
    await session.send({"event": "pusher:ping", "data": {}}, {"event": "pusher:ping", "data": {}})
    for _ in range(2):
        await session.event("pusher:pong")


@CHECKS.add("fallback.send_unknown_session", "13", ADVICE, ON)
async def a_session_has_to_exist(probe: Probe) -> None:
    """xhr_send to a session that does not exist is an error."""
    response = await probe.fallback().post("/xhr_send?t=1&n=1", b'["{}"]')
    expect_that(response.status_code >= 400, "an error status", response.status_code)


@CHECKS.add("fallback.send_garbage", "13", ADVICE, ON)
async def garbage_is_refused(probe: Probe) -> None:
    """A body of xhr_send that is no array of texts is an error, and the session stays."""
    session = await streaming(probe)
    for body in (b"{", b"{}", b'[{"event":"pusher:ping"}]'):
        status = (await session.post("/xhr_send?t=1&n=1", body)).status_code
        expect_that(400 <= status < 500, "a 4xx status", status)
    await session.send({"event": "pusher:ping", "data": {}})
    await session.event("pusher:pong")


@CHECKS.add("fallback.private", "13", SDK, ON)
async def a_fallback_client_is_a_client(probe: Probe) -> None:
    """A private channel is joined as with a WebSocket, and events go both ways."""
    session = probe.fallback()
    await session.stream(QUERY)
    greeting = json.loads(str((await session.event(_ESTABLISHED)).get("data")))
    channel = probe.channel("private-")
    signed = channel_string(greeting["socket_id"], channel).encode()
    await join(session, channel, f"{probe.app.key}:{probe.app.token.sign(signed)}")
    client = await probe.subscribed(channel)
    await probe.publish(channel, "event", "x", socket_id=greeting["socket_id"])
    await client.wait_for("event", channel)


@CHECKS.add("fallback.refused", "13 and 5.2", SDK, ON)
async def refusals_are_close_frames(probe: Probe) -> None:
    """A refused session gets `c[code,"reason"]`, with the codes of a WebSocket."""
    for query, code in (("protocol=x", 4006), ("protocol=9", 4007), ("client=js", 4008)):
        session = probe.fallback()
        await session.stream(query)
        for _ in range(5):
            frame = await session.next_frame()
            if frame[0] == "c":
                break
        else:
            raise Failed("a frame c", shown(session.frames))
        expect_that(frame.startswith(f"c[{code},"), f"a frame c[{code},…]", frame)


@CHECKS.add("fallback.terminated", "12.4 and 13", ADVICE, ON, "users")
async def a_terminated_session_is_closed(probe: Probe) -> None:
    """A session whose user is terminated gets `c[4009,…]`."""
    session = probe.fallback()
    await session.stream(QUERY)
    greeting = json.loads(str((await session.event(_ESTABLISHED)).get("data")))
    user = probe.user()
    text = json.dumps({"id": user})
    signature = probe.app.token.sign(f"{greeting['socket_id']}::user::{text}".encode())
    data = {"auth": f"{probe.app.key}:{signature}", "user_data": text}
    await session.send({"event": "pusher:signin", "data": data})
    await session.event("pusher:signin_success")
    (await probe.api.post(f"/users/{user}/terminate_connections", {})).ok()
    for _ in range(5):
        frame = await session.next_frame()
        if frame[0] == "c":
            break
    expect_that(frame.startswith("c[4009,"), "a frame c[4009,…]", frame)


@CHECKS.add("fallback.cors", "13", SDK, ON)
async def browsers_may_use_it(probe: Probe) -> None:
    """Every answer allows all origins, and a preflight the header Content-Type."""
    session = await polling(probe)
    answers = [
        await session.post(f"/xhr_send?{QUERY}", b"[]"),
        await session.post(f"/xhr_send?{QUERY}", method="OPTIONS"),
    ]
    for answer in answers:
        allowed = answer.headers.get("access-control-allow-origin")
        expect_that(allowed in ("*", "https://example.com"), "all origins allowed", allowed)
    headers = answers[1].headers.get("access-control-allow-headers", "")
    expect_contains("allowed headers", headers.lower(), "content-type")


@CHECKS.add("fallback.json_ping", "4 and ambiguities.md A-44", SDK, ON, "impatient")
async def the_server_pings_in_json(probe: Probe) -> None:
    """A transport without frames is probed with `pusher:ping`."""
    session = await quiet(probe, QUERY)
    await until(session, lambda: "pusher:ping" in session.frames[-1])


@CHECKS.add("fallback.close.4202", "4 and README.md 4", SDK, ON, "impatient")
async def silence_ends_an_old_session(probe: Probe) -> None:
    """A protocol 4 client, which cannot be pinged, is closed with 4202 after the long silence."""
    session = await quiet(probe, "protocol=4&client=js&version=1")
    await until(session, lambda: session.frames[-1].startswith("c[4202,"))
    pings = [frame for frame in session.frames if "pusher:ping" in frame]
    expect("pings, which protocol 4 does not know", pings, [])


async def quiet(probe: Probe, query: str) -> FallbackSession:
    """A greeted session of the app with short timeouts."""
    session = probe.fallback(probe.second("impatient"))
    await session.stream(query)
    await session.event(_ESTABLISHED)
    return session


async def until(session: FallbackSession, arrived: Callable[[], bool]) -> None:
    """Read on for longer than one waits for an answer."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SECONDS
    while loop.time() < deadline:
        with contextlib.suppress(Silence):
            await session.next_frame()
            if arrived():
                return
    raise Failed("a frame that says so", shown(session.frames))
