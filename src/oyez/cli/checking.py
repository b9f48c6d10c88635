"""``conformance``: a server against the rules of the protocol."""

from pathlib import Path
from typing import Annotated

import typer

from oyez.cli.output import USAGE, fail

__all__ = ["conformance"]


def conformance(
    url: Annotated[str, typer.Option(help="http://HOST:PORT of any Pusher-compatible server.")],
    app_id: Annotated[str, typer.Option()],
    key: Annotated[str, typer.Option()],
    secret: Annotated[str, typer.Option()],
    server: Annotated[str, typer.Option(help="Its name in the report.")] = "server",
    json_output: Annotated[Path | None, typer.Option("--json", help="Write results here.")] = None,
    only: Annotated[str | None, typer.Option(help="Beginning of the ids to run.")] = None,
    slow: Annotated[bool, typer.Option(help="Also checks that wait for minutes.")] = False,
    second: Annotated[
        list[str] | None,
        typer.Option(
            "--second-app",
            help="NAME=ID:APP_KEY:SECRET, an app with other settings; NAME is one of other, "
            "disabled, quota, message_quota, authorized, origin, tls_only, impatient, "
            "featureless, lenient, token.",
        ),
    ] = None,
    crowded_url: Annotated[
        str | None, typer.Option(help="A server that takes at most 20 connections.")
    ] = None,
    stop_command: Annotated[str | None, typer.Option(help="Stops the server, at the end.")] = None,
) -> None:
    """Check a server against the rules of the protocol; a table, and JSON if asked to."""
    from oyez import conformance as suite

    try:
        given = dict(each.partition("=")[::2] for each in second or ())
        second_apps = suite.SecondApps.parse(**given)
    except (TypeError, ValueError) as error:
        fail(f"--second-app: {error}", code=USAGE)
    code = suite.main(
        url,
        app_id,
        key,
        secret,
        server=server,
        json_output=json_output,
        slow=slow,
        only=only,
        second_apps=second_apps,
        crowded_url=crowded_url,
        stop_command=stop_command,
    )
    raise typer.Exit(code)
