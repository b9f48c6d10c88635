"""``bench`` against a real server, and its counting on its own."""

import json
from collections.abc import Callable

import pytest

from oyez.cli.bench.tally import Latencies, Received, Tally
from oyez.cli.target import client_url
from tests.cli.command import oyez, oyez_on_terminal, url_of
from tests.conftest import RunningServer

SHORT = ("--subscribers", "5", "--rate", "50", "--seconds", "0.5")


def test_everybody_gets_everything(server: RunningServer) -> None:
    done = oyez("bench", *SHORT, "--publishers", "2", "--size", "300", "--url", url_of(server))

    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert (found["published"], found["deliveries"]) == (25, 125)
    assert found["lost"] == found["duplicates"] == found["out_of_order"] == 0
    assert 40 < found["events_per_second"] < 55
    assert 0 < found["delivery_ms_p50"] <= found["delivery_ms_p99"] <= found["delivery_ms_max"]


def test_a_person_sees_progress_and_a_table(server: RunningServer) -> None:
    shown = oyez_on_terminal("bench", *SHORT, "--url", url_of(server)).output()

    assert "publishing" in shown
    assert "25/25" in shown
    assert "deliveries" in shown
    assert "│ 125" in shown


def test_what_the_server_refuses_is_counted_and_fails(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(
        'allow_sample_secret = true\n[[apps]]\nid="1001"\nkey="app-key"\nsecret="app-secret"\n'
        "[apps.limits]\nmessages_per_day = 20\n"
    )

    done = oyez("bench", *SHORT, "--subscribers", "1", "--url", url_of(server))

    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["refused"] > 0
    assert found["published"] + found["refused"] == 25
    assert found["lost"] == 0
    assert f"{found['refused']} events refused (403" in done.stderr


def test_a_server_that_takes_fewer_connections_is_an_error(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server("[limits]\nconnections = 2\n")

    done = oyez("bench", *SHORT, "--url", url_of(server))

    assert done.returncode == 1
    assert "of 5 cannot subscribe" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--channel", "private-x"), 2, "must be the name of a public channel"),
        (("--rate", "10000", "--seconds", "1000"), 2, "at most 1,000,000"),
        (("--url", "http://app-key:wrong@127.0.0.1:{port}/apps/1001"), 1, "answered 401"),
        (("--url", "http://a:b@127.0.0.1:1/apps/1"), 1, "no answer from http://127.0.0.1:1"),
        (("--url", "nonsense"), 2, "url must look like"),
    ],
)
def test_what_cannot_begin_is_one_line(
    server: RunningServer, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = oyez("bench", *SHORT, *(each.format(port=server.port) for each in arguments))

    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_clients_of_the_hosted_service_connect_elsewhere() -> None:
    def host(url: str) -> str:
        return client_url(url).partition("?")[0]

    assert host("https://k:s@api-eu.pusher.com/apps/1") == "wss://ws-eu.pusher.com/app/k"
    assert host("https://k:s@api.pusherapp.com/apps/1") == "wss://ws.pusherapp.com/app/k"
    assert host("http://k:s@api.example.com:81/x/apps/1") == "ws://api.example.com:81/x/app/k"


def test_a_subscriber_is_held_to_once_and_in_order() -> None:
    received = Received()

    assert [received.take(number) for number in (0, 1, 4, 2, 2, 4, 5)] == [
        *("in order", "in order", "in order", "late", "again", "again", "in order"),
    ]
    assert received.lacks(8) == {3, 6, 7}


def test_what_was_refused_is_not_lost() -> None:
    tally = Tally.of(1)
    tally.sent[0] = [0, 0, 0]
    tally.refuse(0, 1, "no")
    received = [Received()]
    tally.deliver(received, 0, 0, 5)
    tally.deliver(received, 0, 7, 5)
    tally.deliver(received, 3, 0, 5)

    tally.miss(received)

    assert (tally.deliveries, tally.lost, tally.refused) == (1, 1, 1)
    assert not tally.flawless


def test_percentiles_are_exact_to_a_hundredth() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) is latencies.longest is None

    for milliseconds in range(1, 101):
        latencies.add(milliseconds * 1_000_000)

    assert latencies.percentile(50) == pytest.approx(50, rel=0.02)
    assert latencies.percentile(99) == pytest.approx(99, rel=0.02)
    assert latencies.percentile(100) == pytest.approx(100, rel=0.02)
    assert latencies.longest == 100
