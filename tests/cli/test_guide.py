"""The guide is true: its examples print what it says, on a terminal, against a real server.

`…` stands for anything. A block that begins with ``listen`` goes on while the next one runs.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oyez.cli import app
from tests.cli.command import OnTerminal, on_terminal, url_of
from tests.conftest import RunningServer

GUIDE = Path(__file__).parent.parent.parent / "docs" / "guide" / "cli.md"
COUNTING = """
[[apps]]
id = "1001"
name = "development"
key = "app-key"
secret = "app-secret"
client_events = true
subscription_count = true
"""  # the development app, where `--info subscription_count` has an answer
Example = tuple[str, str]


def blocks() -> list[list[Example]]:
    """Commands with what they print, by block."""
    found = re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE) for block in found]


def matches(expected: str, printed: str) -> bool:
    # Standing for any text, line ends included: tables have as many lines as there is to say.
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_examples_print_what_the_guide_says(
    start_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = start_server(COUNTING)

    def start(command: str) -> OnTerminal:
        shell = f'PATH="{Path(sys.executable).parent}:$PATH"; {command}'
        given = {"OYEZ_URL": url_of(server), "NO_COLOR": "1", "TERM": "dumb"}
        return on_terminal("bash", "-c", shell, cwd=tmp_path, **given)

    def check(running: OnTerminal, example: Example, begun: str = "") -> None:
        printed = (begun + running.output()).replace(f":{server.port}/", ":6001/")
        lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
        assert matches(example[1], lines), f"{example[0]} prints:\n{lines}"

    listening: tuple[OnTerminal, Example, str] | None = None
    for block in blocks():
        assert block
        if block[0][0].startswith("oyez listen"):
            running, begun = start(block[0][0]), ""
            while "\n" not in begun:
                part = running.read()
                assert part, f"{block[0][0]} has ended: {begun}"
                begun += part
            listening = running, block[0], begun
            continue
        for example in block:
            check(start(example[0]), example)
        if listening is not None:
            check(*listening)
            listening = None


def test_the_guide_names_every_command() -> None:
    page = GUIDE.read_text()

    names = [getattr(each.callback, "__name__", "") for each in app.registered_commands]
    names += [str(group.name) for group in app.registered_groups]

    assert len(names) > 10
    for name in names:
        assert f"`{name}" in page, name
