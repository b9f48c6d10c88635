"""What an application server vouches for: that a client may join a channel, and who it is.

The strings are verified exactly as they travel and parsed only after their signature matched (spec
``auth.md`` 1.3 and 2).
"""

from typing import Any

import msgspec

from oyez.protocol import messages
from oyez.protocol.app import App, Limits
from oyez.protocol.errors import Refusal
from oyez.protocol.events import shown
from oyez.protocol.messages import Member

__all__ = ["User", "check_auth", "limit_reached", "read_member", "read_user"]


class User(msgspec.Struct, frozen=True):
    """A signed-in user.

    Attributes:
        data: the signed string, echoed byte for byte.
        info: compact JSON, for presence channels joined without ``channel_data``.
        watchlist: the users this one follows, cut to the limit.
        excess: whether something was cut.
    """

    id: str
    data: str
    info: bytes = b"{}"
    watchlist: tuple[str, ...] = ()
    excess: bool = False


class _ChannelData(msgspec.Struct):
    user_id: Any = None
    user_info: Any = None


class _UserData(msgspec.Struct):
    id: Any = None
    user_info: Any = None
    watchlist: Any = None


def check_auth(app: App, auth: Any, signed: str, *, purpose: str, channel: str | None) -> None:
    """Check ``KEY:SIGNATURE`` over the string ``signed``.

    Args:
        purpose: what it is for, in messages: ``subscription`` or ``signin``.
        channel: the channel of a subscription.

    Raises:
        Refusal: the documented sentence for what is wrong.
    """
    wanted = f"subscribe to {channel}" if channel else "sign in"
    if not auth:
        raise Refusal(f"Auth info required to {wanted}", channel=channel)
    key, _, signature = auth.partition(":") if isinstance(auth, str) else ("", "", "")
    if not key or not signature or ":" in signature:
        what = f"{purpose} to {channel}" if channel else purpose
        raise Refusal(
            f"Auth value for {what} is invalid: should be of format 'key:signature'",
            channel=channel,
        )
    token = app.token(key)
    if token is None:
        raise Refusal(f"Invalid key in {purpose} auth data: {shown(key)}", channel=channel)
    if not token.verifies(signature, signed.encode()):
        raise Refusal(
            f"Invalid signature: Expected HMAC SHA256 hex digest of {signed}, "
            f"but got {signature[:128]}",
            channel=channel,
        )


def read_member(channel: str, channel_data: str, limits: Limits) -> Member:
    """Who joins a presence channel.

    Raises:
        Refusal: not a JSON object with a ``user_id`` of 1 to ``limits.user_id`` characters (a
            number will do), or a ``user_info`` that is too large.
    """
    invalid = Refusal(f"Invalid channel_data for {channel}", channel=channel)
    try:
        found = msgspec.convert(messages.parse(channel_data), _ChannelData)
        info = _compact_info(found.user_info)
    except ValueError:
        raise invalid from None
    user_id = found.user_id
    if isinstance(user_id, int) and not isinstance(user_id, bool):
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= limits.user_id:
        raise invalid
    if len(info) > limits.presence_user_object:
        raise limit_reached(
            f"user_info for {channel} exceeds {limits.presence_user_object} bytes "
            f"({len(info)} bytes)",
            channel,
            4301,
        )
    return Member(user_id, info)


def read_user(user_data: str, limits: Limits) -> User:
    """Who signs in.

    Raises:
        Refusal: not a JSON object with a non-empty string ``id`` within the limit, or a
            ``watchlist`` that is no list of strings, or a ``user_info`` that is too large.
    """
    invalid = Refusal("Invalid user_data in pusher:signin")
    try:
        found = msgspec.convert(messages.parse(user_data), _UserData)
        info = _compact_info(found.user_info)
    except ValueError:
        raise invalid from None
    if not isinstance(found.id, str) or not 1 <= len(found.id) <= limits.user_id:
        raise invalid
    watchlist = [] if found.watchlist is None else found.watchlist
    if not isinstance(watchlist, list) or not all(isinstance(each, str) for each in watchlist):
        raise invalid
    if len(info) > limits.presence_user_object:
        raise Refusal(
            f"user_info in pusher:signin exceeds {limits.presence_user_object} bytes "
            f"({len(info)} bytes)"
        )
    distinct = tuple(dict.fromkeys(watchlist))
    return User(
        found.id,
        user_data,
        info,
        distinct[: limits.watchlist],
        excess=len(distinct) > limits.watchlist,
    )


def limit_reached(message: str, channel: str, status: int, rule: str = "") -> Refusal:
    """A subscription beyond a limit."""
    return Refusal(message, channel=channel, kind="LimitReached", status=status, rule=rule)


def _compact_info(info: object) -> bytes:
    return b"{}" if info is None else messages.compact(info)
