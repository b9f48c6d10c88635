"""Settings of an app that need an app of their own, and what a crowded or stopping node says."""

import asyncio
import shlex

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, Checks
from oyez.conformance.client import Client, Closed
from oyez.conformance.expectations import Failed, expect, expect_that
from oyez.conformance.handshake import expect_refusal
from oyez.conformance.probe import QUERY, Probe

__all__ = ["CHECKS"]

CHECKS = Checks("README.md")
_MOST = 25
_AUTHORIZED_SECONDS = 35.0
_STOP_SECONDS = 20.0


@CHECKS.add("settings.disabled.4003", "6 and websocket-protocol.md 5.2", DOCS, "disabled")
async def a_disabled_app_takes_no_connections(probe: Probe) -> None:
    """A connection to a disabled app is closed with 4003 “Application disabled”."""
    await expect_refusal(
        await probe.open(app=probe.second("disabled")), 4003, "Application disabled"
    )


@CHECKS.add("settings.disabled.403", "6 and http-api.md 5", DOCS, "disabled")
async def a_disabled_app_takes_no_requests(probe: Probe) -> None:
    """A request to a disabled app is answered 403."""
    api = probe.api_of(probe.second("disabled"))
    (await api.get("/channels")).expect(403)
    body = {"name": "e", "channels": ["c"], "data": "x"}
    (await api.post("/events", body)).expect(403)


@CHECKS.add("settings.disabled.403.text", "http-api.md 5", ADVICE, "disabled")
async def a_disabled_app_is_explained(probe: Probe) -> None:
    """It is answered “App disabled”."""
    (await probe.api_of(probe.second("disabled")).get("/channels")).refused(403, "App disabled")


@CHECKS.add("settings.force_tls.4000", "6 and websocket-protocol.md 5.2", DOCS, "tls_only", "plain")
async def plain_connections_can_be_refused(probe: Probe) -> None:
    """A plain connection to an app that forces TLS is closed with 4000 and the documented text."""
    text = "Application only accepts SSL connections, reconnect using wss://"
    await expect_refusal(await probe.open(app=probe.second("tls_only")), 4000, text)


@CHECKS.add("settings.force_tls.403", "6 and ambiguities.md A-23", ADVICE, "tls_only", "plain")
async def plain_requests_can_be_refused(probe: Probe) -> None:
    """A plain request to an app that forces TLS is answered 403."""
    (await probe.api_of(probe.second("tls_only")).get("/channels")).expect(403)


@CHECKS.add("settings.origins.4009", "6 and websocket-protocol.md 5.2", PEERS, "origin")
async def other_origins_are_refused(probe: Probe) -> None:
    """A browser of another origin is closed with 4009 “Origin not allowed”."""
    client = await probe.open(app=probe.second("origin"), origin="https://not-allowed.invalid")
    await expect_refusal(client, 4009, "Origin not allowed")


@CHECKS.add("settings.origins.any", "6", DOCS)
async def any_origin_is_allowed(probe: Probe) -> None:
    """Without a list of origins every one is let in."""
    await probe.connect(origin="https://example.com")
    await probe.connect(origin="null")


async def until_over_quota(probe: Probe) -> Client:
    """Connect, and publish, until a connection is refused; returns that one."""
    app = probe.second("quota")
    api = probe.api_of(app)
    for _ in range(_MOST):
        client = await probe.open(app=app)
        try:
            message = await client.receive()
        except Closed:
            return await probe.open(app=app)
        if message.event == "pusher:error":
            return await probe.open(app=app)
        await api.post("/events", {"name": "e", "channels": [probe.channel()], "data": "x"})
    raise Failed("a refused connection", f"{_MOST} accepted ones")


@CHECKS.add("settings.quota.4004", "4 and websocket-protocol.md 5.2", DOCS | OBSERVED, "quota")
async def connections_have_a_quota(probe: Probe) -> None:
    """A connection over the app's quota is closed with 4004 “Account over quota”."""
    await expect_refusal(await until_over_quota(probe), 4004, "Account over quota")


@CHECKS.add("settings.quota.403", "http-api.md 5 and ambiguities.md A-74", DOCS, "message_quota")
async def messages_have_a_quota(probe: Probe) -> None:
    """A publish over the app's quota of messages is answered 403."""
    api = probe.api_of(probe.second("message_quota"))
    for _ in range(_MOST):
        body = {"name": "e", "channels": [probe.channel()], "data": "x"}
        answer = await api.post("/events", body)
        if answer.status != 200:
            answer.refused(403, "Over quota")
            return
    raise Failed("status 403", f"{_MOST} accepted messages")


@CHECKS.add("settings.authorized.4009", "6 and websocket-protocol.md 12.5", DOCS, "authorized")
async def a_connection_has_to_be_authorized(probe: Probe) -> None:
    """A connection that is not authorized in time, or joins public channels only, gets 4009."""
    app = probe.second("authorized")
    client, public = await probe.connect(app=app), await probe.connect(app=app)
    await public.subscribe(probe.channel())
    for each in (client, public):
        closed, _ = await each.until_closed(_AUTHORIZED_SECONDS)
        expect("close code", closed.code, 4009)
        expect("reason", closed.reason, "Connection not authorized within timeout")


@CHECKS.add("settings.authorized.stays", "6 and websocket-protocol.md 12.5", DOCS, "authorized")
async def an_authorized_connection_stays(probe: Probe) -> None:
    """One that has joined a private or presence channel, or signed in, is kept."""
    app = probe.second("authorized")
    loser, private = await probe.connect(app=app), await probe.connect(app=app)
    member, user = await probe.connect(app=app), await probe.connect(app=app)
    await private.subscribe(probe.channel("private-"))
    await member.subscribe(probe.channel("presence-"), "u-1")
    await user.sign_in(probe.user())
    await loser.until_closed(_AUTHORIZED_SECONDS)
    await asyncio.sleep(0.5)
    for each in (private, member, user):
        await each.read_until_pong()


@CHECKS.add("settings.lenient", "6 and ambiguities.md A-29", ADVICE, "lenient")
async def a_missing_protocol_can_be_forgiven(probe: Probe) -> None:
    """A lenient app takes a connection without protocol for version 7."""
    await probe.connect("client=js", app=probe.second("lenient"))


@CHECKS.add("settings.enabled", "6", DOCS)
async def an_app_is_enabled(probe: Probe) -> None:
    """An app takes connections and requests unless it is disabled."""
    await probe.connect()
    (await probe.api.get("/channels")).ok()


@CHECKS.add("limits.connections", "4", ADVICE)
async def connections_are_not_limited(probe: Probe) -> None:
    """By default an app takes any number of connections; 150 are opened."""
    clients = await asyncio.gather(*(probe.connect() for _ in range(150)))
    await clients[-1].read_until_pong()


@CHECKS.add("ws.close.4100", "websocket-protocol.md 5.2", DOCS, "crowded")
async def a_node_can_be_full(probe: Probe) -> None:
    """A node at its limit of connections closes with 4100 “Over capacity”."""
    url = probe.target.crowded_url
    for _ in range(_MOST):
        client = await probe.open(url=url)
        try:
            message = await client.receive()
        except Closed:
            break
        if message.event == "pusher:error":
            break
    await expect_refusal(await probe.open(url=url), 4100, "Over capacity")


@CHECKS.add("ws.close.4200", "websocket-protocol.md 5.2", DOCS, "stop")
async def a_stopping_node_sends_clients_away(probe: Probe) -> None:
    """A node that stops closes its connections with 4200, which makes clients reconnect."""
    client = await probe.connect()
    old = await probe.connect(QUERY.replace("protocol=7", "protocol=5"))
    command = shlex.split(probe.target.stop_command or "")
    process = await asyncio.create_subprocess_exec(*command)
    closed, messages = await client.until_closed(_STOP_SECONDS)
    expect("close code", closed.code, 4200)
    expect("messages for protocol 7", [message.text for message in messages], [])
    closed, messages = await old.until_closed(_STOP_SECONDS)
    expect("close code", closed.code, 4200)
    told = [message.event for message in messages]
    expect_that("pusher:error" in told, "pusher:error for protocol 5", told)
    await process.wait()
