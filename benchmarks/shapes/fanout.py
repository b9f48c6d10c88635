"""One event to very many: closed loops of one, sixteen and more events, and a paced one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence

from benchmarks.sections import Lane, Publishing, Row
from benchmarks.stage import Running, Stage, interleave

SHAPE = "fanout"
SIZES = (1000, 5000)
# With 256 in flight nothing but its last answer holds a publisher back.
IN_FLIGHT = {"one in flight": 1, "16 in flight": 16, "16 publishers": 256}
PACED, PACED_SUBSCRIBERS, EVENTS_PER_S = "80 events/s", 1000, 80


def case_of(subscribers: int, load: str) -> str:
    """How the rows are called."""
    return f"1 → {subscribers}, {load}"


def measure(stage: Stage) -> list[Row]:
    """Both sizes beside the send() loop, then the paced one."""
    rows = []
    for subscribers in SIZES:
        stage.progress(f"fan-out to {subscribers}")
        rows += _closed(stage, subscribers)
    stage.progress(f"fan-out to {PACED_SUBSCRIBERS}, {PACED}")
    return rows + _paced(stage)


def _closed(stage: Stage, subscribers: int) -> list[Row]:
    def baseline(stack: contextlib.ExitStack, lanes: Sequence[Lane]) -> list[Lane]:
        case = case_of(subscribers, "one in flight")
        return [stage.send_loop(stack, case, stage.plan.scaled(subscribers), 220)]

    entries = [(peer, 0) for peer in stage.peers]
    build = functools.partial(_lanes, stage, subscribers, IN_FLIGHT, 0)
    return interleave(stage, SHAPE, entries, build, baseline=baseline)


def _paced(stage: Stage) -> list[Row]:
    plan = stage.plan
    entries = [(peer, 0) for peer in stage.peers]
    build = functools.partial(_lanes, stage, PACED_SUBSCRIBERS, {PACED: 256}, EVENTS_PER_S)
    return interleave(
        stage, SHAPE, entries, build, rounds=plan.paced_rounds, section_s=plan.paced_s
    )


def _lanes(
    stage: Stage,
    subscribers: int,
    loads: dict[str, int],
    per_second: int,
    stack: contextlib.ExitStack,
    running: Running,
) -> list[Lane]:
    connections = str(stage.plan.scaled(subscribers))
    program = stage.publishing(running, "fanout", "--connections", connections)
    stack.enter_context(program).read()
    return [
        Publishing(
            program,
            case=case_of(subscribers, load),
            peer=running.peer.name,
            pid=running.server.pid,
            in_flight=in_flight,
            per_second=per_second,
        )
        for load, in_flight in loads.items()
    ]
