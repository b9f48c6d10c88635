"""``doctor``: what keeps a server from working, or will, and the command that fixes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from oyez.cli.configuration import ConfigFile, read_settings
from oyez.cli.doctor import files, machine, network
from oyez.cli.doctor.finding import Finding
from oyez.cli.output import FAILED, USAGE, fail, on_terminal, rows, say
from oyez.cli.target import DEVELOPMENT_URL, Url

if TYPE_CHECKING:
    from oyez.server.config import Settings

__all__ = ["doctor"]

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}


def doctor(config_file: ConfigFile = None, url: Url = DEVELOPMENT_URL) -> None:
    """Say what keeps a server from working here, and the command that fixes it.

    Looks at the configuration and this machine, and at the server at --url. Changes nothing.
    """
    try:
        there = network.server(url)
    except ValueError as error:
        fail(str(error), code=USAGE)
    found = [*_here(config_file), *there]
    _show(found)
    if any(each.state == "problem" for each in found):
        raise typer.Exit(FAILED)


def _show(found: list[Finding]) -> None:
    if not on_terminal():
        return rows([each.row() for each in found])
    rows(
        [{"check": each.check, "state": each.state, "found": each.found} for each in found],
        styles=_STYLES,
    )
    for each in found:
        if each.fix:  # below the table, where no border is copied with it
            say(f"{each.check}: {each.fix}")
    return None


def _here(file: Path | None) -> Iterator[Finding]:
    try:
        settings = read_settings(file)
    except ValueError as error:
        yield Finding("configuration", "problem", str(error), "oyez config --check FILE")
        return
    yield _configuration(settings)
    yield machine.open_files(settings)
    yield machine.backlog(settings.backlog)
    yield machine.port("port", "--port", settings.host, settings.port)
    yield machine.port("admin port", "--admin-port", settings.admin_host, settings.admin_port)
    yield network.engine(settings.engine)
    yield files.data_directory(settings)
    yield files.certificate(settings)


def _configuration(settings: "Settings") -> Finding:
    count = len(settings.apps)
    if settings.uses_sample_secret:
        found = f"{count} app(s), one with the secret that everybody knows"
        return Finding("configuration", "ok", found, "before going public: oyez apps new")
    return Finding("configuration", "ok", f"{count} app(s)")
