"""``apps new``: the credentials of another app."""

import secrets
from typing import Annotated

import typer

from oyez.cli.output import line, say

__all__ = ["apps"]

_FIRST_ID, _IDS = 1_000_000, 9_000_000
_KEY_BYTES = 10
_SECRET_BYTES = 24

apps = typer.Typer(no_args_is_help=True, help="Apps of a server.")


@apps.callback()
def top() -> None:
    """Apps of a server."""


@apps.command("new")
def new(
    name: Annotated[str, typer.Option(help="For people; in no protocol.")] = "",
    client_events: Annotated[bool, typer.Option(help="Let clients publish events.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of TOML.")] = False,
) -> None:
    """Print an app with fresh credentials, for the configuration file.

    It is printed and nothing else: the server knows it when it is in its file and the server has
    been started again.
    """
    app: dict[str, object] = {"id": str(_FIRST_ID + secrets.randbelow(_IDS))}
    if name:
        app["name"] = name
    app["key"] = secrets.token_hex(_KEY_BYTES)
    app["secret"] = secrets.token_hex(_SECRET_BYTES)
    if client_events:
        app["client_events"] = True
    if as_json:
        return line(app)
    import tomli_w

    # Not through `output`: a file is the usual destination, so TOML is right there too.
    typer.echo(f"[[apps]]\n{tomli_w.dumps(app)}", nl=False)
    return say("# for the file that the server reads: oyez apps new >> oyez.toml")
