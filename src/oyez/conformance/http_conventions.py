"""What holds for every route of the HTTP API, and the routes beside the documented ones."""

from urllib.parse import quote

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, SDK, Checks
from oyez.conformance.expectations import Failed, Skipped, expect, expect_contains, expect_that
from oyez.conformance.probe import Probe
from oyez.conformance.signed import credentials, encode, signature

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")


@CHECKS.add("http.keep_alive", "1", DOCS | SDK)
async def connections_are_kept(probe: Probe) -> None:
    """One connection answers several requests, one after the other."""
    path = probe.api.path("/channels")
    connection = await probe.raw()
    for _ in range(3):
        pairs = credentials(probe.api.token)
        pairs.append(("auth_signature", signature(probe.api.token, "GET", path, pairs)))
        target = f"{probe.target.prefix}{path}?{encode(pairs)}"
        await connection.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers = await connection.read_head()
        expect("status", status, 200)
        body = await connection.read_body(headers)
        expect_contains("body", body.decode("utf-8", "replace"), '"channels":{')


@CHECKS.add("http.unknown_route", "1", OBSERVED)
async def an_unknown_route_is_not_found(probe: Probe) -> None:
    """An unknown route is answered 404."""
    (await probe.api.call("GET", probe.api.path("/nothing"))).expect(404)
    (await probe.api.send("GET", "/nothing")).expect(404)


@CHECKS.add("http.unknown_route.text", "1", OBSERVED)
async def an_unknown_route_is_named(probe: Probe) -> None:
    """An unknown route is answered with “404 NOT FOUND”."""
    (await probe.api.send("GET", "/nothing")).refused(404, "404 NOT FOUND")


@CHECKS.add("http.wrong_method", "1 and 5", ADVICE)
async def a_wrong_method_is_refused(probe: Probe) -> None:
    """A known route asked with another method is answered 405 with `Allow`."""
    for method, rest, allowed in (("GET", "/events", "POST"), ("POST", "/channels", "GET")):
        answer = await probe.api.call(method, probe.api.path(rest))
        answer.expect(405)
        expect_contains("Allow", answer.headers.get("allow", ""), allowed)


@CHECKS.add("http.error_form", "1 and ambiguities.md A-01", ADVICE)
async def errors_are_json(probe: Probe) -> None:
    """Errors are JSON, `{"error": sentence, "code": status}`, and application/json."""
    answers = [
        await probe.api.send("GET", probe.api.path("/channels")),
        await probe.api.post("/events", {}),
        await probe.api.call("GET", "/apps/99999999999/channels"),
        await probe.api.send("GET", "/nothing"),
    ]
    for answer in answers:
        expect_that(answer.status >= 400, "an error status", answer.status)
        expect("content type", answer.headers.get("content-type"), "application/json")
        body = answer.json()
        expect("keys", sorted(body), ["code", "error"])
        expect("code", body["code"], answer.status)
        expect_that(bool(isinstance(body["error"], str) and body["error"]), "a sentence", body)


@CHECKS.add("http.library_header_optional", "1", SDK)
async def the_library_header_is_optional(probe: Probe) -> None:
    """X-Pusher-Library is neither needed nor in the way."""
    path = probe.api.path("/channels")
    (await probe.api.call("GET", path)).ok()
    (await probe.api.call("GET", path, X_Pusher_Library="pusher-http-ruby 2.1.0")).ok()


@CHECKS.add("http.cors_off", "1", ADVICE)
async def browsers_are_not_invited(probe: Probe) -> None:
    """By default no answer of the HTTP API has CORS headers."""
    path = probe.api.path("/channels")
    answer = await probe.api.call("GET", path, Origin="https://example.com")
    answer.ok()
    expect("header", answer.headers.get("access-control-allow-origin"), None)


@CHECKS.add("http.health", "1", PEERS)
async def health_needs_no_signature(probe: Probe) -> None:
    """`GET /up` answers 200 `{"health":"OK"}` without a signature."""
    expect("body", (await probe.api.send("GET", "/up")).ok(), {"health": "OK"})


@CHECKS.add("http.users.with_user_info", "3.5", PEERS)
async def members_may_be_listed_with_info(probe: Probe) -> None:
    """With `with_user_info=1`, users are listed with their user_info (optional extension)."""
    name = probe.channel("presence-")
    await probe.subscribed(name, "u-1", {"name": "Ada"})
    body = (await probe.api.get(f"/channels/{name}/users", with_user_info="1")).ok()
    if body == {"users": [{"id": "u-1"}]}:
        raise Skipped("the optional extension is not offered")
    expect("body", body, {"users": [{"id": "u-1", "user_info": {"name": "Ada"}}]})


async def post_deprecated(probe: Probe, channel: str, data: bytes, **query: str) -> int:
    """Publish through the channel's own route; returns the status, after looking at the body."""
    path = probe.api.path(f"/channels/{channel}/events")
    answer = await probe.api.call("POST", path, list(query.items()), data)
    if answer.status == 202 and answer.body:
        raise Failed("an empty body", repr(answer.body))
    return answer.status


@CHECKS.add("http.deprecated.publish", "3.8 and vector HTTP-10", DOCS)
async def the_old_route_publishes(probe: Probe) -> None:
    """POST to a channel's `/events` publishes the whole body, and is answered 202 and nothing."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    status = await post_deprecated(probe, channel, '{"hello":"wörld"}'.encode(), name="greeting")
    expect("status", status, 202)
    expect("data", (await client.wait_for("greeting", channel)).data, '{"hello":"wörld"}')


@CHECKS.add("http.deprecated.exclusion", "3.8", DOCS)
async def the_old_route_excludes(probe: Probe) -> None:
    """That route takes socket_id from the query."""
    channel = probe.channel()
    client, other = await probe.subscribed(channel), await probe.subscribed(channel)
    status = await post_deprecated(probe, channel, b"x", name="e", socket_id=client.socket_id)
    expect("status", status, 202)
    await other.wait_for("e", channel)
    messages = await probe.before_marker(channel, client)
    expect("events", [m.event for m in messages if m.event == "e"], [])


@CHECKS.add("http.deprecated.bad", "3.8", DOCS)
async def the_old_route_has_the_same_rules(probe: Probe) -> None:
    """That route has the same limits: 413 for too much data, 400 without a name."""
    channel = probe.channel()
    expect("status", await post_deprecated(probe, channel, b"x" * 10_241, name="e"), 413)
    expect("status", await post_deprecated(probe, channel, b"x"), 400)


@CHECKS.add("http.deprecated.not_utf8", "3.8", ADVICE)
async def the_old_route_wants_utf8(probe: Probe) -> None:
    """A body that is not UTF-8 is answered 400 by that route."""
    expect("status", await post_deprecated(probe, probe.channel(), b"\xff", name="e"), 400)


@CHECKS.add("http.deprecated.stats", "3.9", DOCS)
async def the_old_statistics_are_there(probe: Probe) -> None:
    """GET of a channel's `/stats` answers occupied and connection_count."""
    channel = probe.channel()
    await probe.subscribed(channel)
    answer = (await probe.api.get(f"/channels/{channel}/stats")).ok()
    expect("body", answer, {"occupied": True, "connection_count": 1})


@CHECKS.add("http.deprecated.stats_presence", "3.9", DOCS)
async def the_old_statistics_count_users(probe: Probe) -> None:
    """`/stats` of a presence channel answers user_count too."""
    channel = probe.channel("presence-")
    await probe.subscribed(channel, "u-1")
    await probe.subscribed(channel, "u-1")
    answer = (await probe.api.get(f"/channels/{channel}/stats")).ok()
    expect("body", answer, {"occupied": True, "connection_count": 2, "user_count": 1})


@CHECKS.add("http.terminate.nobody", "3.6", DOCS)
async def nobody_can_be_terminated(probe: Probe) -> None:
    """Terminating a user without connections is answered `{}`."""
    path = f"/users/{probe.user()}/terminate_connections"
    expect("body", (await probe.api.post(path, {})).ok(), {})


@CHECKS.add("http.terminate.bodies", "3.6 and vectors HTTP-6", SDK)
async def the_body_does_not_matter(probe: Probe) -> None:
    """The body of a termination may be missing, `{}` or anything, with or without body_md5."""
    path = f"/users/{probe.user()}/terminate_connections"
    for body in (b"", b"{}", b'{"a":1}'):
        (await probe.api.post(path, body)).ok()
    (await probe.api.post(path, b"", body_md5="d41d8cd98f00b204e9800998ecf8427e")).ok()


@CHECKS.add("http.terminate.encoded", "3.6 and README.md 7", SDK)
async def a_user_id_may_be_encoded(probe: Probe) -> None:
    """A user id in the path is signed decoded and sent percent-encoded."""
    path = probe.api.path("/users/u 1+ü@x/terminate_connections")
    pairs = credentials(probe.api.token)
    pairs.append(("auth_signature", signature(probe.api.token, "POST", path, pairs)))
    (await probe.api.send("POST", f"{quote(path)}?{encode(pairs)}")).ok()


@CHECKS.add("http.terminate.alias", "3.10 and vector HTTP-6d", ADVICE)
async def the_python_library_can_terminate(probe: Probe) -> None:
    """The path without `/apps/{id}`, which the Python library calls, does the same."""
    path = f"/users/{probe.user()}/terminate_connections"
    expect("body", (await probe.api.call("POST", path, None, b"{}")).ok(), {})
    pairs = [*credentials(probe.api.token, b"{}"), ("auth_signature", "0" * 64)]
    (await probe.api.send("POST", f"{path}?{encode(pairs)}", b"{}")).expect(401)


@CHECKS.add("http.terminate.bad_id", "3.6", ADVICE)
async def a_user_id_has_a_limit(probe: Probe) -> None:
    """A user id of 129 characters is answered 400 by the termination route."""
    (await probe.api.post(f"/users/{'u' * 129}/terminate_connections", {})).expect(400)


@CHECKS.add("http.timeline", "websocket-protocol.md 13", ADVICE)
async def statistics_of_clients_do_no_harm(probe: Probe) -> None:
    """What pusher-js may send to `/timeline` is answered 200 with nothing, or 404."""
    answer = await probe.api.send("GET", "/timeline/v2/xhr/2?session=1&bundle=2&key=k&data=x")
    expect_that(answer.status in (200, 204, 404), "status 200 or 404", answer.status)
    expect_that(answer.status == 404 or not answer.body, "an empty body", answer.body)
