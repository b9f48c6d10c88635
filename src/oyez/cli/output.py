"""How anything is shown: tables and colour to a person, JSON to a program. Nowhere else decides.

Standard output to a terminal is for a person; to anything else each command writes JSON, one object
per line. Colour follows ``NO_COLOR`` and ``TERM``, which Rich reads. What is wrong is said on
standard error, in one line where one is enough.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "FAILED",
    "USAGE",
    "errors",
    "fail",
    "line",
    "live",
    "netloc",
    "notice",
    "on_terminal",
    "printable",
    "record",
    "rows",
    "say",
    "screen",
]

FAILED = 1
USAGE = 2
errors = Console(stderr=True, soft_wrap=True, highlight=False)

# What others have published must not command the terminal it is shown on: escape sequences, and the
# marks that turn the direction of text.
_COMMANDS = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def screen() -> Console:
    """Where a person reads; made when used, as tests and commands may replace standard output."""
    return Console(highlight=False)


def netloc(host: str, port: int) -> str:
    """Return host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def printable(text: str) -> str:
    """Text without anything that a terminal obeys."""
    return text.translate(_COMMANDS)


def line(found: Any) -> None:
    """One JSON value, at once."""
    typer.echo(msgspec.json.encode(found))


def live(found: Mapping[str, Any], *parts: tuple[str, str]) -> None:
    """One of many things as they happen: a line of texts with their styles, or a JSON object."""
    if not on_terminal():
        return line(found)
    words = [Text(printable(text), style) for text, style in parts if text]
    return screen().print(Text(" ").join(words), soft_wrap=True)


def say(text: str) -> None:
    """A sentence for a person; a program gets none."""
    if on_terminal():
        screen().print(Text(printable(text)), soft_wrap=True)


def record(found: Mapping[str, Any], *, title: str = "") -> None:
    """One thing: names beside values, or a JSON object."""
    if not on_terminal():
        return line(found)
    table = Table(title=_title(title), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in found.items():
        table.add_row(_words(name), _cell(value))
    return screen().print(table)


def rows(
    found: Sequence[Mapping[str, Any]],
    *,
    title: str = "",
    empty: str = "none",
    styles: Mapping[str, str] | None = None,
    whole: Collection[str] = (),
) -> None:
    """Several things of one kind: a table, or a JSON object per line.

    Args:
        empty: what a person is told if there are none.
        styles: of Rich, for cells that have exactly such a text.
        whole: columns that are never broken into lines, such as what a person copies.
    """
    if not on_terminal():
        for each in found:
            line(each)
        return None
    if not found:
        return say(empty)
    table = Table(title=_title(title), title_justify="left")
    names = list(dict.fromkeys(name for each in found for name in each))
    for name in names:
        table.add_column(_words(name), overflow="fold", no_wrap=name in whole)
    for each in found:
        texts = (_cell(each.get(name)) for name in names)
        table.add_row(*(Text(text.plain, (styles or {}).get(text.plain, "")) for text in texts))
    return screen().print(table)


def notice(text: str) -> None:
    """Something on the side, on standard error for whoever looks."""
    errors.print(Text(printable(text), "yellow"))


def fail(message: str, *, code: int = FAILED) -> NoReturn:
    """Say what is wrong, on one line unless it has several, and end with ``code``."""
    text = "\n".join(printable(each) for each in message.splitlines())
    errors.print(Text.assemble(("oyez:", "red"), " ", text))
    raise typer.Exit(code)


def _title(text: str) -> Text | None:
    return Text(printable(text), "bold") if text else None


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: Any) -> Text:
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:,.2f}"
        case int():
            text = f"{value:,}"
        case str():
            text = value
        case _:
            text = msgspec.json.encode(value).decode()
    return Text("\n".join(printable(each) for each in text.split("\n")))
