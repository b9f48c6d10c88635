"""What is told alternates and ends up true, however signals come and whatever is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine

from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.letters import create_tables
from oyez.server.webhooks.presences import (
    Signal,
    Standing,
    end_due,
    forget_gone,
    heard,
    read_channels,
    read_due,
    read_members,
    take_signals,
)

ROOM, ADA = Presence("1", "presence-a"), Presence("1", "presence-a", "ada")
GRACES = {"1": 3.0}
FOREVER = 1e9


@contextmanager
def database() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        create_tables(connection)
        yield connection
    engine.dispose()


def everything(presence: Presence) -> bool:
    return True


def test_only_what_is_newer_counts() -> None:
    there = heard(None, Signal(ROOM, True, 5), 0, 3)
    assert there == Standing(5, there=True, told=True)
    for revision in (4, 5):
        assert heard(there, Signal(ROOM, False, revision), 0, 3) is there
    gone = heard(there, Signal(ROOM, False, 6), 10, 3)
    assert gone == Standing(6, there=False, told=True, due=13)
    assert heard(gone, Signal(ROOM, True, 7), 11, 3) == Standing(7, there=True, told=True)


def test_an_end_without_a_beginning_is_remembered_for_a_while() -> None:
    with database() as connection:
        take_signals(connection, [Signal(ROOM, False, 6)], 0, GRACES, everything)
        assert take_signals(connection, [Signal(ROOM, True, 5)], 0, GRACES, everything) == []
        assert read_due(connection, FOREVER) == set()
        forget_gone(connection, FOREVER)
        assert take_signals(connection, [Signal(ROOM, True, 5)], 0, GRACES, everything) == [ROOM]


def test_a_beginning_and_an_end_said_together_are_both_told() -> None:
    with database() as connection:
        signals = [Signal(ROOM, True, 1), Signal(ROOM, False, 2)]
        assert take_signals(connection, signals, 0, GRACES, everything) == [ROOM]
        assert end_due(connection, ["1"], 3, 10) == [ROOM]
        assert end_due(connection, ["1"], 4, 10) == []


def test_members_begin_after_and_end_before_their_channel() -> None:
    with database() as connection:
        assert take_signals(connection, [Signal(ADA, True, 1)], 0, GRACES, everything) == [
            ROOM,
            ADA,
        ]
        signals = [Signal(ROOM, False, 3), Signal(ADA, False, 2)]
        take_signals(connection, signals, 0, GRACES, everything)
        assert end_due(connection, ["1"], 3, 10) == [ADA, ROOM]


def test_what_ends_is_limited_and_of_the_apps_that_were_asked_for() -> None:
    with database() as connection:
        names = [Presence(app, f"c{number}") for app in "12" for number in range(5)]
        for revision, there in ((1, True), (2, False)):
            signals = [Signal(each, there, revision) for each in names]
            take_signals(connection, signals, 0, GRACES, everything)
        assert read_due(connection, 5) == {"1", "2"}
        assert len(end_due(connection, ["1"], 5, 3)) == 3
        assert {each.app_id for each in end_due(connection, ["1"], 5, 10)} == {"1"}
        assert read_due(connection, 5) == {"2"}


def test_user_ids_may_be_anything() -> None:
    zoe = ROOM._replace(user_id="ada\0 Zoë 🌍")
    with database() as connection:
        take_signals(connection, [Signal(zoe, True, 1)], 0, GRACES, everything)
        assert set(read_members(connection, "1", ["presence-a"])) == {zoe}
        summaries, newest = read_channels(connection, "1")
        assert summaries["presence-a"].members == newest == 1


happenings = st.lists(
    st.tuples(st.sampled_from(("", "ada", "bob")), st.integers(0, 6), st.booleans(), st.booleans()),
    max_size=60,
)


_UNHEARD_RETURN = [  # a member leaves again after its channel is known to be gone
    *[("", 0, False, False)] * 2,
    *[("ada", 0, False, False)] * 8,
    ("", 0, True, False),
    ("ada", 0, True, False),
    ("", 0, False, True),
]


_LATE_BEGINNING = [  # a member's signal comes after its channel is known to be gone, and there anew
    ("", 4, False, False),
    ("ada", 3, False, False),
    ("", 0, True, False),
    ("ada", 0, False, False),
    ("", 0, False, False),
]


@example(_UNHEARD_RETURN)
@example(_LATE_BEGINNING)
@settings(max_examples=150, deadline=None)
@given(happenings)
def test_signals_in_any_order(script: list[tuple[str, int, bool, bool]]) -> None:
    """Each: who flips, how much later its signal comes, if it is lost, if ends are told now."""
    there: dict[Presence, bool] = {}
    waiting: list[tuple[int, Signal]] = []
    told: dict[Presence, bool] = {}

    def tell(presences: list[Presence], begins: bool) -> None:
        for presence in presences:
            assert told.get(presence, False) is not begins
            told[presence] = begins
            room = told.get(ROOM, False)
            assert room or not any(on for each, on in told.items() if each.user_id)

    with database() as connection:
        for step, (user_id, delay, lost, ends) in enumerate(script):
            changed = _flip(there, Presence("1", "presence-a", user_id or "nobody"))
            signals = [Signal(each, there[each], step + 1) for each in changed]
            waiting += [] if lost else [(step + delay, each) for each in signals]
            arrived = [signal for due, signal in waiting if due <= step]
            waiting = [(due, signal) for due, signal in waiting if due > step]
            tell(take_signals(connection, arrived, step, GRACES, everything), True)
            if ends:
                tell(end_due(connection, ["1"], step, 100), False)
        now = len(script) + 1
        final = [Signal(each, on, now) for each, on in there.items()]
        tell(take_signals(connection, final, now, GRACES, everything), True)
        tell(end_due(connection, ["1"], now + 3, 100), False)

    assert {each for each, on in told.items() if on} == {each for each, on in there.items() if on}


def _flip(there: dict[Presence, bool], member: Presence) -> list[Presence]:
    """A member comes or goes, and with the first or last of them the channel."""
    there[member] = not there.get(member, False)
    occupied = any(on for each, on in there.items() if each.user_id)
    if there.get(ROOM, False) == occupied:
        return [member]
    there[ROOM] = occupied
    return [member, ROOM]
