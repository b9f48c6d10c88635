"""Who has to give way where there is not room for everything: whoever takes most of it."""

from collections.abc import Iterable

__all__ = ["fair_share"]


def fair_share(sizes: Iterable[int], most: int) -> int:
    """How much each may have, so that all together have no more than ``most``.

    Who has less keeps all of it, and leaves the rest of its part to the others.
    """
    ascending = sorted(sizes)
    left = most
    for number, size in enumerate(ascending):
        share = left // (len(ascending) - number)
        if size > share:
            return share
        left -= size
    return most
