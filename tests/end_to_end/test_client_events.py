"""Events that clients send to each other, without the HTTP API."""

from collections.abc import Callable
from typing import Any

import pytest
from pusher import Pusher

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.receivers import Connect, Echo, PusherJs

ADA: dict[str, Any] = {"user_id": "ada", "user_info": {"name": "Ada"}}
BOB: dict[str, Any] = {"user_id": "bob", "user_info": {"name": "Bob"}}


@pytest.mark.parametrize(
    "data",
    [{"text": "Grüße 🌍", "nested": [1, 2.5, None, True]}, "plain text", [1, "two"], 17, True, {}],
)
def test_a_client_event_on_a_private_channel_reaches_the_others_only(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
    data: Any,
) -> None:
    channel = fresh("private-chat")
    sender, receiver = (connect_pusher_js(signed_by("npm pusher")) for _ in range(2))
    for client in (sender, receiver):
        client.subscribe(channel)

    sender.trigger(channel, "client-said", data)

    event = receiver.wait_for_event(channel, "client-said")
    assert (event.data, event.user_id) == (data, None)
    pypi_pusher.trigger(channel, "end", {})
    for client in (sender, receiver):
        client.wait_for_event(channel, "end")
    assert [message.name for message in sender.messages(channel)] == ["end"]
    assert [message.name for message in receiver.messages(channel)] == ["client-said", "end"]
    assert sender.errors() == []


def test_a_client_event_on_a_presence_channel_carries_the_user_id_of_the_sender(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-chat")
    ada, ada_again = (connect_pusher_js(signed_by("npm pusher", ADA)) for _ in range(2))
    bob = connect_pusher_js(signed_by("npm pusher", BOB))
    for client in (ada, ada_again, bob):
        client.subscribe(channel)

    ada.trigger(channel, "client-typing", {"on": True})

    for client in (ada_again, bob):
        event = client.wait_for_event(channel, "client-typing")
        assert (event.data, event.user_id) == ({"on": True}, "ada")
    pypi_pusher.trigger(channel, "end", {})
    assert ada.wait_for_event(channel, "end").user_id is None
    assert [message.name for message in ada.messages(channel)] == ["end"]


def test_a_client_event_stays_in_its_channel(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    chat, other = fresh("private-chat"), fresh("private-other")
    sender, receiver = (connect_pusher_js(signed_by("npm pusher")) for _ in range(2))
    for client in (sender, receiver):
        client.subscribe(chat)
    receiver.subscribe(other)

    sender.trigger(chat, "client-said", {})

    receiver.wait_for_event(chat, "client-said")
    pypi_pusher.trigger(other, "end", {})
    receiver.wait_for_event(other, "end")
    assert [message.name for message in receiver.messages(other)] == ["end"]


def test_echo_whispers_on_a_private_channel(
    connect_echo: Connect[Echo],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    room = fresh("chat")
    sender, receiver = (
        connect_echo(signed_by("npm pusher")).private(room, whispers=["typing"], listen=[".end"])
        for _ in range(2)
    )
    for channel in (sender, receiver):
        channel.wait_for("subscribed")

    sender.whisper("typing", {"name": "Zoë"})

    assert receiver.wait_for("whisper", "typing") == {"name": "Zoë"}
    pypi_pusher.trigger(sender.full_name, "end", {})
    sender.wait_for("listen", ".end")
    assert sender.heard("whisper", "typing") == []


def test_echo_and_pusher_js_whisper_to_each_other_on_a_presence_channel(
    connect_echo: Connect[Echo],
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    room = fresh("chat")
    channel = f"presence-{room}"
    seen_by_ada = connect_echo(signed_by("PyPI pusher", ADA)).join(room, whispers=["answer"])
    bob = connect_pusher_js(signed_by("PyPI pusher", BOB))
    seen_by_ada.wait_for("subscribed")
    bob.subscribe(channel)

    seen_by_ada.whisper("question", {"n": 1})
    heard = bob.wait_for_event(channel, "client-question")
    bob.trigger(channel, "client-answer", {"n": 2})

    assert (heard.data, heard.user_id) == ({"n": 1}, "ada")
    assert seen_by_ada.wait_for("whisper", "answer") == {"n": 2}


def test_a_client_event_on_a_public_channel_is_refused(
    connect_pusher_js: Connect[PusherJs], pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("chat")
    sender, receiver = connect_pusher_js(), connect_pusher_js()
    for client in (sender, receiver):
        client.subscribe(channel)

    sender.trigger(channel, "client-said", {})

    assert sender.wait_for_error()["data"] == {
        "code": None,
        "message": "Client event rejected - only supported on private and presence channels",
    }
    pypi_pusher.trigger(channel, "end", {})
    for client in (sender, receiver):
        client.wait_for_event(channel, "end")
    assert [message.name for message in receiver.messages(channel)] == ["end"]
    assert sender.state_changes() == ["connected"]


def test_a_client_event_from_outside_the_channel_is_refused(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    wrongly_signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-chat")
    outsider = connect_pusher_js(wrongly_signed_by("npm pusher"))
    receiver = connect_pusher_js(signed_by("npm pusher"))
    receiver.subscribe(channel)
    outsider.start_subscribing(channel)
    outsider.wait_for_event(channel, "pusher:subscription_error")

    outsider.trigger(channel, "client-said", {})

    outsider.ping()
    assert outsider.errors()[-1]["data"] == {
        "code": None,
        "message": f"Client event rejected - you are not subscribed to channel {channel}",
    }
    pypi_pusher.trigger(channel, "end", {})
    receiver.wait_for_event(channel, "end")
    assert [message.name for message in receiver.messages(channel)] == ["end"]


def test_the_eleventh_client_event_within_a_second_is_dropped(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-chat")
    sender, receiver = (connect_pusher_js(signed_by("npm pusher")) for _ in range(2))
    for client in (sender, receiver):
        client.subscribe(channel)

    for number in range(11):
        sender.trigger(channel, "client-said", number)

    assert sender.wait_for_error()["data"]["code"] == 4301
    pypi_pusher.trigger(channel, "end", {})
    receiver.wait_for_event(channel, "end")
    said = receiver.events(channel, "client-said")
    assert [event.data for event in said] == list(range(10))
    assert sender.state_changes() == ["connected"]
