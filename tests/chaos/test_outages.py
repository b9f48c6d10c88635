"""Which times are excused."""

from tests.chaos.history import Outage
from tests.chaos.outages import Done, outages
from tests.chaos.schedule import Kind


def found(*done: Done, away: tuple[tuple[int, float, float], ...] = ()) -> list[Outage]:
    return outages(done, away, limit=1.0, flush_is_harmless=True)


def test_a_cut_loses_events_of_one_node() -> None:
    assert found((Kind.CUT, 1, 10, 12)) == [Outage(1, 9.5, 12.5)]


def test_a_pause_only_delays() -> None:
    assert found((Kind.PAUSE, 1, 10, 12)) == [Outage(1, 9.5, 12.5, lossless=True)]


def test_a_node_that_gives_up_after_a_pause_may_have_lost_what_came_in_it() -> None:
    late = found((Kind.PAUSE, 1, 10, 12), away=((1, 12.1, 13),))
    assert Outage(1, 9.5, 13.5) in late


def test_what_was_done_to_another_node_is_no_cause() -> None:
    assert Outage(1, 9.5, 13.5) in found((Kind.STALL, 0, 2, 20), away=((1, 12, 13),))


def test_engine_faults_are_of_all() -> None:
    assert found((Kind.RESTART, None, 10, 12)) == [Outage(None, 9.5, 12.5)]


def test_harmless() -> None:
    assert found((Kind.CLIENTS, 1, 10, 10), (Kind.FLUSH, None, 5, 5)) == []
    assert outages([(Kind.FLUSH, None, 5, 5)], [], limit=1, flush_is_harmless=False) != []
