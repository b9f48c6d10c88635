"""Starting, being watched, and stopping."""

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx2
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted, accepted_socket, call, metrics, publish

StartServer = Callable[..., RunningServer]


def get(server: RunningServer, path: str, *, admin: bool = False) -> httpx2.Response:
    port = server.admin_port if admin else server.port
    return httpx2.get(f"http://{server.host}:{port}{path}", trust_env=False)


@pytest.mark.parametrize("path", ["/up", "/healthz", "/readyz"])
@pytest.mark.parametrize("admin", [False, True], ids=["main", "admin"])
def test_health_is_answered_on_both_ports(server: RunningServer, path: str, admin: bool) -> None:
    answer = get(server, path, admin=admin)

    assert (answer.status_code, answer.json()) == (200, {"health": "OK"})
    assert answer.headers["content-type"] == "application/json"


def test_the_file_limit_is_raised_to_what_is_allowed(server: RunningServer) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    assert server.wait_for_log("listening")["file_limit"] == hard


def test_gauges_equal_the_sockets_whatever_happened_before(start_server: StartServer) -> None:
    server = start_server()
    clients = [accepted(server) for _ in range(7)]
    for number, client in enumerate(clients):
        client.subscribe("shared")
        client.join(server, f"presence-{number % 2}", f"user-{number}")
    for client in clients[:3]:
        client.connection.close()
    clients[3].send("pusher:unsubscribe", {"channel": "shared"})
    clients[3].send("pusher:ping")
    clients[3].receive("pusher:pong")
    clients[4].connection.socket.shutdown(socket.SHUT_RDWR)
    server.wait_for_log("connection closed", code=1006)
    publish(server, "shared")

    found = metrics(server)

    assert found['oyez_connections{app_id="1001"}'] == 3
    assert found['oyez_channels{app_id="1001"}'] == 3
    assert found['oyez_subscriptions{app_id="1001"}'] == 2 + 3
    assert found["oyez_connections_opened_total"] == 7
    assert found['oyez_connections_closed_total{code="1000"}'] == 3
    assert found['oyez_http_requests_total{status="200"}'] == 1
    assert found['oyez_api_messages_total{app_id="1001"}'] == 1
    assert found['oyez_peak_connections{app_id="1001"}'] == 7
    assert found["oyez_ready"] == 1
    for client in clients[3:]:
        client.connection.close()


def test_clients_do_not_choose_how_many_series_there_are(start_server: StartServer) -> None:
    server = start_server()
    codes = [1000, 1001, 3000, 3999, *range(4000, 4060), 4100, 4200, 4201]
    for code in codes:
        with accepted(server) as client:
            client.connection.close(code)
            line = server.wait_for_log("connection closed", code=code)
            assert (line["by"], line["level"]) == ("client", "debug")
    for number in range(20):
        call(server, "GET", f"/nonsense{number}")

    found = metrics(server)

    series = [name for name in found if name.startswith("oyez_connections_closed_total")]
    assert found['oyez_connections_closed_total{code="other"}'] == len(codes) - 2
    assert not any('code="4' in name for name in series)
    assert sum(found[name] for name in series) == len(codes)
    assert len(series) < 15
    assert len([name for name in found if name.startswith("oyez_http_requests_total")]) < 5


def test_a_connection_is_one_line_of_log_and_no_secret_is_in_it(start_server: StartServer) -> None:
    server = start_server()
    with accepted(server, query="protocol=7&client=js&version=8.6.0") as client:
        client.join(server, "private-x", "")
    call(server, "GET", "/nonsense")

    line = server.wait_for_log("connection closed")
    assert line["code"] == 1000
    assert line["client"] == "js 8.6.0"
    assert line["by"] == "client"
    assert line["socket_id"] == client.socket_id
    assert line["subscriptions"] == 1
    assert line["seconds"] >= 0
    server.stop()
    assert [each["event"] for each in server.log].count("connection closed") == 1
    assert "app-secret" not in str(server.log)
    assert "auth_signature" not in str(server.log)


def test_the_drain_sends_clients_away_with_4200_and_ends_well(start_server: StartServer) -> None:
    server = start_server("drain_seconds = 1")
    clients = [accepted(server) for _ in range(20)]
    keeping = httpx2.Client(trust_env=False)
    keeping.get(f"http://{server.host}:{server.port}/up")

    server.process.send_signal(signal.SIGTERM)

    for client in clients:
        assert client.closed_with() == (4200, "Server is shutting down")
    assert server.process.wait(10) == 0
    server.wait_for_log("stopped")
    with pytest.raises(httpx2.TransportError):
        keeping.get(f"http://{server.host}:{server.port}/up")
    keeping.close()


def test_clients_that_leave_during_the_drain_do_not_stop_it(start_server: StartServer) -> None:
    server = start_server("drain_seconds = 30")
    clients = [accepted_socket(server) for _ in range(200)]
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("draining")
    for client in clients:
        client.close()

    assert server.process.wait(10) == 0
    server.wait_for_log("stopped")


def test_a_lame_duck_says_that_it_is_not_ready_and_goes_on_serving(
    start_server: StartServer,
) -> None:
    server = start_server("lame_duck_seconds = 1\ndrain_seconds = 0")
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("lame duck")
    assert get(server, "/readyz").status_code == 503
    with accepted(server) as client:
        client.subscribe("news")
        publish(server, "news")
        assert client.receive("e")["data"] == "x"
        assert client.closed_with()[0] == 4200
    assert time.monotonic() - started > 0.9
    assert server.stop() == 0


def test_a_second_signal_ends_a_lame_duck_at_once(start_server: StartServer) -> None:
    server = start_server("lame_duck_seconds = 600")
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("lame duck")
    assert server.stop() == 0  # which waits for half of that at most


def test_while_draining_nobody_new_is_let_in_and_readiness_is_off(
    start_server: StartServer,
) -> None:
    server = start_server("drain_seconds = 600")
    clients = [accepted_socket(server) for _ in range(400)]
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("draining")

    answer = get(server, "/readyz", admin=True)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    with contextlib.suppress(ConnectionRefusedError):  # closed a turn of the loop later
        while True:
            socket.create_connection((server.host, server.port), 90).close()
    server.process.send_signal(signal.SIGTERM)  # the second one ends it at once
    assert server.process.wait(90) == 0
    server.wait_for_log("stopped")
    for client in clients:
        client.close()


def test_an_address_in_use_is_said_in_one_line(server: RunningServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oyez", "serve", "--port", str(server.port), "--admin-port", "0"],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 1
    assert f"cannot listen at 127.0.0.1:{server.port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("transport", ["uvloop", "asyncio", "aiofastnet"])
def test_every_transport_serves(start_server: StartServer, transport: str) -> None:
    server = start_server("", "--transport", transport)

    with accepted(server) as client:
        client.subscribe("news")
        publish(server, "news", "hello")
        assert client.receive()["data"] == "hello"
    assert server.stop() == 0


def test_memory_returns_after_a_storm(start_server: StartServer) -> None:
    """What is allocated for connections is given back: a second storm does not add to the first."""
    server = start_server()

    def storm() -> float:
        for _ in range(5):
            for client in [accepted_socket(server) for _ in range(200)]:
                client.close()
        return metrics(server)["process_resident_memory_bytes"]

    before = storm()
    after = storm()

    assert metrics(server)['oyez_connections{app_id="1001"}'] == 0
    assert after - before < 2_000_000
