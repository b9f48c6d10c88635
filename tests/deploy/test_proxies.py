"""Two nodes over Redis behind each of the proxies that ``deploy`` has a file for."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pusher
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import RunningServer, launch
from tests.deploy import proxies
from tests.operation.clients import Client, accepted, metrics, open_client
from tests.operation.test_fallbacks import Fallback, events, subscribe
from tests.operation.test_tls import Certificates
from tests.redis_server import RedisServer, free_port, redis_is_installed, running_redis, until

APPS = """
trust_proxy = true
lame_duck_seconds = 3
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
client_events = true
[[apps]]
id = "1002"
key = "tls-key"
secret = "app-secret"
force_tls = true
"""
CONNECTIONS = 'oyez_connections{app_id="1001"}'
PUBLISHED = 'oyez_api_messages_total{app_id="1001"}'


@dataclass
class Site:
    """A proxy, and the nodes behind it, which can be replaced."""

    kind: proxies.Kind
    proxy: RunningServer
    tls_port: int
    certificates: Certificates
    config: Path
    nodes: list[RunningServer] = field(default_factory=list)

    def publisher(self) -> pusher.Pusher:
        """The official library, pointed at the proxy."""
        return pusher.Pusher(
            app_id="1001",
            key="app-key",
            secret="app-secret",
            host=self.proxy.host,
            port=self.proxy.port,
            ssl=False,
        )

    def restart(self, number: int) -> None:
        """Replace a node by another one at its address, and wait until the proxy uses it."""
        old = self.nodes[number]
        assert old.stop() == 0
        self.nodes[number] = start_node(self.config, old.port)
        until(lambda: metrics(self.nodes[number]).get(PUBLISHED, 0) > 0)

    def connected(self) -> list[int]:
        """WebSockets and sessions over HTTP of each node."""
        return [int(metrics(node).get(CONNECTIONS, 0)) for node in self.nodes]


def start_node(config: Path, port: int) -> RunningServer:
    return launch("--config", str(config), "--port", str(port))


@contextlib.contextmanager
def site_of(kind: proxies.Kind, directory: Path, *engines: str) -> Iterator[Site]:
    """A node for each engine, and the proxy in front of them."""
    nodes: list[RunningServer] = []
    certificates = Certificates(directory)
    try:
        for number, engine in enumerate(engines):
            config = directory / f"node-{number}.toml"
            config.write_text(f'engine = "{engine}"\n{APPS}')
            nodes.append(start_node(config, 0))
        ports = [node.port for node in nodes]
        with proxies.running(kind, ports, directory, certificates) as (proxy, tls_port):
            yield Site(kind, proxy, tls_port, certificates, config, nodes)
    finally:
        for node in nodes:
            node.process.send_signal(signal.SIGTERM)
        for node in nodes:
            node.stop()  # the second signal: nobody waits for a lame duck


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            name,
            marks=[
                redis_is_installed,
                proxies.is_installed(name),
                pytest.mark.xdist_group("proxies"),
            ],
        )
        for name in proxies.KINDS
    ],
)
def site(
    request: pytest.FixtureRequest, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp(request.param)
    with site_of(proxies.KINDS[request.param], directory, redis.url, redis.url) as found:
        yield found


def test_an_event_reaches_the_subscribers_of_both_nodes(site: Site) -> None:
    clients = [accepted(site.proxy) for _ in range(6)]
    for client in clients:
        client.subscribe("news")
    assert all(count > 0 for count in site.connected())

    site.publisher().trigger("news", "e", "hello")

    assert {client.receive("e")["data"] for client in clients} == {"hello"}
    for client in clients:
        client.connection.close()


def test_nodes_learn_what_came_over_tls(site: Site) -> None:
    secure = connect(
        f"wss://127.0.0.1:{site.tls_port}/app/tls-key?protocol=7",
        ssl=site.certificates.trusting(),
        proxy=None,
        legacy=True,
    )
    with Client(secure) as client:
        assert client.receive()["event"] == "pusher:connection_established"
    forged = {"X-Forwarded-Proto": "https"}
    with open_client(site.proxy, key="tls-key", additional_headers=forged) as client:
        assert client.closed_with()[0] == 4000


def test_nodes_log_the_address_of_the_client(site: Site) -> None:
    with accepted(
        site.proxy,
        query="protocol=7&client=addressed",
        source_address=("127.0.0.2", 0),
        additional_headers={"X-Forwarded-For": "192.0.2.1"},
    ) as client:
        client.subscribe("news")

    lines = [line for node in site.nodes for line in closings(node, "addressed")]
    assert [line["peer"] for line in lines] == ["127.0.0.2"]


def closings(node: RunningServer, client: str) -> list[dict[str, object]]:
    """What a node logged when connections of this client ended, after a moment."""
    with contextlib.suppress(AssertionError):
        node.wait_for_log("connection closed", seconds=1, client=client)
    return [
        line
        for line in node.log
        if line.get("event") == "connection closed" and line.get("client") == client
    ]


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_replacing_the_nodes_one_by_one_fails_no_publish_and_sends_clients_on(site: Site) -> None:
    # Without being told that a node will stop, nginx may have just sent it a request.
    with publishing(site.publisher(), may_fail=0 if site.kind.asks else 1) as published:
        clients = [accepted(site.proxy) for _ in range(6)]
        for client in clients:
            client.subscribe("busy")
        for number in range(len(site.nodes)):
            site.restart(number)
            away = [client for client in clients if is_sent_away(client)]
            assert away
            assert number > 0 or len(away) < len(clients)
            for client in away:
                clients.remove(client)
                clients.append(accepted(site.proxy))
                clients[-1].subscribe("busy")
        site.publisher().trigger("busy", "last", "")
        for client in clients:
            client.receive("last")
            client.connection.close()
    assert len(published) > 20


def is_sent_away(client: Client) -> bool:
    """Whether the server has closed it with 4200; in any other way it may not."""
    try:
        client.send("pusher:ping")
        client.receive("pusher:pong")
    except ConnectionClosed as closed:
        if closed.rcvd is None or closed.rcvd.code != 4200:
            raise
        return True
    return False


@contextlib.contextmanager
def publishing(publisher: pusher.Pusher, *, may_fail: int) -> Iterator[list[float]]:
    """Publishes all the time meanwhile; how long each took."""
    published: list[float] = []
    failures: list[Exception] = []
    over = threading.Event()

    def publish() -> None:
        while not over.wait(0.02) and len(failures) <= may_fail:
            began = time.monotonic()
            try:
                publisher.trigger("busy", "e", "")
            except Exception as error:
                failures.append(error)
            published.append(time.monotonic() - began)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield published
    finally:
        over.set()
        thread.join(20)
    assert failures[may_fail:] == []


@pytest.mark.soak
def test_a_session_over_http_stays_on_its_node(site: Site) -> None:
    publisher = site.publisher()
    with contextlib.ExitStack() as stack:
        streams = []
        for number in range(16):
            client = stack.enter_context(Fallback(site.proxy, f"session{number}"))
            lines = stack.enter_context(client.stream())
            assert next(lines) == "o"
            assert events(next(lines)) == ["pusher:connection_established"]
            streams.append((client, lines))
        assert all(count > 0 for count in site.connected())
        for client, lines in streams:
            for channel in ("one", "two"):
                client.send(subscribe(channel))
                assert "pusher_internal:subscription_succeeded" in heard(lines, channel)

        publisher.trigger("two", "e", "hello")

        for _, lines in streams:
            assert "hello" in heard(lines, "hello")


def heard(lines: Iterator[str], text: str) -> str:
    """What comes up to the first line with this text."""
    said = ""
    for line in lines:
        said += line
        if text in line:
            return said
    raise AssertionError(f"the stream ended without {text}: {said}")


@pytest.mark.soak
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[redis_is_installed, proxies.is_installed(name)])
        for name, kind in proxies.KINDS.items()
        if kind.asks
    ],
)
def test_a_node_that_says_it_is_not_ready_gets_nothing(
    name: str, redis: RedisServer, tmp_path: Path
) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    with site_of(proxies.KINDS[name], tmp_path, redis.url, nowhere) as site:
        publisher = site.publisher()
        time.sleep(4)  # checks are a second apart, and two must have failed
        for _ in range(20):
            publisher.trigger("news", "e", "")
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                client = stack.enter_context(accepted(site.proxy))
                client.subscribe("news")
            assert site.connected() == [6, 0]
