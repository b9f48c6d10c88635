"""What the clients of one node are told of members, whatever order events arrive in."""

import pytest

from oyez.protocol.events import Event
from oyez.protocol.messages import MEMBER_ADDED, Member, member_added, member_removed
from oyez.server.engine.roster import Roster

A = "presence-a"
ADA, BOB, EVE = Member("ada"), Member("bob", b'{"n":1}'), Member("eve")


def added(member: Member, revision: int) -> Event:
    return member_added(A, member, None, revision)


def removed(member: Member, revision: int) -> Event:
    return member_removed(A, member.user_id, revision)


def told(events: list[Event]) -> list[tuple[str, str, int]]:
    """Readable: plus or minus, user, revision."""
    return [
        ("+" if each.name == MEMBER_ADDED else "-", name_in(each), each.sequence) for each in events
    ]


def name_in(event: Event) -> str:
    return next(m.user_id for m in (ADA, BOB, EVE) if f'"{m.user_id}"' in event.data)


@pytest.fixture
def roster() -> Roster:
    """Clients here know of Ada and Bob, as of revision 10."""
    roster = Roster()
    roster.expect("1", A)
    roster.begin("1", A, (ADA, BOB), 10)
    return roster


def test_changes_are_passed_on_in_order(roster: Roster) -> None:
    assert roster.news("1", removed(ADA, 11)) == [removed(ADA, 11)]
    assert roster.news("1", added(ADA, 12)) == [added(ADA, 12)]
    assert not roster.suspect


def test_other_events_are_passed_on(roster: Roster) -> None:
    event = Event("e", A, "not about a member")
    assert roster.news("1", event) == [event]


def test_what_the_list_contained_is_not_news(roster: Roster) -> None:
    assert roster.news("1", added(BOB, 10)) == []
    assert roster.news("1", removed(EVE, 9)) == []
    assert not roster.suspect


def test_an_event_that_was_overtaken_is_dropped(roster: Roster) -> None:
    assert roster.news("1", removed(ADA, 12)) == [removed(ADA, 12)]
    assert roster.news("1", added(ADA, 11)) == []


def test_an_event_that_arrives_before_the_list_counts_if_it_is_younger() -> None:
    roster = Roster()
    roster.expect("1", A)
    roster.news("1", removed(ADA, 9))
    roster.news("1", removed(BOB, 11))
    assert roster.begin("1", A, (ADA, BOB), 10) == (ADA, BOB)

    assert roster.news("1", added(ADA, 9)) == []
    assert roster.news("1", added(BOB, 12)) == [added(BOB, 12)]


def test_a_lost_event_matters_only_to_who_has_a_younger_list(roster: Roster) -> None:
    """Ada left and came back; the leaving is late or lost."""
    assert roster.news("1", added(ADA, 14)) == []
    assert roster.suspect == {("1", A)}

    roster.begin("1", A, (ADA,), 15)  # Bob left with 13
    assert told(roster.news("1", added(BOB, 16))) == [("-", "bob", 11), ("+", "bob", 16)]
    assert roster.news("1", removed(BOB, 13)) == []


def test_who_came_unheard_is_taken_from_lists_that_have_them(roster: Roster) -> None:
    roster.begin("1", A, (ADA, BOB, EVE), 12)  # Eve came with 11, which is late or lost
    assert roster.news("1", removed(EVE, 13)) == [removed(EVE, 13)]
    assert roster.news("1", added(EVE, 11)) == []


def test_the_difference_tells_what_was_lost(roster: Roster) -> None:
    events = roster.difference("1", A, (BOB, EVE), 20)
    assert told(events) == [("-", "ada", 20), ("+", "eve", 20)]
    assert roster.news("1", removed(ADA, 18)) == roster.news("1", added(EVE, 19)) == []
    assert roster.difference("1", A, (BOB, EVE), 21) == []


def test_a_difference_that_is_older_than_an_event_does_not_undo_it(roster: Roster) -> None:
    roster.news("1", removed(ADA, 21))
    roster.news("1", added(EVE, 22))
    assert roster.difference("1", A, (ADA, BOB), 20) == []


def test_a_list_is_completed_with_those_believed_to_be_there(roster: Roster) -> None:
    assert roster.begin("1", A, (EVE,), 30) == (EVE, ADA, BOB)


def test_after_the_last_client_all_is_forgotten(roster: Roster) -> None:
    roster.end("1", A)
    assert list(roster) == []
    assert roster.difference("1", A, (EVE,), 20) == []


def test_those_who_have_gone_are_not_remembered_for_ever(roster: Roster) -> None:
    for number in range(1000):
        roster.news("1", added(Member(f"u{number}"), 2_000_000 * number + 11))
        roster.news("1", removed(Member(f"u{number}"), 2_000_000 * number + 12))
    assert len(roster._views["1", A].gone) <= 101
    assert roster.news("1", added(Member("u999"), 1_998_000_011)) == []


def test_a_member_event_without_a_user_is_refused(roster: Roster) -> None:
    with pytest.raises(ValueError, match="user_id"):
        roster.news("1", Event(MEMBER_ADDED, A, "{}", sequence=11))
