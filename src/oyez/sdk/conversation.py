"""A subscriber's side of one connection: server text in, what it means out; no I/O.

The counterpart of `oyez.protocol.connection`. The server refuses a request with a `pusher:error`
that does not name it, and only some servers send a `pusher:subscription_error` after it (spec
``websocket-protocol.md`` 6.2). So when an error comes while a request is unanswered, a
`pusher:ping` follows: a server answers one message after another, and what is still unanswered when
the pong comes is what was refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from oyez.protocol import messages, surrogates
from oyez.sdk.calls import encode_json

__all__ = [
    "Closing",
    "Conversation",
    "Established",
    "Event",
    "Happening",
    "Joined",
    "Received",
    "Refused",
    "Say",
    "SignedIn",
    "client_event",
    "decoded",
    "mapping",
]

SYSTEM, INTERNAL = "pusher:", "pusher_internal:"
_SIGNIN = ""  # stands for the sign-in among the channels that wait for an answer
_CLOSE_CODES = range(4000, 4300)
_IN_NAME = r"[-a-zA-Z0-9_=@,.;#]"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Attributes:
        name: as published. What the protocol itself reports is named as in pusher-js:
            ``pusher:subscription_succeeded``, ``pusher:subscription_count``,
            ``pusher:member_added``, ``pusher:member_removed``, ``pusher:cache_miss``,
            ``pusher:error``, ``pusher:signin_success``; and ``pusher:online``, ``pusher:offline``
            for a watchlist.
        channel: None if it belongs to the connection.
        data: what the text is as JSON, or else the text.
        text: as published, decrypted on encrypted channels.
        user_id: of the sender, on client events in presence channels.
        system: whether the protocol reports it, and nobody has published it.
    """

    name: str
    channel: str | None
    data: Any
    text: str = ""
    user_id: str | None = None
    system: bool = False


@dataclass(frozen=True, slots=True)
class Established:
    """The connection is accepted; the timeout is in seconds, 0 if the server gives none."""

    socket_id: str
    activity_timeout: float


@dataclass(frozen=True, slots=True)
class Joined:
    """A subscription is confirmed; ``members`` are None where there can be none."""

    channel: str
    members: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in is confirmed, with the user data that was signed."""

    user_data: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A request has failed; ``channel`` is None for a sign-in, ``status`` 0 if none is given."""

    channel: str | None
    message: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Closing:
    """The server ends the connection by a `pusher:error`, as old versions of the protocol do."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Received:
    """An event for the application."""

    event: Event


@dataclass(frozen=True, slots=True)
class Say:
    """A message that has to be sent now."""

    text: str


Happening = Established | Joined | SignedIn | Refused | Closing | Received | Say


class _Message(msgspec.Struct):
    event: str
    channel: Any = None
    data: Any = None
    user_id: Any = None


@dataclass(slots=True)
class _Request:
    """What waits for an answer: refused with ``doubt`` if there is none before pong ``until``."""

    doubt: str | None = None
    until: int = 0


@dataclass(slots=True)
class Conversation:
    """What has been asked on one connection and not been answered yet."""

    _waiting: dict[str, _Request] = field(default_factory=dict[str, _Request])
    _pings: int = 0
    _pongs: int = 0

    def ping(self) -> str:
        """A sign of life that has to be answered."""
        self._pings += 1
        return messages.PING.decode()

    def subscribe(self, channel: str, auth: str, channel_data: str | None) -> str:
        """Ask for a subscription; answered by `Joined` or `Refused`."""
        self._waiting[channel] = _Request()
        data = {"channel": channel, "auth": auth}
        if channel_data is not None:
            data["channel_data"] = channel_data
        return _text("pusher:subscribe", data)

    def unsubscribe(self, channel: str) -> str:
        """End a subscription or take the request back; not answered."""
        self._waiting.pop(channel, None)
        return _text("pusher:unsubscribe", {"channel": channel})

    def sign_in(self, auth: str, user_data: str) -> str:
        """Ask to be signed in; answered by `SignedIn` or `Refused`."""
        self._waiting[_SIGNIN] = _Request()
        return _text("pusher:signin", {"auth": auth, "user_data": user_data})

    def receive(self, text: str) -> list[Happening]:
        """Understand one message; what no server should send means nothing."""
        try:
            message = _read(text)
        except (ValueError, RecursionError):
            return []
        name, channel = message.event, message.channel
        if not name.startswith(("pusher:", "pusher_internal:")):
            return [Received(_published(message))]
        raw = message.data if isinstance(message.data, str) else ""
        data = decoded(message.data)
        if isinstance(channel, str):
            return self._of_channel(name, channel, data, raw)
        return self._of_connection(name, data, raw)

    def _of_connection(self, name: str, data: Any, raw: str) -> list[Happening]:
        found = mapping(data)
        match name:
            case "pusher:connection_established":
                timeout = found.get("activity_timeout")
                seconds = timeout if isinstance(timeout, int | float) and timeout > 0 else 0
                return [Established(str(found.get("socket_id", "")), seconds)]
            case "pusher:ping":
                return [Say(messages.PONG.decode())]
            case "pusher:pong":
                return self._answered_before_pong()
            case "pusher:signin_success":
                self._waiting.pop(_SIGNIN, None)
                return [SignedIn(str(found.get("user_data", "{}")))]
            case "pusher:error":
                return self._error(found, raw)
            case messages.WATCHLIST_EVENTS:
                return _watchlist(found)
            case _:
                return [Received(Event(_public(name), None, data, raw, system=True))]

    def _of_channel(self, name: str, channel: str, data: Any, raw: str) -> list[Happening]:
        found = mapping(data)
        event = Received(Event(_public(name), channel, data, raw, system=True))
        match name:
            case "pusher_internal:subscription_succeeded":
                self._waiting.pop(channel, None)
                return [Joined(channel, _members(found)), event]
            case "pusher:subscription_error" if self._waiting.pop(channel, None):
                status = found.get("status")
                message = str(found.get("error", "refused"))
                return [Refused(channel, message, status if isinstance(status, int) else 0)]
            case _:
                return [event]

    def _error(self, found: Mapping[str, Any], raw: str) -> list[Happening]:
        code, message = found.get("code"), str(found.get("message", ""))
        if isinstance(code, int) and code in _CLOSE_CODES:
            return [Closing(code, message)]
        data = {"code": code, "message": message}
        heard: list[Happening] = [Received(Event("pusher:error", None, data, raw, system=True))]
        doubted = self._request_about(message) if code is None else None
        if doubted is not None:
            heard.append(Say(self.ping()))
            doubted.doubt, doubted.until = message, self._pings
        return heard

    def _request_about(self, message: str) -> _Request | None:
        """The unanswered request that an error names, or else the oldest."""
        undoubted = {name: each for name, each in self._waiting.items() if each.doubt is None}
        for name, request in undoubted.items():
            pattern = rf"(?<!{_IN_NAME}){re.escape(name)}(?!{_IN_NAME})"
            if name != _SIGNIN and re.search(pattern, message):
                return request
        return next(iter(undoubted.values()), None)

    def _answered_before_pong(self) -> list[Happening]:
        self._pongs += 1
        refused: list[Happening] = []
        for name, request in list(self._waiting.items()):
            if request.doubt is not None and request.until <= self._pongs:
                del self._waiting[name]
                refused.append(Refused(name or None, request.doubt))
        return refused


def client_event(name: str, channel: str, data: Any) -> str:
    """A client event; ``data`` travels as JSON."""
    return encode_json({"event": name, "channel": channel, "data": data})


_decoder = msgspec.json.Decoder(_Message)


def _read(text: str | bytes) -> _Message:
    return surrogates.decode(_decoder, text)


def _text(event: str, data: object) -> str:
    return encode_json({"event": event, "data": data})


def _public(name: str) -> str:
    """The name as pusher-js tells it to applications."""
    return SYSTEM + name.removeprefix(INTERNAL) if name.startswith(INTERNAL) else name


def _published(message: _Message) -> Event:
    data, channel, user_id = message.data, message.channel, message.user_id
    return Event(
        message.event,
        channel if isinstance(channel, str) else None,
        decoded(data),
        data if isinstance(data, str) else messages.compact(data).decode(),
        None if user_id is None else str(user_id),
    )


def decoded(data: Any) -> Any:
    """Strings that are JSON are read, as pusher-js does; anything else is itself."""
    if not isinstance(data, str):
        return data
    try:
        return messages.parse(data)
    except ValueError:
        return data


def mapping(data: Any) -> Mapping[str, Any]:
    """A JSON object as it is; anything else has nothing in it."""
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else {}


def _sequence(data: Any) -> list[Any]:
    return list(cast("Iterable[Any]", data)) if isinstance(data, list) else []


def _members(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not isinstance(found.get("presence"), dict):
        return None
    presence = mapping(found["presence"])
    known = mapping(presence.get("hash"))
    order = [str(each) for each in _sequence(presence.get("ids"))] or list(known)
    return {user_id: known.get(user_id) for user_id in order}


def _watchlist(found: Mapping[str, Any]) -> list[Happening]:
    events = [mapping(each) for each in _sequence(found.get("events"))]
    return [
        Received(Event(SYSTEM + str(each.get("name")), None, {"user_ids": ids}, system=True))
        for each in events
        if (ids := _sequence(each.get("user_ids")))
    ]
