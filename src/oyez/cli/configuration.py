"""``config``, and reading the settings for other commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oyez.cli.output import FAILED, USAGE, fail
from oyez.cli.places import faults, from_flags

if TYPE_CHECKING:
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
    show_secrets: Annotated[bool, typer.Option(help="Hide nothing.")] = False,
) -> None:
    """Print the effective configuration as TOML, secrets hidden; or check a file."""
    settings = load_settings(check or config_file)
    if check is not None:
        typer.echo(f"{check}: good, {len(settings.apps)} app(s)")
        return
    import tomli_w

    from oyez.server.redaction import redacted

    found = settings.model_dump(mode="json", exclude_none=True)
    if show_secrets:
        for app, each in zip(found["apps"], settings.apps, strict=True):
            for token, secret in zip(app["tokens"], each.tokens, strict=True):
                token["secret"] = secret.secret.get_secret_value()
    else:
        found = redacted(found)
    # Not through `output`: it is the file that it could come from, wherever it goes.
    typer.echo(tomli_w.dumps(found), nl=False)


def load_settings(file: Path | None, **given: Any) -> "Settings":
    """Read the settings, or end the command with what is wrong and where."""
    from pydantic import ValidationError

    try:
        return read_settings(file, **given)
    except ValueError as error:
        cause = error.__cause__
        usage = isinstance(cause, ValidationError) and from_flags(cause, given)
        fail(str(error), code=USAGE if usage else FAILED)


def read_settings(file: Path | None, **given: Any) -> "Settings":
    """Read the settings.

    Raises:
        ValueError: they cannot be read or are not valid; the text says what and where.
    """
    from pydantic import ValidationError

    from oyez.server import config as settings

    file = file or settings.default_file()
    try:
        return settings.load(file, **given)
    except ValidationError as error:
        found = faults(error, settings.Settings, given, file)
        raise ValueError(f"configuration is not valid:\n{found}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read configuration ({file or 'no file'}): {error}") from error
