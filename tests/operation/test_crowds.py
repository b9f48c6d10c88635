"""More connections than a node can have: who gets through, who has to go, and who is told."""

import contextlib
import select
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import structlog
from websockets.exceptions import WebSocketException

from oyez.server.addresses import Addresses
from oyez.server.capacity import Capacity, capacity_of
from oyez.server.config import Settings
from oyez.server.deadlines import Deadlines
from oyez.server.reached import Reached
from tests.conformance.raw import request
from tests.conftest import RunningServer
from tests.operation.clients import accepted, call, metrics, open_client
from tests.operation.test_fallbacks import Fallback
from tests.operation.test_tls import Certificates
from tests.redis_server import until

StartServer = Callable[..., RunningServer]

GIB = 1 << 30
UP = request("GET", "/up")
TRUSTED = "trust_proxy = true\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@contextlib.contextmanager
def idle(server: RunningServer, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that are opened one after the other and then do nothing."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            each = stack.enter_context(socket.create_connection((server.host, server.port), 90))
            opened.append(each)
            if said:
                each.sendall(said)
                assert each.recv(65_536).startswith(b"HTTP/1.1 200")
        yield opened


def are_open(sockets: list[socket.socket]) -> list[bool]:
    ended = select.select(sockets, [], [], 0)[0]
    return [each not in ended for each in sockets]


# Open files.


def test_operators_and_new_clients_get_through_when_idle_ones_take_all_files(
    start_server: StartServer,
) -> None:
    server = start_server(files=256)
    with idle(server, 320) as sockets:
        until(lambda: sum(are_open(sockets)) <= 192)
        assert metrics(server)["oyez_ready"] == 1
        with accepted(server) as client:
            client.send("pusher:ping")
            assert client.receive("pusher:pong")
        event = {"name": "e", "channel": "c", "data": ""}
        assert call(server, "POST", "/events", event).status_code == 200
    line = server.wait_for_log("limit reached")
    assert line["rule"] in ("limits.http_connections", "limits.reserved_files")
    assert line["peer"].startswith("127.0.0.1:")


def test_operators_get_through_when_websockets_take_all_files(start_server: StartServer) -> None:
    server = start_server("[limits]\nconnections = 0\n", files=256)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            try:
                stack.enter_context(open_client(server))
            except (OSError, WebSocketException):
                break
        else:
            raise AssertionError("all of them were let in")
        assert metrics(server)['oyez_connections{app_id="1001"}'] > 100
    assert server.wait_for_log("limit reached", rule="limits.reserved_files")["limit"] == 192


def test_what_cannot_work_with_so_few_files_is_said_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "oyez.toml"
    file.write_text("port = 0\nadmin_port = 0\n[limits]\nconnections = 500\n")
    for more in ((), ("--workers", "2")):
        done = subprocess.run(
            [
                *("sh", "-c", 'ulimit -n 256; exec "$@"', "sh"),
                *(sys.executable, "-m", "oyez", "serve", "--config", str(file), *more),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
        assert done.returncode != 0
        assert "limits.connections (500) and limits.http_connections (16) need" in done.stderr
        assert "ulimit -n" in done.stderr
        assert "Traceback" not in done.stderr


# Connections that are no WebSockets.


def test_the_one_that_has_been_silent_longest_has_to_go(start_server: StartServer) -> None:
    server = start_server("[limits]\nhttp_connections = 4\n")
    with (
        idle(server, 1, UP) as first,
        Fallback(server, "session1") as busy,
        busy.stream() as lines,
    ):
        assert next(lines)
        with idle(server, 2, UP) as others:
            assert are_open([*first, *others]) == [True, True, True]
            with idle(server, 1, UP) as newest:
                until(lambda: are_open([*first, *others]).count(False) == 1)
                assert are_open(newest) == [True]
            with accepted(server) as client:  # also the one that the handshake comes on
                busy.send({"event": "pusher:ping"})
                assert "pong" in next(line for line in lines if "pong" in line)
                client.send("pusher:ping")
                assert client.receive("pusher:pong")
    line = server.wait_for_log("limit reached", rule="limits.http_connections")
    assert line["limit"] == 4
    assert metrics(server)['oyez_limits_reached_total{rule="limits.http_connections"}'] >= 1


def test_tls_handshakes_count_as_connections(
    start_server: StartServer, certificates: Certificates
) -> None:
    server = start_server(certificates.settings() + "[limits]\nhttp_connections = 16\n")
    with idle(server, 60) as sockets:
        until(lambda: sum(are_open(sockets)) <= 16)
        context = certificates.trusting()
        with httpx2.Client(verify=context, trust_env=False, timeout=90) as http:
            assert http.get(f"https://127.0.0.1:{server.port}/up").status_code == 200


@pytest.mark.parametrize("transport", ["uvloop", "asyncio", "aiofastnet"])
def test_a_tls_handshake_takes_no_longer_than_a_head(
    start_server: StartServer, certificates: Certificates, transport: str
) -> None:
    settings = certificates.settings() + "[limits]\nhead_seconds = 2\n"
    server = start_server(settings, "--transport", transport)
    with idle(server, 2) as (silent, half), idle(server, 1) as (plain,):
        hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            certificates.trusting().wrap_bio(hello, out, server_hostname="x").do_handshake()
        half.sendall(out.read())
        assert half.recv(65_536)
        with certificates.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(UP[:10])
            assert secure.recv(65_536).startswith(b"HTTP/1.1 408")  # its head was not complete
        for each in (silent, half):
            each.settimeout(20)  # a third of what handshakes take by default
            with contextlib.suppress(ConnectionResetError):
                while each.recv(65_536):
                    pass


# Addresses.


def test_one_address_has_only_so_many_connections(start_server: StartServer) -> None:
    server = start_server("[limits]\nconnections_per_address = 3\n")
    with accepted(server) as first, accepted(server), idle(server, 1, UP) as (third,):
        with idle(server, 1) as fourth:
            until(lambda: are_open(fourth) == [False])
        first.connection.close()
        third.close()
        server.wait_for_log("connection closed", code=1000)
        with Fallback(server, "session1") as fallback:
            assert "connection_established" in fallback.poll()[1]
    line = server.wait_for_log("limit reached", rule="limits.connections_per_address")
    assert (line["peer"], line["limit"]) == ("127.0.0.1", 3)


def test_behind_a_trusted_proxy_it_is_the_client_that_is_counted(
    start_server: StartServer,
) -> None:
    server = start_server(TRUSTED + "[limits]\nconnections_per_address = 2\n")
    ours = {"X-Forwarded-For": "192.0.2.1, 2001:db8::1"}
    neighbour = {"X-Forwarded-For": "[2001:db8::2]:80"}
    other = {"X-Forwarded-For": "2001:db8:0:1::1"}

    with (
        accepted(server, additional_headers=ours),
        accepted(server, additional_headers=neighbour),
        accepted(server, additional_headers=other),
        accepted(server),
        accepted(server),
        accepted(server),
    ):
        with open_client(server, additional_headers=ours) as third:
            assert third.closed_with() == (4100, "Over capacity")
        polled = httpx2.post(
            f"http://{server.host}:{server.port}/app/{server.key}/1/session1/xhr?protocol=7",
            headers=ours,
            trust_env=False,
        )
        assert "4100" in polled.text
    line = server.wait_for_log("limit reached", rule="limits.connections_per_address")
    assert (line["peer"], line["app_id"]) == ("2001:db8::1", server.app_id)


def test_whoever_is_refused_or_gone_is_not_counted(start_server: StartServer) -> None:
    server = start_server("[limits]\nconnections_per_address = 2\n")
    for number in range(5):
        with open_client(server, key="nobody") as refused:
            assert refused.closed_with()[0] == 4001
        with accepted(server) as client:
            client.connection.close()
        with Fallback(server, f"session{number}", query="protocol=99") as fallback:
            assert "4007" in fallback.poll()[1]
    with accepted(server):
        pass


def told() -> tuple[Reached, dict[str, int]]:
    counts: Counter[str] = Counter()
    return Reached(Deadlines(0), counts), counts


def test_by_default_only_public_addresses_have_a_limit() -> None:
    reached, counts = told()
    addresses = Addresses(2, reached, public_only=True)
    for host in ("127.0.0.1", "10.1.2.3", "172.17.0.1", "100.64.0.1", "::1", "fd00::1", "", "x"):
        assert all(addresses.enter(host) for _ in range(9)), host
    assert not counts
    for host in ("93.184.216.34", "2606:4700::1"):
        assert [addresses.enter(host) for _ in range(3)] == [True, True, False], host
    addresses.leave("2606:4700::99")  # of the same customer
    assert addresses.enter("2606:4700::42")
    assert counts == {"limits.connections_per_address": 2}


def test_nothing_is_kept_of_addresses_that_are_gone() -> None:
    addresses = Addresses(0, told()[0], public_only=False)
    for host in ("192.0.2.1", "2001:db8::1", "2001:db8::2", ""):
        assert addresses.enter(host)
    assert len(addresses) == 2
    for host in ("192.0.2.1", "2001:db8::1", "2001:db8::2", ""):
        addresses.leave(host)
    assert len(addresses) == 0


# What is taken by default.


def capacity(files: int, memory: int, **limits: int) -> Capacity:
    return capacity_of(Settings.model_validate({"limits": limits}), files=files, memory=memory)


def test_defaults_follow_from_files_and_memory() -> None:
    found = capacity(1 << 20, 16 * GIB)
    assert found.files == (1 << 20) - 256
    assert found.connections + found.http_connections == found.files
    assert found.http_connections == found.files // 4
    assert found.per_address == found.files // 2
    assert found.unanswered_bytes == 256 << 20
    small = capacity(1 << 20, GIB)
    assert small.connections + small.http_connections == GIB // 8192
    assert small.unanswered_bytes == 64 << 20
    assert capacity(1024, GIB).files == 768
    assert capacity(1024, GIB).per_address == 768


def test_ten_thousand_users_behind_one_address_need_no_setting_on_an_ordinary_machine() -> None:
    assert capacity(65_536, 2 * GIB).per_address >= 3 * 10_000
    assert capacity(20_000, GIB).per_address > 15_000  # all of a small one


def test_what_is_set_is_what_is_taken() -> None:
    found = capacity(
        1000,
        GIB,
        connections=700,
        http_connections=100,
        connections_per_address=0,
        reserved_files=200,
        unanswered_bytes=2_000_000,
    )
    assert found == Capacity(800, 700, 100, 0, False, 2_000_000)
    assert capacity(1000, GIB, connections=0).connections == 0
    assert capacity(1000, GIB, connections=740, reserved_files=200).http_connections == 60


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"connections": 800}, r"limits.connections \(800\) and limits.http_connections \(16\)"),
        ({"http_connections": 751, "connections": 0}, r"the 750 files .* \(1000, of which"),
        (
            {"reserved_files": 990},
            r"limits.reserved_files \(990\) leave 10 for clients of the",
        ),
        ({"unanswered_bytes": 10}, r"unanswered_bytes must be at least 1327104, not 10: a request"),
    ],
)
def test_what_cannot_be_had_is_refused(limits: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        capacity(1000, GIB, **limits)


def test_a_limit_that_is_reached_again_and_again_is_one_line_a_second() -> None:
    deadlines, counts = Deadlines(0), Counter[str]()
    reached = Reached(deadlines, counts)
    with structlog.testing.capture_logs() as lines:
        for second in range(2):
            deadlines.advance(second)
            for _ in range(100):
                reached.note("limits.x", 7, peer="192.0.2.1")
                reached.note("limits.y", 7, peer="192.0.2.1", app_id="1001")
    assert counts == {"limits.x": 200, "limits.y": 200}
    assert [(line["rule"], line["times"]) for line in lines] == [
        *(("limits.x", 1), ("limits.y", 1)),
        *(("limits.x", 100), ("limits.y", 100)),
    ]
