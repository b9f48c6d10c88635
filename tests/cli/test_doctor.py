"""``doctor``: each check, what it finds and what it advises."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from oyez.cli.doctor import files, machine, network
from oyez.cli.doctor.files import validity
from oyez.cli.doctor.finding import Finding
from oyez.cli.target import DEVELOPMENT_URL
from oyez.server.config import Settings, load
from tests.cli.command import oyez, oyez_on_terminal, url_of
from tests.conftest import RunningServer

Report = dict[str, dict[str, str]]
FREE = "port = 0\nadmin_port = 0\n"


def report(text: str) -> Report:
    return {found["check"]: found for found in map(json.loads, text.splitlines())}


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(toml: str) -> str:
        path = tmp_path / "oyez.toml"
        path.write_text(toml)
        return str(path)

    return write


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_machine_without_problems(
    server: RunningServer, file: Callable[[str], str], tmp_path: Path
) -> None:
    done = oyez("doctor", "--config", file(FREE), "--url", url_of(server), cwd=tmp_path)

    found = report(done.stdout)
    assert done.returncode == 0
    assert list(found) == [
        *("configuration", "open files", "backlog", "port", "admin port", "engine"),
        *("data directory", "certificate", "server", "clock"),
    ]
    assert all(set(each) == {"check", "state", "found", "fix"} for each in found.values())
    assert found["server"]["state"] == found["clock"]["state"] == "ok"
    assert found["certificate"]["state"] == "skipped"
    assert server.secret not in done.stdout


def test_a_person_reads_a_table_and_the_commands_below_it(file: Callable[[str], str]) -> None:
    shown = oyez_on_terminal("doctor", "--config", file(FREE)).output()

    assert "│ certificate" in shown
    assert "\x1b[32mok" in shown
    assert "\nconfiguration: before going public: oyez apps new\n" in shown


def test_a_port_that_is_taken_is_a_problem_with_the_name_of_who_has_it(
    file: Callable[[str], str], taken: int
) -> None:
    done = oyez("doctor", "--config", file(f"port = {taken}\nadmin_port = 0\n"))

    assert done.returncode == 1
    found = report(done.stdout)["port"]
    assert found["state"] == "problem"
    assert (
        f"held by {Path('/proc/self/comm').read_text().strip()}, process {os.getpid()}"
        in (found["found"])
    )
    assert f"oyez serve --port {taken + 1}" in found["fix"]


def test_a_port_of_a_running_oyez_is_fine(server: RunningServer) -> None:
    found = machine.port("port", "--port", server.host, server.port)

    assert found.state == "ok"
    assert f"held by Oyez, process {server.pid}" in found.found


def test_an_address_of_another_machine_is_a_problem() -> None:
    found = machine.port("port", "--port", "192.0.2.1", 6001)

    assert found.state == "problem"
    assert found.found == "192.0.2.1:6001: Cannot assign requested address"
    nowhere = machine.port("port", "--port", "no.such.host.invalid", 6001)
    assert nowhere.state == "problem"
    assert "no.such.host.invalid:6001: " in nowhere.found


def test_too_few_open_files_are_a_problem_or_a_warning(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text(f"{FREE}[limits]\nconnections = 5000\n")

    def limited(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = f'ulimit -n 1000; exec "{sys.executable}" -m oyez doctor'
        return subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=120
        )

    done = limited()
    assert done.returncode == 1
    found = report(done.stdout)["open files"]
    assert "limits.connections (5000) and limits.http_connections (16) need" in found["found"]
    assert "than the 750 files that this process may open for clients (1000, of" in found["found"]
    assert "LimitNOFILE=1048576" in found["fix"]

    (tmp_path / "oyez.toml").write_text(FREE)
    assert report(limited().stdout)["open files"]["state"] == "warning"


def test_a_short_backlog_is_a_warning() -> None:
    found = machine.backlog(1 << 30)

    assert found.state == "warning"
    assert found.fix == f"sudo sysctl -w net.core.somaxconn={1 << 30}"
    assert machine.backlog(1).state == "ok"


def test_a_configuration_that_is_not_valid_is_a_problem(file: Callable[[str], str]) -> None:
    done = oyez("doctor", "--config", file('port = "x"\n'))

    assert done.returncode == 1
    found = report(done.stdout)["configuration"]
    assert found["state"] == "problem"
    assert "port: expected a whole number, not 'x'" in found["found"]


def test_without_a_url_a_development_server_need_not_run() -> None:
    found, clock = network.server(DEVELOPMENT_URL)

    # Whoever runs these tests may have one running.
    assert found.state in ("skipped", "ok")
    assert clock.state in ("skipped", "ok")


@pytest.mark.parametrize(
    ("url", "state", "found"),
    [
        ("http://k:s@127.0.0.1:1/apps/1", "problem", "no answer from http://127.0.0.1:1"),
        (None, "problem", "answered 401: Invalid signature"),
    ],
)
def test_a_server_that_does_not_serve_is_a_problem(
    server: RunningServer, url: str | None, state: str, found: str
) -> None:
    reachable, _ = network.server(url or url_of(server, secret="wrong"))

    assert reachable.state == state
    assert found in reachable.found
    assert "--url" in reachable.fix


def test_a_url_that_cannot_be_is_a_usage_error() -> None:
    assert oyez("doctor", "--url", "http://somewhere").returncode == 2


@pytest.mark.parametrize(
    ("seconds", "state", "said"),
    [
        (0, "ok", "the same time"),
        (-100, "warning", "ahead of the server"),
        (100, "warning", "behind the server"),
        (1000, "problem", "it refuses every request"),
    ],
)
def test_a_clock_that_is_off_is_found(seconds: int, state: str, said: str) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() + seconds, usegmt=True))
            self.send_header("Content-Length", "15")
            self.end_headers()
            self.wfile.write(b'{"channels":{}}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        serving = threading.Thread(target=elsewhere.serve_forever)
        serving.start()
        _, clock = network.server(f"http://k:s@127.0.0.1:{elsewhere.server_port}/apps/1")
        elsewhere.shutdown()
        serving.join()

    assert clock.state == state
    assert said in clock.found
    assert clock.fix == ("" if state == "ok" else "sudo timedatectl set-ntp true")


def test_an_engine_elsewhere_is_reached_or_not(taken: int, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        local.listen()
        assert network.engine(f"unix://:hidden@{path}?db=1").state == "ok"
    assert network.engine(f"unix://{path}").state == "problem"
    assert network.engine("memory").state == "ok"
    assert network.engine(f"redis://127.0.0.1:{taken}/0").state == "ok"


def test_an_engine_that_is_away_is_named_without_its_password(taken: int) -> None:
    away = network.engine("nats://user:hidden@127.0.0.1:1")

    assert away.state == "problem"
    assert away.found == "127.0.0.1:1 does not answer: Connection refused"
    assert "hidden" not in away.fix
    half = network.engine(f"redis+sentinel://:hidden@127.0.0.1:{taken},127.0.0.1:1/service/0?a=b")
    assert (half.state, half.found) == ("warning", away.found)
    assert "hidden" not in half.fix
    wrong = network.engine("redis://:hidden@127.0.0.1:none/0")
    assert wrong.state == "problem"
    assert "hidden" not in f"{wrong.found}{wrong.fix}"


@pytest.mark.parametrize(
    ("scheme", "port"), [("redis", 6379), ("rediss+cluster", 6379), ("redis+sentinel", 26379)]
)
def test_an_engine_has_the_usual_port(scheme: str, port: int) -> None:
    assert f"192.0.2.1:{port}" in network._name(next(network._places(scheme, "192.0.2.1/x")))


def test_a_data_directory_that_cannot_be_written_matters_if_it_is_needed(tmp_path: Path) -> None:
    webhooks = '[[apps.webhooks]]\nurl="https://example.com"\nevents=["channel_occupied"]\n'
    app = '[[apps]]\nid="5"\nkey="k"\nsecret="s"\n'

    def settings(more: str) -> Settings:
        path = tmp_path / "oyez.toml"
        path.write_text(f'data_directory = "/proc/oyez"\n{app}{more}')
        return load(path)

    assert files.data_directory(settings("")).state == "warning"
    assert files.data_directory(settings(webhooks)).state == "problem"
    good = Settings(data_directory=tmp_path / "not" / "there")
    assert files.data_directory(good).state == "ok"


@pytest.fixture
def certified(tmp_path: Path) -> Callable[..., Settings]:
    def make(days: float) -> Settings:
        authority = trustme.CA()
        expires = datetime.now(UTC) + timedelta(days=days)
        pair = authority.issue_cert("localhost", not_after=expires)
        path = tmp_path / "server.pem"
        pair.private_key_and_cert_chain_pem.write_to_path(path)
        return Settings(tls_certificate=path)

    return make


def test_a_certificate_says_how_long_it_is_good(certified: Callable[..., Settings]) -> None:
    settings = certified(days=90)
    now = time.time()

    def after(days: float) -> Finding:
        return files.certificate(settings, now + days * 86_400)

    assert after(0).state == "ok"
    assert after(80).state == "warning"
    assert "kill -HUP" in after(80).fix
    assert after(91).state == "problem"
    assert "has expired on" in after(91).found
    assert after(-10_000).state == "problem"


def test_the_dates_are_those_that_openssl_reads(certified: Callable[..., Settings]) -> None:
    path = certified(days=30).tls_certificate
    assert path is not None
    text = path.read_text()
    only = path.with_name("leaf.pem")
    only.write_text(text[text.index("-----BEGIN CERT") : text.index("-----END CERT") + 26])

    decoded = ssl._ssl._test_decode_cert(str(only))  # type: ignore[attr-defined]  # CPython's own tests read dates so

    begins, ends = validity(text)
    assert ssl.cert_time_to_seconds(decoded["notBefore"]) == begins.timestamp()
    assert ssl.cert_time_to_seconds(decoded["notAfter"]) == ends.timestamp()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----END CERTIFICATE----------BEGIN CERTIFICATE-----",
    ],
)
def test_what_is_no_certificate_is_said_to_be_none(pem: str) -> None:
    with pytest.raises(ValueError, match="the PEM file"):
        validity(pem)


def test_a_pair_that_does_not_fit_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_text("nothing")

    found = files.certificate(Settings(tls_certificate=path))

    assert found.state == "problem"
    assert "cannot use" in found.found
