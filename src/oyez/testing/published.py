"""Events that a server has accepted, and how to say that one is missing."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any

__all__ = ["ANY", "PublishedEvent", "Wanted", "listed"]

_WIDTH = 88
_MOST_SHOWN = 30


class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:  # without one it could not be a default of a dataclass
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event that the server has accepted, from a backend or from a client.

    Attributes:
        channel: ``#server-to-user-ID`` for what was sent to a user.
        data: read as JSON where it is JSON, else the text; on an encrypted channel decrypted if
            the server's `encryption_master_key` was used.
        text: exactly as subscribers get it.
        socket_id: the connection that did not get it.
        user_id: the member who sent it; only for client events of presence channels.
    """

    channel: str
    name: str
    data: Any
    text: str
    socket_id: str | None = None
    user_id: str | None = None

    @classmethod
    def of(
        cls,
        channel: str,
        name: str,
        text: str,
        *,
        plain: str,
        socket_id: str | None,
        user_id: str | None,
    ) -> "PublishedEvent":
        """Read the data.

        Args:
            plain: ``text``, decrypted if it was encrypted.
        """
        try:
            data = json.loads(plain)
        except ValueError:
            data = plain
        return cls(channel, name, data, text, socket_id, user_id)

    def __str__(self) -> str:
        excluded = f"  not to {self.socket_id}" if self.socket_id else ""
        return f"{self.channel}  {self.name}  {self.data!r}{excluded}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a test is looking for; `ANY` where it does not matter."""

    channel: str = ANY
    name: str = ANY
    data: Any = ANY
    socket_id: str | None = ANY

    def __call__(self, event: PublishedEvent) -> bool:
        """Whether ``event`` is it."""
        return self.names(event) and self._has_data(event) and self.socket_id == event.socket_id

    def names(self, event: PublishedEvent) -> bool:
        """Whether channel and name are those."""
        return self.channel == event.channel and self.name == event.name

    def _has_data(self, event: PublishedEvent) -> bool:
        return bool(self.data == event.data) or (
            isinstance(self.data, str) and self.data == event.text
        )

    def __str__(self) -> str:
        words = ["event"] if self.name is ANY else [f"event {self.name!r}"]
        if self.channel is not ANY:
            words.append(f"on {self.channel!r}")
        if self.data is not ANY:
            words.append("with this data")
        if self.socket_id is not ANY:
            words.append(f"excluding {self.socket_id!r}")
        return " ".join(words)

    def missing(self, events: Sequence[PublishedEvent], when: str = "") -> str:
        """Why a test fails that wanted this: the closest event, and all there are.

        Args:
            when: to put behind the first sentence, such as ``within 5 s``.
        """
        lines = [f"no {self} was published{when and f' {when}'}"]
        if self.data is not ANY:
            lines += self._difference([event for event in events if self.names(event)])
        return "\n".join([*lines, *listed("published", events)])

    def _difference(self, candidates: Sequence[PublishedEvent]) -> list[str]:
        expected = pformat(self.data, width=_WIDTH).splitlines()
        if not candidates:
            return ["expected data:", *(f"  {line}" for line in expected)]
        printed = [pformat(event.data, width=_WIDTH).splitlines() for event in candidates]
        closest = max(
            printed, key=lambda lines: difflib.SequenceMatcher(None, expected, lines).ratio()
        )
        found = [line.rstrip("\n") for line in difflib.ndiff(expected, closest)]
        return ["closest data, - expected, + published:", *(f"  {line}" for line in found)]


def listed(what: str, items: Sequence[object]) -> list[str]:
    """Lines that show the last of ``items``, so that a failure tells what there was."""
    if not items:
        return [f"nothing was {what}"]
    shown = items[-_MOST_SHOWN:]
    more = f", the last {len(shown)} of {len(items)}" if len(shown) < len(items) else ""
    return [f"{what}{more}:", *(f"  {item}" for item in shown)]
