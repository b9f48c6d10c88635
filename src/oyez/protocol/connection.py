"""One client's conversation: text and time in, one action out.

The conversation knows what this client may do and what it is subscribed to. It performs nothing:
the session that owns it carries out each action and tells it how a join or leave ended. A client's
messages are handled strictly one after another, so no subscription is ever half done here.
"""

from collections import deque
from typing import Any

import msgspec

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.channels import is_channel_name, kind_of
from oyez.protocol.errors import Refusal
from oyez.protocol.events import Event, shown, utf8_size
from oyez.protocol.messages import ClientMessage, Member
from oyez.protocol.signing import channel_string

__all__ = ["Action", "Connection", "Join", "Leave", "Publish", "Reply"]

_WINDOW = 1.0  # seconds in which a client may send its quota of client events


class Reply(msgspec.Struct, frozen=True):
    """Send this text to the client."""

    text: bytes


class Join(msgspec.Struct, frozen=True):
    """Subscribe the client, who is allowed to, and as this member of a presence channel."""

    channel: str
    member: Member | None


class Leave(msgspec.Struct, frozen=True):
    """End a subscription; ``user_id`` as in the membership it had."""

    channel: str
    user_id: str | None


class Publish(msgspec.Struct, frozen=True):
    """Deliver a client event to everybody else on its channel."""

    event: Event


Action = Reply | Join | Leave | Publish


class _Subscribe(msgspec.Struct):
    channel: Any = None
    auth: Any = None
    channel_data: Any = None


class _ChannelData(msgspec.Struct):
    user_id: Any = None
    user_info: Any = None


class Connection:
    """The state of one conversation.

    Attributes:
        subscriptions: channel to the user id of the membership, None where it has no members.
        version: protocol version, 4 to 7.
    """

    __slots__ = ("_accepted", "app", "socket_id", "subscriptions", "version")

    def __init__(self, app: App, socket_id: str, version: int) -> None:
        self.app = app
        self.socket_id = socket_id
        self.version = version
        self.subscriptions: dict[str, str | None] = {}
        self._accepted: deque[float] | None = None  # made by the first client event

    def receive(self, text: bytes, now: float) -> Action | None:
        """Understand one message.

        Args:
            text: the message; an empty one is ignored.
            now: seconds on any clock that only goes forward.

        Raises:
            Refusal: the client may not do this; nothing has changed.
        """
        if not text:
            return None
        message = messages.read(text)
        match message.event:
            case "pusher:ping":
                return Reply(messages.PONG)
            case "pusher:pong":
                return None
            case "pusher:subscribe":
                return self._subscribe(message.data)
            case "pusher:unsubscribe":
                return self._unsubscribe(message.data)
            case event if event.startswith(("pusher:", "pusher_internal:")):
                raise Refusal(f"Unsupported event received on socket: {shown(event)}")
            case _:
                return self._client_event(message, now)

    def joined(self, join: Join) -> None:
        """The subscription has been carried out."""
        self.subscriptions[join.channel] = join.member.user_id if join.member else None

    def left(self, channel: str) -> None:
        """The subscription has ended."""
        self.subscriptions.pop(channel, None)

    def _subscribe(self, data: Any) -> Join:
        wanted = _read_subscribe(data, "pusher:subscribe")
        channel = wanted.channel
        limits = self.app.limits
        if not is_channel_name(channel, limits.channel_name):
            length = ""
            if len(channel) > limits.channel_name:
                length = f" ({len(channel)} > {limits.channel_name} characters)"
            text = f"Invalid channel name {shown(channel)}{length}"
            raise _limit(text, channel[: limits.channel_name], 4009)
        if channel in self.subscriptions:
            raise Refusal(f"Existing subscription to channel {channel}")
        most = limits.subscriptions_per_connection
        if most and len(self.subscriptions) >= most:
            raise _limit(f"Connection has reached its limit of {most} subscriptions", channel, 4100)
        kind = kind_of(channel)
        if not kind.private:
            return Join(channel, None)
        self._authorize(wanted, required=kind.presence)
        if not kind.presence:
            return Join(channel, None)
        return Join(channel, self._read_member(channel, wanted.channel_data))

    def _authorize(self, wanted: _Subscribe, *, required: bool) -> None:
        """Check the signature of a private or presence subscription (spec ``auth.md`` 1.3)."""
        channel, auth, channel_data = wanted.channel, wanted.auth, wanted.channel_data
        if not auth:
            raise Refusal(f"Auth info required to subscribe to {channel}", channel=channel)
        key, _, signature = auth.partition(":") if isinstance(auth, str) else ("", "", "")
        if not key or not signature or ":" in signature:
            raise Refusal(
                f"Auth value for subscription to {channel} is invalid: "
                "should be of format 'key:signature'",
                channel=channel,
            )
        token = self.app.token(key)
        if token is None:
            raise Refusal(
                f"Invalid key in subscription auth data: {shown(key)}",
                channel=channel,
            )
        if channel_data is None:
            if required:
                raise Refusal(
                    "Presence channel subscription must include channel_data", channel=channel
                )
        elif not isinstance(channel_data, str):
            raise _bad_channel_data(channel)
        signed = channel_string(self.socket_id, channel, channel_data)
        if not token.verifies(signature, signed.encode()):
            raise Refusal(
                f"Invalid signature: Expected HMAC SHA256 hex digest of {signed}, "
                f"but got {signature[:128]}",
                channel=channel,
            )

    def _read_member(self, channel: str, channel_data: str) -> Member:
        """Who joins a presence channel; read only after its signature matched."""
        limits = self.app.limits
        try:
            found = msgspec.convert(messages.parse(channel_data), _ChannelData)
        except ValueError:
            raise _bad_channel_data(channel) from None
        user_id = found.user_id
        if isinstance(user_id, int) and not isinstance(user_id, bool):
            user_id = str(user_id)
        if not isinstance(user_id, str) or not 1 <= len(user_id) <= limits.user_id:
            raise _bad_channel_data(channel)
        if found.user_info is None:
            return Member(user_id)
        info = messages.compact(found.user_info)
        if len(info) > limits.presence_user_object:
            raise _limit(
                f"user_info for {channel} exceeds {limits.presence_user_object} bytes "
                f"({len(info)} bytes)",
                channel,
                4301,
            )
        return Member(user_id, info)

    def _unsubscribe(self, data: Any) -> Leave:
        channel = _read_subscribe(data, "pusher:unsubscribe").channel
        if channel not in self.subscriptions:
            raise Refusal(
                f"No current subscription to channel {shown(channel)[1:-1]}, "
                "or subscription in progress"
            )
        return Leave(channel, self.subscriptions[channel])

    def _client_event(self, message: ClientMessage, now: float) -> Publish:
        """The checks of spec ``websocket-protocol.md`` 8, in that order."""
        app, channel, name = self.app, message.channel, message.event
        if not app.client_events:
            raise Refusal(
                "To send client events, you must enable this feature in the Settings page "
                "of your dashboard."
            )
        if not name.startswith("client-") or len(name) > app.limits.event_name:
            raise Refusal(
                "Client event rejected - client events must be prefixed by 'client-'"
                if len(name) <= app.limits.event_name
                else "Client event rejected - the event name is too long "
                f"({len(name)} > {app.limits.event_name} characters)"
            )
        if not isinstance(channel, str) or not kind_of(channel).private:
            raise Refusal("Client event rejected - only supported on private and presence channels")
        if channel not in self.subscriptions:
            raise Refusal(
                f"Client event rejected - you are not subscribed to channel {shown(channel)[1:-1]}"
            )
        data = message.data
        if not isinstance(data, str):
            data = messages.compact(data).decode()
        size = utf8_size(data)
        if size > app.limits.client_event_data:
            raise Refusal(
                "The data content of this event exceeds the allowed maximum "
                f"({app.limits.client_event_data} bytes). It has {size} bytes."
            )
        self._count_client_event(now)
        return Publish(Event(name, channel, data, self.socket_id, self.subscriptions[channel]))

    def _count_client_event(self, now: float) -> None:
        """A sliding window over accepted events; refused ones do not count (spec 4, A-51)."""
        most = self.app.limits.client_events
        if self._accepted is None:
            self._accepted = deque(maxlen=most)
        if len(self._accepted) == most and (not most or now - self._accepted[0] < _WINDOW):
            raise Refusal(
                f"The client event rate limit of {most} messages per second was exceeded",
                code=4301,
            )
        self._accepted.append(now)


def _read_subscribe(data: Any, event: str) -> _Subscribe:
    """Java sends the data of these events as a string, everybody else as an object."""
    try:
        wanted = msgspec.convert(
            messages.parse(data) if isinstance(data, str) else data, _Subscribe
        )
    except ValueError:
        raise Refusal(f"Missing channel in {event}") from None
    if not isinstance(wanted.channel, str):
        raise Refusal(f"Missing channel in {event}")
    return wanted


def _bad_channel_data(channel: str) -> Refusal:
    return Refusal(f"Invalid channel_data for {channel}", channel=channel)


def _limit(message: str, channel: str, status: int) -> Refusal:
    return Refusal(message, channel=channel, kind="LimitReached", status=status)
