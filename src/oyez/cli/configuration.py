"""``config``, and reading the settings for other commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oyez.cli.output import fail

if TYPE_CHECKING:
    from pydantic import ValidationError

    from oyez.server.config import Settings

__all__ = ["ConfigFile", "config", "load_settings", "read_settings"]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; default: oyez.toml here, if there is one."),
]


def config(
    config_file: ConfigFile = None,
    check: Annotated[
        Path | None, typer.Option(help="Say what is wrong with this file, and where.")
    ] = None,
) -> None:
    """Print the effective configuration as TOML, secrets hidden; or check a file."""
    settings = load_settings(check or config_file)
    if check is not None:
        typer.echo(f"{check}: good, {len(settings.apps)} app(s)")
        return
    import tomli_w

    # Not through `output`: it is the file that it could come from, wherever it goes.
    typer.echo(tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True)), nl=False)


def load_settings(file: Path | None, **given: Any) -> "Settings":
    """The settings, or the end of the command with what is wrong and where."""
    try:
        return read_settings(file, **given)
    except ValueError as error:
        fail(str(error))


def read_settings(file: Path | None, **given: Any) -> "Settings":
    """The settings.

    Raises:
        ValueError: they cannot be read or are not valid; the text says what and where.
    """
    from pydantic import ValidationError

    from oyez.server import config as settings

    file = file or settings.default_file()
    name = file or "no file"
    try:
        return settings.load(file, **given)
    except ValidationError as error:
        raise ValueError(f"configuration is not valid ({name}):\n{_faults(error)}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read configuration ({name}): {error}") from error


def _faults(error: "ValidationError") -> str:
    return "\n".join(
        f"  {_where(each['loc'])}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


def _where(location: tuple[int | str, ...]) -> str:
    """``apps[0].limits.event_data`` for a place in the configuration."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "settings"
