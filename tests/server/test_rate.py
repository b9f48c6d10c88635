"""How often something is told: never more in a second than stated, wherever the second begins."""

from hypothesis import given
from hypothesis import strategies as st

from oyez.server.deadlines import Deadlines
from oyez.server.rate import Rate


@given(
    st.lists(st.tuples(st.floats(0, 12), st.sampled_from("ab")), max_size=200),
    st.integers(1, 4),
    st.floats(0, 1),
)
def test_no_second_has_more(moments: list[tuple[float, str]], most: int, start: float) -> None:
    deadlines = Deadlines(start)
    rate = Rate(most, deadlines)
    ticks = [(start + second, "") for second in range(1, 14)]
    allowed: dict[str, list[float]] = {"a": [], "b": []}
    for moment, key in sorted([*((start + at, key) for at, key in moments), *ticks]):
        if not key:
            deadlines.advance(moment)
        elif rate.take(key):
            allowed[key].append(moment)

    for times in allowed.values():
        for first, past in zip(times, times[most:], strict=False):
            assert past - first >= 1


def test_it_may_go_on_when_two_seconds_have_passed_and_nothing_is_kept() -> None:
    deadlines = Deadlines(0)
    rate = Rate(3, deadlines)

    assert [rate.take("a") for _ in range(5)] == [True] * 3 + [False] * 2
    assert rate.take("b")
    deadlines.advance(1)
    assert not rate.take("a")
    deadlines.advance(2)
    assert [rate.take("a") for _ in range(4)] == [True] * 3 + [False]
    for now in (3, 4, 5):
        deadlines.advance(now)
    assert len(deadlines) == 0


def test_what_happens_before_it_looks_in_the_same_second_is_forgotten_too() -> None:
    deadlines = Deadlines(0)
    rate = Rate(3, deadlines)
    rate.take("a")
    deadlines.now = 2.0
    rate.take("b")  # of who is asked before it in the same second

    assert rate.expire(2.0) is not None
