"""When events may be lost or late: from what was done to the deployment and what nodes say of it.

Pure. A node may lose events from the moment when its connection to the engine fails until it has
said that it is connected again; it finds out only later, so what was done to it tells since when.
"""

from collections.abc import Iterable

from tests.chaos.history import Outage
from tests.chaos.schedule import Kind

__all__ = ["Done", "outages"]

Done = tuple[Kind, int | None, float, float]
"""Kind, node, since when and until when something was done."""

_HARMLESS = frozenset({Kind.CLIENTS})
_LOSSLESS = frozenset(
    {
        Kind.PAUSE,
        Kind.STALL,
        Kind.DEAF,
        Kind.MUTE,
        Kind.DELAY,
        Kind.THROTTLE,
        Kind.HANG,
    }
)
_BEFORE = 0.5  # seconds for which an event may have been on its way


def outages(
    done: Iterable[Done],
    away: Iterable[tuple[int, float, float]],
    *,
    limit: float,
    flush_is_harmless: bool,
) -> list[Outage]:
    """All times in which delivery is not certain.

    Args:
        away: node, since when and until when it says that the engine was away.
        limit: seconds after which a node takes silence for a failure.
        flush_is_harmless: whether the engine delivers while it loses what it keeps.
    """
    harmless = _HARMLESS | {Kind.FLUSH} if flush_is_harmless else _HARMLESS
    causes = [each for each in done if each[0] not in harmless]
    found = [
        Outage(node, since - _BEFORE, until + _BEFORE, lossless=kind in _LOSSLESS)
        for kind, node, since, until in causes
    ]
    for node, since, until in away:
        began = since - 2 * limit
        for _, where, from_, to in causes:
            if where in (None, node) and from_ <= since and began <= to:
                began = min(began, from_)
        found.append(Outage(node, began - _BEFORE, until + _BEFORE))
    return found
