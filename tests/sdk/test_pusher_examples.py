"""The code of ``docs/guide/pusher.md`` runs.

The documented examples name a cluster, so they speak TLS to ``api-APP_CLUSTER.pusher.com``. They do
so here too: the environment names a proxy that leads to our server, and the authority that vouches
for its certificate. Only the app id is filled in, since no library takes one that is not a number;
key and secret of the app *are* ``APP_KEY`` and ``APP_SECRET``.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from websockets.sync.client import connect

from tests.conftest import RunningServer
from tests.operation.clients import Client, accepted
from tests.operation.test_tls import Certificates
from tests.sdk.pusher_drop_in.certificate import issue
from tests.sdk.pusher_drop_in.tunnel import Tunnel

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "pusher.md"
# What the examples take as given, and a backend's place to look at what they return.
UNDER_THE_OLD_NAME = """
import json, sys
import oyez.pusher
from oyez.pusher.sending import HttpBackend

sys.modules["pusher"] = oyez.pusher
send, returned = HttpBackend.send_request, []

def watched(self, request):
    returned.append(send(self, request))
    return returned[-1]

HttpBackend.send_request = watched
channels, event = ["given"], "given-event"
"""
RETURNED = "\nprint(json.dumps(returned))"
APP = '[[apps]]\nid = "1001"\nkey = "APP_KEY"\nsecret = "APP_SECRET"\n'


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(code: str, **environment: str) -> str:
    without_proxies = {name: os.environ[name] for name in os.environ if "proxy" not in name.lower()}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**without_proxies, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_documented_examples(
    start_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    _, documented, _ = re.split(r"<!-- (?:begin|end): documented -->", GUIDE.read_text())
    examples = blocks(documented)
    assert len(examples) == 7
    certificates = Certificates(tmp_path)
    certificate, key = issue(certificates.authority, "api-app_cluster.pusher.com")
    certificates.certificate.write_bytes(certificate)
    certificates.key.write_bytes(key)
    certificates.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = start_server(certificates.settings() + APP)
    server.key, server.secret = "APP_KEY", "APP_SECRET"
    with Tunnel(server.port) as tunnel, subscribed(server, certificates) as subscriber:
        for name in ("given", "my-channel", "my-channel-1", "my-channel-2", "my-channel-3"):
            subscriber.subscribe(name)
        subscriber.join(server, "presence-chatroom", "ada")

        printed = run(
            UNDER_THE_OLD_NAME + "\n".join(examples).replace("APP_ID", server.app_id) + RETURNED,
            HTTPS_PROXY=tunnel.url,
            SSL_CERT_FILE=str(tmp_path / "ca.pem"),
        )

        received = [subscriber.receive() for _ in range(7)]
    assert [(each["event"], each["channel"]) for each in received] == [
        ("given-event", "given"),
        ("my-event", "my-channel"),
        ("my-event", "my-channel-1"),
        ("my-event", "my-channel-2"),
        ("my-event", "my-channel-3"),
        ("my-event-1", "my-channel-1"),
        ("my-event-2", "my-channel-2"),
    ]
    assert {each["data"] for each in received[:6]} == {'{"some": "data"}'}
    assert received[6]["data"] == '{"some": "other data"}'
    assert json.loads(printed) == [
        *[{}] * 4,
        {"channels": {"presence-chatroom": {"user_count": 1}}},
        {"occupied": True, "user_count": 1},
        {"users": [{"id": "ada"}]},
    ]
    assert set(tunnel.wanted) == {"api-app_cluster.pusher.com:443"}


@contextlib.contextmanager
def subscribed(server: RunningServer, certificates: Certificates) -> Iterator[Client]:
    with connect(
        f"wss://127.0.0.1:{server.port}/app/{server.key}?protocol=7",
        ssl=certificates.trusting(),
        server_hostname="api-app_cluster.pusher.com",
        proxy=None,
        legacy=True,
    ) as connection:
        client = Client(connection)
        greeting = client.receive("pusher:connection_established")
        client.socket_id = json.loads(greeting["data"])["socket_id"]
        yield client


def test_the_rest_of_the_guide(server: RunningServer) -> None:
    before, _, after = re.split(r"<!-- (?:begin|end): documented -->", GUIDE.read_text())
    code = "\n".join(blocks(before + after)).replace("6001", str(server.port))
    with accepted(server) as subscriber:
        subscriber.subscribe("my-channel")

        printed = run(
            code
            + "\nassert issubclass(PusherError, pusher.errors.PusherError)"
            + "\nassert sys.modules['pusher'] is pusher"
            + "\nprint(on_webhook({}, b''))"
        )

        received = [subscriber.receive("my-event")["data"] for _ in range(4)]
    hello = '{"message": "hello world"}'
    assert received == [hello, "hello", "hello", hello]
    assert printed.splitlines()[0].startswith("400 GET /apps/1001/channels/my-channel/users {")
    assert printed.splitlines()[1:] == [
        "{'channels': {'my-channel': {}}}",
        "refused: missing_header",
        "401",
    ]
