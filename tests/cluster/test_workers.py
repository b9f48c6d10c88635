"""Several processes on one port."""

import os
import signal
from collections.abc import Callable

import httpx2
import psutil
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import Client, accepted, publish
from tests.operation.test_fallbacks import Fallback, events, subscribe
from tests.redis_server import until

COUNT = 2


def workers_of(server: RunningServer) -> list[psutil.Process]:
    """The processes that listen, without what multiprocessing needs beside them."""
    return [each for each in psutil.Process(server.pid).children(recursive=True) if _listens(each)]


def _listens(process: psutil.Process) -> bool:
    try:
        return any(one.status == psutil.CONN_LISTEN for one in process.net_connections("tcp4"))
    except psutil.NoSuchProcess:  # it has just ended
        return False


@pytest.fixture
def server(node: Callable[..., RunningServer]) -> RunningServer:
    running = node(top=f"workers = {COUNT}")
    until(lambda: len(workers_of(running)) == COUNT)
    return running


def worker_of(server: RunningServer, client: Client) -> int:
    """Which process serves a connection."""
    port = client.connection.socket.getsockname()[1]
    for each in workers_of(server):
        if any(one.raddr and one.raddr.port == port for one in each.net_connections("tcp4")):
            return each.pid
    raise AssertionError("nobody serves it")


def test_all_of_them_are_one_server(server: RunningServer) -> None:
    clients = [accepted(server) for _ in range(20)]
    for client in clients:
        client.subscribe("news")
    assert len({worker_of(server, client) for client in clients}) > 1

    publish(server, "news", "hello")

    assert {client.receive("e")["data"] for client in clients} == {"hello"}
    for client in clients:
        client.connection.close()


def test_a_worker_that_dies_is_missed_and_replaced(server: RunningServer) -> None:
    clients = [accepted(server) for _ in range(20)]
    for number, client in enumerate(clients):
        client.join(server, "presence-room", f"user-{number}")
    watcher, others = clients[-1], clients[:-1]
    survivor = worker_of(server, watcher)
    victim = next(pid for pid in (worker_of(server, c) for c in others) if pid != survivor)
    lost = {
        f"user-{number}"
        for number, client in enumerate(others)
        if worker_of(server, client) == victim
    }

    os.kill(victim, signal.SIGKILL)

    removed = {watcher.receive("pusher_internal:member_removed", seconds=20)["data"] for _ in lost}
    assert len(removed) == len(lost)
    server.wait_for_log("worker died", exit_code=-signal.SIGKILL)
    until(lambda: len(workers_of(server)) == COUNT)
    assert victim not in {each.pid for each in workers_of(server)}
    for client in clients:
        client.connection.close()


def test_stopping_drains_all_of_them(server: RunningServer) -> None:
    clients = [accepted(server) for _ in range(6)]
    processes = workers_of(server)

    server.process.send_signal(signal.SIGTERM)

    assert {client.closed_with()[0] for client in clients} == {4200}
    assert server.stop() == 0
    assert not any(each.is_running() for each in processes)


def test_they_do_not_outlive_their_supervisor(server: RunningServer) -> None:
    processes = workers_of(server)

    os.kill(server.pid, signal.SIGKILL)

    until(lambda: not any(each.is_running() for each in processes))


def test_a_session_over_http_is_found_whichever_worker_its_requests_reach(
    server: RunningServer,
) -> None:
    for number in range(8):
        with Fallback(server, f"worker{number}") as client:
            client.http = httpx2.Client(
                trust_env=False, timeout=120, headers={"Connection": "close"}
            )
            with client.stream() as lines:
                assert next(lines) == "o"
                assert events(next(lines)) == ["pusher:connection_established"]
                client.send(subscribe("news"))
                assert "pusher_internal:subscription_succeeded" in events(next(lines))
                publish(server, "news", "hello")
                while "e" not in events(next(lines)):
                    pass
            heard: list[str] = []
            while "pusher:pong" not in heard:  # what is said before the end is noticed is lost
                client.send({"event": "pusher:ping"})
                heard = [event for line in client.poll() for event in events(line)]
    with Fallback(server, "unknown1") as stranger:
        stranger.send({"event": "pusher:ping"}, status=404)
