"""``bench``: load on any server, and whether everybody got everything."""

import asyncio
import contextlib
import resource
import secrets
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oyez.cli.bench.load import Load, LoadFailed, Plan
from oyez.cli.bench.tally import Tally
from oyez.cli.output import FAILED, USAGE, errors, fail, record
from oyez.cli.target import DEVELOPMENT_URL, Url, client_url, failures
from oyez.protocol.channels import is_channel_name, kind_of
from oyez.sdk.client import AsyncClient

__all__ = ["bench"]

_MOST_EVENTS = 1_000_000
_OTHER_FILES = 100
_LONGEST_NAME = 200


def bench(
    subscribers: Annotated[int, typer.Option(min=1, max=50_000, help="Connections.")] = 100,
    rate: Annotated[
        float, typer.Option(min=0.01, max=100_000, help="Events a second, altogether.")
    ] = 10.0,
    size: Annotated[int, typer.Option(min=64, max=1_000_000, help="Bytes of data.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="How long.")] = 10.0,
    publishers: Annotated[
        int, typer.Option(min=1, max=100, help="Connections that publish, each one at a time.")
    ] = 1,
    channel: Annotated[
        str | None, typer.Option(help="A public channel.", show_default="a new one")
    ] = None,
    url: Url = DEVELOPMENT_URL,
) -> None:
    """Load a server, and check that each subscriber gets each event once and in order.

    Everything runs in this one process: watch ``client cpu percent``, near 100 it is what is
    measured. On a hosted service each delivery counts as a message of your plan.
    """
    name = channel or f"oyez-bench-{secrets.token_hex(4)}"
    plan = Plan(subscribers, publishers, rate, size, seconds, name)
    _check(plan)
    with failures(url), _progress() as progress:
        try:
            result, tally = asyncio.run(_run(plan, url, progress))
        except LoadFailed as error:
            fail(str(error))
    record(result, title=f"{subscribers} subscribers of {plan.channel}")
    if not tally.flawless:
        fail(_verdict(tally), code=FAILED)


def _check(plan: Plan) -> None:
    if plan.events > _MOST_EVENTS:
        fail(
            f"--rate times --seconds must be at most {_MOST_EVENTS:,}, not {plan.events:,}",
            code=USAGE,
        )
    if not is_channel_name(plan.channel, _LONGEST_NAME) or kind_of(plan.channel).private:
        fail(f"--channel must be the name of a public channel, not {plan.channel}", code=USAGE)
    needed = plan.subscribers + plan.publishers + _OTHER_FILES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        fail(f"{needed} open files are needed and {hard} allowed; run: ulimit -Hn {needed}")
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


async def _run(plan: Plan, url: str, progress: Progress) -> tuple[dict[str, Any], Tally]:
    task = progress.add_task("connecting", total=None)
    async with AsyncClient.from_url(url, retries=0, timeout=10, max_data=plan.size) as client:
        load = Load(
            plan,
            client,
            client_url(url),
            begin=lambda: progress.reset(task, description="publishing", total=plan.events),
            step=lambda: progress.advance(task),
        )
        tally = await load.run()
    return _result(plan, load, tally), tally


def _result(plan: Plan, load: Load, tally: Tally) -> dict[str, Any]:
    seconds = load.publishing_seconds
    return {
        "subscribers": plan.subscribers,
        "published": tally.published,
        "refused": tally.refused,
        "seconds": round(seconds, 2),
        "events_per_second": round(tally.published / seconds, 2),
        "deliveries": tally.deliveries,
        "deliveries_per_second": round(tally.deliveries / seconds, 2),
        "delivery_ms_p50": tally.delivering.percentile(50),
        "delivery_ms_p99": tally.delivering.percentile(99),
        "delivery_ms_max": tally.delivering.longest,
        "publish_ms_p50": tally.publishing.percentile(50),
        "publish_ms_p99": tally.publishing.percentile(99),
        "lost": tally.lost,
        "duplicates": tally.again,
        "out_of_order": tally.late,
        "disconnected": tally.disconnected,
        "client_cpu_percent": round(100 * load.cpu_seconds / seconds, 1),
    }


def _verdict(tally: Tally) -> str:
    found = (
        (tally.refused, f"events refused ({tally.reason})"),
        (tally.lost, "deliveries lost"),
        (tally.again, "deliveries twice"),
        (tally.late, "deliveries out of order"),
        (tally.disconnected, "subscribers cut off"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in found if count)
