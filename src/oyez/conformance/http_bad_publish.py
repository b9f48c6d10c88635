"""What the HTTP API refuses to publish: malformed bodies, bad names, limits passed."""

from oyez.conformance.check import ADVICE, DOCS, OBSERVED, PEERS, SDK, Checks, Source
from oyez.conformance.expectations import expect
from oyez.conformance.probe import Probe
from oyez.conformance.signed import Answer, compact, credentials, encode

__all__ = ["CHECKS"]

CHECKS = Checks("http-api.md")
ABSENT = object()


def event(probe: Probe, **changes: object) -> dict[str, object]:
    """A good body with these changes; `ABSENT` leaves a key out."""
    body: dict[str, object] = {"name": "event", "channels": [probe.channel()], "data": "x"}
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ABSENT}


async def publish(probe: Probe, **changes: object) -> Answer:
    """Publish a good event with these changes."""
    return await probe.api.post("/events", event(probe, **changes))


def _refused(id: str, source: Source, what: str, text: str, words: Source, **bad: object) -> None:
    """Two checks of one bad body: the status, and the sentence."""

    async def is_refused(probe: Probe) -> None:
        (await publish(probe, **bad)).expect(400)

    async def says_why(probe: Probe) -> None:
        (await publish(probe, **bad)).refused(400, text)

    CHECKS.add(id, "5", source, rule=f"{what} is answered 400.")(is_refused)
    CHECKS.add(f"{id}.text", "5", words, rule=f"{what} is answered with “{text}”.")(says_why)


_NAME = "Expected name parameter to be a string"
_DATA = "Expected data parameter to be a string"
_CHANNELS = "Missing required parameter: channels"
_INFO = "info should be a comma separated list of attributes"
for _id, _source, _what, _text, _words, _bad in (
    ("name_missing", DOCS | OBSERVED, "A missing name", _NAME, OBSERVED, {"name": ABSENT}),
    ("name_no_string", OBSERVED, "A name that is no string", _NAME, OBSERVED, {"name": 7}),
    ("data_missing", DOCS, "Missing data", _DATA, ADVICE, {"data": ABSENT}),
    ("data_object", ADVICE, "An object as data", _DATA, ADVICE, {"data": {"a": 1}}),
    ("channels_missing", DOCS, "No channel at all", _CHANNELS, ADVICE, {"channels": ABSENT}),
    (
        "channels_empty",
        DOCS | SDK,
        "An empty list of channels",
        _CHANNELS,
        ADVICE,
        {"channels": []},
    ),
    ("name_empty", SDK, "An empty name", "Invalid event name", ADVICE, {"name": ""}),
    (
        "name_201",
        SDK,
        "A name of 201 characters",
        "Invalid event name",
        ADVICE,
        {"name": "n" * 201},
    ),
    (
        "name_control",
        ADVICE,
        "A line feed in a name",
        "Invalid event name",
        ADVICE,
        {"name": "a\nb"},
    ),
    (
        "name_pusher",
        ADVICE,
        "A name `pusher:…`",
        "Invalid event name",
        ADVICE,
        {"name": "pusher:x"},
    ),
    (
        "name_internal",
        ADVICE,
        "A name `pusher_internal:…`",
        "Invalid event name",
        ADVICE,
        {"name": "pusher_internal:member_added"},
    ),
    (
        "channel_slash",
        DOCS,
        "A slash in a channel",
        "Invalid channel name",
        ADVICE,
        {"channels": ["a/b"]},
    ),
    (
        "channel_space",
        DOCS,
        "A space in a channel",
        "Invalid channel name",
        ADVICE,
        {"channels": ["a b"]},
    ),
    (
        "channel_letter",
        DOCS,
        "An ü in a channel",
        "Invalid channel name",
        ADVICE,
        {"channels": ["ü"]},
    ),
    (
        "channel_line",
        SDK,
        "A final line feed",
        "Invalid channel name",
        ADVICE,
        {"channels": ["a\n"]},
    ),
    (
        "channel_empty",
        DOCS,
        "An empty channel name",
        "Invalid channel name",
        ADVICE,
        {"channels": [""]},
    ),
    (
        "channel_hash",
        DOCS,
        "Another name with #",
        "Invalid channel name",
        ADVICE,
        {"channels": ["#x"]},
    ),
    (
        "socket_id",
        DOCS | SDK,
        "A malformed socket_id",
        "Invalid socket_id",
        ADVICE,
        {"socket_id": "1:2"},
    ),
    ("info", OBSERVED, "An unknown attribute in info", _INFO, OBSERVED, {"info": "weather"}),
    ("info_cache", DOCS, "`cache` as info of a publish", _INFO, OBSERVED, {"info": "cache"}),
):
    _refused(f"http.publish.bad.{_id}", _source, _what, _text, _words, **_bad)


@CHECKS.add("http.publish.bad.one_of_many", "5", DOCS)
async def one_bad_channel_spoils_all(probe: Probe) -> None:
    """One bad channel name among good ones is answered 400, and nothing is published."""
    channel = probe.channel()
    client = await probe.subscribed(channel)
    (await publish(probe, channels=[channel, "a/b"])).expect(400)
    messages = await probe.before_marker(channel, client)
    expect("events", [m.event for m in messages if m.event == "event"], [])


@CHECKS.add("http.publish.bad.json", "5", DOCS)
async def a_body_that_is_no_json_is_refused(probe: Probe) -> None:
    """A body that is no JSON, or no UTF-8, is answered 400."""
    for body in (b'{"name":', b"name=event", b'{"name":"e","channels":["c"],"data":"\xff"}'):
        (await probe.api.post("/events", body)).expect(400)


@CHECKS.add("http.publish.bad.json_no_object", "5", DOCS)
async def a_body_that_is_no_object_is_refused(probe: Probe) -> None:
    """A body that is JSON but no object is answered 400."""
    for body in (b"[]", b'"x"', b"null"):
        (await probe.api.post("/events", body)).expect(400)


@CHECKS.add("http.publish.bad.json.text", "5", ADVICE)
async def a_body_that_is_no_json_is_explained(probe: Probe) -> None:
    """A body that is no JSON is answered “Invalid JSON body”."""
    (await probe.api.post("/events", b"{")).refused(400, "Invalid JSON body")


@CHECKS.add("http.publish.bad.signature_first", "5", ADVICE)
async def the_signature_is_checked_before_the_body(probe: Probe) -> None:
    """A body that is no JSON, badly signed, is answered 401."""
    body = b"{"
    pairs = [*credentials(probe.api.token, body), ("auth_signature", "0" * 64)]
    target = f"{probe.api.path('/events')}?{encode(pairs)}"
    (await probe.api.send("POST", target, body)).expect(401)


@CHECKS.add("limits.event_data", "README.md 4", DOCS | OBSERVED)
async def data_has_a_limit(probe: Probe) -> None:
    """10 240 bytes of event data are accepted, one more is answered 413."""
    (await publish(probe, data="x" * 10_240)).ok()
    (await publish(probe, data="x" * 10_241)).expect(413)


@CHECKS.add("limits.event_data_bytes", "README.md 4 and ambiguities.md A-15", DOCS)
async def data_is_measured_in_bytes(probe: Probe) -> None:
    """Event data is measured in bytes of its UTF-8, not in characters."""
    (await publish(probe, data="ü" * 5_120)).ok()
    (await publish(probe, data="ü" * 5_121)).expect(413)


@CHECKS.add("limits.event_data_only", "7", DOCS | SDK)
async def only_data_is_measured(probe: Probe) -> None:
    """Neither long channel names nor JSON escapes count as event data."""
    names = [probe.channel().ljust(160, "x") for _ in range(100)]
    (await publish(probe, channels=names, data="x" * 10_240)).ok()
    escaped = "\\u0078" * 10_240
    body = f'{{"name":"e","channels":["{probe.channel()}"],"data":"{escaped}"}}'
    (await probe.api.post("/events", body.encode())).ok()


@CHECKS.add("limits.http_body", "README.md 4", ADVICE)
async def a_body_has_a_limit(probe: Probe) -> None:
    """A request body above 1 MiB is answered 413."""
    body = compact(event(probe, padding="x" * 1_048_577))
    (await probe.api.post("/events", body)).expect(413)


@CHECKS.add("limits.http_body_batch", "README.md 4", ADVICE)
async def a_full_batch_fits(probe: Probe) -> None:
    """Ten events of 10 240 bytes, every byte escaped as `\\uXXXX`, fit into one request."""
    data = "\\u0078" * 10_240
    events = ",".join([f'{{"name":"e","channel":"{probe.channel()}","data":"{data}"}}'] * 10)
    body = f'{{"batch":[{events}]}}'.encode()
    (await probe.api.post("/batch_events", body)).ok()


@CHECKS.add("limits.channels_per_publish", "README.md 4", DOCS | SDK)
async def channels_have_a_limit(probe: Probe) -> None:
    """100 channels are accepted in one publish, 101 are answered 400."""
    names = [probe.channel() for _ in range(101)]
    (await publish(probe, channels=names[:100])).ok()
    (await publish(probe, channels=names)).expect(400)


@CHECKS.add("limits.channels_per_publish_duplicates", "README.md 4", DOCS)
async def duplicates_count_as_channels(probe: Probe) -> None:
    """The limit of 100 channels counts the list before duplicates are removed."""
    (await publish(probe, channels=[probe.channel()] * 101)).expect(400)


@CHECKS.add("limits.channel_name", "README.md 3.1 and ambiguities.md A-12", DOCS)
async def a_channel_name_has_a_limit(probe: Probe) -> None:
    """Channel names have up to 164 characters; 165 are answered 400."""
    (await publish(probe, channels=["n" * 164])).ok()
    (await publish(probe, channels=["n" * 165])).expect(400)


@CHECKS.add("limits.event_name", "README.md 3.2", SDK)
async def an_event_name_has_a_limit(probe: Probe) -> None:
    """Event names have up to 200 characters."""
    (await publish(probe, name="n" * 200)).ok()


@CHECKS.add("limits.channel_alphabet", "README.md 3.1", DOCS | SDK)
async def every_legal_character_is_accepted(probe: Probe) -> None:
    """Channel names may hold letters, digits and `_ - = @ , . ;`."""
    name = f"{probe.channel()}_-=@,.;AZ09"
    client = await probe.subscribed(name)
    await probe.publish(name, "event", "x")
    await client.wait_for("event", name)


@CHECKS.add("http.unknown_app", "5 and ambiguities.md A-02", PEERS)
async def an_unknown_app_is_not_found(probe: Probe) -> None:
    """An unknown app id is answered 404."""
    (await probe.api.call("GET", "/apps/99999999999/channels")).refused(404, "99999999999")
