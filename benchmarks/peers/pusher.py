"""Publishing to servers with the HTTP API of Pusher Channels."""

from __future__ import annotations

import json

from benchmarks.peers.peer import CREDENTIALS, Peer
from benchmarks.signed_requests import signed_post


class PusherPeer(Peer):
    """Oyez and the servers that could be exchanged for it."""

    def publish(self, channel: str, data: str) -> bytes:
        return self._signed("events", {"name": "bench-event", "channels": [channel], "data": data})

    def publish_batch(self, channel: str, data: list[str]) -> bytes:
        batch = [{"name": "bench-event", "channel": channel, "data": text} for text in data]
        return self._signed("batch_events", {"batch": batch})

    def _signed(self, call: str, content: object) -> bytes:
        body = json.dumps(content, separators=(",", ":")).encode()
        return signed_post(call, body, credentials=CREDENTIALS)
