"""The store itself: what is kept, in which order, and how much."""

from pathlib import Path

import pytest

from oyez.server.webhooks import outbox as module
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.outbox import Change, Letter, Outbox


def letter(outbox: Outbox, name: str) -> Letter:
    return Letter(name, outbox.next_position(), "1", "http://x", "a", b"{}", 0)


async def test_what_is_stored_is_there_after_another_start(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'outbox.db'}"
    ada = Presence("1", "presence-a", "ada")
    async with Outbox(url) as outbox:
        letters = [letter(outbox, name) for name in "abc"]
        await outbox.store(Change(letters, begun=[ada, Presence("1", "presence-a")]))
        await outbox.store(Change(ended=[ada]))
        outbox.remove(["b"])

    async with Outbox(url) as outbox:
        assert [each.id for each in await outbox.pending()] == ["a", "c"]
        assert await outbox.present() == [Presence("1", "presence-a")]
        assert outbox.next_position() > letters[-1].position


async def test_only_the_newest_dead_letters_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_DEAD", 3)
    url = f"sqlite+aiosqlite:///{tmp_path / 'outbox.db'}"
    async with Outbox(url) as outbox:
        letters = [letter(outbox, str(number)) for number in range(6)]
        await outbox.store(Change(letters))
        for each in letters[:5]:
            each.error = "no"
            outbox.bury(each)
        await outbox.store(Change())

        assert [each.id for each in await outbox.dead()] == ["4", "3", "2"]
        assert [each.id for each in await outbox.pending()] == ["5"]
