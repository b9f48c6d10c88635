"""What travels between nodes: one event, in a format of its own.

The first byte is the version. A node refuses a version that it does not know instead of guessing,
so nodes of two versions can run side by side during an upgrade. Then come eight bytes with the
event's place in its channel (`Event.sequence`) and the event as MessagePack: plain strings, no code
and no secrets. App and channel are not in it: they are what the message was published to.

A change of this format is a new version number; read both for one release.
"""

from typing import Final

import msgspec

from oyez.protocol.events import Event

__all__ = ["VERSION", "Refused", "read", "write", "write_body"]

VERSION: Final = 1
_HEAD: Final = 9  # bytes before the event itself
_VERSION_BYTE: Final = bytes((VERSION,))
_UNNUMBERED: Final = _VERSION_BYTE + bytes(8)


class Refused(Exception):
    """A message that this node does not understand; the text says why."""


class _Body(msgspec.Struct, array_like=True, frozen=True):
    name: str
    data: str
    socket_id: str | None = None
    user_id: str | None = None


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Body)


def write_body(event: Event) -> bytes:
    """The event alone, for a broker that puts version and sequence before it."""
    return _encode(_Body(event.name, event.data, event.socket_id, event.user_id))


def write(event: Event) -> bytes:
    """The message for an event that has its sequence, or needs none."""
    head = _VERSION_BYTE + event.sequence.to_bytes(8) if event.sequence else _UNNUMBERED
    return head + write_body(event)


def read(channel: str, message: bytes) -> Event:
    """The event in a message.

    Raises:
        Refused: it is of another version, or no message at all.
    """
    if message[:1] != _VERSION_BYTE:
        version = message[0] if message else "none"
        raise Refused(f"message version {version}, this node knows {VERSION}")
    try:
        body = _decoder.decode(memoryview(message)[_HEAD:])
    except (ValueError, RecursionError) as error:
        raise Refused(f"malformed message: {error}") from None
    sequence = int.from_bytes(message[1:_HEAD])
    return Event(body.name, channel, body.data, body.socket_id, body.user_id, sequence)
