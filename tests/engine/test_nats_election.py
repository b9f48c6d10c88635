"""When a node stands for keeper: rules without a network, by the clock of one machine."""

import random

from oyez.server.engine.nats.election import Election, Pace, Step
from oyez.server.engine.nats.wire import Entry

PACE = Pace.within(10.0)


def election(now: float = 0.0) -> Election:
    made = Election(PACE, lambda low, high: high)
    made.begin(now)
    return made


def test_others_wait_longer_than_a_keeper_answers_and_a_successor_comes_within_the_time() -> None:
    for seconds in (0.6, 1.0, 5.0, 10.0):
        pace = Pace.within(seconds)
        assert 2 * pace.renew < pace.reign < pace.patience
        assert pace.patience + 2.5 * pace.glance < seconds


def test_where_nobody_was_ever_keeper_one_stands_at_once() -> None:
    assert election().looked(None, 0, 0.0) is Step.CLAIM


def test_a_keeper_that_is_found_is_followed() -> None:
    found = election()
    assert found.looked(Entry(3, "a", numbers=7, since=2), 41, 0.0) is Step.FOLLOW
    assert (found.term, found.place, found.numbers, found.since) == (3, 41, 7, 2)


def test_patience_begins_with_what_was_learned_last() -> None:
    waiting = election()
    waiting.looked(Entry(3, "a"), 41, 0.0)
    waiting.announced(Entry(3, "a"), 5.0)
    assert waiting.looked(Entry(3, "a"), 41, 5.0 + PACE.patience - 0.1) is Step.WAIT
    assert waiting.looked(Entry(3, "a"), 41, 5.0 + PACE.patience + 0.1) is Step.CLAIM


def test_a_renewal_that_was_not_announced_counts_when_it_is_seen() -> None:
    waiting = election()
    waiting.looked(Entry(3, "a"), 41, 0.0)
    late = PACE.patience + 1
    assert waiting.looked(Entry(3, "a"), 42, late) is Step.WAIT
    assert waiting.looked(Entry(3, "a"), 42, late + PACE.patience) is Step.CLAIM


def test_a_vacant_office_is_looked_at_twice() -> None:
    waiting = election()
    waiting.looked(Entry(3, "a"), 41, 0.0)
    waiting.unanswered(2)  # of a term long ago
    assert waiting.looked(Entry(3, "a"), 41, 0.1) is Step.WAIT
    waiting.unanswered(3)
    assert waiting.looked(Entry(3, "a"), 42, 0.1) is Step.PROBE
    waiting.announced(Entry(3, "a"), 0.2)
    assert waiting.looked(Entry(3, "a"), 43, 0.3) is Step.WAIT
    waiting.unanswered(3)
    assert waiting.looked(Entry(4, "b"), 44, 0.4) is Step.FOLLOW


def test_an_older_term_is_not_followed_nor_forgotten() -> None:
    """The broker has lost its data, and somebody who knows nothing has begun from the start."""
    waiting = election()
    waiting.looked(Entry(30, "a", numbers=900), 41, 0.0)
    assert not waiting.announced(Entry(1, "b"), 1.0)
    assert waiting.looked(Entry(1, "b"), 1, 1.0) is Step.WAIT
    assert (waiting.term, waiting.place, waiting.numbers) == (30, 1, 900)
    assert waiting.looked(None, 0, PACE.patience) is Step.CLAIM


def test_who_knows_less_lets_others_go_first() -> None:
    ready, other = election(), election()
    other.handicap = 1.0
    for each in (ready, other):
        each.looked(Entry(3, "a"), 41, 0.0)
    assert ready.patience(0.0) + 1.0 == other.patience(0.0)
    assert ready.glance() + 1.0 == other.glance()


def test_of_any_history_each_term_has_one_keeper_that_answers() -> None:
    """Nodes with clocks of their own, stopped at random, over one entry that is compared and set.

    Each node counts its own seconds from another beginning. A keeper answers while its clock says
    that it may; never do two answer at one moment.
    """
    for seed in range(200):
        _play(random.Random(seed))


class _Node:
    def __init__(self, number: int) -> None:
        self.who = str(number)
        self.offset = 1000.0 * number
        self.election = Election(PACE, lambda low, high: high)
        self.term = 0  # that it is the keeper of
        self.until = float("-inf")
        self.renews = 0.0
        self.asleep = 0.0

    def answers(self, now: float) -> bool:
        return self.term > 0 and now + self.offset < self.until


def _play(chance: random.Random) -> None:
    nodes = [_Node(number) for number in range(4)]
    for node in nodes:
        node.election.begin(node.offset)
    entry, place = None, 0
    terms: dict[int, str] = {}
    answered = 0
    for tick in range(600):
        now = tick / 10
        for node in nodes:
            if node.asleep > now:
                continue
            if chance.random() < 0.01:
                node.asleep = now + chance.uniform(1.0, 15.0)
                continue
            mine = now + node.offset
            began = mine - chance.choice((0.0, 0.0, 0.5))  # the write took so long
            if node.term and node.renews <= mine:
                if entry is None or (entry.term, entry.who) != (node.term, node.who):
                    node.term = 0
                else:
                    place += 1
                    node.until, node.renews = began + PACE.reign, mine + PACE.renew
            elif node.term or chance.random() > 0.3:
                continue
            elif node.election.looked(entry, place, mine) is Step.CLAIM:
                entry, place = Entry(node.election.term + 1, node.who), place + 1
                assert terms.setdefault(entry.term, node.who) == node.who
                node.term, node.until = entry.term, began + PACE.reign
                node.renews = mine + PACE.renew
                node.election.announced(entry, mine)
        answering = [node.term for node in nodes if node.answers(now)]
        assert len(answering) <= 1, answering
        answered += len(answering)
    assert answered > 300
