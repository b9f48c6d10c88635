"""What the clients of one node are told of members, whatever order events arrive in."""

import random

import pytest

from oyez.protocol.events import Event
from oyez.protocol.messages import MEMBER_ADDED, Member, member_added, member_removed
from oyez.server.engine.roster import Roster

A = "presence-a"
ADA, BOB, EVE = Member("ada"), Member("bob", b'{"n":1}'), Member("eve")


def added(member: Member, revision: int) -> Event:
    return member_added(A, member, revision)


def removed(member: Member, revision: int) -> Event:
    return member_removed(A, member.user_id, revision)


def told(events: list[Event] | None) -> list[str] | None:
    """Readable: plus or minus, and the user."""
    if events is None:
        return None
    return [("+" if each.name == MEMBER_ADDED else "-") + name_in(each) for each in events]


def name_in(event: Event) -> str:
    return next(m.user_id for m in (ADA, BOB, EVE) if f'"{m.user_id}"' in event.data)


@pytest.fixture
def held() -> set[str]:
    """Users with a connection to this node."""
    return set()


@pytest.fixture
def roster(held: set[str]) -> Roster:
    """Clients here know of Ada and Bob, as of revision 10."""
    roster = Roster(lambda _, __, user_id: user_id in held)
    roster.expect("1", A)
    roster.begin("1", A, (ADA, BOB), 10)
    return roster


def test_changes_are_passed_on_in_order_and_each_has_its_place(roster: Roster) -> None:
    events = [*roster.news("1", removed(ADA, 11)), *roster.news("1", added(ADA, 12))]

    assert told(events) == ["-ada", "+ada"]
    assert [each.sequence for each in events] == [-1, -2]
    assert roster.place == 2
    assert not roster.suspect


def test_what_the_list_contained_is_not_news(roster: Roster) -> None:
    assert roster.news("1", added(BOB, 10)) == []
    assert roster.news("1", removed(EVE, 9)) == []
    assert not roster.suspect


def test_an_event_that_was_overtaken_is_dropped(roster: Roster) -> None:
    assert told(roster.news("1", removed(ADA, 12))) == ["-ada"]
    assert roster.news("1", added(ADA, 11)) == []


def test_an_event_that_arrives_before_the_list_counts_if_it_is_younger(roster: Roster) -> None:
    roster.end("1", A)
    roster.expect("1", A)
    assert roster.news("1", removed(ADA, 9)) == roster.news("1", removed(BOB, 11)) == []
    roster.begin("1", A, (ADA, BOB), 10)

    assert roster.members("1", A) == (ADA,)
    assert told(roster.news("1", added(BOB, 12))) == ["+bob"]


def test_an_event_that_says_what_is_known_means_that_one_is_lost(roster: Roster) -> None:
    assert roster.news("1", added(ADA, 14)) == []
    assert roster.suspect == {("1", A)}
    assert roster.compare("1", A, (ADA, BOB), 15) == []
    assert not roster.suspect


def test_a_younger_list_tells_what_was_lost(roster: Roster) -> None:
    assert told(roster.compare("1", A, (BOB, EVE), 20)) == ["-ada", "+eve"]
    assert roster.news("1", removed(ADA, 18)) == roster.news("1", added(EVE, 19)) == []
    assert roster.compare("1", A, (BOB, EVE), 21) == []


def test_a_list_that_is_older_than_an_event_undoes_nothing(roster: Roster) -> None:
    roster.news("1", removed(ADA, 21))
    assert roster.compare("1", A, (ADA, BOB), 20) is None
    assert roster.members("1", A) == (BOB,)


def test_a_list_that_may_be_short_takes_nobody_away(roster: Roster) -> None:
    assert told(roster.compare("1", A, (EVE,), 30, complete=False)) == ["+eve"]
    assert roster.members("1", A) == (ADA, BOB, EVE)


def test_who_came_back_with_something_new_to_show_is_told_anew(roster: Roster) -> None:
    other = Member("bob", b'{"n":2}')
    assert told(roster.compare("1", A, (ADA, other), 30)) == ["-bob", "+bob"]
    assert roster.members("1", A) == (ADA, other)


def test_nobody_here_is_told_to_be_gone(roster: Roster, held: set[str]) -> None:
    held.add("ada")
    assert roster.news("1", removed(ADA, 11)) == []
    assert roster.compare("1", A, (BOB,), 12) == []
    assert roster.suspect == {("1", A)}

    held.clear()
    assert told(roster.compare("1", A, (BOB,), 12)) == ["-ada"]


def test_who_has_just_joined_is_in_the_list_even_if_the_store_takes_it_back(
    roster: Roster,
) -> None:
    assert told(roster.include("1", A, EVE)) == ["+eve"]
    assert roster.include("1", A, EVE) == []
    assert roster.suspect == {("1", A)}


def test_numbers_may_begin_anew(roster: Roster) -> None:
    roster.forget_revisions()
    assert roster.suspect == {("1", A)}
    assert told(roster.news("1", removed(ADA, 3))) == ["-ada"]


def test_after_the_last_client_all_is_forgotten(roster: Roster) -> None:
    roster.news("1", added(ADA, 14))
    roster.end("1", A)
    assert list(roster) == []
    assert not roster.suspect
    assert roster.compare("1", A, (EVE,), 20) == []


def test_a_member_event_without_a_user_is_refused(roster: Roster) -> None:
    with pytest.raises(ValueError, match="user_id"):
        roster.news("1", Event(MEMBER_ADDED, A, "{}", sequence=11))


@pytest.mark.parametrize("seed", range(30))
def test_clients_always_know_what_their_list_and_events_say(seed: int) -> None:
    """Events are lost and lists come late; each client's view is that of the roster, always."""
    chance, roster, revision = random.Random(seed), Roster(lambda *_: False), 1
    truth: dict[str, Member] = {}
    members = [Member(f"u{number}") for number in range(5)]
    clients: list[dict[str, Member]] = []
    roster.begin("1", A, (), revision)
    lists: list[tuple[tuple[Member, ...], int]] = [((), 1)]
    for _ in range(300):
        events: list[Event] = []
        member = chance.choice(members)
        match chance.choice(("change", "change", "lost", "list", "late list", "client")):
            case "change" | "lost" as kind:
                revision += 1
                change = removed if truth.pop(member.user_id, None) else added
                if change is added:
                    truth[member.user_id] = member
                if kind == "change":
                    events = roster.news("1", change(member, revision))
            case "list":
                lists.append((tuple(truth.values()), revision))
                events = roster.compare("1", A, *lists[-1]) or []
                assert {m.user_id for m in roster.members("1", A)} == truth.keys()
            case "late list":
                events = roster.compare("1", A, *chance.choice(lists)) or []
            case "client":
                clients.append({m.user_id: m for m in roster.members("1", A)})
        for event in events:
            for client in clients:
                follow(client, event)
        for client in clients:
            assert client.keys() == {m.user_id for m in roster.members("1", A)}


def follow(client: dict[str, Member], event: Event) -> None:
    user_id = next(f"u{n}" for n in range(5) if f'"u{n}"' in event.data)
    if event.name == MEMBER_ADDED:
        assert user_id not in client
        client[user_id] = Member(user_id)
    else:
        del client[user_id]
