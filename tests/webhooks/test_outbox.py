"""The store itself: what is kept, in which order, and how much."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from oyez.server.config import Settings
from oyez.server.webhooks import letters as module
from oyez.server.webhooks.assembly import outbox_url
from oyez.server.webhooks.file_lock import FileLock
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import OutboxInUse
from oyez.server.webhooks.letters import Change, Letter
from oyez.server.webhooks.outbox import Outbox, OutboxUnavailable
from tests.webhooks.postgres import postgres_is_installed, running_postgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=postgres_is_installed)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'outbox.db'}"
    else:
        with running_postgres() as url:
            yield url


def letter(outbox: Outbox, name: str) -> Letter:
    return Letter(name, outbox.next_position(), "1", "http://x", "a", b"{}", 0)


async def test_what_is_stored_is_there_after_another_start(url: str) -> None:
    ada = Presence("1", "presence-a", "ada\0 Zoë 🌍")
    async with Outbox(url) as outbox:
        letters = [letter(outbox, name) for name in "abc"]
        await outbox.store(Change(letters, begun=[ada, Presence("1", "presence-a")]))
        await outbox.store(Change(ended=[Presence("1", "presence-a")]))
        await outbox.store(Change(begun=[ada]))
        outbox.remove(["b"])

    async with Outbox(url) as outbox:
        assert [each.id for each in await outbox.pending()] == ["a", "c"]
        assert await outbox.present() == [ada]
        assert outbox.next_position() > letters[-1].position


async def test_only_the_newest_dead_letters_are_kept(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DEAD", 3)
    async with Outbox(url) as outbox:
        letters = [letter(outbox, str(number)) for number in range(6)]
        await outbox.store(Change(letters))
        for each in letters[:5]:
            each.error = "no"
            outbox.bury(each)
        await outbox.store(Change())

        assert [each.id for each in await outbox.dead()] == ["4", "3", "2"]
        assert [each.id for each in await outbox.pending()] == ["5"]
        assert [each.id for each in await outbox.revive(["3", "5"])] == ["3"]
        assert [each.id for each in await outbox.pending()] == ["3", "5"]


async def test_what_is_delivered_is_forgotten_although_nothing_else_happens(url: str) -> None:
    async with Outbox(url) as outbox:
        await outbox.store(Change([letter(outbox, "a")]))
        outbox.remove(["a"])
        async with asyncio.timeout(90):
            while await outbox.pending():  # noqa: ASYNC110 - there is nothing else to wait for
                await asyncio.sleep(0.01)


async def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutboxUnavailable, match=r"cannot open the outbox: .*unable to open"):
        async with Outbox(f"sqlite:///{tmp_path / 'no' / 'outbox.db'}"):
            pass


async def test_two_servers_on_one_file_are_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    async with Outbox(url):
        with pytest.raises(OutboxInUse, match=r"another server uses the outbox .*outbox\.db"):
            await Outbox(url).__aenter__()
    async with Outbox(url):  # it is free again
        pass


async def test_a_start_that_is_cancelled_leaves_the_file_to_others(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    starting = asyncio.create_task(Outbox(url).__aenter__())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)

    async with Outbox(url):
        pass


async def test_a_file_with_two_names_has_one_owner(tmp_path: Path) -> None:
    (tmp_path / "other.db").symlink_to(tmp_path / "outbox.db")
    async with Outbox(f"sqlite:///{tmp_path / 'outbox.db'}?timeout=5"):
        with pytest.raises(OutboxInUse):
            await Outbox(f"sqlite:///{tmp_path / 'other.db'}").__aenter__()


def test_workers_and_who_starts_them_hold_locks_of_their_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'outbox.db'}?timeout=5"
    locks = [FileLock(url, "workers.lock", shared=False), FileLock(url, shared=True)]
    for lock in locks:
        lock.take()
    for lock in locks:
        lock.release()


async def test_dead_letters_come_back_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    async with Outbox(f"sqlite:///{tmp_path / 'outbox.db'}") as outbox:
        letters = [
            Letter(f"{9000 - number}", number, "1", "http://x", "news", b"{}", 0)
            for number in range(1, 1200)
        ]
        await outbox.store(Change(letters))
        for letter in letters:
            outbox.bury(letter)
        await outbox.store(Change())

        dead = await outbox.dead(10_000)
        revived = await outbox.revive([letter.id for letter in dead])

        assert [letter.position for letter in revived] == list(range(1, 1200))
        assert await outbox.drop([*(letter.id for letter in letters[:3]), "nope"]) == 3


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, str]:
    return {each.name: f"{each.stat().st_mode & 0o777:o}" for each in directory.iterdir()}


@pytest.mark.usefixtures("umask")
async def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    """Letters are what users said; a file beside the database is as open as the database is."""
    directory = tmp_path / "parent" / "data"
    url = outbox_url(Settings(data_directory=directory))
    assert modes(tmp_path / "parent") == {"data": "700"}

    async with Outbox(url) as outbox:
        await outbox.store(Change([letter(outbox, "a")]))

        assert modes(directory) == dict.fromkeys(
            ("outbox.db", "outbox.db-shm", "outbox.db-wal", "outbox.db.lock"), "600"
        )


async def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        old = sqlite3.connect(tmp_path / "outbox.db")
        old.execute("PRAGMA journal_mode=WAL")
        old.execute("CREATE TABLE x (y)")
        assert set(modes(tmp_path).values()) == {"644"}
        async with Outbox(f"sqlite:///{tmp_path}/outbox.db"):
            assert set(modes(tmp_path).values()) == {"600"}
        old.close()
    finally:
        os.umask(before)


def test_a_directory_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    outbox_url(Settings(data_directory=tmp_path))

    assert tmp_path.stat().st_mode & 0o777 == 0o755
