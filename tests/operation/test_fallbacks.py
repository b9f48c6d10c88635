"""The HTTP fallbacks, request by request; the browser tests run pusher-js over them."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted, publish

StartServer = Callable[..., RunningServer]

APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\n'


class Fallback:
    """One session over HTTP, spoken to in lines."""

    def __init__(
        self,
        server: RunningServer,
        name: str,
        *,
        query: str = "protocol=7",
        key: str = "",
        **headers: str,
    ) -> None:
        self.url = f"http://{server.host}:{server.port}/pusher/app/{key or server.key}/7/{name}"
        self.query = query
        self.http = httpx2.Client(trust_env=False, timeout=120, headers=headers)

    def __enter__(self) -> "Fallback":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.http.close()

    def poll(self) -> list[str]:
        answer = self.http.post(f"{self.url}/xhr?{self.query}")
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        return answer.text.splitlines()

    @contextlib.contextmanager
    def stream(self) -> Iterator[Iterator[str]]:
        with self.http.stream("POST", f"{self.url}/xhr_streaming?{self.query}") as answer:
            yield answer.iter_lines()

    def send(self, *messages: dict[str, Any], status: int = 204) -> None:
        texts = [json.dumps(message) for message in messages]
        answer = self.http.post(f"{self.url}/xhr_send?t=1&n=1", json=texts)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")


def events(line: str) -> list[str]:
    """Names of the events in a line; a heartbeat, as on a slow machine, has none."""
    if line == "h":
        return []
    assert line[0] == "a"
    return [json.loads(text)["event"] for text in json.loads(line[1:])]


def subscribe(channel: str) -> dict[str, Any]:
    return {"event": "pusher:subscribe", "data": {"channel": channel}}


def test_polling_opens_a_session_and_gets_what_has_come_since(server: RunningServer) -> None:
    with Fallback(server, "poll0001") as client:
        opened = client.poll()
        assert opened[0] == "o"
        assert events(opened[1]) == ["pusher:connection_established"]
        client.send(subscribe("fallback-polled"), {"event": "pusher:ping"})
        assert [event for line in client.poll() for event in events(line)] == [
            "pusher_internal:subscription_succeeded",
            "pusher_internal:subscription_count",
            "pusher:pong",
        ]
        publish(server, "fallback-polled", "one")
        publish(server, "fallback-polled", "two")
        data = [json.loads(text)["data"] for line in client.poll() for text in json.loads(line[1:])]
        assert data[0] == "one"


def test_streaming_keeps_one_answer_open(server: RunningServer) -> None:
    with Fallback(server, "strm0001") as client, client.stream() as lines:
        assert next(lines) == "o"
        assert events(next(lines)) == ["pusher:connection_established"]
        client.send(subscribe("fallback-streamed"))
        assert "pusher_internal:subscription_succeeded" in events(next(lines))
        for number in range(20):
            publish(server, "fallback-streamed", str(number))
            found: list[str] = []
            while str(number) not in found:
                found = [json.loads(text)["data"] for text in json.loads(next(lines)[1:])]


def test_a_new_stream_goes_on_where_the_old_one_ended_without_opening_again(
    server: RunningServer,
) -> None:
    with Fallback(server, "strm0002") as client, client.stream() as lines:
        assert next(lines) == "o"
        next(lines)
        # What is said before the server has noticed that a stream was hung up is lost with it.
        with client.stream() as lines:
            client.send(subscribe("fallback-again"))
            assert "pusher_internal:subscription_succeeded" in events(next(lines))


def test_a_refused_client_is_told_why(server: RunningServer) -> None:
    with Fallback(server, "refused1", key="nonsense") as client:
        opened, error, closed = client.poll()
        assert opened == "o"
        assert events(error) == ["pusher:error"]
        assert json.loads(closed[1:])[0] == 4001
        client.send(status=404)
    with Fallback(server, "refused2", query="protocol=3") as client:
        assert json.loads(client.poll()[2][1:]) == [4007, "Unsupported protocol version"]


@pytest.mark.soak
def test_a_client_that_stays_away_is_gone(start_server: StartServer) -> None:
    server = start_server(APP + "subscription_count = true")
    with accepted(server) as watcher, Fallback(server, "away0001") as client:
        watcher.subscribe("fallback-away")
        client.poll()
        client.send(subscribe("fallback-away"))
        watcher.receive("pusher_internal:subscription_count")
        server.wait_for_log("connection closed", code=1006)
        client.send(status=404)


@pytest.mark.parametrize("body", ["", "x", "{}", '["a", 1]', "[" * 100_000])
def test_what_is_no_list_of_messages_is_refused(server: RunningServer, body: str) -> None:
    with Fallback(server, "garbage1") as client:
        client.poll()
        answer = client.http.post(f"{client.url}/xhr_send", content=body)
        assert answer.status_code == 400
        client.send({"event": "pusher:ping"})


def test_a_message_over_the_limit_ends_the_session(server: RunningServer) -> None:
    with Fallback(server, "toolarge") as client:
        client.poll()
        client.send({"event": "client-x", "data": "x" * 140_000})
        assert json.loads(client.poll()[-1][1:])[0] == 1009


def test_what_has_ended_takes_nothing_any_more(server: RunningServer) -> None:
    with Fallback(server, "ended001") as client:
        client.poll()
        client.send({"event": "client-x", "data": "x" * 140_000})
        client.send({"event": "pusher:ping"}, status=404)
        assert [json.loads(line[1:])[0] for line in client.poll()] == [1009]


def test_messages_over_the_rate_wait(start_server: StartServer) -> None:
    server = start_server(APP + "[apps.limits]\nmessages_per_second = 20")
    with Fallback(server, "rate0001") as client, client.stream() as lines:
        started = time.monotonic()
        assert next(lines) == "o"
        client.send(*[{"event": "pusher:ping"}] * 50)
        pongs = 0
        while pongs < 50:
            pongs += events(next(lines)).count("pusher:pong")
        assert time.monotonic() - started > 1


def test_who_sends_more_than_may_wait_is_closed(start_server: StartServer) -> None:
    server = start_server(APP + "[apps.limits]\nmessages_per_second = 20")
    for name, data, count in (("waits001", "", 1001), ("waits002", "x" * 9_000, 60)):
        with Fallback(server, name) as client:
            client.poll()
            client.send(*[{"event": "pusher:ping", "data": data}] * count)
            code, reason = json.loads(client.poll()[-1][1:])
            assert (code, reason[:19]) == (4100, "Too many messages (")
    assert "1000 waiting" in server.wait_for_log("connection closed", code=4100)["reason"]


@pytest.mark.parametrize("other", [{"origin": "https://evil.example"}, {}])
def test_a_session_is_there_only_for_the_origin_that_opened_it(
    server: RunningServer, other: dict[str, str]
) -> None:
    name = f"origin-{len(other)}"
    with (
        Fallback(server, name, origin="https://good.example") as client,
        Fallback(server, name, **other) as stranger,
    ):
        assert client.poll()[0] == "o"
        stranger.send(subscribe("fallback-stranger"), status=404)
        client.send(subscribe("fallback-own"))
        assert stranger.poll()[0] == "o"  # a session of its own
        publish(server, "fallback-own", "secret")
        stranger.send({"event": "pusher:ping"})
        assert [event for line in stranger.poll() for event in events(line)] == ["pusher:pong"]
        found = [event for line in client.poll() for event in events(line)]
        assert found[0] == "pusher_internal:subscription_succeeded"
        assert found[-1] == "e"


def test_an_origin_that_may_not_connect_reads_no_session(start_server: StartServer) -> None:
    server = start_server(APP + 'allowed_origins = ["https://good.example"]')
    with (
        Fallback(server, "origin02", origin="https://good.example") as client,
        Fallback(server, "origin02", origin="https://evil.example") as stranger,
    ):
        assert client.poll()[0] == "o"
        assert json.loads(stranger.poll()[-1][1:])[0] == 4009
        client.send({"event": "pusher:ping"})
        assert events(client.poll()[-1]) == ["pusher:pong"]


def test_a_browser_may_ask_first(server: RunningServer) -> None:
    with Fallback(server, "preflight") as client:
        answer = client.http.request("OPTIONS", f"{client.url}/xhr_send")
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-headers"] == "Content-Type"
        assert client.http.get(f"{client.url}/xhr").status_code == 405


def test_http_1_0_streams_until_the_connection_ends(server: RunningServer) -> None:
    request = f"POST /app/{server.key}/1/old10000/xhr?protocol=7 HTTP/1.0\r\n\r\n"
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(request.encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert body.startswith(b"o\na[")


def test_the_drain_reaches_clients_over_http(start_server: StartServer) -> None:
    server = start_server()
    with Fallback(server, "drain001") as client, client.stream() as lines:
        next(lines)
        next(lines)
        assert server.stop() == 0
        assert json.loads(next(lines)[1:]) == [4200, "Server is shutting down"]


def test_a_client_that_does_not_read_its_stream_is_closed(start_server: StartServer) -> None:
    server = start_server("[limits]\nsend_buffer = 65536")
    with Fallback(server, "slow0001") as client, client.stream() as lines:
        next(lines)
        client.send(subscribe("fallback-slow"))
        for _ in range(3000):
            publish(server, "fallback-slow", "x" * 10_000)
            if any(line.get("code") == 4100 for line in server.log):
                break
        server.wait_for_log("connection closed", code=4100)
