"""The ways to a NATS: passwords, TLS, and what cannot be."""

from pathlib import Path

import pytest
import trustme

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable
from oyez.server.engine.nats import NatsBackplane
from tests.nats_server import (
    NatsServer,
    nats_is_installed,
    running_nats,
)

pytestmark = nats_is_installed


async def test_a_server_without_jetstream_is_told_apart() -> None:
    with running_nats(jetstream=False) as server:
        backplane = NatsBackplane(server.url)
        with pytest.raises(EngineUnavailable, match="has no JetStream"):
            await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()


@pytest.mark.parametrize(
    ("arguments", "login", "wrong"),
    [
        (("--auth", "token-1"), "token-1", "token-2"),
        (("--user", "ada", "--pass", "p@ss"), "ada:p%40ss", "ada:word"),
    ],
)
async def test_a_password_is_asked_for(arguments: tuple[str, ...], login: str, wrong: str) -> None:
    with running_nats(*arguments) as server:
        address = f"127.0.0.1:{server.port},127.0.0.1:{server.port}"
        backplane = NatsBackplane(f"nats://{login}@{address}")
        await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()
        backplane = NatsBackplane(f"nats://{wrong}@{address}")
        with pytest.raises(EngineUnavailable, match="Authorization Violation"):
            await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()


async def test_tls_is_insisted_on_and_checked(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    names = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "other", "cert", "key")}
    authority.cert_pem.write_to_path(names["ca"])
    other.cert_pem.write_to_path(names["other"])
    certificate.cert_chain_pems[0].write_to_path(names["cert"])
    certificate.private_key_pem.write_to_path(names["key"])

    async def connect(server: NatsServer, scheme: str, ca: str) -> None:
        url = f"{scheme}://127.0.0.1:{server.port}"
        backplane = NatsBackplane(url, {"tls_ca_file": names[ca]})
        try:
            await backplane.connect(lambda *_: None, lambda _: None)
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        finally:
            await backplane.close()

    with running_nats("--tls", "--tlscert", names["cert"], "--tlskey", names["key"]) as server:
        await connect(server, "tls", "ca")
        await connect(server, "nats", "ca")
        with pytest.raises(EngineUnavailable, match="certificate verify failed"):
            await connect(server, "tls", "other")
    with running_nats() as server, pytest.raises(EngineUnavailable, match="has no TLS"):
        await connect(server, "tls", "ca")
    with pytest.raises(ValueError, match="TLS: "):
        NatsBackplane("tls://a", {"tls_ca_file": str(tmp_path / "missing")})


@pytest.mark.parametrize(
    "url", ["nats://", "nats://a/b", "nats://a,", "nats://a:x", "nats://a?b=c", "http://a"]
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NatsBackplane(url)


def test_options_that_are_ours_are_refused() -> None:
    with pytest.raises(ValueError, match="allow_reconnect"):
        NatsBackplane("nats://a", {"allow_reconnect": True})
