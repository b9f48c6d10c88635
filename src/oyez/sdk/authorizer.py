"""What an application server answers when its clients ask to subscribe or to sign in."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from oyez.protocol.channels import kind_of
from oyez.protocol.signing import Token, channel_string, user_string
from oyez.sdk.answers import ChannelAuthorization, UserAuthentication
from oyez.sdk.arguments import check_channel, check_socket_id, check_user_id, plain
from oyez.sdk.calls import Encode
from oyez.sdk.encryption import Cipher

__all__ = ["Authorizer"]


class Authorizer:
    """Signs for clients of one app; knows nothing of who they are, which is up to the caller."""

    def __init__(self, token: Token, cipher: Cipher | None, encode: Encode) -> None:
        self._token = token
        self._cipher = cipher
        self._encode = encode

    def channel(
        self, channel: str, socket_id: str, member: Mapping[str, Any] | None = None
    ) -> ChannelAuthorization:
        """Allow one connection to subscribe to one channel."""
        channel, socket_id = check_channel(channel), check_socket_id(socket_id)
        kind = kind_of(channel)
        if not kind.private:
            raise ValueError(f"channel must be private or presence, {channel!r} is public")
        if kind.presence and member is not None and not member.get("user_id"):
            raise ValueError(f"member must have a user_id, not only {list(member)}")
        return self.sign(channel, socket_id, None if not member else self._encode(member))

    def sign(
        self, channel: str, socket_id: str, channel_data: str | None = None
    ) -> ChannelAuthorization:
        """Sign what has been checked; ``channel_data`` exactly as it will travel."""
        channel_data = channel_data and plain(channel_data)
        signature = self._token.sign(channel_string(socket_id, channel, channel_data).encode())
        found: ChannelAuthorization = {"auth": f"{self._token.key}:{signature}"}
        if channel_data is not None:
            found["channel_data"] = channel_data
        if kind_of(channel).encrypted:
            if self._cipher is None:
                raise ValueError(
                    f"encryption_master_key must be set to authorize {channel!r}: it is encrypted"
                )
            secret = self._cipher.shared_secret(channel)
            found["shared_secret"] = base64.b64encode(secret).decode()
        return found

    def channels(
        self,
        channels: Iterable[str],
        socket_id: str,
        member: Mapping[str, Any] | None = None,
    ) -> dict[str, ChannelAuthorization]:
        """Allow one connection several channels at once; ``member`` is for presence channels."""
        return {
            name: self.channel(name, socket_id, member if kind_of(name).presence else None)
            for name in channels
        }

    def user(self, socket_id: str, user_data: Mapping[str, Any]) -> UserAuthentication:
        """Vouch for who is behind a connection."""
        socket_id = check_socket_id(socket_id)
        check_user_id(user_data.get("id"))
        return self.sign_user(socket_id, self._encode(user_data))

    def sign_user(self, socket_id: str, user_data: str) -> UserAuthentication:
        """Sign what has been checked; ``user_data`` exactly as it will travel."""
        user_data = plain(user_data)
        signature = self._token.sign(user_string(socket_id, user_data).encode())
        return {"auth": f"{self._token.key}:{signature}", "user_data": user_data}
