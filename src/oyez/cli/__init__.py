"""The command line: arguments in, exit code out.

Each module has the commands of one subject; `output` decides how anything is shown, `target` which
server is asked and how its refusals read. Talking to a server needs the extra ``cli`` only: what
needs ``server`` is imported by the command that uses it.

Exit codes: 0 done, 1 failed (the server refused, is away, or something was found), 2 wrong usage,
130 interrupted.
"""

from typing import Annotated

import typer

from oyez import __version__
from oyez.cli.asking import channel, channels, users
from oyez.cli.bench import bench
from oyez.cli.checking import conformance
from oyez.cli.configuration import config
from oyez.cli.credentials import apps
from oyez.cli.doctor import doctor
from oyez.cli.listening import listen
from oyez.cli.publishing import terminate, trigger
from oyez.cli.serving import serve
from oyez.cli.webhooks import webhooks

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A self-hosted realtime server that speaks the Pusher Channels protocol.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A self-hosted realtime server that speaks the Pusher Channels protocol."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


_SERVER, _APP, _TOOLS = "Run a server", "Talk to a server", "Check and measure"
for _panel, _commands in (
    (_SERVER, (serve, config)),
    (_APP, (trigger, listen, channels, channel, users, terminate)),
    (_TOOLS, (doctor, bench, conformance)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(apps, name="apps", rich_help_panel=_SERVER)
app.add_typer(webhooks, name="webhooks", rich_help_panel=_SERVER)
