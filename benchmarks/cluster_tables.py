"""The figures of several nodes as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.cluster import (
    ALONE,
    GROWTH,
    HERE,
    MEMORY,
    PER_NODE,
    SPREAD,
    THERE,
    Case,
    ClusterFigures,
    Row,
    Sample,
)

PLACES = {(0,): "on the node published at", (1,): "on the other node"}


def cluster_tables(figures: ClusterFigures) -> str:
    """Three tables, and what they were measured with."""
    engines = list(dict.fromkeys(row.engine for row in figures.rows if row.engine != MEMORY))
    parts = [_latencies(figures, engines), _costs(figures, engines), _growth(figures, engines)]
    return "\n\n".join([*(part for part in parts if part), _about(figures)])


def _latencies(figures: ClusterFigures, engines: Sequence[str]) -> str:
    alone = figures.row(MEMORY, HERE)
    assert alone is not None
    lines = [
        "| one event at a time, 1 subscriber | latency p50 / p99, ms "
        "| more than one node with `memory`, p50 / p99, ms "
        "| CPU µs per event: node published at | node of the subscriber | broker |",
        "|---|---|---|---|---|---|",
        f"| memory, one node | {_latency(alone)} | | {_cpu(alone)} |",
    ]
    for engine in engines:
        for case, place in ((HERE, "one node"), (THERE, "subscriber on another node")):
            row = figures.row(engine, case)
            if row is not None:
                lines.append(
                    f"| {engine}, {place} | {_latency(row)} | {_added(row, alone)} | {_cpu(row)} |"
                )
    return "\n".join(lines)


def _cpu(row: Row) -> str:
    cells = [_spread(row.values(lambda sample: sample.nodes_us[0]), 1)]
    there = row.case.nodes > 1
    cells.append(_spread(row.values(lambda sample: sample.nodes_us[1]), 1) if there else "")
    cells.append("" if row.engine == MEMORY else _spread(row.values(_of_broker), 1))
    return " | ".join(cells)


def _costs(figures: ClusterFigures, engines: Sequence[str]) -> str:
    lines = [
        f"| {PER_NODE} subscribers on each node that has any | in flight "
        "| CPU µs per event: node published at | each other node with subscribers | broker "
        "| CPU µs per delivery: other node | all parts | latency p50 / p99, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    wanted = [(MEMORY, case) for case in ALONE]
    wanted += [(engine, case) for engine in engines for case in SPREAD]
    rows = [figures.row(engine, case) for engine, case in wanted]
    return "\n".join([*lines, *(_cost(row) for row in rows if row is not None)])


def _cost(row: Row) -> str:
    case, cells = row.case, [f"{row.engine}, {_place(row.case)}", str(row.case.in_flight)]
    others = [index for index in case.interested if index != 0]
    cells.append(_spread(row.values(lambda sample: sample.nodes_us[0]), 1))
    if others:
        each = row.values(lambda sample: statistics.mean(sample.nodes_us[i] for i in others))
        cells += [_spread(each, 1), _spread(row.values(_of_broker), 1)]
        cells.append(_spread([us / case.subscribers for us in each]))
    else:
        cells += ["", "", ""]
    cells.append(_spread(row.values(lambda sample: sample.all_us / case.deliveries)))
    return f"| {' | '.join([*cells, _latency(row)])} |"


def _place(case: Case) -> str:
    if case.interested in PLACES:
        return PLACES[case.interested]
    return "on both nodes" if case.nodes == 2 else "on all three nodes"


def _growth(figures: ClusterFigures, engines: Sequence[str]) -> str:
    lines = [
        "| 1 subscriber on the node published at, 16 in flight | CPU µs per event: that node "
        "| all other nodes | broker | together | ratio to one node |",
        "|---|---|---|---|---|---|",
    ]
    for engine in engines:
        alone = figures.row(engine, GROWTH[0])
        assert alone is not None
        for case in GROWTH:
            row = figures.row(engine, case)
            if row is not None:
                lines.append(_grown(row, alone))
    return "\n".join(lines) if engines else ""


def _grown(row: Row, alone: Row) -> str:
    parts: list[Callable[[Sample], float]] = [
        lambda sample: sample.nodes_us[0],
        lambda sample: sum(sample.nodes_us[1:]),
        _of_broker,
        lambda sample: sample.all_us,
    ]
    pairs = zip(row.samples, alone.samples, strict=True)
    ratios = [sample.all_us / single.all_us for sample, single in pairs]
    nodes = "1 node" if row.case.nodes == 1 else f"{row.case.nodes} nodes"
    cells = [f"{row.engine}, {nodes}", *(_spread(row.values(part)) for part in parts)]
    return f"| {' | '.join([*cells, _spread(ratios)])} |"


def _about(figures: ClusterFigures) -> str:
    plan = figures.plan
    lines = [f"- Several nodes: {plan.rounds} rounds of {plan.section_s} s."]
    lines += [f"- {name} {version}." for name, version in figures.versions.items()]
    lines += [f"- {name} was not measured: {why}." for name, why in figures.missing.items()]
    return "\n".join(lines)


def _of_broker(sample: Sample) -> float:
    return sample.broker_us


def _latency(row: Row) -> str:
    p50, p99 = row.median(lambda sample: sample.p50_us), row.median(lambda sample: sample.p99_us)
    return f"{p50 / 1000:.2f} / {p99 / 1000:.2f}"


def _added(row: Row, alone: Row) -> str:
    """Round by round: both saw the same machine."""
    pairs = list(zip(row.samples, alone.samples, strict=True))
    p50 = statistics.median(sample.p50_us - single.p50_us for sample, single in pairs)
    p99 = statistics.median(sample.p99_us - single.p99_us for sample, single in pairs)
    return f"{p50 / 1000:.2f} / {p99 / 1000:.2f}"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
