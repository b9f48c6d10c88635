"""Reading what a backend publishes, and refusing the rest in the documented words."""

import json
from typing import Any

import pytest

from oyez.protocol.app import Limits
from oyez.protocol.errors import BadRequest, PayloadTooLarge
from oyez.protocol.events import COUNTS, Event, read_batch, read_info, read_publish, shown
from oyez.protocol.requests import Query

LIMITS = Limits()
NO_QUERY = Query([])


def publish(**body: Any) -> bytes:
    fields = {"name": "e", "data": "d", "channel": "c", **body}
    return json.dumps({key: value for key, value in fields.items() if value != "-"}).encode()


def test_one_channel_and_many_channels_read_alike() -> None:
    one = read_publish(publish(), NO_QUERY, LIMITS)
    many = read_publish(publish(channel="-", channels=["c"]), NO_QUERY, LIMITS)

    assert one == many
    assert one.events == [Event("e", "c", "d")]


def test_a_name_given_twice_is_one_delivery_in_the_order_given() -> None:
    found = read_publish(publish(channels=["b", "a", "b"]), NO_QUERY, LIMITS)

    assert [event.channel for event in found.events] == ["b", "a"]


def test_nulls_and_unknown_keys_are_absent() -> None:
    found = read_publish(publish(socket_id=None, info=None, x={"y": [1]}), NO_QUERY, LIMITS)

    assert found.events == [Event("e", "c", "d")]
    assert found.info == [frozenset()]


def test_parameters_may_stand_in_the_query_but_the_body_wins() -> None:
    pairs = [(b"auth", b"")] * 5
    pairs += [(b"channels[]", b"a"), (b"channels[]", b"b"), (b"name", b"q"), (b"data", b"dq")]

    found = read_publish(b'{"name":"e"}', Query(pairs), LIMITS)

    assert found.events == [Event("e", "a", "dq"), Event("e", "b", "dq")]


def test_data_is_kept_byte_for_byte() -> None:
    data = '{"n":12345678901234567890, "a":1,"a":2, "t":"Grüße 🌍\\u0000</script>"}'

    assert read_publish(publish(data=data), NO_QUERY, LIMITS).events[0].data == data


@pytest.mark.parametrize("name", ["App\\Events\\X", "a.b:c/d e", "client-x", "ü", "x" * 200])
def test_event_names_are_free(name: str) -> None:
    assert read_publish(publish(name=name), NO_QUERY, LIMITS).events[0].name == name


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Expected name parameter to be a string"),
        (b"{", "Invalid JSON body"),
        (b"[]", "Invalid JSON body"),
        (b'{"name":"\xff"}', "Invalid JSON body"),
        (b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "Invalid JSON body"),
        (b'{"name":"\\ud800","data":"","channel":"c"', "Invalid JSON body"),
        (publish(name="-"), "Expected name parameter to be a string"),
        (publish(name=5), "Expected name parameter to be a string"),
        (publish(data="-"), "Expected data parameter to be a string"),
        (publish(data={"a": 1}), "Expected data parameter to be a string"),
        (publish(name=""), "Invalid event name: ''"),
        (publish(name="a\nb"), r"Invalid event name: 'a\nb'"),
        (publish(name="pusher:x"), "Invalid event name: 'pusher:x'"),
        (publish(name="pusher_internal:x"), "Invalid event name: 'pusher_internal:x'"),
        (publish(name="n" * 201), f"Invalid event name: '{'n' * 201}' (201 > 200 characters)"),
        (publish(channel="-"), "Missing required parameter: channels"),
        (publish(channels=[]), "Missing required parameter: channels"),
        (publish(channels="c"), "Expected channels parameter to be an array of strings"),
        (publish(channels=["c"] * 101), "Too many channels (101 > 100)"),
        (publish(channels=["ok", "so/me"]), "Invalid channel name: 'so/me'"),
        (publish(channels=[5]), "Invalid channel name: 5"),
        (publish(channel="c\n"), r"Invalid channel name: 'c\n'"),
        (publish(channel="c" * 165), f"Invalid channel name: '{'c' * 165}' (165 > 164 characters)"),
        (publish(socket_id="1"), "Invalid socket_id: '1'"),
        (publish(socket_id="1.2\n"), r"Invalid socket_id: '1.2\n'"),
        (publish(socket_id=1.2), "Invalid socket_id: 1.2"),
        (
            publish(info="cache"),
            "info should be a comma separated list of attributes out of "
            "subscription_count, user_count; got 'cache'",
        ),
        (
            publish(info=["user_count"]),
            "info should be a comma separated list of attributes out of "
            "subscription_count, user_count; got ['user_count']",
        ),
    ],
)
def test_a_bad_publish_is_told_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_publish(body, NO_QUERY, LIMITS)

    assert str(caught.value) == message


@pytest.mark.parametrize("character", ["x", "ü", "世", "🌍"])
def test_the_size_of_data_is_counted_in_bytes(character: str) -> None:
    fits = character * (10_240 // len(character.encode()))

    assert read_publish(publish(data=fits), NO_QUERY, LIMITS).events[0].data == fits
    with pytest.raises(PayloadTooLarge) as caught:
        read_publish(publish(data=fits + character), NO_QUERY, LIMITS)
    assert str(caught.value).startswith(
        "The data content of this event exceeds the allowed maximum (10240 bytes)."
    )
    assert str(len((fits + character).encode())) in str(caught.value)


def batch(*events: object) -> bytes:
    return json.dumps({"batch": events}).encode()


ONE = {"name": "e", "data": "d", "channel": "c"}


def test_a_batch_keeps_its_order_and_what_each_event_asks_for() -> None:
    found = read_batch(
        batch(ONE, {**ONE, "channel": "b", "socket_id": "1.2", "info": "user_count"}), LIMITS
    )

    assert found.events == [Event("e", "c", "d"), Event("e", "b", "d", "1.2")]
    assert found.info == [frozenset(), {"user_count"}]


def test_an_empty_batch_is_accepted() -> None:
    assert read_batch(batch(), LIMITS).events == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "Expected batch parameter to be an array"),
        (b'{"batch":{}}', "Expected batch parameter to be an array"),
        (batch(*[ONE] * 11), "Batch too large (11 > 10)"),
        (batch(ONE, "x"), "Expected each event of the batch to be an object"),
        (batch({**ONE, "channel": None}), "Missing required parameter: channel"),
        (
            batch({"name": "e", "data": "d", "channels": ["c"]}),
            "Missing required parameter: channel",
        ),
        (batch(ONE, {**ONE, "name": None}), "Expected name parameter to be a string"),
        (batch(ONE, {**ONE, "channel": "a b"}), "Invalid channel name: 'a b'"),
    ],
)
def test_one_bad_event_refuses_the_whole_batch(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_batch(body, LIMITS)

    assert str(caught.value) == message


def test_info_is_trimmed_and_duplicates_are_harmless() -> None:
    assert read_info(" user_count , user_count,, subscription_count", COUNTS) == COUNTS
    assert read_info("", COUNTS) == read_info(None, COUNTS) == frozenset()


def test_long_values_are_cut_in_messages() -> None:
    assert len(shown("x" * 100_000)) < 220
