"""Publish requests signed beforehand, in a file that the load generator replays."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from pathlib import Path

PAYLOAD_BYTES = 150
# Dealt evenly to up to 16 publishers, and far more than can be in flight at once, so that a number
# that comes round again cannot be mistaken for the one before.
REQUESTS = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app that is published to; the defaults are those of the development app."""

    app_id: str = "1001"
    key: str = "app-key"
    secret: str = "app-secret"


def payload(number: int) -> str:
    """An event's data: JSON of exactly PAYLOAD_BYTES that carries its number in eight digits."""
    start = f'{{"id":"seq-{number:08d}","text":"'
    end = '"}'
    return start + "x" * (PAYLOAD_BYTES - len(start) - len(end)) + end


def signed_request(number: int, *, channel: str, credentials: Credentials, timestamp: int) -> bytes:
    """One raw `POST /apps/{id}/events` with the headers that an official library sends."""
    event = {"name": "bench-event", "channels": [channel], "data": payload(number)}
    body = json.dumps(event, separators=(",", ":")).encode()
    path = f"/apps/{credentials.app_id}/events"
    query = (
        f"auth_key={credentials.key}&auth_timestamp={timestamp}&auth_version=1.0"
        f"&body_md5={hashlib.md5(body).hexdigest()}"
    )
    to_sign = f"POST\n{path}\n{query}".encode()
    signature = hmac.new(credentials.secret.encode(), to_sign, hashlib.sha256).hexdigest()
    head = (
        f"POST {path}?{query}&auth_signature={signature} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: oyez-benchmarks\r\nConnection: keep-alive\r\n"
        "Accept: */*\r\n"
        "X-Pusher-Library: oyez-benchmarks 1\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write_requests(file: Path, *, channel: str, credentials: Credentials) -> None:
    """Writes REQUESTS signed requests, each after its length; they are valid for ten minutes."""
    timestamp = int(time.time())
    with file.open("wb") as out:
        for number in range(REQUESTS):
            request = signed_request(
                number, channel=channel, credentials=credentials, timestamp=timestamp
            )
            out.write(len(request).to_bytes(4, "little") + request)
