"""Many rooms of a few: events spread over all of them, and presence with a coming and going."""

from __future__ import annotations

import contextlib
import functools

from benchmarks.peers.peer import PRESENCE
from benchmarks.sections import Lane, Publishing, Row
from benchmarks.stage import Running, Stage, interleave

SHAPE = "chat"
CHANNELS, MEMBERS = 1000, 5
CHURNERS = 16
ONE, SIXTEEN = "1000 channels of 5, one in flight", "1000 channels of 5, 16 in flight"
JOINS = "presence with joins and leaves, 16 in flight"


def measure(stage: Stage) -> list[Row]:
    """Public channels, then presence channels."""
    stage.progress(f"chat: {CHANNELS} channels with {MEMBERS} subscribers each")
    entries = [(peer, 0) for peer in stage.peers]
    build = functools.partial(_lanes, stage, {ONE: 1, SIXTEEN: 16}, False)
    rows = interleave(stage, SHAPE, entries, build)
    stage.progress("chat: presence channels with joins and leaves")
    entries = [(peer, 0) for peer in stage.with_(PRESENCE)]
    build = functools.partial(_lanes, stage, {JOINS: 16}, True)
    return rows + interleave(stage, SHAPE, entries, build)


def _lanes(
    stage: Stage,
    loads: dict[str, int],
    presence: bool,
    stack: contextlib.ExitStack,
    running: Running,
) -> list[Lane]:
    channels = stage.plan.scaled(CHANNELS)
    arguments = ["--connections", str(channels * MEMBERS)]
    channel = "bench"
    if presence:
        channel = f"{running.peer.presence_prefix}bench"
        churners = min(CHURNERS, channels)
        arguments += ["--presence", "--churners", str(churners)]
    program = stage.publishing(running, "fanout", *arguments, channel=channel, channels=channels)
    stack.enter_context(program).read()
    return [
        Publishing(
            program,
            case=case,
            peer=running.peer.name,
            pid=running.server.pid,
            in_flight=in_flight,
        )
        for case, in_flight in loads.items()
    ]
