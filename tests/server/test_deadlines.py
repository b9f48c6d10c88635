"""Who is asked when; the clock is an argument."""

from oyez.server.deadlines import Deadlines


class Item:
    def __init__(self, *answers: float | None) -> None:
        self.bucket = 0
        self.answers = list(answers)
        self.asked: list[float] = []

    def expire(self, now: float) -> float | None:
        self.asked.append(now)
        return self.answers.pop(0) if self.answers else None


def test_an_item_is_asked_within_a_second_of_its_time() -> None:
    deadlines, item = Deadlines(100.5), Item()
    deadlines.set(item, 103.2)

    for now in (101, 102, 103):
        deadlines.advance(now)
    assert item.asked == []
    deadlines.advance(104)
    assert item.asked == [104]
    assert len(deadlines) == 0


def test_an_item_chooses_when_it_is_asked_again() -> None:
    deadlines, item = Deadlines(0), Item(5, None)
    deadlines.set(item, 1)

    for now in range(20):
        deadlines.advance(now)

    assert item.asked == [2, 6]


def test_a_later_choice_replaces_an_earlier_one() -> None:
    deadlines, item = Deadlines(0), Item()
    deadlines.set(item, 1)
    deadlines.set(item, 7)

    deadlines.advance(5)
    assert item.asked == []
    deadlines.advance(8)
    assert item.asked == [8]


def test_an_item_that_is_gone_is_not_asked_and_not_kept() -> None:
    deadlines, item = Deadlines(0), Item()
    deadlines.set(item, 1)
    deadlines.discard(item)
    deadlines.discard(item)

    assert len(deadlines) == 0
    deadlines.advance(10)
    assert item.asked == []


def test_a_clock_that_jumps_asks_everybody_once() -> None:
    deadlines, items = Deadlines(0), [Item() for _ in range(5)]
    for at, item in enumerate(items):
        deadlines.set(item, at * 100)

    deadlines.advance(1000)

    assert [item.asked for item in items] == [[1000]] * 5


def test_a_time_in_the_past_is_due_with_the_next_advance() -> None:
    deadlines, item = Deadlines(50), Item()
    deadlines.set(item, 3)

    deadlines.advance(51)

    assert item.asked == [51]


def test_an_error_of_one_keeps_nobody_else_from_being_asked() -> None:
    asked: list[str] = []

    class Item:
        def __init__(self, name: str, error: Exception | None = None) -> None:
            self.bucket, self.name, self.error = 0, name, error

        def expire(self, now: float) -> float | None:
            asked.append(self.name)
            if self.error is not None:
                raise self.error
            return now + 5

    deadlines = Deadlines(0.0)
    items = [Item("a"), Item("b", ValueError("a bug")), Item("c"), Item("d")]
    for item in items:
        deadlines.set(item, 1.0)

    deadlines.advance(3.0)
    assert sorted(asked) == ["a", "b", "c", "d"]
    assert len(deadlines) == 4

    deadlines.advance(30.0)
    assert sorted(asked) == ["a", "a", "b", "b", "c", "c", "d", "d"]
