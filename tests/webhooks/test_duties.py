"""Who holds a duty, by clocks that are arguments."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine

from oyez.server.webhooks.duties import Duties
from oyez.server.webhooks.letters import create_tables

LEASE = 5.0


class Node:
    """One node with a clock of its own."""

    def __init__(self, connection: Connection, name: str, *duties: str) -> None:
        self.now = 0.0
        self._connection = connection
        self.duties = Duties(name, duties, LEASE, lambda: self.now)

    def beat(self) -> set[str]:
        held, began = self.duties.beat(self._connection)
        self.duties.confirm(began)
        return set(held)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with create_engine("sqlite://").connect() as connection:
        create_tables(connection)
        yield connection


def test_the_first_holds_it_and_others_wait(connection: Connection) -> None:
    one, two = Node(connection, "one", "a", "b"), Node(connection, "two", "a", "b", "c")
    assert one.beat() == {"a", "b"}
    assert two.beat() == {"c"}
    for second in range(20):
        one.now = two.now = second
        assert one.beat() == {"a", "b"}
        assert two.beat() == {"c"}


def test_who_beats_no_more_is_succeeded_after_a_lease(connection: Connection) -> None:
    one, two = Node(connection, "one", "a"), Node(connection, "two", "a")
    one.beat()
    held = []
    for second in range(1, 10):
        two.now = float(second)
        held.append(bool(two.beat()))
    assert held == [False] * 6 + [True] * 3
    assert one.beat() == set()


def test_a_holder_stops_before_others_may_begin(connection: Connection) -> None:
    one, two = Node(connection, "one", "a"), Node(connection, "two", "a")
    one.beat()
    two.beat()
    for tenth in range(100):
        one.now = two.now = tenth / 10
        if two.beat():
            break
    assert one.duties.lapsed
    assert two.now > LEASE
    assert one.duties.patience == 0
    one.now = 0.5 * LEASE
    assert not one.duties.lapsed


def test_who_could_not_look_does_not_conclude_anything(connection: Connection) -> None:
    one, two = Node(connection, "one", "a"), Node(connection, "two", "a")
    one.beat()
    two.beat()
    two.now = 100.0  # neither of them could reach the database
    assert two.beat() == set()
    one.now = 100.0
    assert one.beat() == {"a"}


def test_what_was_not_committed_is_no_sign_of_life(connection: Connection) -> None:
    one = Node(connection, "one", "a")
    one.beat()
    one.now = 4.0
    one.duties.beat(connection)
    assert one.duties.lapsed


def test_what_is_given_up_is_taken_at_once(connection: Connection) -> None:
    one, two = Node(connection, "one", "a"), Node(connection, "two", "a")
    one.beat()
    assert two.beat() == set()
    one.duties.resign(connection)
    assert two.beat() == {"a"}
    two.duties.shun("a")
    assert two.beat() == set()
    assert one.beat() == {"a"}
