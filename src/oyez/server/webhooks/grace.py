"""Beginnings and ends that alternate strictly, with a moment of grace before each end.

Pure: time is an argument. A channel that is vacated and occupied again within the grace has never
been away, and the same holds for a member (spec ``webhooks.md`` 3).
"""

import heapq
from typing import NamedTuple

__all__ = ["Grace", "Presence"]


class Presence(NamedTuple):
    """A channel that is occupied, or with ``user_id`` a member that is there."""

    app_id: str
    channel: str
    user_id: str = ""


class Grace:
    """What has been told to have begun, and which ends are pending.

    Between two calls every presence is in one of three states: not told, told, or told with a
    pending end. A beginning is reported only from the first, an end only from the third.
    """

    def __init__(self) -> None:
        self._told: dict[Presence, float | None] = {}  # the time at which the end is due
        self._due: list[tuple[float, bool, int, Presence]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._told)

    def begin(self, presence: Presence) -> bool:
        """It is there. Whether that is to be told; otherwise it had only been away a moment."""
        new = presence not in self._told
        self._told[presence] = None
        return new

    def end(self, presence: Presence, due: float) -> None:
        """It is gone; unless it comes back, `ended` reports it at ``due``."""
        if presence in self._told:
            self._told[presence] = due
            self._count += 1
            # Members end before their channel does.
            entry = (due, not presence.user_id, self._count, presence)
            heapq.heappush(self._due, entry)

    def ended(self, now: float) -> list[Presence]:
        """The ends that are due at ``now`` and have not been taken back."""
        found = []
        while self._due and self._due[0][0] <= now:
            due, _, _, presence = heapq.heappop(self._due)
            if self._told.get(presence) == due:
                del self._told[presence]
                found.append(presence)
        return found

    def next_due(self) -> float | None:
        """When to call `ended` next; it may turn out that nothing is due then."""
        return self._due[0][0] if self._due else None
