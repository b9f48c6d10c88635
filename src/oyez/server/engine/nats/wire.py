"""What nodes and the keeper say to each other.

The first byte of each message is the version, and who does not know it refuses the message instead
of guessing. What follows is MessagePack: text, numbers and the ``user_info`` of members; no code
and no secrets. A change of anything here, or of a value of the engine that is named here, is a new
version; a test has the bytes.

All that a node asks in one turn of its event loop travels in one message, and so do the answers,
which are cut into pieces where they are too large for one: the second byte says whether more
follow.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import EngineUnavailable
from oyez.server.engine.backplane import Held
from oyez.server.engine.messages import Refused

__all__ = [
    "VERSION",
    "Answer",
    "Beat",
    "Cached",
    "Channels",
    "Deputize",
    "Entry",
    "HeldBy",
    "Join",
    "Kept",
    "Leave",
    "Logged",
    "Meter",
    "Occupancy",
    "Publish",
    "Request",
    "Restate",
    "Roll",
    "Sweep",
    "Used",
    "join_pieces",
    "pieces",
    "read",
    "read_requests",
    "value",
    "write",
]

VERSION: Final = 1
_MARK: Final = bytes((VERSION,))


class _Request(msgspec.Struct, array_like=True, frozen=True, tag=str.lower):
    """What is asked. Requests that change something have an ``id``, by which they are done once
    though they may be asked again of the next keeper; 0 for those that will not be.
    """


class Beat(_Request, frozen=True):
    app_id: str
    incarnation: str
    register: bool


class Join(_Request, frozen=True):
    app_id: str
    incarnation: str
    channel: str
    member: Member | None
    max_members: int
    id: int = 0


class Leave(_Request, frozen=True):
    app_id: str
    incarnation: str
    channel: str
    user_id: str | None
    id: int = 0


class HeldBy(_Request, frozen=True):
    app_id: str
    incarnation: str


class Restate(_Request, frozen=True):
    app_id: str
    incarnation: str
    held: dict[str, Held]
    id: int = 0


class Sweep(_Request, frozen=True):
    app_id: str
    incarnation: str
    force: bool
    id: int = 0


class Occupancy(_Request, frozen=True):
    app_id: str
    channel: str


class Channels(_Request, frozen=True):
    app_id: str
    prefix: str


class Roll(_Request, frozen=True):
    app_id: str
    channel: str


class Meter(_Request, frozen=True):
    day: int
    used: dict[str, int]
    id: int = 0


class Publish(_Request, frozen=True):
    app_id: str
    events: list[Event]
    cache_seconds: int


class Cached(_Request, frozen=True):
    app_id: str
    channel: str


class Deputize(_Request, frozen=True):
    """Asks to be told of all changes.

    Attributes:
        who: a name that is used once.
        position: of the last change that is known, -1 if all that is known to the keeper is needed.
    """

    who: str
    position: int


Request = (
    Beat
    | Join
    | Leave
    | HeldBy
    | Restate
    | Sweep
    | Occupancy
    | Channels
    | Roll
    | Meter
    | Publish
    | Cached
)


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The answer to one request.

    Attributes:
        outcome: "done", "stale", "full", or why it could not be done.
        value: what it is, depending on the request.
    """

    outcome: str
    value: msgspec.Raw = msgspec.Raw(b"\xc0")


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """Who the keeper is.

    Attributes:
        term: grows with each change of the keeper.
        who: a name that is used once.
        numbers: the largest that the keeper may give (`oyez.server.engine.nats.numbers`).
        since: the term in which a keeper began with nothing; later ones have gone on from there.
        position: of its last change, as in `Logged`; only where it is announced.
    """

    term: int
    who: str
    numbers: int = 0
    since: int = 0
    position: int = 0


class Logged(msgspec.Struct, array_like=True, frozen=True):
    """What the keeper has done, for its deputies to do likewise.

    Attributes:
        position: counts these.
        now: what the clock of the keeper showed.
    """

    position: int
    now: float
    requests: list[Request]


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """The last event of a cache channel, as it survives a keeper.

    Attributes:
        until: Unix time when it has expired.
    """

    name: str
    data: str
    sequence: int
    until: float


class Used(msgspec.Struct, array_like=True, frozen=True):
    """The messages of apps, by day."""

    days: dict[int, dict[str, int]]


_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def write(value: object) -> bytes:
    """The message for a value: an entry, or a list of requests."""
    return _MARK + _encode(value)


def read(message: bytes, kind: Any) -> Any:
    """The value in a message.

    Raises:
        Refused: it is of another version, or not of this kind.
    """
    if message[:1] != _MARK:
        version = message[0] if message else "none"
        raise Refused(f"message version {version}, this node knows {VERSION}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(memoryview(message)[1:])
    except (ValueError, RecursionError) as error:
        raise Refused(f"malformed message: {error}") from None


def read_requests(message: bytes) -> list[Request | Deputize]:
    """What a node asks.

    Raises:
        Refused: see `read`.
    """
    requests: list[Request | Deputize] = read(message, list[Request | Deputize])
    return requests


def value(encoded: msgspec.Raw, kind: Any) -> Any:
    """What an answer says.

    Raises:
        EngineUnavailable: something else than was asked for.
    """
    try:
        return msgspec.msgpack.decode(encoded, type=kind)
    except (ValueError, RecursionError) as error:
        raise EngineUnavailable(f"the keeper's answer cannot be read: {error}") from None


def pieces(answers: Sequence[Answer], most: int) -> Iterator[bytes]:
    """The messages in which answers travel, none larger than ``most`` bytes."""
    encoded = _encode(answers)
    step = most - 2
    for at in range(0, len(encoded), step):
        more = at + step < len(encoded)
        yield bytes((VERSION, more)) + encoded[at : at + step]


def join_pieces(received: bytearray, piece: bytes) -> list[Answer] | None:
    """Add a piece to those before it; all answers, once they are there.

    Raises:
        Refused: see `read`.
    """
    if piece[:1] != _MARK or len(piece) < 2:
        version = piece[0] if piece else "none"
        raise Refused(f"the keeper speaks version {version}, this node {VERSION}")
    received += piece[2:]
    if piece[1]:
        return None
    answers: list[Answer] = read(_MARK + received, list[Answer])
    return answers
