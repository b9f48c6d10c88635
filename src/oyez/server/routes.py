"""Which call of the HTTP API a path means (spec ``http-api.md`` 3)."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from oyez.protocol.errors import BadRequest, NotFound
from oyez.protocol.events import shown

__all__ = ["NOT_FOUND", "Routes", "Target"]

NOT_FOUND = "404 NOT FOUND"

# By the segments behind the app; a dash stands for a name.
_CALLS = {
    b"events": b"POST",
    b"batch_events": b"POST",
    b"channels": b"GET",
    b"channels/-": b"GET",
    b"channels/-/users": b"GET",
    b"channels/-/events": b"POST",
    b"channels/-/stats": b"GET",
    b"users/-/terminate_connections": b"POST",
}


class Target(NamedTuple):
    """What a path means.

    Attributes:
        call: a call as named in the path, with a dash for a name: ``channels/-/users``.
        method: the only one that it has; ``GET`` includes ``HEAD``.
        app_id: None in the short path of the Python library, where only the key says it (3.10).
        name: of the channel or user.
    """

    call: bytes
    method: bytes
    app_id: str | None
    name: str = ""


class Routes:
    """Finds targets.

    Args:
        prefix: path to strip if it is there, for servers mounted below a path.
        app_ids: of the apps whose calls without a name are found without taking the path apart.
    """

    def __init__(self, prefix: bytes, app_ids: Iterable[str]) -> None:
        self._prefix = prefix
        self._known = {
            b"%b/apps/%b/%b" % (prefix, app_id.encode(), call): Target(call, method, app_id)
            for app_id in app_ids
            for call, method in _CALLS.items()
            if b"-" not in call
        }

    def find(self, path: bytes) -> Target | None:
        """The target of a path; None if it is outside of the API.

        Raises:
            NotFound: it would be in the API, but there is no such call.
            BadRequest: the name in it is not UTF-8.
        """
        return self._known.get(path) or self._take_apart(self.bare(path))

    def bare(self, path: bytes) -> bytes:
        """The path without the prefix."""
        return path.removeprefix(self._prefix)

    def _take_apart(self, path: bytes) -> Target | None:
        """Each segment is decoded by itself, so ``%2F`` makes no new one."""
        segments = path.split(b"/")[1:]
        if len(segments) < 3 or segments[0] not in (b"apps", b"users"):
            return None
        app_id: str | None = None
        if segments.pop(0) == b"apps":
            app_id = segments.pop(0).decode("latin-1")
        else:
            segments.insert(0, b"users")
        name = b""
        if len(segments) > 1:
            name, segments[1] = unquote_to_bytes(segments[1]), b"-"
        call = b"/".join(segments)
        if call not in _CALLS:
            raise NotFound(NOT_FOUND)
        try:
            return Target(call, _CALLS[call], app_id, name.decode())
        except UnicodeDecodeError:
            raise BadRequest(f"Invalid path: {shown(name)} is not UTF-8") from None
