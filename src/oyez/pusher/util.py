"""The checks and conversions of PyPI ``pusher``, under the name that its users import.

The rules are those of `oyez.sdk.arguments`; what is added here is that text may come as bytes.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from oyez.protocol.channels import TO_USER
from oyez.sdk.arguments import (
    check_publish_channel,
    check_socket_id,
    check_user_id,
    info_list,
    plain,
)

__all__ = [
    "SERVER_TO_USER_PREFIX",
    "Text",
    "app_id_re",
    "channel_name_re",
    "data_to_string",
    "doc_string",
    "ensure_binary",
    "ensure_text",
    "is_base64",
    "join_attributes",
    "pusher_url_re",
    "server_to_user_channel_re",
    "socket_id_re",
    "validate_channel",
    "validate_socket_id",
    "validate_user_data",
    "validate_user_id",
]

Text = str | bytes
_Anything = TypeVar("_Anything")

SERVER_TO_USER_PREFIX = TO_USER
channel_name_re = re.compile(r"\A[-a-zA-Z0-9_=@,.;]+\Z")
server_to_user_channel_re = re.compile(rf"\A{TO_USER}[-a-zA-Z0-9_=@,.;]+\Z")
app_id_re = re.compile(r"\A[0-9]+\Z")
pusher_url_re = re.compile(r"\A(http|https)://(.*):(.*)@(.*)/apps/([0-9]+)\Z")
socket_id_re = re.compile(r"\A\d+\.\d+\Z")


def ensure_text(obj: object, name: str) -> str:
    """``obj`` as text; bytes are UTF-8.

    Raises:
        TypeError: neither text nor bytes.
    """
    if isinstance(obj, bytes):
        return obj.decode()
    if isinstance(obj, str):
        return plain(obj)
    raise TypeError(f"{name} must be a str or bytes, not {type(obj).__name__}: {obj!r}")


def ensure_binary(obj: object, name: str) -> bytes:
    """``obj`` as bytes; text becomes UTF-8.

    Raises:
        TypeError: neither text nor bytes.
    """
    return obj if isinstance(obj, bytes) else ensure_text(obj, name).encode()


def is_base64(s: object) -> bool:
    """Whether ``s`` is base64 exactly as an encoder writes it."""
    try:
        raw = ensure_binary(s, "s")
        return base64.b64encode(base64.b64decode(raw)) == raw
    except (TypeError, UnicodeError, binascii.Error):
        return False


def validate_user_id(user_id: object) -> str:
    """A user id that can be part of a channel name."""
    return check_user_id(ensure_text(user_id, "user_id"))


def validate_channel(channel: object) -> str:
    """A channel to publish to: also the one of a user."""
    return check_publish_channel(ensure_text(channel, "channel"))


def validate_socket_id(socket_id: object) -> str:
    """Digits, a dot, digits."""
    return check_socket_id(ensure_text(socket_id, "socket_id"))


def validate_user_data(user_data: Mapping[str, Any] | None) -> None:
    """A mapping whose ``id`` is a user id."""
    if user_data is None or user_data.get("id") is None:
        raise ValueError(f"user_data must have an id, not {user_data!r}")
    validate_user_id(user_data["id"])


def join_attributes(attributes: str | Iterable[str]) -> str:
    """Attributes as the API wants them: joined with commas."""
    return info_list(attributes)


def data_to_string(data: object, json_encoder: type[json.JSONEncoder] | None) -> str:
    """Text as it is, anything else as JSON."""
    if isinstance(data, str):
        return data
    return json.dumps(data, cls=json_encoder, ensure_ascii=False)


def doc_string(doc: str | None) -> Callable[[_Anything], _Anything]:
    """Decorate with a docstring."""

    def decorate(decorated: _Anything) -> _Anything:
        decorated.__doc__ = doc
        return decorated

    return decorate
