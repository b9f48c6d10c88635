"""TLS in the server: connecting, renewing the certificate, insisting on it.

Clients that stay connected are of asyncio: one that reads and writes in two threads, as the other
does, loses what it writes about once in 2,000 times, as Python's ssl has no lock.
"""

import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import trustme
from websockets.asyncio.client import connect

from tests.conftest import RunningServer
from tests.operation.clients import call, open_client

StartServer = Callable[..., RunningServer]

APP = '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\n'


class Certificates:
    """An authority and the files of a server it vouches for."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.renew()

    def renew(self) -> None:
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))

    def settings(self) -> str:
        return f'tls_certificate = "{self.certificate}"\ntls_key = "{self.key}"\n'

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def serial(server: RunningServer, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection((server.host, server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        found = connection.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


@pytest.mark.parametrize("transport", ["uvloop", "asyncio", "aiofastnet"])
async def test_clients_and_backends_come_over_tls(
    start_server: StartServer, certificates: Certificates, transport: str
) -> None:
    server = start_server(certificates.settings(), "--transport", transport)
    context = certificates.trusting()

    url = f"wss://127.0.0.1:{server.port}/app/app-key?protocol=7"
    async with connect(url, ssl=context, proxy=None, open_timeout=90) as client:
        assert "pusher:connection_established" in str(await client.recv())
        await client.send('{"event":"pusher:subscribe","data":{"channel":"news"}}')
        assert "subscription_succeeded" in str(await client.recv())
    with httpx2.Client(verify=context, trust_env=False) as http:
        answer = http.get(f"https://127.0.0.1:{server.port}/up")
        assert answer.json() == {"health": "OK"}


async def test_a_renewed_certificate_is_used_without_dropping_anybody(
    start_server: StartServer, certificates: Certificates
) -> None:
    server = start_server(certificates.settings())
    context = certificates.trusting()
    url = f"wss://127.0.0.1:{server.port}/app/app-key?protocol=7"
    async with connect(url, ssl=context, proxy=None, open_timeout=90) as client:
        await client.recv()
        before = serial(server, context)

        certificates.renew()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("certificate reloaded")

        assert serial(server, context) != before
        await client.send('{"event":"pusher:ping","data":{}}')
        assert "pusher:pong" in str(await client.recv())


def test_a_certificate_that_is_broken_does_not_replace_the_one_in_use(
    start_server: StartServer, certificates: Certificates
) -> None:
    server = start_server(certificates.settings())
    context = certificates.trusting()
    before = serial(server, context)

    certificates.certificate.write_text("nonsense")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("certificate not reloaded")

    assert serial(server, context) == before


def test_a_file_that_is_missing_is_said_at_the_start(
    start_server: StartServer, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=r"cannot use .*none\.pem for TLS"):
        start_server(f'tls_certificate = "{tmp_path / "none.pem"}"')


def test_a_hangup_without_tls_changes_nothing(start_server: StartServer) -> None:
    server = start_server()

    server.process.send_signal(signal.SIGHUP)

    server.wait_for_log("nothing to reload")
    assert call(server, "GET", "/channels").status_code == 200


def test_an_app_that_insists_on_tls_refuses_the_rest(start_server: StartServer) -> None:
    server = start_server("trust_proxy = true\n" + APP + "force_tls = true")

    with open_client(server) as client:
        assert client.closed_with() == (
            4000,
            "Application only accepts SSL connections, reconnect using wss://",
        )
    assert call(server, "GET", "/channels").status_code == 403
    proxied = call(server, "GET", "/channels", headers={"X-Forwarded-Proto": "https"})
    assert proxied.status_code == 200
    with open_client(server, additional_headers={"X-Forwarded-Proto": "https"}) as client:
        assert client.receive()["event"] == "pusher:connection_established"


@pytest.mark.parametrize("said", ["https", "wss", "HTTPS", "ws, wss"])
def test_whatever_a_proxy_calls_tls_lets_everybody_in(start_server: StartServer, said: str) -> None:
    # Traefik says wss or ws of a WebSocket, https or http of other requests.
    server = start_server("trust_proxy = true\n" + APP + "force_tls = true")
    headers = {"X-Forwarded-Proto": said}

    with open_client(server, additional_headers=headers) as client:
        assert client.receive()["event"] == "pusher:connection_established"
    assert call(server, "GET", "/channels", headers=headers).status_code == 200
    session = f"http://{server.host}:{server.port}/app/{server.key}/1/tls00001/xhr?protocol=7"
    assert "established" in httpx2.post(session, headers=headers, trust_env=False).text


@pytest.mark.parametrize("said", ["ws", "http", "wss, ws"])
def test_whatever_a_proxy_calls_plain_is_refused(start_server: StartServer, said: str) -> None:
    server = start_server("trust_proxy = true\n" + APP + "force_tls = true")
    headers = {"X-Forwarded-Proto": said}

    with open_client(server, additional_headers=headers) as client:
        assert client.closed_with()[0] == 4000
    assert call(server, "GET", "/channels", headers=headers).status_code == 403
    session = f"http://{server.host}:{server.port}/app/{server.key}/1/tls00001/xhr?protocol=7"
    answer = httpx2.post(session, headers=headers, trust_env=False)
    assert answer.text.splitlines()[-1].startswith("c[4000,")


def test_headers_that_come_twice_are_one_list(start_server: StartServer) -> None:
    server = start_server("trust_proxy = true\n" + APP + "force_tls = true")
    client = websocket_head(server, "X-Forwarded-Proto: http", "X-Forwarded-Proto: https")

    assert b"connection_established" in client


def websocket_head(server: RunningServer, *headers: str) -> bytes:
    """What the server says to a handshake with these headers, up to its first message."""
    lines = [
        f"GET /app/{server.key}?protocol=7 HTTP/1.1",
        "Host: h",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
        "\r\n",
    ]
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        received = b""
        while b'"pusher:' not in received:
            received += connection.recv(65536)
    return received


def test_a_proxy_is_not_believed_unless_it_is_trusted(start_server: StartServer) -> None:
    server = start_server(APP + "force_tls = true")

    proxied = call(server, "GET", "/channels", headers={"X-Forwarded-Proto": "https"})

    assert proxied.status_code == 403


@pytest.mark.parametrize(
    ("setting", "said", "logged"),
    [
        ("trust_proxy = true\n", "203.0.113.9, 192.0.2.7", "192.0.2.7"),
        ("trust_proxy = true\n", "192.0.2.7, 2001:db8::1", "2001:db8::1"),
        ("trust_proxy = true\n", "192.0.2.7, unknown", "127.0.0.1:"),
        ("trust_proxy = true\n", "192.0.2.7:5678", "192.0.2.7"),
        ("trust_proxy = true\n", '"[2001:db8::1]:80"', "2001:db8::1"),
        ("", "192.0.2.7", "127.0.0.1:"),
    ],
)
def test_the_client_is_who_a_trusted_proxy_has_seen(
    start_server: StartServer, setting: str, said: str, logged: str
) -> None:
    server = start_server(setting)

    with open_client(server, additional_headers={"X-Forwarded-For": said}) as client:
        client.receive("pusher:connection_established")

    assert str(server.wait_for_log("connection closed")["peer"]).startswith(logged)


def test_the_client_of_a_fallback_is_who_a_trusted_proxy_has_seen(
    start_server: StartServer,
) -> None:
    server = start_server("trust_proxy = true\n")
    session = f"http://{server.host}:{server.port}/app/{server.key}/1/tls00002/xhr?protocol=7"
    httpx2.post(session, headers={"X-Forwarded-For": "192.0.2.7:80"}, trust_env=False)

    server.stop()

    assert server.wait_for_log("connection closed")["peer"] == "192.0.2.7"
