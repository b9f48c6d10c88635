"""Webhooks of several nodes: told once, whoever dies."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.nats_server import NatsServer
from tests.operation.clients import accepted, call, metrics
from tests.processes import stop_and_go
from tests.redis_server import RedisServer, until
from tests.webhooks.conftest import endpoint
from tests.webhooks.receiver import Receiver
from tests.webhooks.test_delivery import letters, oyez

LIFE = ["channel_occupied", "member_added", "member_removed", "channel_vacated"]


@pytest.fixture
def node_with_webhooks(
    node: Callable[..., RunningServer], tmp_path: Path
) -> Callable[..., RunningServer]:
    """Starts one more node; all share an outbox."""

    def start(receiver: Receiver, more: str = "") -> RunningServer:
        outbox = f"sqlite:///{tmp_path / 'outbox.db'}"
        top = f'[webhooks]\noutbox = "{outbox}"\none_machine = true\n{more}\n'
        return node(endpoint(receiver.url) + "[apps.limits]\nwebhook_delay = 1\n", top=top)

    return start


Start = Callable[..., RunningServer]


def told(receiver: Receiver, channel: str) -> list[str]:
    """What was told of a channel; who takes over from a dead node may have to repeat."""
    found: dict[str, str] = {}
    for request in receiver.requests:
        for each, event in zip(request.ids, request.events, strict=True):
            if event["channel"] == channel:
                found.setdefault(each, event["name"])
    return list(found.values())


def test_each_is_told_once_by_all_nodes_together(
    node_with_webhooks: Start, receivers: Callable[..., Receiver]
) -> None:
    receiver = receivers()
    one, two = node_with_webhooks(receiver), node_with_webhooks(receiver)
    with accepted(one) as first, accepted(two) as second:
        first.join(one, "presence-a", "ada")
        second.join(two, "presence-a", "ada")
        second.join(two, "presence-a-2", "bob")
        receiver.wait_until(lambda: len(receiver.names("presence-a-2")) == 2)
    for channel in ("presence-a", "presence-a-2"):
        receiver.wait_until(lambda channel=channel: len(receiver.names(channel)) >= 4)  # type: ignore[misc]
        assert receiver.names(channel) == LIFE


def test_what_a_killed_node_held_is_told_to_have_ended(
    node_with_webhooks: Start, receivers: Callable[..., Receiver]
) -> None:
    receiver = receivers()
    dying = node_with_webhooks(receiver)
    other = node_with_webhooks(receiver)
    with accepted(dying) as ada, accepted(other) as bob:
        ada.join(dying, "presence-a", "ada")
        bob.join(other, "presence-b", "bob")
        receiver.wait_for(4)
        dying.stop(signal.SIGKILL)  # also the one that delivers and reconciles
        receiver.wait_until(lambda: len(told(receiver, "presence-a")) == 4, seconds=30)
        assert told(receiver, "presence-a") == LIFE
        bob.join(other, "presence-c", "bob")
        receiver.wait_until(lambda: told(receiver, "presence-c") == LIFE[:2])
        assert told(receiver, "presence-b") == LIFE[:2]


def test_what_a_node_held_that_stops_ends_as_well(
    node_with_webhooks: Start, receivers: Callable[..., Receiver]
) -> None:
    receiver = receivers()
    stopping, _ = node_with_webhooks(receiver), node_with_webhooks(receiver)
    with accepted(stopping) as ada:
        ada.join(stopping, "presence-a", "ada")
        receiver.wait_for(2)
        assert stopping.stop() == 0
        receiver.wait_for(4, seconds=10)
    assert told(receiver, "presence-a") == LIFE


def test_workers_share_what_they_tell(
    node: Callable[..., RunningServer], receivers: Callable[..., Receiver], tmp_path: Path
) -> None:
    receiver = receivers()
    server = node(
        endpoint(receiver.url) + "[apps.limits]\nwebhook_delay = 1\n",
        top=f'workers = 2\ndata_directory = "{tmp_path}"\nwebhooks = {{ one_machine = true }}',
    )
    clients = [accepted(server) for _ in range(10)]
    for client in clients:
        client.join(server, "presence-a", "ada")
    for client in clients:
        client.connection.close()
    receiver.wait_until(lambda: len(told(receiver, "presence-a")) == 4)
    assert told(receiver, "presence-a") == LIFE


def test_any_node_shows_and_retries_what_has_died(
    node_with_webhooks: Start, receivers: Callable[..., Receiver]
) -> None:
    healthy = False
    receiver = receivers(lambda handler, count: handler.answer(200 if healthy else 500))
    one, two = (node_with_webhooks(receiver, "retry_seconds = 0.5") for _ in range(2))
    with accepted(one) as ada:
        ada.subscribe("news")
        for server in (one, two):
            until(lambda server=server: [x["state"] for x in letters(server)] == ["dead", "dead"])  # type: ignore[misc]
        healthy = True
        before = len(receiver.requests)
        assert oyez(two, "retry", "--all-dead").stdout == "retried: 2\n"
        receiver.wait_until(lambda: len(receiver.requests) > before)
        for server in (one, two):
            until(lambda server=server: letters(server) == [])  # type: ignore[misc]
            name = f'oyez_webhook_pending{{app_id="1001",target="{receiver.url}"}}'
            until(lambda server=server, name=name: metrics(server)[name] == 0)  # type: ignore[misc]


def test_a_broker_without_its_data_ends_nothing_that_is_there(
    node_with_webhooks: Start, receivers: Callable[..., Receiver], broker: RedisServer | NatsServer
) -> None:
    receiver = receivers()
    one, two = node_with_webhooks(receiver), node_with_webhooks(receiver)
    with accepted(one) as ada, accepted(two) as bob:
        ada.join(one, "presence-a", "ada")
        bob.join(two, "presence-b", "bob")
        receiver.wait_until(lambda: len(receiver.events()) == 4)
        forget(broker)
        broker.start()
        until(lambda: len(call(one, "GET", "/channels").json()["channels"]) == 2)
    receiver.wait_until(lambda: len(receiver.events()) == 8, seconds=30)
    for channel in ("presence-a", "presence-b"):
        assert receiver.names(channel) == LIFE


@pytest.mark.soak
def test_all_nodes_die_and_the_broker_forgets_everything(
    node_with_webhooks: Start, receivers: Callable[..., Receiver], broker: RedisServer | NatsServer
) -> None:
    receiver = receivers()
    one, two = node_with_webhooks(receiver), node_with_webhooks(receiver)
    with accepted(one) as ada, accepted(two) as bob:
        ada.join(one, "presence-a", "ada")
        bob.join(two, "presence-b", "bob")
        receiver.wait_for(4)
        forget(broker)
        for server in (one, two):
            server.stop(signal.SIGKILL)
    broker.start()
    again = node_with_webhooks(receiver)
    for channel in ("presence-a", "presence-b"):
        receiver.wait_until(lambda channel=channel: len(told(receiver, channel)) >= 4, seconds=40)  # type: ignore[misc]
        assert told(receiver, channel) == LIFE
    with accepted(again) as ada:
        ada.join(again, "presence-a", "ada")
        receiver.wait_until(lambda: len(told(receiver, "presence-a")) == 6)
        assert told(receiver, "presence-a") == LIFE + LIFE[:2]


@pytest.mark.soak
def test_who_comes_back_late_after_the_broker_forgot_is_told_to_be_there_soon(
    node_with_webhooks: Start, receivers: Callable[..., Receiver], broker: RedisServer | NatsServer
) -> None:
    receiver = receivers()
    one, two = node_with_webhooks(receiver), node_with_webhooks(receiver)
    with accepted(one) as ada, accepted(two) as bob:
        ada.join(one, "presence-a", "ada")
        bob.join(two, "presence-b", "bob")
        receiver.wait_for(4)
        with stop_and_go(two.pid):
            forget(broker)
            broker.start()
            receiver.wait_until(lambda: told(receiver, "presence-b") == LIFE, seconds=40)
        receiver.wait_until(lambda: told(receiver, "presence-b") == LIFE + LIFE[:2], seconds=15)
        assert told(receiver, "presence-a") == LIFE[:2]


def forget(broker: RedisServer | NatsServer) -> None:
    """End it, and with it what it kept."""
    broker.stop()
    if isinstance(broker, NatsServer):
        broker.wipe()
