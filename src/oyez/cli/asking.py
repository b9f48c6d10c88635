"""Commands that ask what there is: ``channels``, ``channel``, ``users``."""

from typing import Annotated

import typer

from oyez.cli.output import record, rows
from oyez.cli.target import DEVELOPMENT_URL, Info, Url, connected
from oyez.protocol.channels import kind_of

__all__ = ["channel", "channels", "users"]

Name = Annotated[str, typer.Argument(help="Name of the channel.")]


def channels(
    prefix: Annotated[str | None, typer.Option(help="Only names that begin so.")] = None,
    info: Info = None,
    url: Url = DEVELOPMENT_URL,
) -> None:
    """List the occupied channels."""
    with connected(url) as client:
        found = client.channels(prefix, info)["channels"]
    rows(
        [{"channel": name, **found[name]} for name in sorted(found)],
        empty="no channel is occupied" if prefix is None else f"no channel begins with {prefix}",
    )


def channel(
    name: Name,
    info: Annotated[
        str | None,
        typer.Option(
            help="subscription_count, user_count, cache; joined by commas.",
            show_default="what is there for its kind",
        ),
    ] = None,
    url: Url = DEVELOPMENT_URL,
) -> None:
    """Say whether a channel is occupied, and more about it."""
    kind = kind_of(name)
    usual = [
        each for each, there in (("user_count", kind.presence), ("cache", kind.cache)) if there
    ]
    with connected(url) as client:
        found = client.channel(name, usual if info is None else info)
    record({"channel": name, **found})


def users(name: Name, url: Url = DEVELOPMENT_URL) -> None:
    """List who is in a presence channel."""
    with connected(url) as client:
        found = client.users(name)["users"]
    rows(found, empty=f"nobody is in {name}")
