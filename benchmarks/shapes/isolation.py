"""Whether one client's trouble is everybody's: other clients' latency beside it, and without it.

A paced fan-out is what the others have. Everything else shares the load generator's core with it,
so all of them sleep while they wait, whoever makes trouble stands back when the others' generator
has something to do, and each trouble is compared with a load of the same kind without the trouble:
a flood that is not read with one that is.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.programs import BenchmarkError, Program
from benchmarks.sections import Row, percentile, wait_until_quiet
from benchmarks.server import Server, oyez_server
from benchmarks.stage import Running, Stage
from benchmarks.webhooks import HANGING, OFF, WebhookBench

SHAPE = "isolation"
SUBSCRIBERS, EVENTS_PER_S, WINDOW = 1000, 80, 256
FLOODED, FLOODS_PER_S, FLOOD_BYTES = 10, 100, 8000
STORM_CONNECTIONS, STORM_AT_ONCE, STORM_PER_S = 10_000, 64, 2000
WEBHOOK_S = 15.0

QUIET = "nothing beside it"
READ, UNREAD = "10 clients that read a flood", "10 clients that do not read it"
STEADY_STORM = "storm: 10 000 connects at 2000/s, all closed at once"
STORM = "storm: 10 000 connects as fast as it goes, all closed at once"
WEBHOOKS_OFF, WEBHOOKS_HANG = "client events, no webhook", "client events, webhook endpoint hangs"

# What is to be compared with what.
PAIRS = {UNREAD: READ, STEADY_STORM: QUIET, STORM: QUIET, WEBHOOKS_HANG: WEBHOOKS_OFF}

Trouble = Callable[[float], None]


def measure(stage: Stage) -> list[Row]:
    """Oyez only: one server for the troubles of clients, one for each state of webhooks."""
    rows = {case: Row(SHAPE, case, "oyez") for case in (QUIET, READ, UNREAD, STEADY_STORM, STORM)}
    plan = stage.plan
    try:
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(stage.running(PEERS["oyez"]))
            others = _fanout(stage, running, stack)
            troubles = _troubles(stage, running, stack)
            for number in range(-1, plan.paced_rounds):
                for case, trouble in troubles.items():
                    stage.progress(f"isolation: {case}")
                    wait_until_quiet(running.server)  # what a storm leaves to do is not the next's
                    latencies = _beside(others, trouble, plan.paced_s if number >= 0 else 1.0)
                    if number >= 0:
                        _note(rows[case], latencies)
    except BenchmarkError as error:
        for row in rows.values():
            row.failure = str(error)
        stage.progress(f"isolation failed: {error}")
    return [*rows.values(), *_webhooks(stage)]


def _note(row: Row, latencies: list[float]) -> None:
    row.latencies_us += latencies
    row.samples.append({"p50_us": percentile(latencies, 50), "p99_us": percentile(latencies, 99)})


def _fanout(stage: Stage, running: Running, stack: contextlib.ExitStack) -> Program:
    connections = str(stage.plan.scaled(SUBSCRIBERS))
    program = stage.publishing(running, "fanout", "--connections", connections, "--sleep")
    stack.enter_context(program).read()
    return program


def _beside(others: Program, trouble: Trouble, seconds: float) -> list[float]:
    """Latencies of the paced fan-out while the trouble goes on."""
    others.give(max(1, int(seconds * EVENTS_PER_S)), WINDOW, EVENTS_PER_S)
    trouble(seconds)
    latencies: list[float] = others.read()["latencies_us"]
    return latencies


def _troubles(stage: Stage, running: Running, stack: contextlib.ExitStack) -> dict[str, Trouble]:
    reading = _flood(stage, running, stack, "flood-read")
    stalled = _flood(stage, running, stack, "flood-unread", "--stalled", str(FLOODED))
    count = stage.plan.scaled(STORM_CONNECTIONS)
    arguments = ("--connections", str(count), "--channel", "storm", "--sleep")
    crowd = stack.enter_context(stage.generator(running, "connect", *arguments, background=True))
    crowd.read()
    return {
        QUIET: lambda seconds: None,
        READ: functools.partial(_flooded, reading),
        UNREAD: functools.partial(_flooded, stalled),
        STEADY_STORM: functools.partial(_stormed, crowd, count, STORM_PER_S),
        STORM: functools.partial(_stormed, crowd, count, 0),
    }


def _flood(
    stage: Stage, running: Running, stack: contextlib.ExitStack, channel: str, *arguments: str
) -> Program:
    """One client more, which reads, so that there is something to wait for."""
    program = stage.publishing(
        running,
        "fanout",
        *("--connections", str(FLOODED + 1), "--sleep", *arguments),
        channel=channel,
        payload_bytes=FLOOD_BYTES,
        background=True,
    )
    stack.enter_context(program).read()
    return program


def _flooded(flood: Program, seconds: float) -> None:
    flood.order(max(1, int(FLOODS_PER_S * seconds)), WINDOW, FLOODS_PER_S)


def _stormed(crowd: Program, count: int, per_second: int, seconds: float) -> None:
    """Storm after storm, as long as there is time for one more; at least one."""
    end = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if per_second:
            count = min(count, max(1, int(per_second * (end - began) * 0.9)))
        crowd.order(count, STORM_AT_ONCE, per_second)
        crowd.order(0, 1)
        now = time.monotonic()
        if now + (now - began) > end:
            return


def _webhooks(stage: Stage) -> list[Row]:
    def server(config: Path) -> contextlib.AbstractContextManager[Server]:
        return oyez_server(config, core=stage.server_core, transport=None)

    seconds = 2.0 if stage.plan.quick else WEBHOOK_S
    bench = WebhookBench(server, seconds=seconds, core=stage.generator_core)
    rows = []
    for case, state in ((WEBHOOKS_OFF, OFF), (WEBHOOKS_HANG, HANGING)):
        stage.progress(f"isolation: {case}")
        row = Row(SHAPE, case, "oyez")
        rows.append(row)
        try:
            _note(row, bench.state(state).latencies_us)
        except BenchmarkError as error:
            row.failure = str(error)
            stage.progress(f"{case} failed: {error}")
    return rows
