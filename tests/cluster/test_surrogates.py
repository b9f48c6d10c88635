r"""Half a letter, ``"Anna 👩".slice(0, 6)``, wherever text comes in: never a reason to refuse.

The clients here take nothing but UTF-8, and what they are told has to be JSON.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from oyez.protocol.signing import Token, channel_string, user_string
from tests.cluster.conftest import APP
from tests.conftest import RunningServer
from tests.nats_server import nats_is_installed, running_nats
from tests.operation.clients import Client, accepted, call
from tests.redis_server import redis_is_installed, running_redis
from tests.webhooks.conftest import endpoint
from tests.webhooks.receiver import Receiver

HALF = "Anna \ud83d"
ANNA = "Anna \N{REPLACEMENT CHARACTER}"
Nodes = tuple[RunningServer, RunningServer, Receiver]


ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"


@pytest.fixture(
    params=[
        None,
        pytest.param(running_redis, marks=redis_is_installed),
        pytest.param(running_nats, marks=nats_is_installed),
    ],
    ids=["memory", "redis", "nats"],
)
def nodes(
    request: pytest.FixtureRequest,
    start_server: Callable[..., RunningServer],
    receivers: Callable[..., Receiver],
    tmp_path: Path,
) -> Iterator[Nodes]:
    """Two nodes, or twice the one, and the receiver of their webhooks."""
    receiver = receivers()
    app = APP + endpoint(receiver.url)
    if request.param is None:
        only = start_server(f'data_directory = "{tmp_path}"\n{app}')
        yield only, only, receiver
        return
    outbox = f'[webhooks]\noutbox = "sqlite:///{tmp_path / "outbox.db"}"\none_machine = true\n'
    with request.param() as broker:
        text = f'engine = "{broker.url}"\n{outbox}{app}'
        yield start_server(text), start_server(text), receiver


def auth(server: RunningServer, text: str) -> str:
    return f"{server.key}:{Token(server.key, server.secret).sign(text.encode())}"


def join(server: RunningServer, client: Client, user_id: str) -> dict[str, Any]:
    """Who is there then, with what the others are told of them."""
    data = json.dumps({"user_id": user_id, "user_info": {"name": HALF}})
    signed = auth(server, channel_string(client.socket_id, "presence-x", data))
    joined = client.subscribe("presence-x", auth=signed, channel_data=data)
    found: dict[str, Any] = json.loads(joined["data"])["presence"]["hash"]
    return found


def sign_in(server: RunningServer, client: Client, user_id: str, *watched: str) -> None:
    data = json.dumps({"id": user_id, "watchlist": watched})
    signed = auth(server, user_string(client.socket_id, data))
    client.send("pusher:signin", {"auth": signed, "user_data": data})
    answer = json.loads(client.receive("pusher:signin_success")["data"])
    assert answer["user_data"] == data  # byte for byte


def test_members_client_events_and_webhooks_may_have_half_a_letter(nodes: Nodes) -> None:
    one, two, receiver = nodes
    with accepted(one) as ada, accepted(two) as bob:
        assert join(one, ada, "a\ud83d") == {"a\ufffd": {"name": ANNA}}
        assert join(two, bob, "b") == {"a\ufffd": {"name": ANNA}, "b": {"name": ANNA}}
        added = json.loads(ada.receive(ADDED)["data"])
        assert added == {"user_id": "b", "user_info": {"name": ANNA}}
        answer = call(two, "GET", "/channels/presence-x/users").json()
        assert answer == {"users": [{"id": "a\ufffd"}, {"id": "b"}]}

        ada.send("client-object", {"name": HALF}, channel="presence-x")
        heard = bob.receive("client-object")
        assert (json.loads(heard["data"]), heard["user_id"]) == ({"name": ANNA}, "a\ufffd")
        bob.send("client-text", HALF, channel="presence-x")
        assert ada.receive("client-text")["data"] == ANNA
        inside = json.dumps({"name": HALF})
        bob.send("client-inside", inside, channel="presence-x")
        assert ada.receive("client-inside")["data"] == inside

        ada.connection.close()
        assert json.loads(bob.receive(REMOVED)["data"]) == {"user_id": "a\ufffd"}
    receiver.wait_until(lambda: "member_removed" in receiver.names("presence-x"))
    told = [(each["name"], each.get("user_id"), each.get("data")) for each in receiver.events()]
    assert ("member_added", "a\ufffd", None) in told
    assert ("client_event", "b", ANNA) in told
    assert ("client_event", "b", inside) in told


def test_publishes_may_have_half_a_letter(nodes: Nodes) -> None:
    one, two, _ = nodes
    inside = json.dumps({"name": HALF})
    with accepted(one) as client:
        client.subscribe("cache-x")
        client.receive("pusher:cache_miss")
        for data in (HALF, inside):
            event = {"name": "e\udc69", "channel": "cache-x", "data": data}
            assert call(two, "POST", "/events", {**event, "info": ""}).status_code == 200
            assert call(two, "POST", "/batch_events", {"batch": [event]}).status_code == 200
        heard = [client.receive("e\ufffd")["data"] for _ in range(4)]
        assert heard == [ANNA, ANNA, inside, inside]
        with accepted(two) as late:
            late.subscribe("cache-x")
            assert late.receive("e\ufffd")["data"] == inside


def test_users_may_have_half_a_letter(nodes: Nodes) -> None:
    one, two, _ = nodes
    with accepted(one) as ada, accepted(two) as bob:
        sign_in(one, ada, "ada", "b\ud83d")
        ada.receive("pusher_internal:watchlist_events")  # who is there now
        sign_in(two, bob, "b\ud83d")
        change = json.loads(ada.receive("pusher_internal:watchlist_events")["data"])
        assert change == {"events": [{"name": "online", "user_ids": ["b\ufffd"]}]}

        bob.subscribe("#server-to-user-b\ud83d")
        event = {"name": "e", "channel": "#server-to-user-b\ud83d", "data": HALF}
        assert call(one, "POST", "/events", event).status_code == 200
        assert bob.receive("e")["data"] == ANNA
        call(one, "POST", "/users/b%EF%BF%BD/terminate_connections")
        assert bob.closed_with()[0] == 4009


def test_fallbacks_may_send_half_a_letter(nodes: Nodes) -> None:
    one, _, _ = nodes
    session = f"http://{one.host}:{one.port}/app/{one.key}/1/half0001"
    httpx2.post(f"{session}/xhr?protocol=7", trust_env=False, timeout=20)
    text = '{"event":"pusher:subscribe","data":{"channel":"x","x":"\\ud83d"}}'
    for body in (
        json.dumps([text]),
        '["{\\"event\\":\\"pusher:ping\\",\\"data\\":\\"\\ud83d\\"}"]',
    ):
        assert httpx2.post(f"{session}/xhr_send", content=body, trust_env=False).status_code == 204
    polled = httpx2.post(f"{session}/xhr?protocol=7", trust_env=False, timeout=20).text
    assert "subscription_succeeded" in polled
    assert "pusher:pong" in polled
    assert "pusher:error" not in polled
