"""What callers pass, checked before anything is signed or sent.

Each check returns what it was given, or raises `TypeError` or `ValueError` with the argument, the
limit and the value. Signing an unchecked socket id would let an attacker cross the fields of the
signed string (spec ``auth.md`` 1.2).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

from oyez.protocol.channels import TO_USER, is_channel_name, is_internal

__all__ = [
    "MAX_CHANNELS",
    "channel_list",
    "check_channel",
    "check_event_name",
    "check_publish_channel",
    "check_size",
    "check_socket_id",
    "check_user_id",
    "info_list",
    "plain",
    "text",
]

MAX_CHANNELS = 100  # per trigger (spec ``http-api.md`` 3.1)
_MAX_NAME = 200
_MAX_USER_ID = 200
_SOCKET_ID = re.compile(r"\d+\.\d+", re.ASCII)
_SHOWN = 60


def text(name: str, value: object) -> str:
    """Return ``value``, which has to be a string; one that is more than that as a plain one."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}: {_shown(value)}")
    return plain(value)


def plain(value: str) -> str:
    """Return what JSON and UTF-8 can hold.

    That is the text of Django's ``SafeString``, ``Markup`` and their like, and U+FFFD where half a
    letter (a lone surrogate) is.
    """
    value = value if type(value) is str else str.__str__(value)
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check_channel(value: object, name: str = "channel") -> str:
    """A channel that clients can subscribe to."""
    value = text(name, value)
    if not is_channel_name(value, _MAX_NAME):
        raise ValueError(
            f"{name} must be 1 to {_MAX_NAME} characters of A-Z a-z 0-9 _ - = @ , . ; "
            f"not {_shown(value)} ({len(value)})"
        )
    return value


def check_publish_channel(value: object) -> str:
    """A channel to publish to: also the one of a user."""
    value = text("channel", value)
    if is_internal(value) and value.startswith(TO_USER):
        check_user_id(value.removeprefix(TO_USER))
        return value
    return check_channel(value)


def channel_list(channels: object) -> list[str]:
    """One channel or several, at most 100."""
    if isinstance(channels, str):
        return [check_publish_channel(channels)]
    if isinstance(channels, bytes) or not isinstance(channels, Sequence | set | frozenset):
        raise TypeError(
            f"channels must be a str or a list of them, not {type(channels).__name__}: "
            f"{_shown(channels)}"
        )
    names = list(cast("Iterable[object]", channels))
    if not 1 <= len(names) <= MAX_CHANNELS:
        raise ValueError(f"channels must be 1 to {MAX_CHANNELS} names, not {len(names)}")
    return [check_publish_channel(each) for each in names]


def check_event_name(value: object) -> str:
    """The name of an event."""
    value = text("event", value)
    if not 1 <= len(value) <= _MAX_NAME:
        raise ValueError(
            f"event must be 1 to {_MAX_NAME} characters, not {len(value)}: {_shown(value)}"
        )
    return value


def check_socket_id(value: object) -> str:
    """Digits, a dot, digits."""
    value = text("socket_id", value)
    if not _SOCKET_ID.fullmatch(value):
        raise ValueError(f"socket_id must look like 1234.5678, not {_shown(value)}")
    return value


def check_user_id(value: object) -> str:
    """A user id that can be part of a channel name."""
    return _user_id(text("user_id", value))


def _user_id(value: str) -> str:
    if not is_channel_name(value, _MAX_USER_ID):
        raise ValueError(
            f"user_id must be 1 to {_MAX_USER_ID} characters of A-Z a-z 0-9 _ - = @ , . ; "
            f"not {_shown(value)} ({len(value)})"
        )
    return value


def check_size(data: str, limit: int, name: str = "data") -> str:
    """Data as it travels, encrypted if it will be."""
    data = plain(data)
    # Nobody needs to count the bytes of what is too long or short enough in any encoding.
    size = len(data) if len(data) * 4 <= limit else len(data.encode())
    if size > limit:
        raise ValueError(f"{name} must be at most {limit} bytes, not {size}")
    return data


def info_list(info: str | Iterable[str] | None) -> str:
    """Attributes as the API wants them: joined with commas."""
    if info is None:
        return ""
    return plain(info) if isinstance(info, str) else ",".join(text("info", each) for each in info)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
