"""Publishing when nobody listens: what a request costs, by how its connection is used."""

from __future__ import annotations

import contextlib
import functools

from benchmarks.peers.peer import BATCH, BATCHES, PIPELINES
from benchmarks.programs import Program
from benchmarks.sections import Lane, Publishing, Row
from benchmarks.stage import Running, Stage, interleave

SHAPE = "publish"
ONE, SIXTEEN = "1 connection, lock-step", "16 connections"
PIPELINED = "1 connection, 16 pipelined"
FRESH_ONE, FRESH = "a connection per request, 1 at once", "a connection per request, 16 at once"
BATCHED = "16 connections, batches of 10"


def measure(stage: Stage) -> list[Row]:
    """All of it in one go: the servers stay the same."""
    stage.progress("publishing with nobody subscribed")
    entries = [(peer, 0) for peer in stage.peers]
    return interleave(stage, SHAPE, entries, functools.partial(_lanes, stage))


def _lanes(stage: Stage, stack: contextlib.ExitStack, running: Running) -> list[Lane]:
    lacks = running.peer.lacks

    def lane(program: Program, case: str, in_flight: int, depth: int = 1, size: int = 1) -> Lane:
        return Publishing(
            program,
            case=case,
            peer=running.peer.name,
            pid=running.server.pid,
            in_flight=in_flight,
            depth=depth,
            events_per_request=size,
        )

    kept = stack.enter_context(stage.publishing(running, "publish"))
    kept.read()
    lanes = [lane(kept, ONE, 1), lane(kept, SIXTEEN, 16)]
    if PIPELINES not in lacks:
        lanes.append(lane(kept, PIPELINED, 16, depth=16))
    fresh = stack.enter_context(stage.publishing(running, "publish", "--fresh"))
    fresh.read()
    lanes += [lane(fresh, FRESH_ONE, 1), lane(fresh, FRESH, 16)]
    if BATCHES not in lacks:
        batches = stack.enter_context(stage.publishing(running, "publish", batches=True))
        batches.read()
        lanes.append(lane(batches, BATCHED, 16, size=BATCH))
    return lanes
