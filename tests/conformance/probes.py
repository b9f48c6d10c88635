"""What the tests ask the server on a raw socket, in words of the Pusher protocol.

There is no echo to test framing with. A `pusher:ping` that gets its pong proves that a message
arrived whole; an unknown `pusher:` event comes back by name in the refusal; text that is not JSON
is refused with `Invalid message format` and shows that the text itself was accepted.
"""

import json
from typing import Any

from tests.conformance.raw import (
    CLOSE,
    TEXT,
    Frame,
    RawSocket,
    Response,
    ServerMisbehaved,
    close_payload,
    handshake,
    request,
)
from tests.conftest import RunningServer

__all__ = [
    "PING_EVENT",
    "PONG_EVENT",
    "app_target",
    "connect",
    "expect",
    "expect_alive",
    "expect_close",
    "expect_end",
    "expect_established",
    "expect_json_error",
    "expect_not_json",
    "let_it_be_read",
    "open_websocket",
    "ping_of_size",
    "read_event",
]

PING_EVENT = b'{"event":"pusher:ping","data":{}}'
PONG_EVENT = {"event": "pusher:pong", "data": "{}"}
_NOT_JSON = {"event": "pusher:error", "data": {"code": None, "message": "Invalid message format"}}


def expect(what: str, actual: object, wanted: object) -> None:
    """Fail with both values; plain asserts explain themselves only inside test modules."""
    if actual != wanted:
        raise ServerMisbehaved(f"{what}: expected {wanted!r}, got {actual!r}")


def app_target(server: RunningServer, protocol: str = "7") -> str:
    """The path and query that pusher-js asks for."""
    return f"/app/{server.key}?protocol={protocol}&client=js&version=8.6.0&flash=false"


def connect(server: RunningServer) -> RawSocket:
    """A TCP connection on which nothing has been said."""
    return RawSocket.connect(server.host, server.port)


def let_it_be_read(server: RunningServer) -> None:
    """Return once the server has read what was sent to it before, on whatever connection.

    Pieces sent one after the other are often read together. What is sent before and after this
    call is not: a round trip on a new connection takes the server's event loop several turns.
    """
    with connect(server) as other:
        other.send(request("GET", "/up"))
        expect("status", other.read_response().status, 200)


def open_websocket(server: RunningServer, protocol: str = "7") -> RawSocket:
    """A WebSocket that the server has greeted."""
    websocket = connect(server)
    try:
        websocket.send(handshake(app_target(server, protocol)))
        expect("status", websocket.read_response().status, 101)
        expect_established(websocket)
    except BaseException:
        websocket.tcp.close()
        raise
    return websocket


def read_event(websocket: RawSocket) -> dict[str, Any]:
    """The next frame, which has to be a whole text message with a JSON object."""
    frame = websocket.read_frame()
    expect("opcode and fin", (frame.opcode, frame.fin), (TEXT, True))
    event = json.loads(frame.payload)
    if not isinstance(event, dict):
        raise ServerMisbehaved(f"not a JSON object: {frame.payload!r}")
    return event


def expect_established(websocket: RawSocket) -> None:
    """The first message on every accepted connection."""
    expect("event", read_event(websocket).get("event"), "pusher:connection_established")


def expect_not_json(websocket: RawSocket) -> None:
    """The answer to a text message that is not JSON."""
    expect("answer", read_event(websocket), _NOT_JSON)


def expect_alive(websocket: RawSocket) -> None:
    """The connection works, and nothing else was waiting to be read on it."""
    websocket.send_frames(Frame(TEXT, PING_EVENT))
    expect("answer", read_event(websocket), PONG_EVENT)


def expect_close(websocket: RawSocket, code: int) -> str:
    """The next frame closes with ``code``, and the server hangs up once it is answered.

    Returns:
        The reason.
    """
    frame = websocket.read_frame()
    expect("close frame", (frame.opcode, frame.payload[:2]), (CLOSE, close_payload(code)))
    # RFC 6455 7.1.1 and 7.1.7: a peer that does answer need not wait for the server's patience.
    websocket.push(Frame(CLOSE, close_payload(code)).encode())
    expect_end(websocket)
    return frame.payload[2:].decode()


def expect_end(connection: RawSocket) -> None:
    """The server hangs up properly and has nothing more to say.

    Closing with unread input resets the connection, and a reset may overtake the last answer
    (RFC 9112 9.6): a server has to read on for a while.
    """
    expect("before the end", connection.read_until_end(), b"")
    expect("reset", connection.was_reset, False)


def expect_json_error(response: Response, status: int, text: str | None = None) -> None:
    """An error answer in the form of http-api.md 1, with the given sentence or any."""
    expect("status", response.status, status)
    expect("content type", response.header("Content-Type"), "application/json")
    body = response.json()
    expect("body keys", sorted(body), ["code", "error"])
    expect("code in the body", body["code"], status)
    if not isinstance(body["error"], str) or not body["error"]:
        raise ServerMisbehaved(f"no sentence in {response.body!r}")
    if text is not None:
        expect("error", body["error"], text)


def ping_of_size(size: int) -> bytes:
    """A `pusher:ping` of exactly so many bytes, wrong unless every one of them arrives."""
    head, tail = b'{"data":"', b'","event":"pusher:ping"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail
