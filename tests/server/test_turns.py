"""Work spread over turns of the event loop."""

import asyncio

from oyez.server.turns import Turns


async def test_a_burst_is_done_in_order_and_a_little_at_a_time() -> None:
    turns, done = Turns(per_turn=3), []

    for number in range(7):
        turns.add(lambda number=number: done.append(number))  # type: ignore[misc]
    seen = []
    for _ in range(4):
        await asyncio.sleep(0)
        seen.append(len(done))

    assert seen == [3, 6, 7, 7]
    assert done == list(range(7))


async def test_what_a_job_adds_comes_after_it() -> None:
    turns, done = Turns(per_turn=3), []

    def job() -> None:
        done.append("first")
        turns.add(lambda: done.append("second"))

    turns.add(job)
    for _ in range(3):
        await asyncio.sleep(0)

    assert done == ["first", "second"]


async def test_jobs_that_add_themselves_are_no_more_in_a_turn_for_it() -> None:
    turns, done = Turns(per_turn=1), []

    def job() -> None:
        done.append(1)
        turns.add(job)

    turns.add(job)
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(len(done))

    assert seen == [1, 2, 3, 4, 5, 6]


async def test_it_starts_again_after_a_rest() -> None:
    turns, done = Turns(), []

    for number in range(2):
        turns.add(lambda number=number: done.append(number))  # type: ignore[misc]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert done == [0, 1]


async def test_an_error_of_one_job_keeps_no_other_from_being_done() -> None:
    done: list[int] = []
    turns = Turns(per_turn=2)

    def job(number: int) -> None:
        if number % 2 == 0:
            raise ValueError("a bug")
        done.append(number)

    for number in range(9):
        turns.add(lambda number=number: job(number))  # type: ignore[misc]
    for _ in range(20):
        await asyncio.sleep(0)

    assert done == [1, 3, 5, 7]
    turns.add(lambda: done.append(100))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done[-1] == 100
