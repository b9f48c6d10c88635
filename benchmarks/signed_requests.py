"""Publish requests signed beforehand, in a file that the load generator replays."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable
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


def payload(number: int, size: int = PAYLOAD_BYTES) -> str:
    """An event's data: JSON of exactly `size` bytes that carries its number in eight digits."""
    start = f'{{"id":"seq-{number:08d}","text":"'
    end = '"}'
    return start + "x" * (size - len(start) - len(end)) + end


def signed_post(
    call: str, body: bytes, *, credentials: Credentials, timestamp: int | None = None
) -> bytes:
    """One raw `POST /apps/{id}/{call}` with the headers that an official library sends."""
    path = f"/apps/{credentials.app_id}/{call}"
    query = (
        f"auth_key={credentials.key}&auth_timestamp={timestamp or int(time.time())}"
        f"&auth_version=1.0&body_md5={hashlib.md5(body).hexdigest()}"
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


def signed_request(number: int, *, channel: str, credentials: Credentials, timestamp: int) -> bytes:
    """A request that publishes event `number` to one channel."""
    event = {"name": "bench-event", "channels": [channel], "data": payload(number)}
    body = json.dumps(event, separators=(",", ":")).encode()
    return signed_post("events", body, credentials=credentials, timestamp=timestamp)


def write_requests(file: Path, *, channel: str, credentials: Credentials) -> None:
    """Writes REQUESTS signed requests to one channel; they are valid for ten minutes."""
    timestamp = int(time.time())
    requests = (
        signed_request(number, channel=channel, credentials=credentials, timestamp=timestamp)
        for number in range(REQUESTS)
    )
    write_records(file, ((0, request) for request in requests))


def write_records(file: Path, records: Iterable[tuple[int, bytes]]) -> None:
    """Writes requests as the load generator reads them, each with its channel's number."""
    with file.open("wb") as out:
        for channel, request in records:
            lengths = len(request).to_bytes(4, "little") + channel.to_bytes(4, "little")
            out.write(lengths + request)
