"""Whatever a client does, what was made for it is freed when it has gone: it is in no cycle."""

import asyncio
import json

import pytest

from oyez.protocol.signing import Token, channel_string, user_string
from oyez.server.node import Node
from tests.conformance.raw import CLOSE, CONTINUATION, PING, TEXT, Frame
from tests.server.cycles import cycles
from tests.server.surface import APP_ID, KEY, SECRET, SETTINGS, Wire

TOKEN = Token(KEY, SECRET)
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
ACCEPTED = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def get(path: str, headers: bytes = b"") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + headers + b"\r\n"


def post(path: str, body: bytes = b"", *, size: int = -1) -> bytes:
    size = len(body) if size < 0 else size
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


def fallback(kind: str, *messages: object) -> bytes:
    body = json.dumps([json.dumps(each) for each in messages]).encode() if messages else b""
    return post(f"/app/{KEY}/7/session1/{kind}?protocol=7", body)


def event(name: str, **data: object) -> bytes:
    return Frame(TEXT, json.dumps({"event": name, "data": data}).encode()).encode()


SOCKET = get(f"/app/{KEY}?protocol=7", UPGRADE + ACCEPTED)
SUBSCRIBE = event("pusher:subscribe", channel="news")
TALKS: dict[str, list[bytes]] = {
    "nothing": [],
    "half a head": [b"GET / HT"],
    "half a body": [post("/x", b"x", size=100)],
    "requests": [get("/") * 3, get(f"/apps/{APP_ID}/channels")],
    "a refused request": [b"nonsense\r\n\r\n"],
    "a refused request behind others": [get("/") * 120 + b"nonsense\r\n\r\n"],
    "a body too big": [post("/x", size=10**9)],
    "a refused upgrade": [get("/app/x", UPGRADE)],
    "a client": [SOCKET, SUBSCRIBE, event("client-x"), Frame(PING, b"x").encode()],
    "a client that says goodbye": [SOCKET, SUBSCRIBE, Frame(CLOSE, b"\x03\xe8").encode()],
    "a client in the middle of a message": [SOCKET, Frame(TEXT, b"x" * 99, fin=False).encode()],
    "a client that breaks a rule": [SOCKET, SUBSCRIBE, Frame(CONTINUATION, b"x").encode()],
    "a client that floods": [SOCKET, event("pusher:ping") * 500],
    "a client that is not let in": [get("/app/nobody?protocol=7", UPGRADE + ACCEPTED)],
    "a stream": [fallback("xhr_streaming")],
    "a stream and a refused request": [fallback("xhr_streaming"), b"nonsense\r\n\r\n"],
    "polling": [
        fallback("xhr"),
        fallback("xhr_send", {"event": "pusher:subscribe", "data": {"channel": "news"}}),
        fallback("xhr"),
    ],
    "polling nobody": [fallback("xhr"), fallback("xhr_send", *["x" * 200_000]), fallback("xhr")],
    "polling as nobody": [fallback("xhr").replace(KEY.encode(), b"nobody")],
}


@pytest.mark.parametrize("pieces", TALKS.values(), ids=TALKS)
async def test_a_client_that_has_gone_leaves_nothing_to_search_for(pieces: list[bytes]) -> None:
    node = Node(SETTINGS)
    with cycles() as found:
        await talk(node, pieces)

    assert found == []


async def test_neither_does_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(SETTINGS)
    monkeypatch.setattr("oyez.server.gate._new_socket_id", lambda: "1.1")
    data, member = json.dumps({"id": "ada", "watchlist": ["bob"]}), json.dumps({"user_id": "ada"})
    of_user = TOKEN.sign(user_string("1.1", data).encode())
    of_member = TOKEN.sign(channel_string("1.1", "presence-x", member).encode())
    with cycles() as found:
        answer = await talk(
            node,
            [
                SOCKET,
                event("pusher:signin", auth=f"{KEY}:{of_user}", user_data=data),
                event(
                    "pusher:subscribe",
                    channel="presence-x",
                    auth=f"{KEY}:{of_member}",
                    channel_data=member,
                ),
            ],
        )

    assert answer.count(b"signin_success") == answer.count(b"subscription_succeeded") == 1
    assert found == []


async def talk(node: Node, pieces: list[bytes]) -> bytes:
    """Say something to a node and go, until it has forgotten it."""
    wire = Wire(node)
    for piece in pieces:
        wire.feed(piece)
        for _ in range(30):
            await asyncio.sleep(0)
    protocol = wire.protocol
    protocol.connection_lost(None)
    del wire.protocol, protocol  # as transports do
    for seconds in range(1, 60):
        node._deadlines.advance(node._deadlines.now + seconds)
        await asyncio.sleep(0)
    return wire.stream
