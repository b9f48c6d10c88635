"""A plain protocol client over the PyPI ``websockets`` library, and signed API requests."""

import json
import socket
import time
from typing import Any
from urllib.parse import urlencode

import httpx2
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from oyez.protocol.signing import Token, body_digest, channel_string
from tests.conftest import RunningServer

Message = dict[str, Any]

_COUNT = "pusher_internal:subscription_count"


class Client:
    """One connection; `socket_id` is known once it is accepted."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.socket_id = ""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.connection.close()

    def send(self, event: str, data: object = None, **fields: object) -> None:
        self.connection.send(json.dumps({"event": event, "data": data, **fields}))

    def receive(self, event: str = "", *, seconds: float = 90) -> Message:
        """The next message that is no count of subscriptions, or the next with this event."""
        while True:
            message: Message = json.loads(self.connection.recv(timeout=seconds))
            if message["event"] == event or (not event and message["event"] != _COUNT):
                return message

    def subscribe(self, channel: str, **fields: object) -> Message:
        self.send("pusher:subscribe", {"channel": channel, **fields})
        return self.receive("pusher_internal:subscription_succeeded")

    def join(self, server: RunningServer, channel: str, user_id: str) -> Message:
        """Subscribe to a private or presence channel."""
        self.send("pusher:subscribe", self.authorized(server, channel, user_id))
        return self.receive("pusher_internal:subscription_succeeded")

    def authorized(self, server: RunningServer, channel: str, user_id: str) -> Message:
        """What to send to be let into a private or presence channel."""
        data = json.dumps({"user_id": user_id}) if channel.startswith("presence-") else None
        signed = Token(server.key, server.secret).sign(
            channel_string(self.socket_id, channel, data).encode()
        )
        return {"channel": channel, "auth": f"{server.key}:{signed}", "channel_data": data}

    def closed_with(self, *, seconds: float = 90) -> tuple[int, str]:
        """Code and reason with which the server closes, whatever it says before."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connection.recv(timeout=max(0.1, deadline - time.monotonic()))
            except ConnectionClosed as closed:
                frame = closed.rcvd
                break
        if frame is None:
            raise AssertionError("the connection ended without a close frame")
        return frame.code, frame.reason


def open_client(server: RunningServer, *, query: str = "protocol=7", **options: Any) -> Client:
    """Connect, whatever the server answers."""
    key, path = options.pop("key", server.key), options.pop("path", "")
    return Client(
        connect(
            f"ws://{server.host}:{server.port}{path}/app/{key}?{query}",
            proxy=None,
            compression=None,
            close_timeout=1,
            open_timeout=90,
            legacy=True,  # a connection that outlives the call
            **options,
        )
    )


def accepted(server: RunningServer, **options: Any) -> Client:
    """Connect and be greeted."""
    client = open_client(server, **options)
    greeting = client.receive("pusher:connection_established")
    client.socket_id = json.loads(greeting["data"])["socket_id"]
    return client


def accepted_socket(server: RunningServer) -> socket.socket:
    """A connection that is accepted and then only a socket, which answers nothing."""
    connection = socket.create_connection((server.host, server.port), 10)
    connection.sendall(
        f"GET /app/{server.key}?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    received = b""
    while b"activity_timeout" not in received:
        received += connection.recv(65536)
    return connection


def call(
    server: RunningServer,
    method: str,
    path: str,
    body: object = None,
    *,
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    app_id: str = "",
    prefix: str = "",
) -> httpx2.Response:
    """A signed request to ``/apps/{app_id}{path}``, sent below ``prefix``."""
    content = b"" if body is None else json.dumps(body).encode()
    full = f"/apps/{app_id or server.app_id}{path}"
    parameters = {
        **(query or {}),
        "auth_key": server.key,
        "auth_timestamp": str(int(time.time())),
        "auth_version": "1.0",
    }
    if content:
        parameters["body_md5"] = body_digest(content)
    joined = "&".join(f"{key}={parameters[key]}" for key in sorted(parameters))
    message = f"{method}\n{full}\n{joined}"
    parameters["auth_signature"] = Token(server.key, server.secret).sign(message.encode())
    return httpx2.request(
        method,
        f"http://{server.host}:{server.port}{prefix}{full}?{urlencode(parameters)}",
        content=content or None,
        headers=headers,
        timeout=120,
        trust_env=False,
    )


def publish(server: RunningServer, channel: str, data: str = "x", **fields: object) -> None:
    """Publish one event called ``e``."""
    answer = call(
        server, "POST", "/events", {"name": "e", "channel": channel, "data": data, **fields}
    )
    assert (answer.status_code, answer.text) == (200, "{}")


def metrics(server: RunningServer) -> dict[str, float]:
    """All samples of the admin port, by name and labels as they are printed."""
    text = httpx2.get(f"http://{server.host}:{server.admin_port}/metrics", trust_env=False).text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
