"""A plan is the same for the same seed, and keeps within its bounds for every seed."""

from tests.chaos.schedule import ENGINE_FAULTS, LINK_FAULTS, Kind, plan

SEEDS = range(200)


def test_the_same_seed_is_the_same_plan() -> None:
    assert plan(7, 60) == plan(7, 60)
    assert plan(7, 60) != plan(8, 60)


def test_every_fault_is_over_in_time() -> None:
    for seed in SEEDS:
        assert all(fault.at >= 1 and fault.until <= 30 for fault in plan(seed, 30))


def test_a_minute_sees_nearly_every_kind() -> None:
    for seed in SEEDS:
        assert len({fault.kind for fault in plan(seed, 60)}) >= 10


def test_at_most_two_overlap_and_never_on_the_same_place() -> None:
    for seed in SEEDS:
        faults = plan(seed, 60)
        for one in faults:
            active = [each for each in faults if each.at <= one.at < each.until]
            assert len(active) <= 2
            assert sum(each.node == one.node for each in active) <= 1


def test_engine_faults_are_of_no_node_and_the_others_of_one() -> None:
    for fault in plan(3, 300):
        assert (fault.node is None) == (fault.kind in ENGINE_FAULTS)


def test_links_fail_on_both_sides_of_a_node() -> None:
    faults = [fault for seed in SEEDS for fault in plan(seed, 60)]
    assert {fault.kind for fault in faults if fault.clients} == LINK_FAULTS
    assert {fault.kind for fault in faults if not fault.clients} == set(Kind)


def test_faults_are_shorter_and_longer_than_the_lease() -> None:
    lengths = [fault.seconds for fault in plan(1, 600, lease=2) if fault.kind is Kind.PAUSE]
    assert min(lengths) < 2 < max(lengths)


def test_kinds_can_be_chosen() -> None:
    only = frozenset({Kind.FLUSH, Kind.KILL})
    assert {fault.kind for fault in plan(1, 60, kinds=only)} == only
