"""``listen`` against a real server: piped and on a terminal."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from oyez.sdk.client import Client
from tests.cli.command import environment, oyez, oyez_on_terminal, url_of
from tests.conftest import RunningServer
from tests.operation.clients import accepted

KEY = "ZGVtb25zdHJhdGlvbi1rZXktb2YtMzItYnl0ZXMhISE="


class Listening:
    """The command at work, its output piped."""

    def __init__(self, process: "subprocess.Popen[str]", publisher: Client) -> None:
        self.process = process
        self.publisher = publisher

    def event(self) -> dict[str, object]:
        assert self.process.stdout is not None
        found: dict[str, object] = json.loads(self.process.stdout.readline())
        assert str(found.pop("time")).endswith("+00:00")
        return found

    def said(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def end(self) -> tuple[int, str]:
        """The exit code and what else it said."""
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said


@contextmanager
def listening(server: RunningServer, channel: str, *arguments: str) -> Iterator[Listening]:
    """Listens already: nothing else tells a program so, and events before it are not seen."""
    url = url_of(server)
    process = subprocess.Popen(
        [sys.executable, "-m", "oyez", "listen", channel, *arguments, "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process, Client.from_url(url, encryption_master_key=KEY) as publisher:
        try:
            while not publisher.channel(channel)["occupied"]:
                assert process.poll() is None, process.communicate()
            yield Listening(process, publisher)
        finally:
            process.kill()


def test_events_are_lines_of_json(server: RunningServer) -> None:
    with listening(server, "cli-heard", "--count", "2") as heard:
        heard.publisher.trigger("cli-heard", "my-event", {"text": "line\nbreak"})
        heard.publisher.trigger("cli-heard", "other", "not JSON")

        assert heard.event() == {
            "channel": "cli-heard",
            "event": "my-event",
            "data": {"text": "line\nbreak"},
        }
        assert heard.event()["data"] == "not JSON"
        assert heard.end() == (0, "")


def test_only_events_that_are_wanted_are_shown(server: RunningServer) -> None:
    with listening(server, "cli-wanted", "--event", "yes", "--count", "1") as heard:
        heard.publisher.trigger("cli-wanted", "no", "1")
        heard.publisher.trigger("cli-wanted", "yes", "2")

        assert heard.event()["data"] == 2
        assert heard.end()[0] == 0


def test_a_member_is_seen_and_sees_members_and_who_sends(server: RunningServer) -> None:
    room = "presence-cli-heard"
    with listening(server, room, "--system", "--user-id", "cli-ear") as heard:
        assert heard.publisher.users(room)["users"] == [{"id": "cli-ear"}]
        with accepted(server) as client:
            client.join(server, room, "cli-8")
            client.send("client-said", "hello", channel=room)

            names = []
            while (found := heard.event())["event"] != "client-said":
                names.append(found["event"])
            assert "pusher:member_added" in names
            assert (found["user_id"], found["data"]) == ("cli-8", "hello")


def test_encrypted_channels_are_decrypted(server: RunningServer) -> None:
    name = "private-encrypted-cli-heard"
    with listening(server, name, "--encryption-key", KEY, "--count", "1") as heard:
        heard.publisher.trigger(name, "my-event", {"hidden": True})

        assert heard.event()["data"] == {"hidden": True}


def test_a_person_reads_coloured_lines_without_anything_that_commands_the_terminal(
    server: RunningServer,
) -> None:
    shown = oyez_on_terminal("listen", "cli-shown", "--count", "1", OYEZ_URL=url_of(server))
    begun = ""
    while "listening to cli-shown" not in begun:
        begun += shown.read()
    with Client.from_url(url_of(server)) as publisher:
        publisher.trigger("cli-shown", "my-event", "\x1b[2Jevil")

    text = shown.output()
    assert "\x1b[36mcli-shown\x1b[0m" in text
    assert "\x1b[1;32mmy-event\x1b[0m" in text
    assert r"\x1b[2Jevil" in text
    assert "\x1b[2J" not in text
    assert shown.process.returncode == 0


def test_the_time_may_be_over(server: RunningServer) -> None:
    without = oyez("listen", "cli-quiet", "--timeout", "0.2", "--url", url_of(server))
    assert (without.returncode, without.stdout, without.stderr) == (0, "", "")

    too_few = oyez("listen", "a", "--timeout", "0.2", "--count", "3", "--url", url_of(server))
    assert too_few.returncode == 1
    assert too_few.stderr == "oyez: 0 of 3 events came in 0.2 s\n"


def test_ctrl_c_ends_it_quietly(server: RunningServer) -> None:
    with listening(server, "cli-stopped") as heard:
        heard.process.send_signal(signal.SIGINT)

        assert heard.end() == (130, "")


def test_it_comes_back_with_the_server(
    start_server: Callable[..., RunningServer],
) -> None:
    first = start_server()
    with listening(first, "cli-back") as heard:
        first.stop()
        assert "closed with 4200" in heard.said()
        second = start_server("", "--port", str(first.port))
        assert "connected again" in heard.said()
        with Client.from_url(url_of(second)) as publisher:
            while not publisher.channel("cli-back")["occupied"]:
                pass
            publisher.trigger("cli-back", "my-event", "1")

        assert heard.event()["event"] == "my-event"


@pytest.mark.parametrize(
    ("channel", "url", "code", "said"),
    [
        ("a", "http://unknown:b@127.0.0.1:{port}/apps/1001", 1, "lets no client in: 4001"),
        ("private-a", "http://app-key:wrong@127.0.0.1:{port}/apps/1001", 1, "private-a: "),
        ("a", "http://a:b@127.0.0.1:1/apps/1", 1, "cannot connect to ws://127.0.0.1:1/app/a"),
        ("private-encrypted-a", "http://app-key:app-secret@127.0.0.1:{port}/apps/1", 2, "encrypt"),
        ("no channel", "http://app-key:app-secret@127.0.0.1:{port}/apps/1", 2, "channel must be"),
        ("a", "nonsense", 2, "url must look like"),
    ],
)
def test_what_cannot_be_listened_to_is_one_line(
    server: RunningServer, channel: str, url: str, code: int, said: str
) -> None:
    done = oyez("listen", channel, OYEZ_URL=url.format(port=server.port))

    assert said in done.stderr
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert "wrong" not in done.stderr
