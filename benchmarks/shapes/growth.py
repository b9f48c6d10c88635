"""Whether a delivery costs the same with few and with very many subscribers or channels."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from benchmarks.peers import PEERS
from benchmarks.programs import Program
from benchmarks.sections import Lane, Publishing, Row
from benchmarks.stage import Running, Stage, interleave

SHAPE = "growth"
SUBSCRIBERS = (10, 100, 1000, 10_000)
CHANNELS = (1, 10, 100, 1000, 10_000, 100_000)
CONNECTIONS, EACH = 1000, 5  # connections for all numbers of channels, subscribers of each channel


def subscribers_case(number: int) -> str:
    """How a row is called."""
    return f"{number} subscribers of 1 channel"


def channels_case(number: int) -> str:
    """How a row is called."""
    return f"{number} channels of {EACH}"


def measure(stage: Stage) -> list[Row]:
    """Oyez only, a server for each size; the send() loop shows what the kernel does to it."""
    stage.progress("growth: subscribers")
    oyez = PEERS["oyez"]

    def by_subscribers(stack: contextlib.ExitStack, running: Running) -> list[Lane]:
        number = running.size
        program = stage.publishing(running, "fanout", "--connections", str(number))
        return [_lane(stack, running, program, subscribers_case(number))]

    def baseline(stack: contextlib.ExitStack, lanes: Sequence[Lane]) -> list[Lane]:
        return [
            stage.send_loop(stack, subscribers_case(number), number, 220)
            for number in _sizes(stage, SUBSCRIBERS)
        ]

    def by_channels(stack: contextlib.ExitStack, running: Running) -> list[Lane]:
        number = running.size
        each = max(1, number * EACH // CONNECTIONS)
        arguments = ["--connections", str(CONNECTIONS), "--per-connection", str(each)]
        arguments += ["--subscriptions", str(number * EACH)]
        program = stage.publishing(running, "fanout", *arguments, channels=number)
        return [_lane(stack, running, program, channels_case(number))]

    sizes = [(oyez, number) for number in _sizes(stage, SUBSCRIBERS)]
    rows = interleave(stage, SHAPE, sizes, by_subscribers, baseline=baseline)
    stage.progress("growth: channels")
    sizes = [(oyez, number) for number in _sizes(stage, CHANNELS)]
    return rows + interleave(stage, SHAPE, sizes, by_channels)


def _sizes(stage: Stage, sizes: Sequence[int]) -> list[int]:
    return [size for size in sizes if not stage.plan.quick or size <= CONNECTIONS]


def _lane(stack: contextlib.ExitStack, running: Running, program: Program, case: str) -> Publishing:
    stack.enter_context(program).read()
    name, pid = running.peer.name, running.server.pid
    return Publishing(program, case=case, peer=name, pid=pid, in_flight=1)
