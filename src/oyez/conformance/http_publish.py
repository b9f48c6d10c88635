"""Publishing one event through the HTTP API: what is accepted and what reaches subscribers."""

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, SDK, Checks
from oyez.conformance.client import Client, Message
from oyez.conformance.expectations import expect, expect_contains, expect_that, shown
from oyez.conformance.probe import Probe
from oyez.conformance.signed import compact

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")


async def delivered(probe: Probe, data: str, name: str = "event") -> Message:
    """What a subscriber gets when this is published."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await probe.publish(channel, name, data)
    return await client.wait_for(name, channel)


async def expect_data(probe: Probe, *texts: str) -> None:
    """Each text arrives as the very same string."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    for text in texts:
        await probe.publish(channel, "event", text)
        expect("data", (await client.wait_for("event", channel)).data, text)


async def expect_to_arrive(client: Client, channel: str, *names: str) -> None:
    """These events arrive on this channel, in this order."""
    for name in names:
        await client.wait_for(name, channel)


@CHECKS.add("http.publish.channels", "3.1", DOCS)
async def a_list_of_channels_is_published_to(probe: Probe) -> None:
    """An event published to `channels` reaches the subscribers of each of them."""
    first, second = probe.channel(), probe.channel()
    clients = [await probe.subscribed(first), await probe.subscribed(second)]
    body = {"name": "event", "channels": [first, second], "data": "x"}
    (await probe.api.post("/events", body)).ok()
    for client, channel in zip(clients, (first, second), strict=True):
        await client.wait_for("event", channel)


@CHECKS.add("http.publish.channel", "3.1", SDK)
async def a_single_channel_is_published_to(probe: Probe) -> None:
    """An event may name one `channel`, as PHP and Laravel do."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    body = {"name": "event", "data": "x", "channel": channel}
    (await probe.api.post("/events", body)).ok()
    await client.wait_for("event", channel)


@CHECKS.add("http.publish.channels_win", "3.1 and ambiguities.md A-10", ADVICE)
async def channels_win_over_channel(probe: Probe) -> None:
    """If both `channels` and `channel` are given, `channels` counts."""
    wanted, other = probe.channel(), probe.channel()
    client = await probe.subscribed(wanted)
    await client.subscribe(other)
    body = {"name": "event", "data": "x", "channel": other, "channels": [wanted]}
    (await probe.api.post("/events", body)).ok()
    await client.wait_for("event", wanted)
    strays = [m.channel for m in await probe.before_marker(other, client) if m.event == "event"]
    expect("further deliveries", strays, [])


@CHECKS.add("http.publish.success_body", "3.1 and ambiguities.md A-09", DOCS)
async def a_publish_answers_an_empty_object(probe: Probe) -> None:
    """A publish without `info` is answered 200 with the body `{}`."""
    answer = await probe.publish(probe.channel(), "event", "x")
    expect("body", answer.json(), {})


@CHECKS.add("http.publish.success_content_type", "1", DOCS | SDK)
async def a_publish_answers_json(probe: Probe) -> None:
    """A success has the content type application/json."""
    answer = await probe.publish(probe.channel(), "event", "x")
    expect_contains("content type", answer.headers.get("content-type", ""), "application/json")


@CHECKS.add("http.publish.no_subscribers", "3.1", DOCS)
async def nobody_needs_to_listen(probe: Probe) -> None:
    """Publishing to a channel without subscribers succeeds."""
    (await probe.publish(probe.channel("private-"), "event", "x")).ok()


@CHECKS.add("http.publish.message", "3.1 and websocket-protocol.md 2", DOCS)
async def a_message_has_event_channel_and_data(probe: Probe) -> None:
    """A delivered message has the event, the channel and the data, and nothing else."""
    message = await delivered(probe, '{"a":1}')
    expect("fields", sorted(message.value), ["channel", "data", "event"])


@CHECKS.add("http.publish.data_unchanged", "3.1 and 7", DOCS | SDK)
async def data_is_never_parsed(probe: Probe) -> None:
    """Data arrives byte for byte: large numbers, key order, duplicate keys and spaces stay."""
    await expect_data(
        probe,
        '{"b": 12345678901234567890, "a":1.0,"a":2 }',
        "plain hello",
        '"\\u00fc"',
        "[]",
        "null",
    )


@CHECKS.add("http.publish.data_unicode", "1", DOCS)
async def data_is_unicode(probe: Probe) -> None:
    """Data may hold any character, raw or escaped in the body."""
    text = 'Grüße, 世界 🌍 \u2028 \\ " \t'
    await expect_data(probe, text)
    channel = probe.channel()
    client = await probe.subscribed(channel)
    escaped = f'{{"name":"e","channels":["{channel}"],"data":"\\ud83c\\udf0d \\/ \\u00fc"}}'
    (await probe.api.post("/events", escaped.encode())).ok()
    expect("data", (await client.wait_for("e", channel)).data, "🌍 / ü")


@CHECKS.add("http.publish.data_empty", "3.1", ADVICE)
async def data_may_be_empty(probe: Probe) -> None:
    """Data may be the empty string."""
    expect("data", (await delivered(probe, "")).data, "")


@CHECKS.add("http.publish.duplicate_channels", "3.1 and 7", DOCS)
async def a_channel_named_twice_gets_one_event(probe: Probe) -> None:
    """A channel named twice gets the event once."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    body = {"name": "event", "channels": [channel, channel], "data": "x"}
    (await probe.api.post("/events", body)).ok()
    messages = await probe.before_marker(channel, client)
    expect("deliveries", [m.event for m in messages].count("event"), 1)


@CHECKS.add("http.publish.two_channels_two_messages", "3.1", DOCS)
async def a_subscriber_of_two_channels_gets_two_messages(probe: Probe) -> None:
    """A client of two of the channels gets one message for each, in the order of the request."""
    first, second = probe.channel("b-"), probe.channel("a-")
    client = await probe.subscribed(first)
    await client.subscribe(second)
    body = {"name": "event", "channels": [first, second], "data": "x"}
    (await probe.api.post("/events", body)).ok()
    found = [(await client.wait_for("event")).channel for _ in range(2)]
    expect("channels", found, [first, second])


@CHECKS.add("http.publish.exclusion", "3.1", DOCS)
async def a_socket_can_be_left_out(probe: Probe) -> None:
    """The connection named by socket_id does not get the event, all others do."""
    channel = probe.channel()
    excluded, other = await probe.subscribed(channel), await probe.subscribed(channel)
    await probe.publish(channel, "event", "x", socket_id=excluded.socket_id)
    await other.wait_for("event", channel)
    messages = await probe.before_marker(channel, excluded)
    expect("events at the excluded socket", [m for m in messages if m.event == "event"], [])


@CHECKS.add("http.publish.exclusion_unknown", "3.1", DOCS)
async def an_unknown_socket_is_no_error(probe: Probe) -> None:
    """A socket_id that nobody has is no error."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await probe.publish(channel, "event", "x", socket_id="1.1")
    await client.wait_for("event", channel)


@CHECKS.add("http.publish.exclusion_other_app", "3.1", DOCS, "other")
async def a_socket_of_another_app_is_unknown(probe: Probe) -> None:
    """A socket_id of another app's connection is unknown, and no error."""
    stranger = await probe.connect(app=probe.second("other"))
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await probe.publish(channel, "event", "x", socket_id=stranger.socket_id)
    await client.wait_for("event", channel)


@CHECKS.add("http.publish.other_app_unreached", "README.md 2", DOCS, "other")
async def apps_do_not_hear_each_other(probe: Probe) -> None:
    """An event of one app does not reach a channel of the same name in another."""
    other = probe.second("other")
    channel = probe.channel()
    stranger = await probe.connect(app=other)
    await stranger.subscribe(channel)
    await probe.publish(channel, "event", "x")
    body = {"name": "marker", "channels": [channel], "data": "x"}
    (await probe.api_of(other).post("/events", body)).ok()
    await stranger.wait_for("marker", channel)
    expect("events", [m for m in stranger.seen if m.event == "event"], [])


@CHECKS.add("http.publish.event_names", "README.md 3.2 and ambiguities.md A-11", PEERS | SDK)
async def event_names_are_free(probe: Probe) -> None:
    """Event names may hold backslashes, dots, colons, slashes, spaces and any letter."""
    for name in (r"App\Events\OrderShipped", "a.b:c/d e", "größe"):
        expect("event", (await delivered(probe, "x", name)).event, name)


@CHECKS.add("http.publish.client_event_name", "README.md 3.2", DOCS | SDK)
async def a_backend_may_send_client_events(probe: Probe) -> None:
    """The HTTP API may publish events called `client-…`."""
    await delivered(probe, "x", "client-event")


@CHECKS.add("http.publish.null_is_absent", "3.1", ADVICE)
async def null_stands_for_absence(probe: Probe) -> None:
    """`null` for an optional parameter equals its absence."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    await probe.publish(channel, "event", "x", socket_id=None, info=None)
    await client.wait_for("event", channel)


@CHECKS.add("http.publish.unknown_keys", "1", SDK)
async def unknown_keys_are_ignored(probe: Probe) -> None:
    """Unknown keys of the body are ignored; PHP passes on whatever it is given."""
    await probe.publish(probe.channel(), "event", "x", future={"a": [1]}, time=None)


@CHECKS.add("http.publish.content_type_free", "1", SDK)
async def the_content_type_is_not_enforced(probe: Probe) -> None:
    """The content type of a request does not matter."""
    for content_type in ("application/json; charset=utf-8", "text/plain"):
        body = compact({"name": "event", "channels": [probe.channel()], "data": "x"})
        path = probe.api.path("/events")
        answer = await probe.api.call("POST", path, None, body, Content_Type=content_type)
        answer.ok()


@CHECKS.add("http.publish.query_parameters", "1", DOCS)
async def parameters_may_be_in_the_query(probe: Probe) -> None:
    """The parameters of a POST may be in the query, lists as `channels[]=a&channels[]=b`."""
    first, second = probe.channel(), probe.channel()
    client = await probe.subscribed(first)
    await client.subscribe(second)
    pairs = [("name", "event"), ("data", "x"), ("channels[]", first), ("channels[]", second)]
    answer = await probe.api.call("POST", probe.api.path("/events"), pairs)
    answer.ok()
    await expect_to_arrive(client, first, "event")
    await expect_to_arrive(client, second, "event")


@CHECKS.add("http.publish.body_wins", "1", ADVICE)
async def the_body_wins_over_the_query(probe: Probe) -> None:
    """A parameter in both the query and the body has the value of the body."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    body = {"name": "from-body", "channels": [channel], "data": "x"}
    (await probe.api.post("/events", body, name="from-query")).ok()
    await client.wait_for("from-body", channel)


@CHECKS.add("http.publish.info", "3.1 and 4", DOCS, "subscription_count")
async def info_is_answered_per_channel(probe: Probe) -> None:
    """`info` answers each channel's user_count and subscription_count, zero included."""
    presence, public, empty = (
        probe.channel("presence-"),
        probe.channel(),
        probe.channel("presence-"),
    )
    client = await probe.subscribed(presence, "u-1")
    await (await probe.subscribed(presence, "u-1")).subscribe(public)
    await client.subscribe(public)
    names = [presence, public, empty]
    body = {
        "name": "event",
        "channels": names,
        "data": "x",
        "info": "user_count,subscription_count",
    }
    expect(
        "channels",
        (await probe.api.post("/events", body)).ok().get("channels"),
        {
            presence: {"user_count": 1, "subscription_count": 2},
            public: {"subscription_count": 2},
            empty: {"user_count": 0, "subscription_count": 0},
        },
    )


@CHECKS.add("http.publish.info_inapplicable", "4 and ambiguities.md A-16", SDK)
async def an_inapplicable_attribute_is_left_out(probe: Probe) -> None:
    """`user_count` of a channel without members is left out, and no error."""
    channel = probe.channel()
    answer = await probe.publish(channel, "event", "x", info="user_count")
    expect("body", answer.ok(), {"channels": {channel: {}}})


@CHECKS.add("http.publish.info_duplicate_channels", "3.1", DOCS)
async def a_channel_named_twice_has_one_entry(probe: Probe) -> None:
    """A channel named twice has one entry in the answer."""
    channel = probe.channel("presence-")
    body = {"name": "e", "channels": [channel] * 2, "data": "x", "info": "user_count"}
    answer = (await probe.api.post("/events", body)).ok()
    expect("body", answer, {"channels": {channel: {"user_count": 0}}})


@CHECKS.add("http.publish.info_empty", "4", ADVICE)
async def an_empty_info_is_no_info(probe: Probe) -> None:
    """An empty `info` equals its absence; spaces and duplicates in the list are harmless."""
    channel = probe.channel("presence-")
    expect("body", (await probe.publish(channel, "e", "x", info="")).ok(), {})
    answer = await probe.publish(channel, "e", "x", info=" user_count , user_count ")
    expect("body", answer.ok(), {"channels": {channel: {"user_count": 0}}})


@CHECKS.add("http.publish.ordered", "websocket-protocol.md 15", DOCS)
async def publishes_arrive_in_their_order(probe: Probe) -> None:
    """Events published one after the other arrive in that order."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    for number in range(20):
        await probe.publish(channel, "event", str(number))
    found = [(await client.wait_for("event", channel)).data for _ in range(20)]
    expect("order", found, [str(number) for number in range(20)])


@CHECKS.add("http.publish.duplicates_never", "websocket-protocol.md 15", DOCS)
async def an_event_arrives_once(probe: Probe) -> None:
    """An event arrives at most once at each connection, and at every one of them."""
    channel = probe.channel()
    clients = [await probe.subscribed(channel) for _ in range(5)]
    await probe.publish(channel, "event", "x")
    messages = await probe.before_marker(channel, *clients)
    found = [message.event for message in messages if message.event == "event"]
    expect_that(len(found) == 5, "one event at each of 5 connections", shown(found))


@CHECKS.add("http.publish.unsubscribed", "websocket-protocol.md 15", DOCS)
async def nothing_arrives_after_unsubscribing(probe: Probe) -> None:
    """A client that has unsubscribed gets no further events."""
    channel, marker = probe.channel(), probe.channel()
    client = await probe.subscribed(channel)
    await client.subscribe(marker)
    await client.unsubscribe(channel)
    await client.read_until_pong()
    await probe.vacated(channel)
    await probe.publish(channel, "event", "x")
    messages = await probe.before_marker(marker, client)
    expect("events", [m.event for m in messages if m.channel == channel], [])


@CHECKS.add("http.publish.oversize_text", "5", OBSERVED | SDK)
async def too_much_data_is_explained(probe: Probe) -> None:
    """Too much data is answered “The data content of this event exceeds the allowed maximum …”."""
    body = {"name": "e", "channels": [probe.channel()], "data": "x" * 10_241}
    text = "The data content of this event exceeds the allowed maximum (10240 bytes)."
    (await probe.api.post("/events", body)).refused(413, text)
