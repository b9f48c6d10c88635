"""Webhooks as their receiver sees them: whether to trust a request, and what it says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from oyez.protocol import surrogates
from oyez.protocol.channels import kind_of
from oyez.protocol.signing import Token
from oyez.sdk.encryption import Cipher
from oyez.sdk.errors import DecryptionFailed, WebhookError

__all__ = ["Webhook", "read_webhook"]

_KEY, _SIGNATURE, _IDS = "x-pusher-key", "x-pusher-signature", "x-oyez-event-ids"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request that is genuine; iterating gives its events.

    Attributes:
        time_ms: when it was made, Unix milliseconds; the same on every attempt.
        events: flat dictionaries with ``name`` and ``channel``, and more by type. The ``data`` of a
            client event on an encrypted channel is decrypted if the client knows the master key.
        ids: unique per event, in their order, to drop what comes again; empty from servers that
            send none.
        undecrypted: positions of events that no key opened.
    """

    time_ms: int
    events: list[dict[str, Any]]
    ids: list[str] = field(default_factory=list[str])
    undecrypted: frozenset[int] = frozenset()

    @property
    def time(self) -> datetime:
        """`time_ms` as a date with a time zone."""
        return datetime.fromtimestamp(self.time_ms / 1000, UTC)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.events)


class _Body(msgspec.Struct):
    time_ms: int
    events: list[dict[str, Any]]


_decoder = msgspec.json.Decoder(_Body)


def read_webhook(
    headers: Mapping[str, str],
    body: bytes,
    tokens: Sequence[Token],
    *,
    now: float,
    tolerance: float | None,
    cipher: Cipher | None = None,
) -> Webhook:
    """Check a request and read it.

    Args:
        headers: of the request in any case; WSGI names such as ``HTTP_X_PUSHER_KEY`` as well.
        body: exactly as it came.
        tokens: of the app; any of them may have signed.
        now: Unix seconds.
        tolerance: greatest age in seconds; None for any.

    Raises:
        WebhookError: it must not be trusted.
    """
    found = {_header(name): value for name, value in headers.items()}
    for name in (_KEY, _SIGNATURE):
        if not found.get(name):
            raise WebhookError("missing_header", f"the header {name} is missing")
    token = next((each for each in tokens if each.key == found[_KEY]), None)
    if token is None:
        raise WebhookError("unknown_key", f"signed with the key {found[_KEY]!r}, which is not ours")
    if not token.verifies(found[_SIGNATURE], body):
        raise WebhookError("bad_signature", "the signature does not belong to the body")
    try:
        read = surrogates.decode(_decoder, body)
    except ValueError as error:
        raise WebhookError("bad_json", f"the body is no webhook: {error}") from None
    age = abs(now - read.time_ms / 1000)
    if tolerance is not None and age > tolerance:
        raise WebhookError("expired", f"made {age:.0f} s from now; {tolerance:g} s are allowed")
    events, undecrypted = _decrypted(read.events, cipher)
    ids = [each for each in found.get(_IDS, "").split(",") if each]
    return Webhook(read.time_ms, events, ids, undecrypted)


def _header(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("http-")


def _decrypted(
    events: list[dict[str, Any]], cipher: Cipher | None
) -> tuple[list[dict[str, Any]], frozenset[int]]:
    undecrypted: set[int] = set()
    for at, event in enumerate(events):
        channel, data = event.get("channel", ""), event.get("data")
        if not isinstance(data, str) or not kind_of(str(channel)).encrypted:
            continue
        try:
            if cipher is None:
                raise DecryptionFailed("there is no master key")
            event["data"] = cipher.decrypt(channel, data)
        except DecryptionFailed:
            undecrypted.add(at)
    return events, frozenset(undecrypted)
