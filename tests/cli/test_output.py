"""The one place that decides how things are shown."""

import io

import pytest
from rich.console import Console

from oyez.cli import output


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal whose text can be looked at."""
    text = io.StringIO()
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setattr(output, "screen", lambda: Console(file=text, width=80))
    return text


def test_what_others_published_does_not_command_the_terminal(screen: io.StringIO) -> None:
    evil = "\x1b]0;title\x07\x9b2J\u202e\r"

    output.say(evil)
    output.record({"data": evil}, title=evil)
    output.rows([{"data": evil}])

    shown = screen.getvalue()
    for character in "\x1b\x07\x9b\u202e\r":
        assert character not in shown
    assert r"\x1b]0;title\x07\x9b2J\u202e\x0d" in shown


def test_markup_is_text(screen: io.StringIO) -> None:
    output.say("[red]x[/red]")
    output.rows([{"a": "[bold]y[/bold]"}])

    assert "[red]x[/red]" in screen.getvalue()
    assert "[bold]y[/bold]" in screen.getvalue()


def test_rows_may_have_different_columns(screen: io.StringIO) -> None:
    output.rows([{"a": 1}, {"b": [1, 2], "a": None}, {"a": True}, {"a": 1234.5}])

    shown = screen.getvalue()
    for text in ("a", "b", "[1,2]", "yes", "1,234.50"):
        assert text in shown


def test_programs_get_json(capfd: pytest.CaptureFixture[str]) -> None:
    output.say("nothing")
    output.record({"a": "\x1b"}, title="t")
    output.rows([{"a": 1}, {"a": None}], title="t", empty="none")
    output.rows([])

    assert capfd.readouterr().out == '{"a":"\\u001b"}\n{"a":1}\n{"a":null}\n'
