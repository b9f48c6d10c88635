"""One client's conversation: text and time in, one action out.

The conversation knows what this client may do and what it is subscribed to. It performs nothing:
the session that owns it carries out each action and tells it how a join or leave ended. A client's
messages are handled strictly one after another, so no subscription is ever half done here.
"""

from collections import deque
from typing import Any, TypeVar

import msgspec

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.authorization import User, check_auth, limit_reached, read_member, read_user
from oyez.protocol.channels import is_channel_name, is_internal, kind_of, to_user
from oyez.protocol.errors import Refusal
from oyez.protocol.events import Event, shown, utf8_size
from oyez.protocol.messages import ClientMessage, Member
from oyez.protocol.signing import channel_string, user_string

__all__ = ["Action", "Connection", "Join", "Leave", "Publish", "Reply", "SignIn"]

_Data = TypeVar("_Data", bound=msgspec.Struct)
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


class SignIn(msgspec.Struct, frozen=True):
    """The client is this user; it may be so already."""

    user: User


Action = Reply | Join | Leave | Publish | SignIn


class _Subscribe(msgspec.Struct):
    channel: Any = None
    auth: Any = None
    channel_data: Any = None


class _Signin(msgspec.Struct):
    auth: Any = None
    user_data: Any = None


class Connection:
    """The state of one conversation.

    Attributes:
        subscriptions: channel to the user id of the membership, None where it has no members.
        version: protocol version, 4 to 7.
        user: who is signed in, if anybody.
        authorized: whether an application server has vouched for this client in any way.
    """

    __slots__ = ("_accepted", "app", "authorized", "socket_id", "subscriptions", "user", "version")

    def __init__(self, app: App, socket_id: str, version: int) -> None:
        self.app = app
        self.socket_id = socket_id
        self.version = version
        self.user: User | None = None
        self.authorized = False
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
            case "pusher:signin":
                return self._signin(message.data)
            case event if event.startswith(("pusher:", "pusher_internal:")):
                raise Refusal(f"Unsupported event received on socket: {shown(event)}")
            case _:
                return self._client_event(message, now)

    def joined(self, join: Join) -> None:
        """The subscription has been carried out."""
        self.subscriptions[join.channel] = join.member.user_id if join.member else None
        self.authorized = self.authorized or kind_of(join.channel).private

    def signed_in(self, user: User) -> None:
        """The sign-in has been carried out."""
        self.user = user
        self.authorized = True

    def left(self, channel: str) -> None:
        """The subscription has ended."""
        self.subscriptions.pop(channel, None)

    def _subscribe(self, data: Any) -> Join:
        wanted = _read_subscribe(data, "pusher:subscribe")
        channel = wanted.channel
        limits = self.app.limits
        if is_internal(channel):
            return self._join_own(channel)
        if not is_channel_name(channel, limits.channel_name):
            length = ""
            if len(channel) > limits.channel_name:
                length = f" ({len(channel)} > {limits.channel_name} characters)"
            text = f"Invalid channel name {shown(channel)}{length}"
            raise limit_reached(text, channel, 4009)
        if channel in self.subscriptions:
            raise Refusal(f"Existing subscription to channel {channel}")
        most = limits.subscriptions_per_connection
        if most and len(self.subscriptions) >= most:
            text = f"Connection has reached its limit of {most} subscriptions"
            raise limit_reached(text, channel, 4100, "subscriptions_per_connection")
        kind = kind_of(channel)
        if not kind.private:
            return Join(channel, None)
        channel_data = wanted.channel_data
        if channel_data is not None and not isinstance(channel_data, str):
            raise Refusal(f"Invalid channel_data for {channel}", channel=channel)
        signed = channel_string(self.socket_id, channel, channel_data)
        check_auth(self.app, wanted.auth, signed, purpose="subscription", channel=channel)
        if not kind.presence:
            return Join(channel, None)
        if channel_data is not None:
            return Join(channel, read_member(channel, channel_data, limits))
        if self.user is None:
            raise Refusal(
                "Presence channel subscription must include channel_data", channel=channel
            )
        return Join(channel, Member(self.user.id, self.user.info))

    def _join_own(self, channel: str) -> Join:
        """The server-to-user channel, which needs no signature beyond the one of the sign-in."""
        if self.user is None or channel != to_user(self.user.id):
            raise Refusal(f"Subscription to {shown(channel)[1:-1]} is not allowed", channel=channel)
        if channel in self.subscriptions:
            raise Refusal(f"Existing subscription to channel {channel}")
        return Join(channel, None)

    def _signin(self, data: Any) -> SignIn:
        """Spec ``websocket-protocol.md`` 12.1."""
        if not self.app.user_authentication:
            raise Refusal("User authentication is not enabled for this app")
        try:
            wanted = _convert(data, _Signin)
        except ValueError:
            wanted = _Signin()
        if not isinstance(wanted.user_data, str):
            raise Refusal("Missing user_data in pusher:signin")
        signed = user_string(self.socket_id, wanted.user_data)
        check_auth(self.app, wanted.auth, signed, purpose="signin", channel=None)
        user = read_user(wanted.user_data, self.app.limits)
        if self.user is not None and self.user.id != user.id:
            raise Refusal(f"Already signed in as another user than {shown(user.id)}")
        return SignIn(user)

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
            try:
                data = messages.compact(data).decode()
            except ValueError:
                raise Refusal(messages.INVALID) from None
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
    try:
        wanted = _convert(data, _Subscribe)
    except ValueError:
        raise Refusal(f"Missing channel in {event}") from None
    if not isinstance(wanted.channel, str):
        raise Refusal(f"Missing channel in {event}")
    return wanted


def _convert(data: Any, kind: type[_Data]) -> _Data:
    """Java sends the data of our events as a string, everybody else as an object.

    Raises:
        ValueError: it is neither.
    """
    return msgspec.convert(messages.parse(data) if isinstance(data, str) else data, kind)
