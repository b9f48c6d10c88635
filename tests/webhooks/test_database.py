"""Processes that share a database take turns, also with one that hangs."""

import asyncio
import multiprocessing
import threading
import time

import pytest
from sqlalchemy import Connection, create_engine, text

from oyez.server.webhooks.database import Database, clock
from oyez.server.webhooks.ledger import OutboxRefused, OutboxUnavailable

ROUNDS = 60


def prepare(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE counted (number INTEGER)"))
    connection.execute(text("INSERT INTO counted VALUES (0)"))


def read(connection: Connection) -> int:
    return int(connection.execute(text("SELECT number FROM counted")).scalar_one())


def count(connection: Connection) -> None:
    number = read(connection)
    connection.execute(text("UPDATE counted SET number = :number"), {"number": number + 1})


def count_often(url: str) -> None:
    async def run() -> None:
        database = Database(url, shared=True)
        for _ in range(ROUNDS):
            await database.write(count)
        database.close()

    asyncio.run(run())


async def test_nothing_is_lost_of_what_several_processes_write(shared_url: str) -> None:
    database = Database(shared_url, shared=True)
    await database.write(prepare)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_often, args=(shared_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 40)
        assert process.exitcode == 0

    assert await database.read(read) == 3 * ROUNDS
    database.close()


async def test_who_hangs_in_its_turn_delays_others_for_a_while_only(shared_url: str) -> None:
    if not shared_url.startswith("postgresql"):
        pytest.skip("SQLite has to wait until the other goes on or dies")
    hanging, other = Database(shared_url, shared=True), Database(shared_url, shared=True)
    await other.write(prepare)
    go_on = threading.Event()

    def hang(connection: Connection) -> None:
        count(connection)
        go_on.wait(120)

    hangs = asyncio.create_task(hanging.write(hang))
    await asyncio.sleep(0.5)
    started = time.monotonic()
    while True:
        try:
            await other.write(count)
            break
        except OutboxUnavailable:
            assert time.monotonic() - started < 90
    go_on.set()
    await hangs  # it is done again, as its first attempt was taken back

    assert await other.read(read) == 2
    hanging.close()
    other.close()


async def test_a_connection_that_was_closed_is_replaced(shared_url: str) -> None:
    if not shared_url.startswith("postgresql"):
        pytest.skip("SQLite has no connections that could be closed")
    database = Database(shared_url, shared=True)
    await database.write(prepare)
    engine = create_engine(shared_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )
        connection.execute(text(f"{others} AND datname = current_database()"))
    engine.dispose()

    await database.write(count)
    assert await database.read(read) == 1
    database.close()


async def test_what_the_database_would_never_take_is_told_apart(shared_url: str) -> None:
    database = Database(shared_url, shared=True)
    await database.write(prepare)
    with pytest.raises(OutboxUnavailable):
        await database.write(lambda connection: connection.execute(text("SELECT nonsense")))
    with pytest.raises(OutboxRefused):
        await database.write(
            lambda connection: (
                connection.execute(text("CREATE TABLE once (a INTEGER PRIMARY KEY)"))
                and [connection.execute(text("INSERT INTO once VALUES (1)")) for _ in range(2)]
            )
        )
    database.close()


async def test_the_clock_is_that_of_the_calendar(shared_url: str) -> None:
    database = Database(shared_url, shared=True)
    assert abs(await database.read(clock) - time.time()) < 5
    database.close()
