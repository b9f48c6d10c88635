"""``listen``: events as they come."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from oyez.cli.output import fail, live, notice, say
from oyez.cli.target import DEVELOPMENT_URL, EncryptionKey, Url, client_options, failures
from oyez.protocol.channels import kind_of
from oyez.sdk.conversation import Event
from oyez.sdk.state import State, StateChange
from oyez.sdk.subscriber import AsyncSubscriber

__all__ = ["listen"]

_MAX_WAITING = 100_000  # events, for a slow terminal or pipe
_OPEN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to show, and when to end."""

    channels: tuple[str, ...]
    events: frozenset[str]
    system: bool
    count: int | None
    timeout: float | None
    user_id: str

    def includes(self, event: Event) -> bool:
        if self.events:
            return event.name in self.events
        return self.system or not event.system

    def member(self, channel: str) -> Mapping[str, str] | None:
        return {"user_id": self.user_id} if kind_of(channel).presence else None


def listen(
    channels: Annotated[list[str], typer.Argument(help="Of any kind; the secret of --url signs.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Only events of this name; may be repeated.")
    ] = None,
    system: Annotated[
        bool, typer.Option("--system", help="Also what the protocol reports, such as members.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, help="End after so many seconds, with 1 if short of --count."),
    ] = None,
    user_id: Annotated[str, typer.Option(help="Who we are in presence channels.")] = "oyez-listen",
    encryption_key: EncryptionKey = None,
    url: Url = DEVELOPMENT_URL,
) -> None:
    """Show events as they come; reconnects when it has to."""
    wanted = _Wanted(tuple(channels), frozenset(event or ()), system, count, timeout, user_id)
    # The SDK logs what is said here anyway; without a handler it would go to standard error.
    logging.getLogger("oyez").addHandler(logging.NullHandler())
    with failures(url):
        seen = asyncio.run(_listen(wanted, url, encryption_key))
    if count is not None and timeout is not None and seen < count:
        fail(f"{seen} of {count} events came in {timeout:g} s")


async def _listen(wanted: _Wanted, url: str, encryption_key: str | None) -> int:
    """Show events until it is time to end; how many there were."""
    for channel in wanted.channels:
        if kind_of(channel).encrypted and encryption_key is None:
            raise ValueError(f"--encryption-key must be given for {channel}: it is encrypted")
    subscriber = AsyncSubscriber.from_url(
        url,
        encryption_master_key=encryption_key,
        max_waiting=_MAX_WAITING,
        open_timeout=_OPEN_SECONDS,
        **client_options(url),
    )
    async with subscriber:
        for channel in wanted.channels:
            await subscriber.subscribe(channel, wanted.member(channel))
        say(f"listening to {', '.join(wanted.channels)}; Ctrl-C ends it")
        subscriber.on_state(_report)
        try:
            return await _show(subscriber, wanted)
        finally:
            if subscriber.dropped:
                notice(f"{subscriber.dropped} events were not shown: they came too fast")


async def _show(subscriber: AsyncSubscriber, wanted: _Wanted) -> int:
    seen = 0
    try:
        async with asyncio.timeout(wanted.timeout) as limit:
            async for event in subscriber:
                if wanted.includes(event):
                    _print(event)
                    seen += 1
                    if seen == wanted.count:
                        break
    except TimeoutError:
        if not limit.expired():
            raise
    return seen


def _print(event: Event) -> None:
    now = datetime.now(UTC)
    found = {
        "time": now.isoformat(timespec="milliseconds"),
        "channel": event.channel,
        "event": event.name,
        "data": event.data,
    }
    sender = []
    if event.user_id is not None:
        found["user_id"] = event.user_id
        sender = [(f"({event.user_id})", "magenta")]
    live(
        found,
        (f"{now.astimezone():%H:%M:%S}", "dim"),
        (event.channel or "-", "cyan"),
        (event.name, "yellow" if event.system else "bold green"),
        *sender,
        (event.text, ""),
    )


def _report(change: StateChange) -> None:
    if change.previous is State.CONNECTED and change.state is State.DISCONNECTED:
        notice(f"{change.error}; events are missed until the connection is back")
    elif change.state is State.CONNECTED:
        notice("connected again")
