"""``channels``, ``channel`` and ``users``."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.command import oyez, oyez_on_terminal, url_of
from tests.conftest import RunningServer
from tests.operation.clients import Client, accepted


@pytest.fixture
def member(server: RunningServer) -> Iterator[Client]:
    with accepted(server) as client:
        client.subscribe("cli-asked")
        client.subscribe("cache-cli-asked")
        client.join(server, "presence-cli-asked", "cli-7")
        yield client


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("member")
def test_occupied_channels_are_a_line_each(server: RunningServer) -> None:
    shown = oyez("channels", "--info", "subscription_count", "--url", url_of(server))

    found = lines(shown.stdout)
    assert {"channel": "cli-asked", "subscription_count": 1} in found
    names = [each["channel"] for each in found]
    assert names == sorted(names)  # type: ignore[type-var]


@pytest.mark.usefixtures("member")
def test_channels_are_chosen_by_prefix(server: RunningServer) -> None:
    shown = oyez(
        "channels", "--prefix", "presence-cli-", "--info", "user_count", "--url", url_of(server)
    )

    assert lines(shown.stdout) == [{"channel": "presence-cli-asked", "user_count": 1}]
    none = oyez("channels", "--prefix", "cli-no-such", "--url", url_of(server))
    assert (none.returncode, none.stdout) == (0, "")


@pytest.mark.usefixtures("member")
def test_a_channel_says_what_its_kind_has(server: RunningServer) -> None:
    oyez("trigger", "cache-cli-asked", "my-event", "kept", "--url", url_of(server))

    def asked(name: str, *arguments: str) -> dict[str, object]:
        (found,) = lines(oyez("channel", name, *arguments, "--url", url_of(server)).stdout)
        return found

    assert asked("cli-asked") == {"channel": "cli-asked", "occupied": True}
    assert asked("presence-cli-asked")["user_count"] == 1
    cached = asked("cache-cli-asked")["cache"]
    assert isinstance(cached, dict)
    assert cached["data"] == "kept"
    assert asked("cli-asked", "--info", "subscription_count")["subscription_count"] == 1
    assert asked("cli-no-such")["occupied"] is False


@pytest.mark.usefixtures("member")
def test_users_of_a_channel_are_a_line_each(server: RunningServer) -> None:
    shown = oyez("users", "presence-cli-asked", "--url", url_of(server))

    assert lines(shown.stdout) == [{"id": "cli-7"}]


def test_only_presence_channels_have_users(server: RunningServer) -> None:
    done = oyez("users", "cli-asked", "--url", url_of(server))

    assert done.returncode == 1
    assert "answered 400: Users can only be retrieved for presence channels" in done.stderr


@pytest.mark.usefixtures("member")
def test_a_person_reads_tables(server: RunningServer) -> None:
    def read(*arguments: str) -> str:
        return oyez_on_terminal(*arguments, "--url", url_of(server)).output()

    table = read("channels", "--prefix", "presence-cli-", "--info", "user_count")
    assert "presence-cli-asked │ 1" in table
    assert "\x1b[1m" in table
    plain = oyez_on_terminal("channels", "--url", url_of(server), NO_COLOR="1", TERM="dumb")
    assert "\x1b[" not in plain.output()
    assert "yes" in read("channel", "cli-asked")
    assert "nobody is in presence-cli-no-such" in read("users", "presence-cli-no-such")
    assert "no channel begins with cli-no-such" in read("channels", "--prefix", "cli-no-such")


def test_a_reader_that_stops_reading_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m oyez --help | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert "Traceback" not in done.stderr
