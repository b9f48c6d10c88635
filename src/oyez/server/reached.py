"""Limits of the node that somebody has reached: counted, and told without flooding the log."""

from collections import Counter

import structlog

from oyez.server.deadlines import Deadlines

__all__ = ["Reached"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.limits")


class Reached:
    """Keeps account of all limits of a node.

    Args:
        counts: where is written how often each was reached, by the name of its setting.
    """

    def __init__(self, deadlines: Deadlines, counts: Counter[str]) -> None:
        self._counts = counts
        self._deadlines = deadlines
        self._told: dict[str, tuple[float, int]] = {}  # when, and at which count

    def note(self, rule: str, limit: int, *, peer: str, app_id: str = "", path: str = "") -> None:
        """Count it, and log it unless the same rule has been logged in this second.

        Args:
            rule: name of the setting.
            peer: who came one too many.
            app_id: which app it came for, where that is known.
            path: which it asked for, where it is not.
        """
        self._counts[rule] += 1
        now, count = self._deadlines.now, self._counts[rule]
        when, before = self._told.get(rule, (-1.0, 0))
        if when == now:
            return
        self._told[rule] = now, count
        asked = {"app_id": app_id} if app_id else {"path": path} if path else {}
        log.warning(
            "limit reached", rule=rule, limit=limit, peer=peer, times=count - before, **asked
        )
