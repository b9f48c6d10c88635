"""The official Java client, which Android apps use: what it throws ends an app there."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pusher import Pusher

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import Application
from tests.end_to_end.publishers import NpmPusher

HERE = Path(__file__).parent / "java"
JAVA = shutil.which("java")
pytestmark = [
    pytest.mark.xdist_group("java"),
    pytest.mark.skipif(
        (JAVA is None or not (HERE / "lib").is_dir()) and "CI" not in os.environ,
        reason="the Java client is not installed: sudo apt-get install default-jdk-headless maven",
    ),
]


class JavaClient:
    """A process of `java/Client.java`, and the lines that it has printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.lines: list[list[str]] = []

    def read(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the client has ended after {self.lines}"
        self.lines.append(line.rstrip("\n").split("\t"))
        assert self.lines[-1][0] != "thrown", self.lines[-1]
        return self.lines[-1]

    def wait_for(self, *expected: str) -> list[str]:
        """The next line that begins with these words."""
        while (line := self.read())[: len(expected)] != [*expected]:
            pass
        return line


Start = Callable[..., AbstractContextManager[JavaClient]]


@pytest.fixture
def java_client(endpoint: str) -> Start:
    @contextmanager
    def start(app: Application, *channels: str, signs: str = endpoint) -> Iterator[JavaClient]:
        command = [str(JAVA), "-cp", f"{HERE / 'lib'}/*", str(HERE / "Client.java")]
        process = subprocess.Popen(
            [*command, app.host, str(app.port), app.key, f"{signs}/pusher/auth", *channels],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield JavaClient(process)
        finally:
            process.communicate("\n", timeout=120)

    return start


def test_every_kind_of_channel_is_heard(
    java_client: Start,
    app: Application,
    npm_pusher: NpmPusher,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    encrypted = ("private-encrypted-", "private-encrypted-cache-")
    kinds = ("", "private-", "presence-", "cache-", *encrypted)
    names = [fresh(f"{kind}java") for kind in kinds]
    with java_client(app, *names) as client:
        waiting = set(names)
        while waiting:
            line = client.read()
            if line[0] == "subscribed":
                waiting.discard(line[1])
        for name in names:
            npm_pusher.trigger(name, "my-event", {"hello": name})
            # The same once more: what the channel gets in between must not have broken anything.
            npm_pusher.trigger(name, "my-event", {"hello": name})
            for _ in range(2):
                line = client.wait_for("event", name, "my-event")
                assert json.loads(line[3]) == {"hello": name}


def test_a_refused_subscription_to_an_encrypted_channel_throws_nothing(
    java_client: Start,
    wrongly_signed_by: SignedBy,
    app: Application,
    fresh: Callable[[str], str],
) -> None:
    refused, other = fresh("private-encrypted-java"), fresh("java")
    with java_client(app, refused, other, signs=wrongly_signed_by.endpoint) as client:
        heard: set[str] = set()
        while heard < {"error", "subscribed"}:  # in the order in which they were signed
            line = client.read()
            heard.add(line[0])
            assert line[0] != "error" or "Invalid signature" in line[2]
            assert line[:2] != ["subscribed", refused]
