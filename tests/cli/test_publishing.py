"""``trigger`` and ``terminate``, and how refusals read."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

from oyez.sdk.client import Client
from tests.cli.command import oyez, oyez_on_terminal, url_of
from tests.conftest import RunningServer
from tests.operation.clients import accepted


def test_an_event_can_be_triggered(server: RunningServer) -> None:
    with accepted(server) as client:
        client.subscribe("cli-news")

        done = oyez("trigger", "cli-news", "my-event", '{"a": 1}', "--url", url_of(server))

        assert (done.returncode, done.stdout) == (0, "{}\n")
        message = client.receive()
        assert (message["event"], message["data"]) == ("my-event", '{"a": 1}')


def test_an_event_can_go_to_several_channels_and_be_kept_from_its_sender(
    server: RunningServer,
) -> None:
    with accepted(server) as sender, accepted(server) as other:
        for client in (sender, other):
            client.subscribe("cli-one")
            client.subscribe("cli-two")

        done = oyez(
            *("trigger", "cli-one", "my-event", "-", "-c", "cli-two"),
            *("--socket-id", sender.socket_id, "--info", "subscription_count"),
            stdin="from stdin\n",
            OYEZ_URL=url_of(server),
        )
        oyez("trigger", "cli-two", "last", "", OYEZ_URL=url_of(server))

        found = json.loads(done.stdout)["channels"]
        assert found == {"cli-one": {"subscription_count": 2}, "cli-two": {"subscription_count": 2}}
        assert [other.receive()["data"] for _ in range(2)] == ["from stdin"] * 2
        assert sender.receive()["event"] == "last"


def test_a_person_is_told_what_happened(server: RunningServer) -> None:
    with accepted(server) as client:
        client.subscribe("cli-told")

        shown = oyez_on_terminal(
            *("trigger", "cli-told", "my-event", "{}", "--info", "subscription_count"),
            OYEZ_URL=url_of(server),
        ).output()

        assert "published my-event on cli-told" in shown
        assert "subscription count" in shown
        assert "\x1b[1m" in shown


def test_events_of_encrypted_channels_are_encrypted(server: RunningServer) -> None:
    key = "ZGVtb25zdHJhdGlvbi1rZXktb2YtMzItYnl0ZXMhISE="
    name = "private-encrypted-cli"
    with accepted(server) as client:
        client.join(server, name, "")

        done = oyez(
            *("trigger", name, "my-event", "hidden", "--url", url_of(server)),
            PUSHER_ENCRYPTION_MASTER_KEY=key,
        )

        assert done.returncode == 0
        sealed = client.receive("my-event")["data"]
        assert "hidden" not in sealed
        reader = Client.from_url(url_of(server), encryption_master_key=key)
        assert reader.decrypt(name, sealed) == "hidden"

    refused = oyez("trigger", name, "my-event", "hidden", "--url", url_of(server))
    assert refused.returncode == 2
    assert "--encryption-key must be set" in refused.stderr


def test_connections_of_a_user_can_be_closed(server: RunningServer) -> None:
    with accepted(server) as client:
        client.send(
            "pusher:signin",
            Client.from_url(url_of(server)).authenticate_user(client.socket_id, {"id": "cli-42"}),
        )
        client.receive("pusher:signin_success")

        done = oyez("terminate", "cli-42", "--url", url_of(server))

        assert (done.returncode, done.stdout) == (0, "{}\n")
        with pytest.raises(ConnectionClosed) as closed:
            client.receive("no such event")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4009


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:1/apps/1", 2, "url must look like"),
        ("http://k:s@127.0.0.1:1/apps/1", 1, "no answer from http://127.0.0.1:1"),
    ],
)
def test_an_event_that_cannot_be_sent_is_one_line(url: str, code: int, said: str) -> None:
    done = oyez("trigger", "c", "e", "d", OYEZ_URL=url)

    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_refusal_is_shown_as_the_server_said_it(server: RunningServer) -> None:
    done = oyez("trigger", "c", "e", "d", "--url", url_of(server, secret="wrong"))

    assert done.returncode == 1
    assert "answered 401: Invalid signature" in done.stderr
    assert "wrong" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trigger", "no such channel", "e", "d"), "channel must be 1 to 200 characters"),
        (("trigger", "c", "e", "d", "--socket-id", "1"), "socket_id must look like 1234.5678"),
        (("trigger", "c", "e", "d", "--encryption-key", "x"), "not valid base64"),
        (("terminate", "a/b"), "user_id must be"),
    ],
)
def test_arguments_that_cannot_be_are_a_usage_error(
    server: RunningServer, arguments: tuple[str, ...], said: str
) -> None:
    done = oyez(*arguments, "--url", url_of(server))

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
