"""The parts of a subscriber that need no connection: what is said, when to connect, who is in."""

import json
from typing import Any

import pytest

from oyez.sdk.conversation import (
    Closing,
    Conversation,
    Established,
    Event,
    Happening,
    Joined,
    Received,
    Refused,
    Say,
    SignedIn,
    client_event,
)
from oyez.sdk.liveness import Liveness, Verdict
from oyez.sdk.members import Members
from oyez.sdk.reconnection import Reconnection

PING = Say('{"event":"pusher:ping","data":"{}"}')


def text(event: str, data: Any = None, **fields: Any) -> str:
    return json.dumps({"event": event, "data": data, **fields})


def error(message: str, code: int | None = None) -> str:
    return text("pusher:error", {"code": code, "message": message})


def told(happenings: list[Happening]) -> list[Happening]:
    """Without what only repeats them as events."""
    return [each for each in happenings if not isinstance(each, Received)]


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        (
            text("pusher:connection_established", '{"socket_id":"1.2","activity_timeout":30}'),
            Established("1.2", 30),
        ),
        (text("pusher:connection_established", '{"socket_id":"1.2"}'), Established("1.2", 0)),
        (text("pusher:ping", "{}"), Say('{"event":"pusher:pong","data":"{}"}')),
        (error("gone", 4009), Closing(4009, "gone")),
        (error("busy", 4100), Closing(4100, "busy")),
        (text("pusher:signin_success", '{"user_data":"{}"}'), SignedIn("{}")),
        (text("e", '{"a":1}', channel="c"), Received(Event("e", "c", {"a": 1}, '{"a":1}'))),
        (text("e", "plain", channel="c"), Received(Event("e", "c", "plain", "plain"))),
        (text("e", {"a": 1}, channel="c"), Received(Event("e", "c", {"a": 1}, '{"a":1}'))),
        (text("e", channel="c"), Received(Event("e", "c", None, "null"))),
        (
            text("client-x", "1", channel="presence-c", user_id="ada"),
            Received(Event("client-x", "presence-c", 1, "1", "ada")),
        ),
        (
            text("pusher:cache_miss", "{}", channel="c"),
            Received(Event("pusher:cache_miss", "c", {}, "{}", system=True)),
        ),
        (
            text("pusher_internal:subscription_count", '{"subscription_count":2}', channel="c"),
            Received(
                Event(
                    "pusher:subscription_count",
                    "c",
                    {"subscription_count": 2},
                    '{"subscription_count":2}',
                    system=True,
                )
            ),
        ),
        (
            text(
                "pusher_internal:watchlist_events",
                '{"events":[{"name":"online","user_ids":["a"]}]}',
            ),
            Received(Event("pusher:online", None, {"user_ids": ["a"]}, system=True)),
        ),
    ],
)
def test_what_messages_mean(given: str, meaning: Happening) -> None:
    assert Conversation().receive(given) == [meaning]


@pytest.mark.parametrize("given", ["", "nonsense", "[]", "{}", '{"event":1}', "[" * 100_000])
def test_what_is_no_message_means_nothing(given: str) -> None:
    assert Conversation().receive(given) == []


def test_a_subscription_is_confirmed_with_its_members() -> None:
    conversation = Conversation()
    conversation.subscribe("presence-x", "k:s", '{"user_id":"b"}')
    data = '{"presence":{"count":2,"ids":["b","a"],"hash":{"a":{"n":1},"b":{}}}}'

    found = conversation.receive(
        text("pusher_internal:subscription_succeeded", data, channel="presence-x")
    )

    assert found[0] == Joined("presence-x", {"b": {}, "a": {"n": 1}})
    assert isinstance(found[0], Joined)
    assert list(found[0].members or ()) == ["b", "a"]


def test_what_is_asked() -> None:
    conversation = Conversation()

    assert json.loads(conversation.subscribe("c", "k:s", None)) == {
        "event": "pusher:subscribe",
        "data": {"channel": "c", "auth": "k:s"},
    }
    assert json.loads(conversation.subscribe("c", "k:s", "{}"))["data"]["channel_data"] == "{}"
    assert json.loads(conversation.unsubscribe("c"))["data"] == {"channel": "c"}
    assert json.loads(conversation.sign_in("k:s", "{}"))["data"] == {
        "auth": "k:s",
        "user_data": "{}",
    }
    assert json.loads(client_event("client-x", "c", [1])) == {
        "event": "client-x",
        "channel": "c",
        "data": [1],
    }


def test_a_refusal_with_both_messages_has_the_status() -> None:
    conversation = Conversation()
    conversation.subscribe("private-x", "k:s", None)

    assert told(conversation.receive(error("Invalid signature: … 1.2:private-x, but got s"))) == [
        PING
    ]
    refusal = '{"type":"AuthError","error":"Invalid signature","status":401}'
    assert conversation.receive(
        text("pusher:subscription_error", refusal, channel="private-x")
    ) == [Refused("private-x", "Invalid signature", 401)]
    assert conversation.receive(text("pusher:pong", "{}")) == []


def test_a_refusal_by_an_error_alone_is_certain_with_the_pong() -> None:
    conversation = Conversation()
    conversation.ping()  # of somebody who asks for signs of life
    conversation.subscribe("private-a", "k:s", None)
    conversation.subscribe("private-b", "k:s", None)

    assert told(conversation.receive(error("Invalid key in subscription auth data: 'k'"))) == [PING]
    assert conversation.receive(text("pusher:pong", "{}")) == []
    assert conversation.receive(text("pusher:pong", "{}")) == [
        Refused("private-a", "Invalid key in subscription auth data: 'k'")
    ]


def test_an_error_that_names_a_channel_is_about_that_one() -> None:
    conversation = Conversation()
    for channel in ("private-x", "private-x2", "private-"):
        conversation.subscribe(channel, "k:s", None)

    conversation.receive(error("Auth info required to subscribe to private-x2"))

    assert conversation.receive(text("pusher:pong", "{}")) == [
        Refused("private-x2", "Auth info required to subscribe to private-x2")
    ]


def test_an_error_about_something_else_refuses_nothing() -> None:
    conversation = Conversation()
    conversation.subscribe("private-x", "k:s", None)

    conversation.receive(error("Client event rejected - you are not subscribed to channel y"))
    conversation.receive(text("pusher_internal:subscription_succeeded", "{}", channel="private-x"))

    assert conversation.receive(text("pusher:pong", "{}")) == []


def test_an_error_without_a_question_is_only_an_event() -> None:
    (only,) = Conversation().receive(error("too many", 4301))

    assert isinstance(only, Received)
    assert only.event.data == {"code": 4301, "message": "too many"}
    assert only.event.system


def test_a_refused_sign_in_has_no_channel() -> None:
    conversation = Conversation()
    conversation.sign_in("k:s", "{}")

    conversation.receive(error("Invalid user_data in pusher:signin"))

    assert conversation.receive(text("pusher:pong", "{}")) == [
        Refused(None, "Invalid user_data in pusher:signin")
    ]


@pytest.mark.parametrize(
    ("code", "attempts", "delay"),
    [
        (4000, 1, None),
        (4099, 1, None),
        (4100, 1, 1.0 + 1.0),
        (4199, 2, 1.0 + 2.0),
        (4200, 1, 0.0),
        (4299, 1, 0.0),
        (4200, 2, 2.0),
        (4300, 1, 1.0),
        (1000, 1, 1.0),
        (1006, 3, 4.0),
        (None, 1, 1.0),
        (None, 5, 16.0),
        (None, 6, 30.0),
        (None, 100_000, 30.0),
    ],
)
def test_when_to_connect_again(code: int | None, attempts: int, delay: float | None) -> None:
    assert Reconnection(jitter=lambda: 1.0).delay(code, attempts) == delay


def test_waits_differ_between_clients() -> None:
    waits = {Reconnection().backoff(3) for _ in range(20)}

    assert len(waits) > 1
    assert all(2.0 <= wait <= 4.0 for wait in waits)


def test_silence_is_asked_about_once_and_then_final() -> None:
    liveness = Liveness(120, 30, now=1000)

    assert (liveness.due, liveness.check(1119)) == (1120, Verdict.WAIT)
    assert (liveness.check(1120), liveness.due) == (Verdict.ASK, 1150)
    assert liveness.check(1149) is Verdict.WAIT
    assert liveness.check(1150) is Verdict.LOST


def test_anything_heard_is_a_sign_of_life() -> None:
    liveness = Liveness(120, 30, now=1000)
    liveness.check(1120)

    liveness.heard(1125)

    assert (liveness.due, liveness.check(1150)) == (1245, Verdict.WAIT)
    assert liveness.check(1245) is Verdict.ASK


def test_members_are_a_mapping() -> None:
    members = Members()
    assert (members.count, dict(members)) == (0, {})

    members.replace({"a": 1, "b": 2}, "b")
    members.add("c", 3)

    assert members.me == ("b", 2)
    assert (list(members), members["c"]) == (["a", "b", "c"], 3)
    assert repr(members) == "Members({'a': 1, 'b': 2, 'c': 3}, me='b')"


def test_who_is_not_there_is_no_member() -> None:
    members = Members()
    assert members.me is None
    members.replace({"a": 1}, "a")

    assert (members.remove("a"), members.remove("nobody")) == (1, None)
    assert dict(members) == {}
