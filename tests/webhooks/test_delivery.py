"""Receivers that fail, hang, redirect, hang up and come back; servers that are killed."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable

import httpx2
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted, metrics
from tests.redis_server import until
from tests.webhooks.conftest import Configured, endpoint
from tests.webhooks.receiver import Handler, Receiver, closed_port

OCCUPIED = '"channel_occupied"'
BOTH = '"channel_occupied", "channel_vacated"'
PATIENT = "webhook_delay = 6"  # longer than a start takes


def occupy(server: RunningServer, *channels: str) -> None:
    with accepted(server) as client:
        for channel in channels:
            client.subscribe(channel)


def letters(server: RunningServer) -> list[dict[str, object]]:
    url = f"http://{server.host}:{server.admin_port}/webhooks"
    found: list[dict[str, object]] = httpx2.get(url, trust_env=False).json()["letters"]
    return found


def oyez(server: RunningServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    url = f"http://{server.host}:{server.admin_port}"
    return subprocess.run(
        [sys.executable, "-m", "oyez", "webhooks", *arguments, "--admin-url", url],
        capture_output=True,
        text=True,
        timeout=120,
    )


def fails_twice(handler: Handler, count: int) -> None:
    handler.answer(503 if count <= 2 else 204)


def test_a_failing_receiver_gets_the_same_bytes_again(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    receiver = receivers(fails_twice)
    server = configured(endpoint(receiver.url, events=OCCUPIED))

    occupy(server, "news")
    receiver.wait_until(lambda: len(receiver.requests) == 3)

    first, *others = receiver.requests
    for other in others:
        assert other.body == first.body
        assert other.headers["X-Pusher-Signature"] == first.headers["X-Pusher-Signature"]
        assert other.ids == first.ids
    until(lambda: letters(server) == [])


def redirects(handler: Handler, count: int) -> None:
    handler.answer(302 if count == 1 else 200, Location="/elsewhere")


def hangs_up(handler: Handler, count: int) -> None:
    if count == 1:
        handler.close_connection = True
        handler.connection.close()
    else:
        handler.answer(200)


def test_a_redirect_and_a_hang_up_are_failures(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    for behaviour in (redirects, hangs_up):
        receiver = receivers(behaviour)
        server = configured(endpoint(receiver.url, events=OCCUPIED))
        occupy(server, "news")
        receiver.wait_until(lambda receiver=receiver: len(receiver.requests) == 2)  # type: ignore[misc]
        assert {request.path for request in receiver.requests} == {"/hooks"}
        server.stop()


def test_two_servers_on_one_data_directory_are_refused(
    configured: Configured, receiver: Receiver
) -> None:
    configured(endpoint(receiver.url))

    with pytest.raises(AssertionError, match="oyez: another server uses the outbox"):
        configured(endpoint(receiver.url))


def test_endpoints_with_one_url_are_told_apart(configured: Configured, receiver: Receiver) -> None:
    server = configured(
        endpoint(receiver.url, events='"channel_occupied"', more='headers = { "X-Team" = "a" }'),
        endpoint(receiver.url, events=OCCUPIED, more='headers = { "X-Team" = "b" }'),
        endpoint(receiver.url, events='"channel_vacated"', more='name = "c"\nbatching = false'),
    )
    occupy(server, "news", "sports")
    receiver.wait_for(6)

    told = sorted(
        (request.headers.get("X-Team", "c"), event["name"], event["channel"])
        for request in receiver.requests
        for event in request.events
    )
    occupied = "channel_occupied"
    assert told == [
        ("a", occupied, "news"),
        ("a", occupied, "sports"),
        ("b", occupied, "news"),
        ("b", occupied, "sports"),
        ("c", "channel_vacated", "news"),
        ("c", "channel_vacated", "sports"),
    ]
    assert {len(x.events) for x in receiver.requests if "X-Team" not in x.headers} == {1}


def test_what_waits_shows_its_attempts_and_why(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    receiver = receivers(lambda handler, _: handler.answer(503))
    server = configured(endpoint(receiver.url, events=OCCUPIED))
    occupy(server, "news")

    def shown() -> bool:
        found = letters(server)
        return bool(found and found[0]["attempts"] and found[0]["error"] == "answered 503")

    until(shown)
    line = server.wait_for_log("webhook endpoint fails")
    assert line["error"] == "answered 503"


def test_a_receiver_that_hangs_delays_nobody_else(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    def hangs(handler: Handler, count: int) -> None:
        over.wait(120)

    over = threading.Event()
    slow, quick = receivers(hangs), receivers()
    server = configured(
        endpoint(slow.url, events=OCCUPIED),
        endpoint(quick.url, events=OCCUPIED),
        top="[webhooks]\ntimeout = 3.0",
    )
    occupy(server, *(f"c{number}" for number in range(20)))

    quick.wait_for(20)
    until(lambda: "no answer within 3 s" in str(server_report(server)[0]))
    over.set()


def server_report(server: RunningServer) -> list[dict[str, object]]:
    url = f"http://{server.host}:{server.admin_port}/webhooks"
    found: list[dict[str, object]] = httpx2.get(url, trust_env=False).json()["endpoints"]
    return found


def test_events_of_a_channel_arrive_in_order_though_a_request_failed(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    def fails_first(handler: Handler, count: int) -> None:
        handler.answer(500 if count == 1 else 200)

    receiver = receivers(fails_first)
    server = configured(endpoint(receiver.url, events='"client_event"', more="batching = false"))
    with accepted(server) as client:
        client.join(server, "private-a", "")
        for number in range(5):
            client.send(f"client-{number}", channel="private-a")
        receiver.wait_until(lambda: len(receiver.requests) == 6)

    names = [event["event"] for event in receiver.events()]
    assert names == ["client-0", "client-0", "client-1", "client-2", "client-3", "client-4"]


def test_what_nobody_takes_becomes_a_dead_letter_and_can_be_retried(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    healthy = False

    def sick(handler: Handler, count: int) -> None:
        handler.answer(200 if healthy else 500)

    receiver = receivers(sick)
    server = configured(
        endpoint(receiver.url, events=OCCUPIED), top="[webhooks]\nretry_seconds = 0.5"
    )
    occupy(server, "news", "sports")
    until(lambda: [x["state"] for x in letters(server)] == ["dead", "dead"])
    listed = letters(server)
    assert {x["error"] for x in listed} == {"answered 500"}
    assert (
        metrics(server)[
            f'oyez_webhook_events_total{{app_id="1001",result="died",target="{receiver.url}"}}'
        ]
        == 2
    )

    shown = oyez(server, "list", "--dead")
    assert shown.stdout.count("\n") == 2
    one, other = (str(x["id"]) for x in listed)
    assert f'"id": "{one}"' in oyez(server, "show", one).stdout
    assert oyez(server, "drop", other).stdout == "dropped: 1\n"
    again = oyez(server, "drop", other, "nope")
    assert (again.returncode, again.stdout) == (1, "dropped: 0\n")
    assert "2 of 2 ids" in again.stderr
    healthy = True
    before = len(receiver.requests)
    assert oyez(server, "retry", "--all-dead").stdout == "retried: 1\n"
    receiver.wait_until(lambda: len(receiver.requests) == before + 1)
    assert receiver.requests[-1].ids == [one]
    until(lambda: letters(server) == [])
    assert oyez(server, "retry").returncode == 2


def test_a_server_that_is_killed_loses_nothing(
    configured: Configured, receivers: Callable[..., Receiver]
) -> None:
    healthy = False

    def sick(handler: Handler, count: int) -> None:
        handler.answer(200 if healthy else 500)

    receiver = receivers(sick)
    hook = endpoint(receiver.url, events=BOTH)
    server = configured(hook, limits=PATIENT)
    channels = [f"c{number}" for number in range(30)]
    with accepted(server) as client:
        for channel in channels:
            client.subscribe(channel)  # acknowledged: it is stored
        server.stop(signal.SIGKILL)
    healthy = True
    before = len(receiver.requests)

    again = configured(hook, limits=PATIENT)
    with accepted(again) as client:
        client.subscribe("c0")  # back within the grace
        receiver.wait_until(
            lambda: all(
                names_since(receiver, before, channel)[-1:] == ["channel_vacated"]
                for channel in channels[1:]
            )
        )

        assert names_since(receiver, before, "c0") == ["channel_occupied"]
        for channel in channels[1:]:
            assert names_since(receiver, before, channel) == ["channel_occupied", "channel_vacated"]


def names_since(receiver: Receiver, first: int, channel: str) -> list[str]:
    """The events of a channel from some request on, duplicates dropped by their ids."""
    found: dict[str, str] = {}
    for request in receiver.requests[first:]:
        for each, event in zip(request.ids, request.events, strict=True):
            if event["channel"] == channel:
                found[each] = event["name"]
    return list(found.values())


def test_a_grace_that_is_pending_survives_a_restart(
    configured: Configured, receiver: Receiver
) -> None:
    hook = endpoint(receiver.url, events=BOTH)
    server = configured(hook, limits="webhook_delay = 2")
    occupy(server, "news", "sports")
    receiver.wait_for(2)
    assert server.stop() == 0

    again = configured(hook, limits="webhook_delay = 2")
    with accepted(again) as client:
        client.subscribe("news")
        receiver.wait_for(3)
        assert receiver.names("sports") == ["channel_occupied", "channel_vacated"]
        assert receiver.names("news") == ["channel_occupied"]


def test_an_endpoint_in_a_private_network_is_not_asked(
    configured: Configured, receiver: Receiver
) -> None:
    server = configured(
        endpoint(receiver.url, events=OCCUPIED),
        top="[webhooks]\nallow_private = false\nretry_seconds = 0.1",
    )
    occupy(server, "news")

    until(lambda: [x["state"] for x in letters(server)] == ["dead"])
    assert letters(server)[0]["error"] == "127.0.0.1 is 127.0.0.1, which is not a public address"
    assert receiver.requests == []


def test_more_than_may_wait_drops_the_oldest_and_counts_it(configured: Configured) -> None:
    server = configured(
        endpoint(f"http://127.0.0.1:{closed_port()}/", events=OCCUPIED),
        top="[webhooks]\nmost_pending = 5",
    )
    occupy(server, *(f"c{number}" for number in range(12)))

    (report,) = server_report(server)
    assert (report["pending"], report["dropped"]) == (5, 7)


def test_who_subscribes_to_very_much_pushes_out_only_its_own(configured: Configured) -> None:
    server = configured(
        endpoint(f"http://127.0.0.1:{closed_port()}/"),
        limits="webhook_delay = 60",
        top="[webhooks]\nmost_pending = 40",
    )
    with accepted(server) as member, accepted(server) as anybody:
        member.join(server, "presence-x", "ada")
        for number in range(300):
            anybody.subscribe(f"c{number}")
        for _ in range(100):
            anybody.send("pusher:unsubscribe", {"channel": "c299"})
            anybody.subscribe("c299")

        until(lambda: len(letters(server)) == 40)
        waiting = Counter(str(dict(x["event"])["name"]) for x in letters(server))  # type: ignore[call-overload]
    (report,) = server_report(server)

    assert report["pending"] == 40
    assert waiting["member_added"] == 1
    assert waiting["channel_occupied"] >= 15
    assert waiting["subscription_count"] >= 15


def test_a_server_without_webhooks_has_none_to_list(server: RunningServer) -> None:
    listed = oyez(server, "list")

    assert listed.returncode == 1
    assert "has no webhooks configured" in listed.stderr
