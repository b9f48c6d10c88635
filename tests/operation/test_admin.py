"""The admin port, asked by web pages that a browser of an operator has open, and by everybody."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import RunningServer

WITH_WEBHOOKS = """
data_directory = "{directory}"
admin_names = ["Ops.example"]
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
[[apps.webhooks]]
url = "http://127.0.0.1:9/"
events = ["channel_occupied"]
"""


@pytest.fixture
def guarded(start_server: Callable[..., RunningServer], tmp_path: Path) -> RunningServer:
    return start_server(WITH_WEBHOOKS.format(directory=tmp_path / "data"))


@pytest.fixture
def ask(guarded: RunningServer) -> Iterator[Callable[..., httpx2.Response]]:
    with httpx2.Client(trust_env=False) as client:

        def send(path: str, method: str = "GET", **options: object) -> httpx2.Response:
            url = f"http://{guarded.host}:{guarded.admin_port}{path}"
            return client.request(method, url, **options)  # type: ignore[arg-type]

        yield send


PAGES = ["/", "/metrics", "/stats", "/webhooks", "/welcome/config"]
Ask = Callable[..., httpx2.Response]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:9601", "127.0.0.1.evil.example"])
def test_a_name_that_anybody_can_point_here_is_refused(ask: Ask, path: str, host: str) -> None:
    """Else a web page reads all of it: its own name resolves to this machine the second time."""
    answer = ask(path, headers={"Host": host})

    assert answer.status_code == 403
    assert "admin_names" in answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:9601", "LocalHost", "[::1]:9601", "10.1.2.3:9601", "ops.EXAMPLE", "ops.example:1"],
)
def test_addresses_and_names_that_are_set_are_answered(ask: Ask, host: str) -> None:
    assert ask("/webhooks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["[::1", "", "a b", "[v1.x]"])
def test_what_is_no_host_is_refused(ask: Ask, host: str) -> None:
    assert ask("/metrics", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("path", ["/up", "/healthz", "/readyz"])
def test_health_is_told_under_every_name(ask: Ask, path: str) -> None:
    assert ask(path, headers={"Host": "node-1.cluster"}).status_code == 200


CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/webhooks"), ("POST", "/webhooks/drop"), ("GET", "/metrics")]
)
def test_other_sites_ask_in_vain(ask: Ask, method: str, path: str, headers: dict[str, str]) -> None:
    answer = ask(path, method, json={"ids": []} if method == "POST" else None, headers=headers)

    assert answer.status_code == 403
    assert "site" in answer.json()["error"]


def test_a_form_of_another_site_sends_nothing(ask: Ask) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert ask("/webhooks/drop", "POST", headers=headers, json={"ids": []}).status_code == 403


def test_a_link_may_lead_here(ask: Ask) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert ask("/metrics", headers=headers).status_code == 200


def test_pages_of_this_server_may_ask(guarded: RunningServer, ask: Ask) -> None:
    origin = f"http://{guarded.host}:{guarded.admin_port}"
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}

    answer = ask("/webhooks/drop", "POST", json={"ids": []}, headers=headers)
    assert answer.json() == {"dropped": 0}


BODY = json.dumps({"ids": ["x" * 1000] * 300}).encode()


def test_a_large_body_is_refused_before_it_is_read(guarded: RunningServer) -> None:
    with socket.create_connection((guarded.host, guarded.admin_port), 10) as connection:
        connection.sendall(
            b"POST /webhooks/drop HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"262144" in answer
    assert b"1000000000" in answer


@pytest.mark.parametrize("path", ["/webhooks/drop", "/welcome/events", "/metrics"])
def test_a_body_in_chunks_is_bounded_as_well(ask: Ask, path: str) -> None:
    chunks = (BODY[at : at + 10_000] for at in range(0, len(BODY), 10_000))
    headers = {"Content-Type": "application/json"}

    assert ask(path, "POST", content=chunks, headers=headers).status_code == 413


@pytest.mark.parametrize("name", ["", "a b", "https://ops.example", "ops.example:9601", "*"])
def test_a_name_that_is_none_is_refused_at_the_start(
    start_server: Callable[..., RunningServer], name: str
) -> None:
    with pytest.raises(AssertionError, match="admin_names"):
        start_server(f'admin_names = ["{name}"]')
