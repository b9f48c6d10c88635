"""A signed-in user hears when the users of its watchlist come online and go offline."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk, ask_until
from tests.end_to_end.receivers import Connect, PusherJs

MOST_WATCHED = 100


class SignIn:
    """Connects pusher-js and signs in, with the library that the test runs with."""

    def __init__(self, connect: Connect[PusherJs], signed_by: SignedBy, signer: str) -> None:
        self._connect = connect
        self._signed_by = signed_by
        self._signer = signer

    def __call__(self, user_id: str, watchlist: list[str] | None = None) -> PusherJs:
        user: dict[str, Any] = {"id": user_id}
        if watchlist is not None:
            user["watchlist"] = watchlist
        client = self._connect(None, self._signed_by(self._signer, user))
        client.sign_in()
        return client


@pytest.fixture
def sign_in(connect_pusher_js: Connect[PusherJs], signed_by: SignedBy, signer: str) -> SignIn:
    return SignIn(connect_pusher_js, signed_by, signer)


def test_the_state_of_all_watched_users_comes_first(
    sign_in: SignIn, fresh: Callable[[str], str]
) -> None:
    ada, bob, cem, watcher = fresh("ada"), fresh("bob"), fresh("cem"), fresh("watcher")
    sign_in(ada)
    sign_in(cem)

    client = sign_in(watcher, [ada, bob, cem])

    client.wait_for_watched("online", ada)
    client.wait_for_watched("offline", bob)
    assert dict(client.watched()) == {"online": [ada, cem], "offline": [bob]}


def test_who_is_online_alone_makes_no_list_of_those_offline(
    sign_in: SignIn, fresh: Callable[[str], str]
) -> None:
    ada, watcher = fresh("ada"), fresh("watcher")
    sign_in(ada)

    client = sign_in(watcher, [ada])

    client.ping()
    assert client.watched() == [("online", [ada])]


def test_only_the_first_and_the_last_connection_of_a_watched_user_make_an_event(
    sign_in: SignIn, fresh: Callable[[str], str]
) -> None:
    ada, bob, watcher = fresh("ada"), fresh("bob"), fresh("watcher")
    client = sign_in(watcher, [ada, bob])
    client.wait_for_watched("offline", ada)

    first = sign_in(ada)
    client.wait_for_watched("online", ada)
    second = sign_in(ada)
    bobs = sign_in(bob)
    client.wait_for_watched("online", bob)
    first.disconnect()
    bobs.disconnect()
    client.wait_for_watched("offline", bob, count=2)
    second.disconnect()
    client.wait_for_watched("offline", ada, count=2)

    assert client.watched() == [
        ("offline", [ada, bob]),
        ("online", [ada]),
        ("online", [bob]),
        ("offline", [bob]),
        ("offline", [ada]),
    ]


def test_a_connection_that_does_not_sign_in_is_not_online(
    sign_in: SignIn,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada, bob, watcher = fresh("ada"), fresh("bob"), fresh("watcher")
    client = sign_in(watcher, [ada, bob])

    connect_pusher_js(signed_by("npm pusher", {"user_id": ada})).subscribe(fresh("presence-room"))
    sign_in(bob)

    client.wait_for_watched("online", bob)
    assert client.watched() == [("offline", [ada, bob]), ("online", [bob])]


def test_every_watching_connection_is_told_and_no_other(
    sign_in: SignIn, fresh: Callable[[str], str]
) -> None:
    ada, bob, watcher = fresh("ada"), fresh("bob"), fresh("watcher")
    watching = [sign_in(watcher, [ada]), sign_in(watcher, [ada, bob]), sign_in(bob, [ada])]
    not_watching = sign_in(watcher)  # the same user, but this connection brought no watchlist

    sign_in(ada)

    for client in watching:
        client.wait_for_watched("online", ada)
    not_watching.ping()
    assert not_watching.watched() == []


def test_who_watches_itself_is_online(sign_in: SignIn, fresh: Callable[[str], str]) -> None:
    ada = fresh("ada")

    client = sign_in(ada, [ada])

    client.wait_for_watched("online", ada)
    client.ping()
    assert client.watched() == [("online", [ada])]


def test_an_empty_watchlist_tells_nothing(sign_in: SignIn, fresh: Callable[[str], str]) -> None:
    client = sign_in(fresh("ada"), [])

    client.ping()

    assert client.watched() == []
    assert client.errors() == []


def test_who_watches_too_many_is_told_and_stays_signed_in(
    sign_in: SignIn, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    ada = fresh("ada")
    friends = [fresh(f"friend-{number}") for number in range(MOST_WATCHED + 1)]

    client = sign_in(ada, friends)

    assert client.wait_for_error()["data"] == {
        "code": 4302,
        "message": "Watchlist limit exceeded. Only the first 100 user IDs are accepted.",
    }
    assert client.user_id == ada
    sdk.send_to_user(ada, "greeting", {})
    client.wait_for_user_event("greeting")
    assert client.state_changes() == ["connected"]
    # The first 100 are watched, the last one is not.
    sign_in(friends[-1])
    sign_in(friends[0])
    client.wait_for_watched("online", friends[0])
    assert client.watched() == [("offline", friends[:-1]), ("online", [friends[0]])]


def test_who_watches_100_is_told_of_no_limit(sign_in: SignIn, fresh: Callable[[str], str]) -> None:
    friends = [fresh(f"friend-{number}") for number in range(MOST_WATCHED)]

    client = sign_in(fresh("ada"), friends)

    client.wait_for_watched("offline", friends[-1])
    assert client.watched() == [("offline", friends)]
    assert client.errors() == []


def test_a_terminated_user_goes_offline(
    sign_in: SignIn, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    ada, watcher = fresh("ada"), fresh("watcher")
    client = sign_in(watcher, [ada])
    adas = [sign_in(ada), sign_in(ada)]
    client.wait_for_watched("online", ada)

    sdk.terminate_user_connections(ada)

    client.wait_for_watched("offline", ada, count=2)
    for each in adas:
        each.wait_until("disconnected")
    assert client.watched() == [("offline", [ada]), ("online", [ada]), ("offline", [ada])]


def test_who_has_gone_watches_no_more(
    sign_in: SignIn, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    ada, watcher = fresh("ada"), fresh("watcher")
    gone, stays = sign_in(watcher, [ada]), sign_in(watcher, [ada])
    channel = fresh("news")
    gone.subscribe(channel)

    gone.disconnect()
    ask_until(lambda: sdk.channel_info(channel), {"occupied": False})
    sign_in(ada)

    stays.wait_for_watched("online", ada)
    assert gone.watched() == [("offline", [ada])]
