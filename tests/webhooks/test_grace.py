"""Beginnings and ends alternate strictly; time is an argument."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from oyez.server.webhooks.grace import Grace, Presence

CHANNEL, ADA = Presence("1", "a"), Presence("1", "a", "ada")


def test_an_end_is_told_after_the_grace_and_only_once() -> None:
    grace = Grace()
    assert grace.begin(CHANNEL)
    grace.end(CHANNEL, 3)

    assert grace.ended(2.9) == []
    assert grace.ended(3) == [CHANNEL]
    assert grace.ended(100) == []
    assert grace.begin(CHANNEL)


def test_who_comes_back_within_the_grace_has_never_been_away() -> None:
    grace = Grace()
    grace.begin(CHANNEL)
    grace.end(CHANNEL, 3)

    assert not grace.begin(CHANNEL)
    assert grace.ended(100) == []


def test_the_grace_begins_anew_with_each_leave() -> None:
    grace = Grace()
    grace.begin(CHANNEL)
    grace.end(CHANNEL, 3)
    grace.begin(CHANNEL)
    grace.end(CHANNEL, 5)

    assert grace.ended(4) == []
    assert grace.ended(5) == [CHANNEL]


def test_members_end_before_their_channel() -> None:
    grace = Grace()
    grace.begin(CHANNEL)
    grace.begin(ADA)
    grace.end(CHANNEL, 3)
    grace.end(ADA, 3)

    assert grace.ended(3) == [ADA, CHANNEL]


def test_what_never_began_does_not_end() -> None:
    grace = Grace()
    grace.end(CHANNEL, 1)

    assert (grace.ended(10), grace.next_due(), len(grace)) == ([], None, 0)


class Flapping(RuleBasedStateMachine):
    """Connections come and go at random; what is told must alternate and end up true."""

    def __init__(self) -> None:
        super().__init__()
        self.grace = Grace()
        self.now = 0.0
        self.connections = 0
        self.told: list[str] = []
        self.left_at = 0.0

    @rule()
    def join(self) -> None:
        self.connections += 1
        if self.connections == 1 and self.grace.begin(CHANNEL):
            self.told.append("occupied")

    @rule()
    def leave(self) -> None:
        if self.connections:
            self.connections -= 1
            if not self.connections:
                self.left_at = self.now
                self.grace.end(CHANNEL, self.now + 3)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.told += ["vacated" for _ in self.grace.ended(self.now)]

    @invariant()
    def what_is_told_alternates(self) -> None:
        assert self.told == ["occupied", "vacated"] * (len(self.told) // 2) + (
            ["occupied"] if len(self.told) % 2 else []
        )

    @invariant()
    def what_is_told_is_true_or_was_within_the_grace(self) -> None:
        told_occupied = bool(self.told) and self.told[-1] == "occupied"
        if self.connections:
            assert told_occupied
        elif told_occupied:
            assert self.now - self.left_at < 3


TestFlapping = Flapping.TestCase


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 2)), max_size=60))
def test_nothing_is_kept_of_what_has_ended(script: list[tuple[str, bool, float]]) -> None:
    grace, now = Grace(), 0.0
    for name, begins, pause in script:
        now += pause
        presence = Presence("1", name)
        if begins:
            grace.begin(presence)
        else:
            grace.end(presence, now + 1)
        grace.ended(now)
    for name in "abc":
        grace.end(Presence("1", name), now + 1)
    grace.ended(now + 1)

    assert len(grace) == 0
    assert grace.next_due() is None
