"""What PyPI ``pusher`` signs for clients, and the webhooks it reads."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

from oyez.protocol.channels import kind_of
from oyez.protocol.signing import Token
from oyez.pusher.client import Client, ExtraToken, tokens_of
from oyez.pusher.errors import translated
from oyez.pusher.signature import verify
from oyez.pusher.util import Text, ensure_text, validate_socket_id, validate_user_data
from oyez.sdk import errors as sdk
from oyez.sdk.answers import ChannelAuthorization, UserAuthentication
from oyez.sdk.arguments import check_channel
from oyez.sdk.authorizer import Authorizer
from oyez.sdk.webhooks import Webhook, read_webhook

__all__ = ["AuthenticationClient"]


class AuthenticationClient(Client):
    """Needs no server."""

    def authenticate(
        self, channel: Text, socket_id: Text, custom_data: Mapping[str, Any] | None = None
    ) -> ChannelAuthorization:
        """Let one connection subscribe to one channel; send the result to it as JSON.

        Args:
            channel: as the client asked for it.
            socket_id: as the client sent it.
            custom_data: ``user_id`` and perhaps ``user_info`` for a presence channel; without it
                the connection must be of a signed-in user.
        """
        name = check_channel(ensure_text(channel, "channel"))
        socket = validate_socket_id(socket_id)
        if kind_of(name).presence and not custom_data:
            self.logger.info("no custom_data for %s: only a signed-in user can join", name)
        return self._authorizer.sign(name, socket, self._json(custom_data) if custom_data else None)

    def authorize_channel(
        self,
        channel: Text,
        socket_id: Text,
        custom_data: Mapping[str, Any] | None = None,
        *,
        strict: bool = False,
    ) -> ChannelAuthorization:
        """`authenticate`, as other SDKs call it.

        Args:
            strict: refuse public channels, and presence channels without a ``user_id``.
        """
        if strict:
            kind = kind_of(ensure_text(channel, "channel"))
            if not kind.private:
                raise ValueError(f"channel must be private or presence, {channel!r} is public")
            if kind.presence and not (custom_data or {}).get("user_id"):
                raise ValueError(f"custom_data must have a user_id for {channel!r}")
        return self.authenticate(channel, socket_id, custom_data)

    def authenticate_user(
        self, socket_id: Text, user_data: Mapping[str, Any] | None = None
    ) -> UserAuthentication:
        """Vouch for the user behind a connection; send the result to it as JSON.

        Args:
            socket_id: as the client sent it.
            user_data: ``id``, and perhaps ``user_info`` and ``watchlist``.
        """
        validate_user_data(user_data)
        return self._authorizer.sign_user(validate_socket_id(socket_id), self._json(user_data))

    def validate_webhook(self, key: Text, signature: Text, body: Text) -> dict[str, Any] | None:
        """The body of a webhook request, or None if it must not be trusted.

        Args:
            key: the header ``X-Pusher-Key``.
            signature: the header ``X-Pusher-Signature``.
            body: exactly as it came.
        """
        wanted, signed = ensure_text(key, "key"), ensure_text(signature, "signature")
        try:
            text = ensure_text(body, "body")
        except UnicodeDecodeError:
            return None
        token = next((each for each in self._tokens if each.key == wanted), None)
        if token is None or not verify(token.secret, text, signed):
            return None
        try:
            found = json.loads(text, cls=self._json_decoder)
        except ValueError:
            return None
        return cast("dict[str, Any]", found) if self._is_recent(found) else None

    def webhook(
        self,
        headers: Mapping[str, str],
        body: Text,
        *,
        extra_tokens: Iterable[ExtraToken] | None = None,
        tolerance: float | None = None,
    ) -> Webhook:
        """Check a webhook request and read it; encrypted client events are decrypted.

        Args:
            headers: in any case, also as WSGI has them.
            body: exactly as it came.
            extra_tokens: others that may have signed it, instead of those of the constructor.
            tolerance: greatest age in seconds; by default that of the constructor.

        Raises:
            WebhookError: it must not be trusted; ``reason`` says why.
        """
        tokens: list[Token] = self._tokens
        if extra_tokens is not None:
            tokens = [self.address.token, *tokens_of(extra_tokens)]
        try:
            return read_webhook(
                headers,
                body.encode() if isinstance(body, str) else body,
                tokens,
                now=time.time(),
                tolerance=self._tolerance if tolerance is None else tolerance,
                cipher=self.cipher,
            )
        except sdk.WebhookError as error:
            raise translated(error) from None

    @property
    def _authorizer(self) -> Authorizer:
        return Authorizer(self.address.token, self.cipher, self._json)

    def _json(self, value: object) -> str:
        # Other than event data this is escaped to ASCII; clients see the same text as before.
        return json.dumps(value, cls=self.json_encoder)

    def _is_recent(self, body: object) -> bool:
        made = cast("dict[str, Any]", body).get("time_ms") if isinstance(body, dict) else None
        if not made or not isinstance(made, int | float):
            return False
        return self._tolerance is None or abs(time.time() - made / 1000) <= self._tolerance
