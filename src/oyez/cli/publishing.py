"""Commands that make something happen to clients: ``trigger`` and ``terminate``."""

import sys
from typing import Annotated

import typer

from oyez.cli.output import line, on_terminal, rows, say
from oyez.cli.target import DEVELOPMENT_URL, EncryptionKey, Info, Url, connected

__all__ = ["terminate", "trigger"]


def trigger(
    channel: Annotated[str, typer.Argument(help="#server-to-user-ID reaches a signed-in user.")],
    event: Annotated[str, typer.Argument(help="Name of the event.")],
    data: Annotated[str, typer.Argument(help="Sent as it is, JSON by convention; - reads stdin.")],
    also: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help="A further channel; may be repeated."),
    ] = None,
    socket_id: Annotated[
        str | None, typer.Option(help="Of the connection that does not get it.")
    ] = None,
    info: Info = None,
    encryption_key: EncryptionKey = None,
    url: Url = DEVELOPMENT_URL,
) -> None:
    """Publish one event."""
    names = [channel, *(also or ())]
    with connected(url, encryption_key=encryption_key) as client:
        text = sys.stdin.read().removesuffix("\n") if data == "-" else data
        answer = client.trigger(names, event, text, socket_id=socket_id, info=info)
    if not on_terminal():
        return line(answer)
    say(f"published {event} on {', '.join(names)}")
    if "channels" in answer:
        rows([{"channel": name, **found} for name, found in answer["channels"].items()])
    return None


def terminate(
    user: Annotated[str, typer.Argument(help="Id of a signed-in user.")],
    url: Url = DEVELOPMENT_URL,
) -> None:
    """Close all connections of a user."""
    with connected(url) as client:
        answer = client.terminate_user_connections(user)
    if not on_terminal():
        return line(answer)
    return say(f"closed the connections of {user}")
