"""What was published is what arrives: text, names and sizes at the edges of what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, PusherJs

# pusher-js parses data that is JSON. The word in front of these keeps it from being JSON, so that
# the very characters can be compared.
TEXTS = {
    "several scripts": "Grüße, 世界, Καλημέρα, שלום, مرحبا, नमस्ते",
    "beyond one code unit": "🌍 \U0001f469\u200d\U0001f469\u200d\U0001f467 👍🏽 \U0010fffd",
    "combining and composed": "e\u0301 é \u1112\u1161\u11ab 한",
    "control characters": "\x00\x01\x08\t\n\x0b\x0c\r\x1b\x1f\x7f\x80\x9f",
    "line separators": "a\u2028b\u2029c\u0085d",
    "direction marks and joiners": "\u202eabc\u202c\u200b\u200d\ufeff",
    "noncharacters": "\ufffd\ufffe\uffff\U0010ffff",
    "quotes and backslashes": '" \\ \\" \\\\ \\n \\u0041 / \\/ </script>',
    "characters of URLs": "%41 %zz + & = ? # ; ,",
    "numbers and keys that parsing would change": '{"b":1e3,"a":12345678901234567890,"b":1.0}',
    "spaces at both ends": "  \t padded \n ",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_text_arrives_character_for_character(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str], text: str
) -> None:
    channel = fresh("texts")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger(channel, "text", "text: " + text)

    assert client.wait_for_event(channel, "text").data == "text: " + text


def test_empty_data_arrives_as_empty_text(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("texts")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger(channel, "empty", "")

    assert client.wait_for_event(channel, "empty").data == ""


@pytest.mark.parametrize(
    "data",
    [
        {"größe 📦": {"名前": ["Zoë", None, True, -1.5e-7, {}, []]}, "": "", "a.b": "\u2028"},
        ["first", ["second", ["third"]]],
        "🌍",
        0,
        False,
        None,
    ],
    ids=repr,
)
def test_values_arrive_as_they_were(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str], data: Any
) -> None:
    channel = fresh("values")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger(channel, "value", data)

    assert client.wait_for_event(channel, "value").data == data


@pytest.mark.parametrize(
    "name",
    [
        "App\\Events\\OrderShipped",
        "order shipped",
        "order.shipped:v2/now",
        'say "hello"',
        "größe-📦",
        "client-by-the-server",
        "pushers:are-not-the-system",
        "x" * 200,
    ],
)
def test_event_names_arrive_as_they_were(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str], name: str
) -> None:
    channel = fresh("names")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger(channel, name, {"n": 1})

    assert client.wait_for_event(channel, name).data == {"n": 1}


@pytest.mark.parametrize("character", ["x", "é", "世", "🌍"])
def test_ten_kilobytes_of_data_arrive(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str], character: str
) -> None:
    channel = fresh("sizes")
    client = connect_pusher_js()
    client.subscribe(channel)
    size = len(character.encode())
    text = "x" * (10_240 % size) + character * (10_240 // size)

    sdk.trigger(channel, "large", text)

    assert client.wait_for_event(channel, "large").data == text


def test_the_longest_channel_name_is_usable(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-" + "c" * (164 - len("private--12345678")))
    assert len(channel) == 164
    client = connect_pusher_js(signed_by("npm pusher"))
    client.subscribe(channel)

    sdk.trigger(channel, "event", {})

    client.wait_for_event(channel, "event")


def test_one_trigger_reaches_a_hundred_channels(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channels = [fresh(f"channel-{number}") for number in range(100)]
    client = connect_pusher_js()
    for channel in channels:
        client.start_subscribing(channel)
    for channel in channels:
        client.wait_for_event(channel, "pusher:subscription_succeeded")

    sdk.trigger(channels, "all", {})

    for channel in channels:
        client.wait_for_event(channel, "all")
