"""Each type of event, as a real receiver gets it and the official library accepts it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pusher
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import Client, accepted, publish
from tests.webhooks.conftest import Configured, endpoint
from tests.webhooks.receiver import Receiver

CLIENTS = Path(__file__).parent.parent / "end_to_end" / "clients"


def leave(client: Client, channel: str) -> None:
    client.send("pusher:unsubscribe", {"channel": channel})
    client.send("pusher:ping")
    client.receive("pusher:pong")


def official(server: RunningServer) -> pusher.Pusher:
    return pusher.Pusher(app_id="1001", key=server.key, secret=server.secret, ssl=False)


def test_a_channel_is_occupied_and_vacated_with_its_members(
    configured: Configured, receiver: Receiver
) -> None:
    server = configured(endpoint(receiver.url))
    with accepted(server) as first, accepted(server) as second:
        for client in (first, second):
            client.join(server, "presence-a", "ada")
        receiver.wait_for(2)
    receiver.wait_for(4)

    assert receiver.events() == [
        {"name": "channel_occupied", "channel": "presence-a"},
        {"name": "member_added", "channel": "presence-a", "user_id": "ada"},
        {"name": "member_removed", "channel": "presence-a", "user_id": "ada"},
        {"name": "channel_vacated", "channel": "presence-a"},
    ]


def test_a_client_event_is_told_with_its_sender(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url, events='"client_event"'))
    with accepted(server) as client:
        client.join(server, "presence-a", "ada")
        client.join(server, "private-b", "")
        client.send("client-x", {"text": "Grüße 🌍"}, channel="presence-a")
        client.send("client-y", "plain", channel="private-b")
        client.send("not-client", "plain", channel="private-b")
        events = receiver.wait_for(2)

    by_channel = {event["channel"]: event for event in events}
    assert by_channel["presence-a"] == {
        "name": "client_event",
        "channel": "presence-a",
        "event": "client-x",
        "data": '{"text":"Grüße 🌍"}',
        "socket_id": client.socket_id,
        "user_id": "ada",
    }
    assert "user_id" not in by_channel["private-b"]
    assert len(events) == 2


def test_a_cache_miss_is_told_once_in_a_while(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url, events='"cache_miss"'))
    publish(server, "cache-full", "kept")
    with accepted(server) as client:
        client.subscribe("cache-full")
        for _ in range(3):
            client.subscribe("cache-a")
            leave(client, "cache-a")
        client.subscribe("cache-b")
        receiver.wait_until(lambda: receiver.names("cache-b") == ["cache_miss"])

    assert receiver.names("cache-a") == ["cache_miss"]
    assert receiver.names("cache-full") == []


def test_counts_are_told_as_subscribers_get_them(
    configured: Configured, receiver: Receiver
) -> None:
    server = configured(endpoint(receiver.url, events='"subscription_count"'))
    with accepted(server) as first, accepted(server) as second:
        first.subscribe("news")
        receiver.wait_for(1)
        second.subscribe("news")
        receiver.wait_for(2)
        leave(second, "news")
        events = receiver.wait_for(3)

    assert [event["subscription_count"] for event in events] == [1, 2, 1]


def test_who_flaps_within_the_grace_is_not_told(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url), limits="webhook_delay = 2")
    for _ in range(5):
        with accepted(server) as client:
            client.join(server, "presence-a", "ada")
    receiver.wait_until(lambda: "channel_vacated" in receiver.names("presence-a"))

    assert receiver.names("presence-a") == [
        "channel_occupied",
        "member_added",
        "member_removed",
        "channel_vacated",
    ]


def test_the_official_library_accepts_it(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url))
    with accepted(server) as client:
        client.subscribe("news")
        receiver.wait_for(1)
    request = receiver.requests[0]

    assert request.headers["Content-Type"] == "application/json"
    assert {"X-Pusher-Key", "X-Pusher-Signature"} <= request.headers.keys()
    key, signature = request.headers["X-Pusher-Key"], request.headers["X-Pusher-Signature"]
    found = official(server).validate_webhook(key, signature, request.body.decode())
    assert found is not None
    assert found["events"][0] == {"name": "channel_occupied", "channel": "news"}
    assert official(server).validate_webhook(key, signature, request.body.decode() + " ") is None


NODE = """
import Pusher from "pusher";
const { headers, rawBody } = JSON.parse(process.argv[1]);
const pusher = new Pusher({ appId: "1001", key: "app-key", secret: "app-secret" });
const webhook = pusher.webhook({ headers, rawBody });
console.log(JSON.stringify([webhook.isValid(), webhook.isValid() && webhook.getEvents()]));
"""


def test_the_official_node_library_accepts_it(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url))
    with accepted(server) as client:
        client.subscribe("news")
        receiver.wait_for(1)
    request = receiver.requests[0]

    def ask(body: str) -> object:
        headers = {name.lower(): value for name, value in request.headers.items()}
        given = json.dumps({"headers": headers, "rawBody": body})
        command = ["node", "--input-type=module", "-e", NODE, "--", given]
        done = subprocess.run(
            command, cwd=CLIENTS, capture_output=True, text=True, check=True, timeout=120
        )
        return json.loads(done.stdout)

    body = request.body.decode()
    assert ask(body) == [True, json.loads(body)["events"]]
    assert ask(body + " ") == [False, False]


def test_the_oldest_token_signs(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url))
    with accepted(server) as client:
        client.subscribe("news")
        receiver.wait_for(1)

    assert receiver.requests[0].headers["X-Pusher-Key"] == server.key


def test_each_event_has_an_id_of_its_own(configured: Configured, receiver: Receiver) -> None:
    server = configured(endpoint(receiver.url))
    with accepted(server) as client:
        for number in range(5):
            client.subscribe(f"c{number}")
        receiver.wait_for(10)

    ids = [each for request in receiver.requests for each in request.ids]
    assert len(ids) == len(set(ids)) == len(receiver.events())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ('starts_with = "private-"', ["private-a-x"]),
        ('ends_with = "-x"', ["a-x", "private-a-x"]),
        ('starts_with = "a"\nends_with = "-x"', ["a-x"]),
        ('pattern = "a-."', ["a-x"]),
    ],
)
def test_an_endpoint_gets_only_channels_that_fit(
    configured: Configured,
    receivers: Callable[..., Receiver],
    filters: str,
    expected: list[str],
) -> None:
    filtered, control = receivers(), receivers()
    occupied = '"channel_occupied"'
    server = configured(
        endpoint(filtered.url, events=occupied, more=filters),
        endpoint(control.url, events=occupied),
    )
    with accepted(server) as client:
        for channel in ("a-x", "b-y", "private-a-x"):
            client.join(server, channel, "")
        control.wait_for(3)
        filtered.wait_for(len(expected))

    assert sorted(event["channel"] for event in filtered.events()) == sorted(expected)


def test_without_batching_each_event_is_a_request(
    configured: Configured, receiver: Receiver
) -> None:
    server = configured(
        endpoint(receiver.url, more='batching = false\nheaders = { "X-Team" = "chat" }')
    )
    with accepted(server) as client:
        client.join(server, "presence-a", "ada")
        receiver.wait_for(2)

    assert [len(request.events) for request in receiver.requests] == [1, 1]
    assert receiver.requests[0].headers["X-Team"] == "chat"


def test_a_python_function_gets_the_same_events(configured: Configured) -> None:
    target = configured.directory.parent / "events.txt"
    module = configured.directory.parent / "hook_of_a_test.py"
    module.write_text(
        "import msgspec\n"
        "async def note(event):\n"
        f"    with open({str(target)!r}, 'a') as file:\n"
        "        file.write(msgspec.json.encode(event).decode() + '\\n')\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(module.parent))
        server = configured(app='on_webhook = "hook_of_a_test:note"\n', executed=True)
    with accepted(server) as client:
        client.subscribe("news")
        client.send("pusher:ping")
        client.receive("pusher:pong")
    server.stop()

    events = [json.loads(line) for line in target.read_text().splitlines()]
    assert events[0] == {"name": "channel_occupied", "channel": "news"}


def test_a_function_that_does_not_exist_is_said_at_the_start(configured: Configured) -> None:
    with pytest.raises(AssertionError, match="cannot load nowhere:function"):
        configured(app='on_webhook = "nowhere:function"\n')
