"""Publishing several events with one request."""

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, Checks
from oyez.conformance.expectations import expect
from oyez.conformance.probe import Probe
from oyez.conformance.signed import Answer

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")


def event(channel: str, name: str = "event", data: str = "x", **more: object) -> dict[str, object]:
    """One event of a batch."""
    return {"name": name, "channel": channel, "data": data, **more}


async def publish(probe: Probe, *events: dict[str, object]) -> Answer:
    """Publish these events with one request."""
    return await probe.api.post("/batch_events", {"batch": list(events)})


@CHECKS.add("http.batch.delivered", "3.2", DOCS)
async def every_event_is_delivered(probe: Probe) -> None:
    """Each event of a batch reaches its own channel, with its own name and data."""
    first, second = probe.channel(), probe.channel()
    client = await probe.subscribed(first)
    await client.subscribe(second)
    (await publish(probe, event(first, "one", "1"), event(second, "two", "2"))).ok()
    expect("data", (await client.wait_for("one", first)).data, "1")
    expect("data", (await client.wait_for("two", second)).data, "2")


@CHECKS.add("http.batch.ordered", "3.2 and websocket-protocol.md 15", DOCS)
async def a_batch_keeps_its_order(probe: Probe) -> None:
    """The events of a batch arrive in the order of the array."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    (await publish(probe, *(event(channel, data=str(number)) for number in range(10)))).ok()
    found = [(await client.wait_for("event", channel)).data for _ in range(10)]
    expect("order", found, [str(number) for number in range(10)])


@CHECKS.add("http.batch.success_body", "3.2", DOCS)
async def a_batch_answers_an_empty_object(probe: Probe) -> None:
    """A batch in which no event asks for `info` is answered `{}`."""
    expect("body", (await publish(probe, event(probe.channel()))).ok(), {})


@CHECKS.add("http.batch.info", "3.2", DOCS)
async def info_is_answered_per_event(probe: Probe) -> None:
    """Asked for `info`, a batch answers one object per event, `{}` for those that did not ask."""
    channel = probe.channel("presence-")
    await probe.subscribed(channel, "u-1")
    asked = event(channel, info="user_count")
    answer = (await publish(probe, event(channel), asked, event(probe.channel()))).ok()
    expect("body", answer, {"batch": [{}, {"user_count": 1}, {}]})


@CHECKS.add("http.batch.info_of_nothing", "3.2 and 7", DOCS)
async def info_of_a_batch_is_an_array(probe: Probe) -> None:
    """Inapplicable `info` in a batch is answered with an array of empty objects."""
    answer = (await publish(probe, event(probe.channel(), info="user_count"))).ok()
    expect("body", answer, {"batch": [{}]})


@CHECKS.add("http.batch.exclusion", "3.2", DOCS)
async def a_batch_excludes_per_event(probe: Probe) -> None:
    """Each event of a batch may exclude a socket of its own."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    excluding = event(channel, "first", socket_id=client.socket_id)
    (await publish(probe, excluding, event(channel, "second"))).ok()
    await client.wait_for("second", channel)
    expect("events", [m.event for m in client.seen if m.event == "first"], [])


@CHECKS.add("http.batch.empty", "3.2", ADVICE)
async def a_batch_may_be_empty(probe: Probe) -> None:
    """An empty batch is accepted and answered `{}`."""
    expect("body", (await publish(probe)).ok(), {})


@CHECKS.add("limits.events_per_batch", "README.md 4", DOCS | OBSERVED)
async def a_batch_has_a_limit(probe: Probe) -> None:
    """10 events are accepted in one batch, 11 are answered 400."""
    events = [event(probe.channel()) for _ in range(11)]
    (await publish(probe, *events[:10])).ok()
    (await publish(probe, *events)).expect(400)


@CHECKS.add("limits.events_per_batch.text", "5", OBSERVED)
async def a_batch_too_large_is_explained(probe: Probe) -> None:
    """11 events are answered with “Batch too large (11 > 10)”."""
    events = [event(probe.channel()) for _ in range(11)]
    (await publish(probe, *events)).refused(400, "Batch too large (11 > 10)")


@CHECKS.add("http.batch.bad.channels", "3.2", DOCS | OBSERVED)
async def an_event_of_a_batch_has_one_channel(probe: Probe) -> None:
    """An event of a batch without `channel` is answered 400, also if it has `channels`."""
    for more in ({}, {"channels": [probe.channel()]}):
        (await publish(probe, {"name": "event", "data": "x", **more})).expect(400)


@CHECKS.add("http.batch.bad.channels.text", "3.2", OBSERVED)
async def a_missing_channel_is_named(probe: Probe) -> None:
    """It is answered with “Missing required parameter: channel”."""
    answer = await publish(probe, {"name": "event", "data": "x", "channels": [probe.channel()]})
    answer.refused(400, "Missing required parameter: channel")


@CHECKS.add("http.batch.bad.missing", "3.2", DOCS)
async def a_batch_is_required(probe: Probe) -> None:
    """A body without `batch`, or with one that is no array of objects, is answered 400."""
    bodies: tuple[dict[str, object], ...] = ({}, {"batch": {}}, {"batch": "x"}, {"batch": [1]})
    for body in bodies:
        (await probe.api.post("/batch_events", body)).expect(400)


@CHECKS.add("http.batch.all_or_nothing", "3.2 and ambiguities.md A-21", ADVICE)
async def a_batch_is_published_as_a_whole(probe: Probe) -> None:
    """If one event of a batch is bad, none is published."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    (await publish(probe, event(channel), event("a/b"))).expect(400)
    messages = await probe.before_marker(channel, client)
    expect("events", [m.event for m in messages if m.event == "event"], [])


@CHECKS.add("http.batch.bad.oversize", "5", DOCS)
async def an_event_of_a_batch_has_the_same_limit(probe: Probe) -> None:
    """More than 10 240 bytes of data in one event of a batch are answered 413."""
    (await publish(probe, event(probe.channel(), data="x" * 10_241))).expect(413)
