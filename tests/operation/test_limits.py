"""Every limit of an app and of a node, and what happens beyond it."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted, accepted_socket, call, metrics, open_client

StartServer = Callable[..., RunningServer]

APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nclient_events = true\n'


def limits(**values: int) -> str:
    lines = [f"{name} = {value}" for name, value in values.items()]
    return f"{APP}[apps.limits]\n" + "\n".join(lines)


def test_an_app_at_its_connection_limit_refuses_with_4004(start_server: StartServer) -> None:
    server = start_server(limits(connections_per_app=2))

    with accepted(server) as first, accepted(server):
        with open_client(server) as third:
            assert third.receive()["data"] == {"code": 4004, "message": "Account over quota"}
            assert third.closed_with() == (4004, "Account over quota")
        first.connection.close()
        server.wait_for_log("connection closed", code=1000)
        with accepted(server):
            pass


def test_a_node_at_its_connection_limit_refuses_with_4100(start_server: StartServer) -> None:
    server = start_server("[limits]\nconnections = 1")

    with accepted(server), open_client(server) as second:
        assert second.closed_with() == (4100, "Over capacity")


def test_a_disabled_app_gets_4003_and_403(start_server: StartServer) -> None:
    server = start_server(APP + "enabled = false")

    with open_client(server) as client:
        assert client.closed_with() == (4003, "Application disabled")
    answer = call(server, "GET", "/channels")
    assert (answer.status_code, answer.json()) == (403, {"error": "App disabled", "code": 403})


def test_a_silent_client_is_probed_and_then_given_up(start_server: StartServer) -> None:
    server = start_server(limits(activity_timeout=1, pong_wait=1))

    with accepted_socket(server) as silent:
        received = b""
        while b"not received" not in received:
            received += silent.recv(65536)

    probe, goodbye = received[-2 - 29 - 0 :][:0], received
    del probe
    assert (
        b"\x89\x00" in goodbye
    )  # a ping frame, not only a message: Java and Swift answer no other
    assert goodbye.endswith(b"\x88\x19" + (4201).to_bytes(2) + b"Pong reply not received")
    server.wait_for_log("connection closed", code=4201)


def test_a_client_that_answers_pings_stays(start_server: StartServer) -> None:
    server = start_server(limits(activity_timeout=1, pong_wait=1))

    with accepted(server) as client:
        with pytest.raises(TimeoutError):  # the library answers ping frames by itself
            client.receive(seconds=4)
        client.send("pusher:ping")
        assert client.receive()["event"] == "pusher:pong"


def test_protocol_5_is_told_by_an_event_before_every_close(start_server: StartServer) -> None:
    server = start_server("drain_seconds = 0")
    old, new = accepted(server, query="protocol=5"), accepted(server, query="protocol=6")

    server.stop()

    assert old.receive()["data"] == {"code": 4200, "message": "Server is shutting down"}
    assert old.closed_with() == new.closed_with() == (4200, "Server is shutting down")


def test_a_client_that_does_not_read_is_closed_and_nobody_waits_for_it(
    start_server: StartServer,
) -> None:
    server = start_server("[limits]\nsend_buffer = 65536")
    with accepted(server) as healthy, accepted(server, max_queue=1) as slow:
        for client in (healthy, slow):
            client.subscribe("news")
        event = {"name": "e", "channel": "news", "data": "x" * 10_000}
        for _ in range(500):  # what the kernel buffers for a socket is some megabytes
            call(server, "POST", "/batch_events", {"batch": [event] * 10})
            for _ in range(10):
                assert healthy.receive()["data"] == event["data"]
            if any(line.get("code") == 4100 for line in server.log):
                break
        line = server.wait_for_log("connection closed", code=4100)
        assert line["socket_id"] == slow.socket_id
        assert (line["by"], line["level"]) == ("server", "info")
        assert metrics(server)['oyez_connections_closed_total{code="4100"}'] == 1


def test_messages_beyond_the_rate_are_read_later_and_not_lost(start_server: StartServer) -> None:
    server = start_server(limits(messages_per_second=50))

    with accepted(server) as busy, accepted(server) as other:
        started = time.monotonic()
        for _ in range(120):
            busy.send("pusher:ping")
        other.send("pusher:ping")
        assert other.receive()["event"] == "pusher:pong"
        for _ in range(120):
            assert busy.receive()["event"] == "pusher:pong"
        assert time.monotonic() - started > 1


def test_the_eleventh_client_event_of_a_second_gets_4301(server: RunningServer) -> None:
    with accepted(server) as client:
        client.join(server, "private-limits-rate", "")
        for _ in range(11):
            client.send("client-e", channel="private-limits-rate")
        assert client.receive("pusher:error")["data"]["code"] == 4301


@pytest.mark.parametrize(
    ("setting", "value", "channel", "count"),
    [("subscriptions_per_connection", 2, "a", 2), ("channel_name", 5, "abcdef", 0)],
)
def test_limits_of_a_connection_name_themselves(
    start_server: StartServer, setting: str, value: int, channel: str, count: int
) -> None:
    server = start_server(limits(**{setting: value}))

    with accepted(server) as client:
        for number in range(count):
            client.subscribe(f"c{number}")
        client.send("pusher:subscribe", {"channel": channel})
        error = client.receive("pusher:error")["data"]
        assert error["code"] is None
        assert str(value) in error["message"]
        client.send("pusher:ping")
        assert client.receive("pusher:pong")


def test_a_connection_has_only_so_many_subscriptions_without_any_setting(
    start_server: StartServer,
) -> None:
    server = start_server(limits(messages_per_second=0))

    with accepted(server) as client:
        for number in range(2_001):
            client.send("pusher:subscribe", {"channel": f"c{number}"})
        error = client.receive("pusher:error")["data"]
        assert error["message"] == "Connection has reached its limit of 2000 subscriptions"
    line = server.wait_for_log("limit reached", app_id="1001", limit=2_000)
    assert line["rule"] == "apps.limits.subscriptions_per_connection"
    assert line["peer"].startswith("127.0.0.1:")


def test_a_full_presence_channel_admits_who_is_there(start_server: StartServer) -> None:
    server = start_server(limits(presence_members=1))

    with accepted(server) as first, accepted(server) as again, accepted(server) as other:
        first.join(server, "presence-room", "ada")
        again.join(server, "presence-room", "ada")
        other.send("pusher:subscribe", other.authorized(server, "presence-room", "bob"))
        error = other.receive("pusher:error")["data"]["message"]
        assert error == "Presence channel presence-room has reached its limit of 1 members"
        told = other.receive("pusher:subscription_error")
        assert json.loads(told["data"])["type"] == "LimitReached"


def test_limits_of_the_api_are_those_of_the_app(start_server: StartServer) -> None:
    server = start_server(
        limits(event_data=10, channels_per_publish=1, events_per_batch=1, http_request_body=500)
    )
    event = {"name": "e", "channel": "c", "data": "x" * 11}

    for body, status, text in (
        (event, 413, "(10 bytes). It has 11 bytes."),
        ({**event, "channels": ["a", "b"], "data": ""}, 400, "(2 > 1)"),
        ({**event, "x": "y" * 500}, 413, "> 500 bytes)"),
    ):
        answer = call(server, "POST", "/events", body)
        assert answer.status_code == status
        assert answer.json()["code"] == status
        assert text in answer.json()["error"]
    answer = call(server, "POST", "/batch_events", {"batch": [event, event]})
    assert answer.json() == {"error": "Batch too large (2 > 1)", "code": 400}


def test_settings_that_are_off_take_effect(start_server: StartServer) -> None:
    counted = start_server(APP + "subscription_count = false\nsubscription_errors = false")
    asked = call(counted, "GET", "/channels/news", query={"info": "subscription_count"})
    assert asked.status_code == 400
    assert "subscription counting is not enabled" in asked.json()["error"]
    event = {"name": "e", "channel": "c", "data": "", "info": "subscription_count"}
    assert call(counted, "POST", "/events", event).json() == {"channels": {"c": {}}}
    with accepted(counted) as client:
        client.send("pusher:subscribe", {"channel": "private-x"})
        assert client.receive()["event"] == "pusher:error"
        client.send("pusher:ping")
        assert client.receive()["event"] == "pusher:pong"


def test_a_lenient_app_takes_a_missing_version_for_7(start_server: StartServer) -> None:
    server = start_server(APP + "lenient = true")

    with accepted(server, query="client=handmade"):
        pass


def test_a_client_that_vanishes_leaves_nothing_behind(server: RunningServer) -> None:
    with accepted(server) as watcher:
        client = accepted(server)
        watcher.join(server, "presence-vanish", "watcher")
        client.join(server, "presence-vanish", "ada")
        assert watcher.receive("pusher_internal:member_added")
        client.connection.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        client.connection.socket.close()  # a reset, as of a crashed process
        removed = watcher.receive("pusher_internal:member_removed")
        assert json.loads(removed["data"]) == {"user_id": "ada"}
