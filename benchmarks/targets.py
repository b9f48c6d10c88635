"""The ratios of issue 6: what is wanted, and what was reached in the same run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Shape
from benchmarks.sections import Row
from benchmarks.shapes import chat, fanout, growth, isolation, memory, publish
from benchmarks.stage import SEND_LOOP

Shapes = dict[str, Shape]
OURS = "oyez"


@dataclass(frozen=True, slots=True)
class Target:
    """One line: `reached` is None where it was not measured."""

    what: str
    wanted: float
    reached: float | None
    strictly: bool = False  # less, not less or equal

    @property
    def met(self) -> bool:
        """Whether it was measured and is as wanted."""
        if self.reached is None:
            return False
        return self.reached < self.wanted if self.strictly else self.reached <= self.wanted


def targets(shapes: Shapes) -> list[Target]:
    """All of them, in the order of the issue."""
    return [
        *_fanout(shapes),
        *_chat(shapes),
        *_publish(shapes),
        _against(shapes, "memory", memory.SHARED, "soketi", 0.50, "kb", "resident memory"),
        *_growth(shapes),
        *_isolation(shapes),
    ]


def _fanout(shapes: Shapes) -> Iterator[Target]:
    for size in fanout.SIZES:
        case = fanout.case_of(size, "one in flight")
        for peer, wanted in (("nchan", 0.90), ("soketi", 0.65), (SEND_LOOP, 1.25)):
            yield _against(shapes, "fanout", case, peer, wanted)
        case = fanout.case_of(size, "16 in flight")
        for peer in ("nchan", "soketi"):
            yield _against(shapes, "fanout", case, peer, 0.10)


def _chat(shapes: Shapes) -> Iterator[Target]:
    for case in (chat.ONE, chat.SIXTEEN):
        yield _against(shapes, "chat", case, "soketi", 0.70)


def _publish(shapes: Shapes) -> Iterator[Target]:
    yield _against(shapes, "publish", publish.SIXTEEN, "soketi", 0.25)
    yield _against(shapes, "publish", publish.FRESH, "soketi", 0.75)
    yield _against(shapes, "publish", publish.FRESH_ONE, "soketi", 0.75)
    yield _against(shapes, "publish", publish.ONE, "soketi", 0.60, "p50_us", "p50 latency")


def _growth(shapes: Shapes) -> Iterator[Target]:
    """The dearest size against the cheapest of the smaller ones: getting cheaper is no growth."""
    for name, sizes, case_of in (
        ("subscribers", growth.SUBSCRIBERS, growth.subscribers_case),
        ("channels", growth.CHANNELS, growth.channels_case),
    ):
        rows = [_row(shapes, "growth", case_of(size), OURS) for size in sizes]
        costs = [row.median("cpu_us") for row in rows if row is not None]
        what = f"growth: CPU per delivery, {sizes[0]} to {sizes[-1]} {name}"
        yield Target(what, 1.5, _rise(costs) if len(costs) == len(sizes) else None)
    # The kernel's own part grows with the sockets, which no longer fit into the processor's cache.
    costs = []
    for size in growth.SUBSCRIBERS:
        case = growth.subscribers_case(size)
        ours, loop = (_row(shapes, "growth", case, peer) for peer in (OURS, SEND_LOOP))
        if ours and loop:
            costs.append(ours.median("cpu_us") / loop.median("cpu_us"))
    complete = len(costs) == len(growth.SUBSCRIBERS)
    what = "growth: the same for subscribers, as a multiple of the send() loop's CPU"
    yield Target(what, 1.5, _rise(costs) if complete else None)


def _rise(costs: list[float]) -> float:
    """The most that a size costs of what a smaller one did."""
    return max(costs[i] / min(costs[: i + 1]) for i in range(len(costs)))


def _isolation(shapes: Shapes) -> Iterator[Target]:
    for trouble, without in isolation.PAIRS.items():
        ours = _row(shapes, "isolation", trouble, OURS)
        quiet = _row(shapes, "isolation", without, OURS)
        reached = ours.overall(99) / quiet.overall(99) if ours and quiet else None
        yield Target(f"others' p99, {trouble} / {without}", 2.0, reached, strictly=True)


def _against(
    shapes: Shapes,
    shape: str,
    case: str,
    peer: str,
    wanted: float,
    figure: str = "cpu_us",
    name: str = "CPU",
) -> Target:
    ours, theirs = _row(shapes, shape, case, OURS), _row(shapes, shape, case, peer)
    reached = ours.median(figure) / theirs.median(figure) if ours and theirs else None
    return Target(f"{shape}: {case}, {name} ours / {peer}", wanted, reached)


def _row(shapes: Shapes, shape: str, case: str, peer: str) -> Row | None:
    return shapes[shape].row(case, peer) if shape in shapes else None
