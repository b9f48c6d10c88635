"""The letters to one endpoint that wait, in the order in which each lane takes them.

Anybody who may subscribe can make letters, so there are bounds: of the counts of a channel only
the last one waits, and what has to go is the oldest of the type of which most are waiting. A flood
of one type costs the others nothing.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final
from zlib import crc32

from oyez.protocol.webhooks import name_of
from oyez.server.webhooks.ledger import Letter

__all__ = ["Pile"]

_COUNT: Final = "subscription_count"


class Pile:
    """Letters in lanes; a channel always uses the same one.

    Args:
        lanes: how many.
    """

    def __init__(self, lanes: int) -> None:
        # Ordered dictionaries, as plain ones take long to find their first after many have gone.
        self._lanes: list[OrderedDict[str, Letter]] = [OrderedDict() for _ in range(lanes)]
        self._types: dict[str, OrderedDict[str, Letter]] = {}
        self._counts: dict[str, str] = {}  # the last one of each channel
        self._places: dict[str, tuple[int, str]] = {}  # lane and type

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Letter]:
        for lane in self._lanes:
            yield from lane.values()

    def add(self, letter: Letter) -> tuple[int, Letter | None]:
        """Put a letter behind the others of its lane.

        Returns:
            The lane, and the letter that this one has made superfluous.
        """
        number, kind = crc32(letter.channel.encode()) % len(self._lanes), name_of(letter.body)
        replaced = None
        if letter.id in self._places:
            return number, None
        if kind == _COUNT:
            before = self._counts.get(letter.channel, "")
            replaced = self._lanes[number].get(before)
            self.remove([before])
            self._counts[letter.channel] = letter.id
        self._lanes[number][letter.id] = letter
        self._types.setdefault(kind, OrderedDict())[letter.id] = letter
        self._places[letter.id] = (number, kind)
        return number, replaced

    def first(self, lane: int, most: int) -> list[Letter]:
        """The letters at the front of a lane."""
        return list(islice(self._lanes[lane].values(), most))

    def remove(self, ids: Iterable[str]) -> None:
        """Take letters out, as far as they are here."""
        for each in ids:
            number, kind = self._places.pop(each, (-1, ""))
            if number < 0:
                continue
            letter = self._lanes[number].pop(each)
            same = self._types[kind]
            del same[each]
            if not same:
                del self._types[kind]
            if self._counts.get(letter.channel) == each:
                del self._counts[letter.channel]

    def clear(self) -> None:
        """Take all of them out."""
        self.remove(list(self._places))

    def surplus(self) -> tuple[str, Letter]:
        """The type of which there are most, and the oldest letter of it."""
        kind = max(self._types, key=lambda each: len(self._types[each]))
        return kind, next(iter(self._types[kind].values()))

    def oldest_ms(self) -> int:
        """When the oldest of them happened, Unix milliseconds; 0 if there is none."""
        fronts = [letter for at in range(len(self._lanes)) for letter in self.first(at, 1)]
        return min((letter.created_ms for letter in fronts), default=0)
