"""Ways to a Redis beside the plain one: TLS, a password, a socket, a prefix of its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable
from oyez.server.engine.redis import RedisBackplane
from tests.engine.contract import eventually
from tests.redis_server import RedisServer, free_port, redis_is_installed

pytestmark = redis_is_installed

Start = Callable[..., RedisServer]


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Start:
    def start(*arguments: str) -> RedisServer:
        server = RedisServer(tmp_path, *arguments)
        request.addfinalizer(server.stop)
        server.start()
        return server

    return start


async def heard(sender: RedisBackplane, listener: RedisBackplane) -> bool:
    """Whether what one node publishes arrives at the other."""
    messages: list[tuple[str, str]] = []
    try:
        await listener.connect(lambda app, channel, _: messages.append((app, channel)), print)
        await sender.connect(lambda *_: None, print)
        await listener.subscribe("1", "news")
        await sender.publish("1", [Event("e", "news", "1")], 0)
        try:
            await asyncio.wait_for(eventually(lambda: bool(messages)), 1)
        except TimeoutError:
            return False
        return messages == [("1", "news")]
    finally:
        await sender.close()
        await listener.close()


async def test_tls_with_a_certificate_authority_of_our_own(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(files["ca"])
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])
    port = free_port()
    start(
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", files["cert"], "--tls-key-file", files["key"]),
        *("--tls-ca-cert-file", files["ca"]),
    )

    url = f"rediss://localhost:{port}?ssl_ca_certs={files['ca']}"
    assert await heard(RedisBackplane(url), RedisBackplane(url))

    stranger = RedisBackplane(f"rediss://localhost:{port}")
    with pytest.raises(EngineUnavailable, match="certificate"):
        await stranger.connect(lambda *_: None, lambda _: None)
    await stranger.close()


async def test_a_password_in_the_address_or_beside_it(start: Start) -> None:
    server = start()
    server.ask("ACL", "SETUSER", "oyez", "on", ">s3cret", "~*", "&*", "+@all")
    server.ask("ACL", "SETUSER", "default", "off")
    server_url = f"127.0.0.1:{server.port}"
    beside = RedisBackplane(f"redis://{server_url}", {"username": "oyez", "password": "s3cret"})
    assert await heard(RedisBackplane(f"redis://oyez:s3cret@{server_url}"), beside)


async def test_a_socket_of_this_machine(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    start("--unixsocket", str(path))
    assert await heard(RedisBackplane(f"unix://{path}"), RedisBackplane(f"unix://{path}"))


async def test_deployments_with_other_prefixes_do_not_hear_each_other(start: Start) -> None:
    url = start().url
    assert not await heard(RedisBackplane(url, prefix="one"), RedisBackplane(url, prefix="two"))
    assert await heard(RedisBackplane(url, prefix="one"), RedisBackplane(url, prefix="one"))
