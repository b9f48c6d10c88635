"""Handshakes that Pusher refuses: upgraded, told why, closed (websocket-protocol.md 1, 5.1, 5.2).

An HTTP status instead of 101 would look like 1006 to a browser, which then retries for ever.
"""

import json
from urllib.parse import quote

import pytest

from tests.conformance.probes import (
    PING_EVENT,
    expect_close,
    expect_end,
    read_event,
)
from tests.conformance.raw import CLOSE, TEXT, Frame, RawSocket, handshake
from tests.conftest import RunningServer

UNKNOWN_KEY = "App key {} not in this cluster. Did you forget to specify the cluster?"
NO_PATH = "Path not found"
NO_VERSION = "No protocol version supplied"
NOT_A_NUMBER = "Invalid version string format"
UNSUPPORTED = "Unsupported protocol version"

# KEY stands for the key of the app.
REFUSED = {
    "/app/nobody?protocol=7": (4001, UNKNOWN_KEY.format("nobody")),
    "/app/nobody?protocol=5": (4001, UNKNOWN_KEY.format("nobody")),
    "/app/KEYx?protocol=7": (4001, UNKNOWN_KEY.format("KEYx")),
    "/?protocol=7": (4005, NO_PATH),
    "/app?protocol=7": (4005, NO_PATH),
    "/app/?protocol=7": (4005, NO_PATH),
    "/app/KEY/more?protocol=7": (4005, NO_PATH),
    "/App/KEY?protocol=7": (4005, NO_PATH),
    "/apps/1001/events?protocol=7": (4005, NO_PATH),
    "/up": (4005, NO_PATH),
    "/app/KEY?protocol=abc": (4006, NOT_A_NUMBER),
    "/app/KEY?protocol=": (4006, NOT_A_NUMBER),
    "/app/KEY?protocol=7.0": (4006, NOT_A_NUMBER),
    "/app/KEY?protocol=7x": (4006, NOT_A_NUMBER),
    "/app/KEY?protocol=%D9%A7": (4006, NOT_A_NUMBER),  # an Arabic seven
    "/app/KEY?protocol=3": (4007, UNSUPPORTED),
    "/app/KEY?protocol=8": (4007, UNSUPPORTED),
    "/app/KEY?protocol=99": (4007, UNSUPPORTED),
    "/app/KEY?protocol=0": (4007, UNSUPPORTED),
    "/app/KEY?protocol=-1": (4007, UNSUPPORTED),
    "/app/KEY?protocol=123456789012345678901234567890": (4007, UNSUPPORTED),
    "/app/KEY": (4008, NO_VERSION),
    "/app/KEY?client=js&version=8.6.0": (4008, NO_VERSION),
    "/app/KEY?Protocol=7": (4008, NO_VERSION),
    # The order of checks: path, protocol, key.
    "/nowhere": (4005, NO_PATH),
    "/nowhere?protocol=abc": (4005, NO_PATH),
    "/nowhere/nobody?protocol=99": (4005, NO_PATH),
    "/app/nobody": (4008, NO_VERSION),
    "/app/nobody?protocol=abc": (4006, NOT_A_NUMBER),
    "/app/nobody?protocol=99": (4007, UNSUPPORTED),
}


def upgrade(connection: RawSocket, target: str) -> None:
    connection.send(handshake(target))
    assert connection.read_response().status == 101


@pytest.mark.parametrize(
    ("target", "code", "text"), [(target, *answer) for target, answer in REFUSED.items()]
)
def test_a_refusal_is_an_error_event_and_a_close_frame_of_the_same_code(
    connection: RawSocket, server: RunningServer, target: str, code: int, text: str
) -> None:
    text = text.replace("KEY", server.key)
    upgrade(connection, target.replace("KEY", server.key))
    assert read_event(connection) == {
        "event": "pusher:error",
        "data": {"code": code, "message": text},
    }
    assert expect_close(connection, code) == text


@pytest.mark.parametrize("key", ["k" * 500, "\u00eb" * 200, "\U0001f30d" * 100, "e\u00eb" * 90])
def test_a_reason_too_long_for_a_close_frame_is_cut_between_characters(
    connection: RawSocket, key: str
) -> None:
    upgrade(connection, f"/app/{quote(key)}?protocol=7")
    event = read_event(connection)
    assert event["data"]["code"] == 4001
    reason = expect_close(connection, 4001)  # decodes it, so it is whole characters
    assert len(reason.encode()) <= 123  # RFC 6455 5.5.1
    assert reason.startswith(f"App key {key[:20]}")
    assert event["data"]["message"].startswith(reason)


def test_the_key_may_be_percent_encoded(connection: RawSocket, server: RunningServer) -> None:
    encoded = "".join(f"%{ord(letter):02X}" for letter in server.key)
    upgrade(connection, f"/app/{encoded}?protocol=7")
    assert read_event(connection)["event"] == "pusher:connection_established"


def test_a_refused_client_gets_no_answer_to_what_it_sent_along(connection: RawSocket) -> None:
    ping = Frame(TEXT, PING_EVENT).encode()
    connection.send(handshake("/app/nobody?protocol=7") + ping)
    assert connection.read_response().status == 101
    assert read_event(connection)["data"]["code"] == 4001
    connection.send(ping)
    expect_close(connection, 4001)


def test_a_refused_client_that_does_not_answer_is_hung_up_on(connection: RawSocket) -> None:
    # RFC 6455 7.1.1 lets the server wait for the client's close frame, but not for ever.
    upgrade(connection, "/app/nobody?protocol=7")
    assert read_event(connection)["data"]["code"] == 4001
    assert connection.read_frame().opcode == CLOSE
    expect_end(connection)


def test_a_refusal_names_the_key_without_breaking_the_json(connection: RawSocket) -> None:
    key = 'a"b\\c\n</script>'
    upgrade(connection, f"/app/{quote(key, safe='')}?protocol=7")
    frame = connection.read_frame()
    event = json.loads(frame.payload)
    assert event["data"]["code"] == 4001
    assert event["data"]["message"] == UNKNOWN_KEY.format(key)
