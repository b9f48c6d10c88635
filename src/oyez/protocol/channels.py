"""Channel names: which are legal and what kind of channel a name stands for.

The kind is decided by the prefix alone, longest first, anchored at the start: ``my-private-x`` and
``xcache-y`` are public (spec ``README.md`` 3.1 and 5).

Names that begin with ``#`` are not channels to anybody but us: they carry events to a user, to the
connections of a user and to those who watch a user. They are in no list, count or webhook.
"""

import re
from dataclasses import dataclass

__all__ = [
    "TO_USER",
    "ChannelKind",
    "connections_of",
    "is_channel_name",
    "is_internal",
    "kind_of",
    "to_user",
    "user_of",
    "user_watched_by",
    "watchers_of",
]

TO_USER = "#server-to-user-"
_CONNECTIONS = "#connections-of-"
_WATCHERS = "#watchers-of-"

_NAME = re.compile(r"[-a-zA-Z0-9_=@,.;]+")


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """The independent properties of a channel.

    Attributes:
        private: a subscription needs a signature; client events are possible.
        presence: it has members.
        cache: it replays its last event to each new subscriber.
        encrypted: payloads are opaque to the server.
    """

    private: bool = False
    presence: bool = False
    cache: bool = False
    encrypted: bool = False


# Order matters: the first prefix that fits decides.
_KINDS = (
    ("private-encrypted-cache-", ChannelKind(private=True, encrypted=True, cache=True)),
    ("private-encrypted-", ChannelKind(private=True, encrypted=True)),
    ("private-cache-", ChannelKind(private=True, cache=True)),
    ("private-", ChannelKind(private=True)),
    ("presence-cache-", ChannelKind(private=True, presence=True, cache=True)),
    ("presence-", ChannelKind(private=True, presence=True)),
    ("cache-", ChannelKind(cache=True)),
)
_PUBLIC = ChannelKind()


def kind_of(name: str) -> ChannelKind:
    """The kind of the channel called ``name``; any name without a known prefix is public."""
    if name[:1] not in "pc":  # most public names are told by their first letter
        return _PUBLIC
    for prefix, kind in _KINDS:
        if name.startswith(prefix):
            return kind
    return _PUBLIC


def is_channel_name(name: str, max_length: int) -> bool:
    """Whether ``name`` has 1 to ``max_length`` characters of the channel alphabet."""
    return len(name) <= max_length and _NAME.fullmatch(name) is not None


def is_internal(name: str) -> bool:
    """Whether ``name`` is one of ours, hidden from everybody."""
    return name.startswith("#")


def to_user(user_id: str) -> str:
    """Where a backend publishes for one user, and the user's connections subscribe."""
    return TO_USER + user_id


def connections_of(user_id: str) -> str:
    """Occupied while the user is signed in anywhere; reaches all connections of the user.

    Nobody but the server can publish here, and only orders to servers: they are told from events
    by the channel, never by their names, which backends choose as they like.
    """
    return _CONNECTIONS + user_id


def user_of(name: str) -> str | None:
    """Whose `connections_of` this is, None if it is another channel."""
    return name.removeprefix(_CONNECTIONS) if name.startswith(_CONNECTIONS) else None


def watchers_of(user_id: str) -> str:
    """Reaches the connections whose watchlist names the user."""
    return _WATCHERS + user_id


def user_watched_by(name: str) -> str | None:
    """Whose `watchers_of` this is, None if it is another channel."""
    return name.removeprefix(_WATCHERS) if name.startswith(_WATCHERS) else None
