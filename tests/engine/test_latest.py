"""Counts and states of users: what overtakes, what is lost, what is made up for."""

import pytest

from oyez.protocol.channels import connections_of, watchers_of
from oyez.protocol.events import Event
from oyez.protocol.messages import subscription_count, watchlist_change
from oyez.server.engine.latest import Latest, counted_by, state_of


@pytest.fixture
def used() -> set[tuple[str, str]]:
    return {("1", "news"), ("1", watchers_of("ada"))}


@pytest.fixture
def latest(used: set[tuple[str, str]]) -> Latest:
    return Latest(lambda *topic: topic in used)


def test_what_was_overtaken_is_not_told(latest: Latest) -> None:
    assert latest.news("1", subscription_count("news", 3, 12)) == [subscription_count("news", 3)]
    assert latest.news("1", subscription_count("news", 2, 11)) == []
    assert latest.news("1", watchlist_change("ada", online=True, sequence=11)) == [
        watchlist_change("ada", online=True)
    ]


def test_other_events_are_passed_on_as_they_are(latest: Latest) -> None:
    cached, client = Event("e", "cache-a", "1", sequence=4), Event("client-e", "news", "1")
    assert latest.news("1", cached) == [cached]
    assert latest.news("1", client) == [client]
    assert len(latest) == 0


def test_what_was_lost_is_told_when_the_store_says_so(latest: Latest) -> None:
    latest.news("1", subscription_count("news", 3, 12))
    assert latest.correct("1", subscription_count("news", 3), 20) == []
    assert latest.correct("1", subscription_count("news", 2), 21) == [subscription_count("news", 2)]
    assert latest.news("1", subscription_count("news", 4, 20)) == []


def test_what_the_store_has_said_is_not_told_again(latest: Latest) -> None:
    offline = watchlist_change("ada", online=False, sequence=7)
    latest.expect("1", offline.channel)
    assert len(latest.correct("1", watchlist_change("ada", online=False), 7)) == 1
    assert latest.news("1", offline) == []


def test_an_answer_that_is_older_than_an_event_undoes_nothing(latest: Latest) -> None:
    latest.news("1", subscription_count("news", 3, 12))
    assert latest.correct("1", subscription_count("news", 2), 11) == []


def test_who_was_told_nothing_yet_but_expects_it_is_told(latest: Latest) -> None:
    offline = watchlist_change("ada", online=False)
    assert latest.correct("1", offline, 5) == []
    latest.expect("1", watchers_of("ada"))
    assert latest.correct("1", offline, 5) == [offline]


def test_who_asks_is_told_what_everybody_knows(latest: Latest) -> None:
    online = watchlist_change("ada", online=True)
    offline = watchlist_change("ada", online=False)
    assert latest.ask("1", online, 5, certain=False) == []
    assert latest.is_told("1", online)

    assert latest.ask("1", offline, 6, certain=False) == []
    assert latest.is_told("1", online)
    assert latest.ask("1", offline, 6, certain=True) == [offline]
    assert not latest.is_told("1", online)


def test_nothing_is_kept_of_channels_that_nobody_is_on(
    latest: Latest, used: set[tuple[str, str]]
) -> None:
    latest.news("1", subscription_count("news", 3, 12))
    latest.end("1", "news")
    used.clear()
    assert latest.news("1", subscription_count("news", 3, 13)) == []
    latest.expect("1", "news")
    assert len(latest) == 0


def test_numbers_may_begin_anew(latest: Latest) -> None:
    latest.news("1", subscription_count("news", 3, 12))
    latest.forget_revisions()
    assert latest.news("1", subscription_count("news", 2, 2)) == [subscription_count("news", 2)]


def test_all_have_their_turn(used: set[tuple[str, str]]) -> None:
    latest = Latest(lambda *_: True)
    for number in range(5):
        latest.expect("1", str(number))
    rounds = [latest.some(2) for _ in range(3)]
    assert sorted(topic for part in rounds for topic in part) == [("1", str(n)) for n in range(5)]
    assert len(latest.some(2)) == 2


def test_a_user_is_online_while_there_are_connections() -> None:
    assert counted_by(watchers_of("ada")) == connections_of("ada")
    assert state_of(watchers_of("ada"), 2) == watchlist_change("ada", online=True)
    assert state_of(watchers_of("ada"), 0) == watchlist_change("ada", online=False)
    assert counted_by("news") == "news"
    assert state_of("news", 2) == subscription_count("news", 2)
