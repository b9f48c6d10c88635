"""Who is in a presence channel (spec ``websocket-protocol.md`` 7)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Member", "Members"]


class Member(NamedTuple):
    """A user in a presence channel.

    Attributes:
        user_id: always a string, also where the authorization had a number.
        user_info: whatever the authorization said; ``{}`` if nothing.
    """

    user_id: str
    user_info: Any


class Members(Mapping[str, Any]):
    """User ids with their ``user_info``, in the order of joining; always up to date.

    After a reconnection it is filled anew. Connections do not count: a user with three of them is
    one member.
    """

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._me: str | None = None

    def __getitem__(self, user_id: str) -> Any:
        return self._known[user_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"Members({self._known!r}, me={self._me!r})"

    @property
    def count(self) -> int:
        """Distinct users, oneself included."""
        return len(self._known)

    @property
    def me(self) -> Member | None:
        """Oneself; None as long as the subscription is not confirmed."""
        if self._me is None or self._me not in self._known:
            return None
        return Member(self._me, self._known[self._me])

    def replace(self, known: Mapping[str, Any], me: str | None) -> None:
        """Start from what the server lists at a subscription."""
        self._known = dict(known)
        self._me = me

    def add(self, user_id: str, user_info: Any) -> None:
        """A user has joined with a first connection."""
        self._known[user_id] = user_info

    def remove(self, user_id: str) -> Any:
        """A user has left with the last connection; returns the ``user_info``, None if unknown."""
        return self._known.pop(user_id, None)
