r"""Halves of surrogate pairs: ``"Anna 👩".slice(0, 6)`` in JavaScript."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.protocol import messages, surrogates
from oyez.protocol.app import App, Limits
from oyez.protocol.authorization import read_member, read_user
from oyez.protocol.connection import Connection, Join, Publish
from oyez.protocol.errors import BadRequest, Refusal
from oyez.protocol.events import read_batch, read_publish, shown
from oyez.protocol.requests import Query
from oyez.protocol.signing import Token, channel_string

ANY = msgspec.json.Decoder()
LIMITS = Limits()
TOKEN = Token("key", "secret")
ANNA = "Anna \N{REPLACEMENT CHARACTER}"


def as_javascript_sends_it(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\uDC69"', "\ufffd"),
        (r'"Anna \ud83d"', ANNA),
        (r'"\ud83d\ud83d\udc69"', "\ufffd\N{WOMAN}"),
        (r'"\ud83d\udc69\udc69"', "\N{WOMAN}\ufffd"),
        (r'"\udc69\ud83d"', "\ufffd\ufffd"),
        (r'"\ud83d\n\udc69"', "\ufffd\n\ufffd"),
        (r'"\ud83d\\udc69"', "\ufffd\\udc69"),
        (r'"\\ud83d\udc69"', "\\ud83d\ufffd"),
        (r'"\\\ud83d"', "\\\ufffd"),
        (r'"\\ud83d"', r"\ud83d"),  # which is how JSON inside of JSON comes
        (r'"\\\\ud83d \ud83d"', r"\\ud83d " + "\ufffd"),
        (r'"\ud83dx\u00e9"', "\ufffdx\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ('"\N{WOMAN} \\ud83d"', "\N{WOMAN} \ufffd"),
    ],
)
def test_half_a_letter_is_read_as_what_stands_for_a_letter(text: str, read: str) -> None:
    assert surrogates.decode(ANY, text) == surrogates.decode(ANY, text.encode()) == read


@given(st.recursive(st.text(st.characters() | st.sampled_from('\ud83d\udc69\\u"d\0')), st.lists))
def test_whatever_javascript_writes_is_read(value: object) -> None:
    def mended(each: Any) -> Any:
        if isinstance(each, list):
            return [mended(inner) for inner in each]
        joined = each.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return as_javascript_sends_it(joined)

    assert surrogates.decode(ANY, json.dumps(value)) == mended(value)


@pytest.mark.parametrize(
    "text",
    [
        b'"\xed\xa0\xbd"',  # the half itself, not its escape
        b'"\xff"',
        b'"\\ud83d',
        b'"\\ud83"',
        b'"\\ud83d" x',
        b'"\\ud83d\0\0"',
        b"\0\0ud83d",
        b'"\\ud83d\\x"',
        b'["\\ud83d",' + b"[" * 20_000,
        b"",
    ],
)
def test_what_is_no_json_is_still_refused(text: bytes) -> None:
    assert not is_json(text)


def is_json(text: bytes) -> bool:
    try:
        surrogates.decode(ANY, text)
    except ValueError:
        return False
    return True


def test_publishes_are_read() -> None:
    body = rb'{"name":"e\ud83d","channel":"c","data":"Anna \ud83d"}'
    [event] = read_publish(body, Query([]), LIMITS).events
    assert (event.name, event.data) == ("e\ufffd", ANNA)
    [event] = read_batch(b'{"batch":[' + body + b"]}", LIMITS).events
    assert event.data == ANNA


def test_what_is_not_read_stays_as_it_came() -> None:
    body = rb'{"name":"e","channel":"c","data":"{\"name\":\"Anna \\ud83d\"}"}'
    [event] = read_publish(body, Query([]), LIMITS).events
    assert event.data == r'{"name":"Anna \ud83d"}'
    assert json.loads(json.loads(messages.event_text(event))["data"])["name"] == "Anna \ud83d"


def test_who_joins_may_have_half_a_letter_in_the_name() -> None:
    data = r'{"user_id":"7","user_info":{"name":"Anna \ud83d"}}'
    assert json.loads(read_member("presence-x", data, LIMITS).user_info) == {"name": ANNA}
    assert read_member("presence-x", r'{"user_id":"\ud83d"}', LIMITS).user_id == "\ufffd"
    user = read_user(r'{"id":"7\ud83d","user_info":{"n":"\ud83d"},"watchlist":["\udc69"]}', LIMITS)
    assert (user.id, user.watchlist, user.info) == (
        "7\ufffd",
        ("\ufffd",),
        '{"n":"\ufffd"}'.encode(),
    )


def connected() -> Connection:
    client = Connection(App(id="1", tokens=(TOKEN,), client_events=True), "1.1", 7)
    client.subscriptions["private-x"] = None
    return client


def test_a_signature_covers_the_text_that_was_signed() -> None:
    data = r'{"user_id":"7","user_info":{"name":"Anna \ud83d"}}'
    signed = TOKEN.sign(channel_string("1.1", "presence-x", data).encode())
    wanted = {"channel": "presence-x", "auth": f"key:{signed}", "channel_data": data}
    join = connected().receive(
        json.dumps({"event": "pusher:subscribe", "data": wanted}).encode(), 0
    )
    assert isinstance(join, Join)


def test_node_signs_what_it_sends() -> None:
    # crypto.createHmac().update(string) makes the same UTF-8 of half a letter as we do.
    data = '{"user_id":"7\ud83d"}'
    seen = as_javascript_sends_it(data)
    signed = TOKEN.sign(channel_string("1.1", "presence-x", seen).encode())
    wanted = {"channel": "presence-x", "auth": f"key:{signed}", "channel_data": data}
    join = connected().receive(
        json.dumps({"event": "pusher:subscribe", "data": wanted}).encode(), 0
    )
    assert isinstance(join, Join)


@pytest.mark.parametrize("data", [rb'"Anna \ud83d"', rb'{"name":"Anna \ud83d"}'])
def test_client_events_are_read(data: bytes) -> None:
    text = b'{"event":"client-a","channel":"private-x","data":' + data + b"}"
    action = connected().receive(text, 0)
    assert isinstance(action, Publish)
    assert ANNA in action.event.data
    messages.event_text(action.event).decode()


LIMITS_OF_DEEP_DATA = Limits(presence_user_object=10_000)
DEEP: dict[str, tuple[str, Callable[[str], object], type[Exception]]] = {
    "client event": (
        '{"event":"client-a","channel":"private-x","data":DEEP}',
        lambda text: connected().receive(text.encode(), 0),
        Refusal,
    ),
    "member": (
        '{"user_id":"7","user_info":DEEP}',
        lambda text: read_member("presence-x", text, LIMITS_OF_DEEP_DATA),
        Refusal,
    ),
    "user": (
        '{"id":"7","user_info":DEEP}',
        lambda text: read_user(text, LIMITS_OF_DEEP_DATA),
        Refusal,
    ),
    "publish": (
        '{"name":"e","data":"","channel":DEEP}',
        lambda text: read_publish(text.encode(), Query([]), LIMITS),
        BadRequest,
    ),
}


@pytest.mark.parametrize(("form", "read", "expected"), DEEP.values(), ids=DEEP)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="C code has a stack of its own there")
def test_what_can_just_be_read_but_not_be_written_is_refused(
    form: str, read: Callable[[str], object], expected: type[Exception]
) -> None:
    refusals = 0
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 20):
        try:
            read(form.replace("DEEP", "[" * depth + "]" * depth))
        except expected:
            refusals += 1
    assert refusals


def test_any_value_can_be_shown_or_fails_as_expected() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    assert len(shown(deep)) < 220
    with pytest.raises(ValueError, match="nested too deep"):
        messages.compact(deep)
    assert len(shown({"a": "x" * 10_000})) < 220
    assert shown("x" * 10_000) == "'" + "x" * 199 + "…'"
