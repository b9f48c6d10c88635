"""What the keeper knows, without any network: times and numbers are arguments."""

from typing import Any

import msgspec
import pytest

from oyez.protocol.events import Event
from oyez.protocol.messages import Member, member_added, member_removed
from oyez.server.engine import Cached, ChannelFull, Joined, Left, Occupancy
from oyez.server.engine.backplane import Beat, Change, Held, Stale, Standing
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.numbers import Numbers
from oyez.server.engine.nats.store import Store, StoreState
from tests.engine.contract import ADA, BOB

LEASE = 10.0


class Keeping:
    """A store with a clock that stands still, and what it has told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[Event] = []
        self._last = 0
        self.store = Store(LEASE, self.number, self.tell)

    def number(self) -> int:
        self._last += 1
        return self._last

    def tell(self, app_id: str, event: Event) -> None:
        assert app_id == "1"
        self.told.append(event)

    def beat(self, name: str, *, register: bool = False) -> Beat:
        found: Beat = self.do(wire.Beat("1", name, register))
        return found

    def join(self, name: str, channel: str, member: Member | None = None, most: int = 9) -> Joined:
        found: Joined = self.do(wire.Join("1", name, channel, member, most))
        return found

    def leave(self, name: str, channel: str, user_id: str | None = None) -> Left:
        found: Left = self.do(wire.Leave("1", name, channel, user_id))
        return found

    def sweep(self, name: str, *, force: bool = False) -> tuple[list[Change], bool]:
        found: tuple[list[Change], bool] = self.do(wire.Sweep("1", name, force))
        return found

    def restate(self, name: str, **held: Held) -> list[Change]:
        stated = {channel.replace("_", "-"): each for channel, each in held.items()}
        found: list[Change] = self.do(wire.Restate("1", name, stated))
        return found

    def do(self, request: wire.Request) -> Any:
        return self.store.do(request, self.now)

    def count(self, channel: str) -> Occupancy:
        found: Occupancy = self.do(wire.Occupancy("1", channel))
        return found


@pytest.fixture
def keeping() -> Keeping:
    made = Keeping()
    for name in ("one", "two"):
        assert made.beat(name, register=True).standing is Standing.NEW
    return made


def test_a_name_is_new_then_alive_and_after_a_sweep_never_again(keeping: Keeping) -> None:
    assert keeping.beat("one") == Beat(Standing.ALIVE)
    assert keeping.beat("three") == Beat(Standing.UNKNOWN)
    assert keeping.sweep("one") == ([], False)  # its lease is good
    keeping.now += LEASE - 0.1
    keeping.beat("two")
    assert keeping.beat("").lapsed == ()
    keeping.now += 0.1
    assert keeping.beat("").lapsed == ("one",)
    assert keeping.sweep("one") == ([], False)
    assert keeping.beat("one", register=True) == Beat(Standing.SWEPT)
    keeping.now += 3599
    keeping.beat("two")
    keeping.sweep("two", force=True)
    assert keeping.beat("one", register=True).standing is Standing.SWEPT


def test_who_is_not_alive_changes_nothing(keeping: Keeping) -> None:
    for change in (
        wire.Join("1", "gone", "a", None, 9),
        wire.Leave("1", "gone", "a", None),
        wire.Restate("1", "gone", {"a": Held(1)}),
    ):
        with pytest.raises(Stale):
            keeping.do(change)
    assert keeping.do(wire.Channels("1", "")) == {}


def test_each_change_has_a_larger_number_and_its_event_has_it(keeping: Keeping) -> None:
    joins = [keeping.join("one", "presence-a", member) for member in (ADA, BOB, ADA)]
    left = keeping.leave("one", "presence-a", "bob")

    numbers = [*(each.revision for each in joins), left.revision]
    assert numbers == sorted(set(numbers))
    assert keeping.told == [
        member_added("presence-a", ADA, joins[0].revision),
        member_added("presence-a", BOB, joins[1].revision),
        member_removed("presence-a", "bob", left.revision),
    ]
    assert keeping.do(wire.Roll("1", "presence-a")).revision == left.revision


def test_nothing_happens_to_what_is_not_held(keeping: Keeping) -> None:
    keeping.join("one", "presence-a", ADA)

    left = keeping.leave("two", "presence-a", "ada")

    assert (left.vacated, left.subscriptions, left.removed) == (False, 1, False)
    assert keeping.count("presence-a") == Occupancy(1, 1)
    assert keeping.told[1:] == []


def test_a_full_channel_counts_users_of_all(keeping: Keeping) -> None:
    keeping.join("one", "presence-a", ADA, most=1)
    keeping.join("two", "presence-a", ADA, most=1)
    with pytest.raises(ChannelFull):
        keeping.join("two", "presence-a", BOB, most=1)
    assert keeping.count("presence-a") == Occupancy(2, 1)


def test_what_the_dead_held_is_taken_away_in_chunks_each_once(keeping: Keeping) -> None:
    for number in range(250):
        keeping.join("one", f"c{number}")
    keeping.join("two", "c7")
    keeping.join("one", "presence-a", ADA)
    keeping.join("one", "presence-a", BOB)
    keeping.join("two", "presence-a", BOB)
    keeping.told.clear()

    changes, more = keeping.sweep("one", force=True)
    assert (len(changes), more) == (200, True)
    with pytest.raises(Stale):
        keeping.join("one", "a")
    rest, more = keeping.sweep("one")
    assert (len(rest), more) == (51, False)
    assert keeping.sweep("one", force=True) == ([], False)

    by_channel = {each.channel: each for each in changes + rest}
    assert len(by_channel) == 251
    assert (by_channel["c7"].vacated, by_channel["c7"].subscriptions) == (False, 1)
    assert (by_channel["c8"].vacated, by_channel["c8"].subscriptions) == (True, 0)
    assert by_channel["presence-a"].removed == ("ada",)
    assert [(each.name, each.data) for each in keeping.told] == [
        (each.name, each.data) for each in (member_removed("presence-a", "ada"),)
    ]
    assert set(keeping.do(wire.Channels("1", ""))) == {"c7", "presence-a"}


def test_restating_makes_it_exactly_this_and_tells_the_difference(keeping: Keeping) -> None:
    keeping.join("one", "presence-a", ADA)
    keeping.join("two", "presence-a", Member("eve"))
    keeping.join("one", "news")
    keeping.told.clear()

    stated = Held(3, {"bob": (BOB, 2), "eve": (Member("eve"), 1)})
    changes = keeping.restate("one", presence_a=stated, news=Held(), other=Held(1))

    told = {each.channel: each for each in changes}
    assert told["presence-a"].added == ("bob",)
    assert told["presence-a"].removed == ("ada",)
    assert told["presence-a"].subscriptions == 4
    assert told["news"].vacated
    assert told["other"].occupied
    assert keeping.do(wire.HeldBy("1", "one")) == {
        "presence-a": (3, {"bob": 2, "eve": 1}),
        "other": (1, {}),
    }
    assert [each.name.rpartition("_")[2] for each in keeping.told] == ["removed", "added"]
    sequences = [each.sequence for each in keeping.told]
    assert sequences == sorted(set(sequences))
    again = keeping.restate("one", presence_a=stated)
    assert (again[0].added, again[0].removed, again[0].occupied) == ((), (), False)


def test_members_come_in_the_order_in_which_they_came(keeping: Keeping) -> None:
    for user_id in ("c", "a", "b"):
        keeping.join("one", "presence-a", Member(user_id))
    keeping.leave("one", "presence-a", "c")
    keeping.join("two", "presence-a", Member("c"))

    roll = keeping.do(wire.Roll("1", "presence-a"))
    assert [each.user_id for each in roll.members] == ["a", "b", "c"]


def test_the_age_is_that_of_what_is_known(keeping: Keeping) -> None:
    keeping.now += 3
    keeping.beat("three", register=True)
    assert keeping.do(wire.Roll("1", "a")).age == 3
    assert keeping.do(wire.Roll("2", "a")).age == 0


def test_only_cache_channels_number_and_keep_their_events(keeping: Keeping) -> None:
    events = [
        Event("e", "news", "1", sequence=7),
        Event("e", "cache-a", "2"),
        Event("f", "cache-a", "3"),
    ]
    kept = keeping.do(wire.Publish("1", events, 60))

    news, first, second = keeping.told
    assert news.sequence == 7
    assert first.sequence < second.sequence
    assert kept == [("cache-a", Cached("f", "3", 60, second.sequence))]
    keeping.now += 59
    assert keeping.do(wire.Cached("1", "cache-a")) == Cached("f", "3", 1, second.sequence)
    keeping.do(wire.Publish("1", [Event("client-x", "cache-a", "4")], 0))
    assert keeping.told[-1].sequence > second.sequence
    assert keeping.do(wire.Cached("1", "cache-a")).data == "3"
    keeping.now += 1
    assert keeping.do(wire.Cached("1", "cache-a")) is None


def test_usage_is_added_up_and_forgotten_after_some_days(keeping: Keeping) -> None:
    assert keeping.do(wire.Meter(1, {"1": 5, "2": 0})) == {"1": 5, "2": 0}
    assert keeping.do(wire.Meter(1, {"1": 2})) == {"1": 7}
    for day in (2, 3, 4):
        keeping.do(wire.Meter(day, {"1": 1}))
    assert set(keeping.store.used) == {2, 3, 4}
    assert keeping.do(wire.Meter(1, {"1": 3})) == {"1": 3}  # too late to be kept


def test_it_can_be_handed_on_and_all_get_time_to_give_a_sign_of_life(keeping: Keeping) -> None:
    keeping.join("one", "presence-a", BOB)
    keeping.join("two", "presence-a", ADA)
    keeping.join("two", "news")
    keeping.do(wire.Meter(1, {"1": 5}))
    keeping.sweep("two", force=False)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(keeping.store.state()), type=StoreState)

    other = Keeping()
    other.now = 5000.0  # of another machine
    other.store.assume(state)
    other.store.resume(lambda: 10**6, other.tell, other.now, other.now - keeping.now)

    for request in (
        wire.Channels("1", ""),
        wire.HeldBy("1", "one"),
        wire.HeldBy("1", "two"),
        wire.Meter(1, {"1": 0}),
    ):
        assert other.do(request) == keeping.do(request)
    roll = other.do(wire.Roll("1", "presence-a"))
    assert [each.user_id for each in roll.members] == ["bob", "ada"]
    assert (roll.revision, roll.age) == (10**6, 0)
    other.now += LEASE - 0.1
    assert other.beat("one") == Beat(Standing.UNKNOWN)  # it is to compare what it holds
    other.now += 0.2
    assert other.beat("one") == Beat(Standing.ALIVE, ("two",))
    assert {each.channel for each in other.sweep("two")[0]} == {"presence-a", "news"}
    assert [each.name.rpartition("_")[2] for each in other.told] == ["removed"]


def test_a_request_that_is_asked_again_is_done_once(keeping: Keeping) -> None:
    requests: list[wire.Request] = [
        wire.Join("1", "one", "presence-a", ADA, 9, id=1),
        wire.Join("1", "one", "presence-a", ADA, 9, id=2),
        wire.Leave("1", "one", "presence-a", "ada", id=3),
        wire.Meter(1, {"1": 5}, id=4),
        wire.Sweep("1", "one", True, id=5),
    ]
    assert not any(map(keeping.store.has_done, requests))
    first = [keeping.do(request) for request in requests]
    assert all(map(keeping.store.has_done, requests))
    again = [keeping.do(request) for request in requests]

    assert again == first
    assert [each.name.rpartition("_")[2] for each in keeping.told] == ["added"]
    assert keeping.do(wire.Meter(1, {"1": 0})) == {"1": 5}


def test_a_name_that_was_handed_on_is_alive_for_who_registers_it(keeping: Keeping) -> None:
    keeping.join("one", "news")
    keeping.store.resume(keeping.number, keeping.tell, keeping.now, 0.0)

    assert keeping.join("one", "news").subscriptions == 2
    assert keeping.beat("one", register=True).standing is Standing.ALIVE
    assert keeping.beat("one").standing is Standing.ALIVE
    keeping.sweep("two", force=True)
    assert keeping.beat("two", register=True).standing is Standing.SWEPT


def test_numbers_grow_whatever_the_clock_does_and_stay_within_what_was_reserved() -> None:
    clock = [1000.0]
    numbers = Numbers(lambda: clock[0])
    numbers.limit = reserved = numbers.reserve(2.0)
    assert reserved == 1_002_000_000
    given = [numbers.next(), numbers.next()]
    clock[0] = 1.0
    given.append(numbers.next())
    clock[0] = 5000.0  # a leap
    given.append(numbers.next())
    assert given == sorted(set(given))
    assert given[0] == 1_000_000_000
    assert given[-1] == reserved

    clock[0] = 500.0  # of a machine that is slow
    successor = Numbers(lambda: clock[0], after=reserved)
    assert successor.next() > given[-1]
