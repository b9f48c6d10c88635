"""Presence channels show users, not connections."""

from collections.abc import Callable
from typing import Any

import pytest
from pusher import Pusher

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import Event
from tests.end_to_end.publishers import Sdk, ask_until
from tests.end_to_end.receivers import Connect, Echo, PusherJs

ADA: dict[str, Any] = {"user_id": "ada", "user_info": {"name": "Ada"}}
BOB: dict[str, Any] = {"user_id": "bob", "user_info": {"name": "Bob"}}

ConnectUser = Callable[[dict[str, Any]], PusherJs]


@pytest.fixture
def connect_user(connect_pusher_js: Connect[PusherJs], signed_by: SignedBy) -> ConnectUser:
    return lambda user: connect_pusher_js(signed_by("npm pusher", user))


def member_events(client: PusherJs, channel: str) -> list[tuple[str, Any]]:
    """The joins and leaves reported so far: event name and user id."""
    return [
        (event.name, event.data["id"])
        for event in client.reports(Event)
        if event.channel == channel and event.name.startswith("pusher:member_")
    ]


def test_a_new_member_sees_everyone_and_everyone_else_sees_the_new_member(
    connect_user: ConnectUser, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    ada, bob = connect_user(ADA), connect_user(BOB)
    ada.subscribe(channel)
    bob.subscribe(channel)

    added = ada.wait_for_event(channel, "pusher:member_added")
    assert added.data == {"id": "bob", "info": {"name": "Bob"}}
    everyone = {"ada": {"name": "Ada"}, "bob": {"name": "Bob"}}
    assert ada.members(channel).infos == bob.members(channel).infos == everyone
    assert ada.members(channel).count == bob.members(channel).count == 2
    assert bob.members(channel).me == {"id": "bob", "info": {"name": "Bob"}}

    pypi_pusher.trigger(channel, "end", {})
    bob.wait_for_event(channel, "end")
    assert member_events(bob, channel) == []


def test_two_connections_of_a_user_are_one_member(
    connect_user: ConnectUser, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    bob, first, second = connect_user(BOB), connect_user(ADA), connect_user(ADA)
    for client in (bob, first, second):
        client.subscribe(channel)

    assert second.members(channel).count == 2
    assert sorted(second.members(channel).infos) == ["ada", "bob"]
    assert sdk.channel_info(channel, ["user_count", "subscription_count"]) == {
        "occupied": True,
        "user_count": 2,
        "subscription_count": 3,
    }
    assert sorted(user["id"] for user in sdk.users_info(channel)["users"]) == ["ada", "bob"]

    sdk.trigger(channel, "end", {})
    for client in (bob, first):
        client.wait_for_event(channel, "end")
    assert member_events(bob, channel) == [("pusher:member_added", "ada")]
    assert member_events(first, channel) == []


def test_a_user_alone_with_two_connections_counts_as_one_user_with_two_subscriptions(
    connect_user: ConnectUser, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    for _ in range(2):
        connect_user(ADA).subscribe(channel)

    info = sdk.channel_info(channel, ["user_count", "subscription_count"])

    assert info == {"occupied": True, "user_count": 1, "subscription_count": 2}


def test_a_user_is_removed_only_when_the_last_connection_unsubscribes(
    connect_user: ConnectUser, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    bob, first, second = connect_user(BOB), connect_user(ADA), connect_user(ADA)
    for client in (bob, first, second):
        client.subscribe(channel)

    first.unsubscribe(channel)
    pypi_pusher.trigger(channel, "first is gone", {})
    bob.wait_for_event(channel, "first is gone")
    assert bob.events(channel, "pusher:member_removed") == []
    assert bob.members(channel).count == 2

    second.unsubscribe(channel)
    removed = bob.wait_for_event(channel, "pusher:member_removed")
    assert removed.data == {"id": "ada", "info": {"name": "Ada"}}
    assert bob.members(channel).infos == {"bob": {"name": "Bob"}}
    assert pypi_pusher.users_info(channel) == {"users": [{"id": "bob"}]}


def test_a_user_is_removed_only_when_the_last_connection_closes(
    connect_user: ConnectUser, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    bob, first, second = connect_user(BOB), connect_user(ADA), connect_user(ADA)
    for client in (bob, first, second):
        client.subscribe(channel)

    first.disconnect()
    ask_until(
        lambda: pypi_pusher.channel_info(channel, ["subscription_count"])["subscription_count"], 2
    )
    pypi_pusher.trigger(channel, "first is gone", {})
    bob.wait_for_event(channel, "first is gone")
    assert bob.events(channel, "pusher:member_removed") == []

    second.disconnect()
    assert bob.wait_for_event(channel, "pusher:member_removed").data["id"] == "ada"
    assert pypi_pusher.users_info(channel) == {"users": [{"id": "bob"}]}


def test_a_user_who_comes_back_is_added_again(
    connect_user: ConnectUser, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    bob, ada = connect_user(BOB), connect_user(ADA)
    bob.subscribe(channel)

    ada.subscribe(channel)
    ada.unsubscribe(channel)
    ada.subscribe(channel)

    bob.wait_for_event(channel, "pusher:member_added", count=2)
    assert member_events(bob, channel) == [
        ("pusher:member_added", "ada"),
        ("pusher:member_removed", "ada"),
        ("pusher:member_added", "ada"),
    ]
    assert bob.members(channel).infos == {"ada": {"name": "Ada"}, "bob": {"name": "Bob"}}


def test_the_user_info_of_the_first_connection_stays(
    connect_user: ConnectUser, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-room")
    connect_user(ADA).subscribe(channel)
    second = connect_user({"user_id": "ada", "user_info": {"name": "Countess"}})

    second.subscribe(channel)

    assert second.members(channel).infos == {"ada": {"name": "Ada"}}


def test_a_member_without_user_info_has_an_empty_one(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    first = connect_pusher_js(signed_by(signer, {"user_id": "first"}))
    second = connect_pusher_js(signed_by(signer, {"user_id": "second"}))
    first.subscribe(channel)
    second.subscribe(channel)

    added = first.wait_for_event(channel, "pusher:member_added")

    assert added.data == {"id": "second", "info": {}}
    assert second.members(channel).infos == {"first": {}, "second": {}}


def test_a_numeric_user_id_is_a_string_on_the_wire(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    sdk: Sdk,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    first = connect_pusher_js(signed_by(signer, {"user_id": 10}))
    second = connect_pusher_js(signed_by(signer, {"user_id": 11}))
    first.subscribe(channel)
    second.subscribe(channel)

    assert first.wait_for_event(channel, "pusher:member_added").data["id"] == "11"
    assert second.members(channel).infos == {"10": {}, "11": {}}
    users = sdk.users_info(channel)["users"]
    assert sorted(users, key=str) == [{"id": "10"}, {"id": "11"}]


def test_echo_tells_who_is_here_who_joins_and_who_leaves(
    connect_echo: Connect[Echo],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    room = fresh("room")
    ada = connect_echo(signed_by("PyPI pusher", ADA))
    bob, bob_again = (connect_echo(signed_by("PyPI pusher", BOB)) for _ in range(2))

    seen_by_ada = ada.join(room, listen=[".end"])
    assert seen_by_ada.wait_for("here") == [{"name": "Ada"}]
    seen_by_bob = bob.join(room)
    here = seen_by_bob.wait_for("here")
    assert sorted(here, key=str) == [{"name": "Ada"}, {"name": "Bob"}]
    assert seen_by_ada.wait_for("joining") == {"name": "Bob"}
    bob_again.join(room).wait_for("subscribed")

    bob.leave(room)
    pypi_pusher.trigger(f"presence-{room}", "end", {})
    seen_by_ada.wait_for("listen", ".end")
    assert seen_by_ada.heard("leaving") == []

    bob_again.leave(room)
    assert seen_by_ada.wait_for("leaving") == {"name": "Bob"}
    assert seen_by_ada.heard("joining") == [{"name": "Bob"}]
