"""The results as Markdown: one table a shape, the targets, and the circumstances."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.results import Shape
from benchmarks.sections import Row
from benchmarks.stage import SEND_LOOP
from benchmarks.targets import OURS, Shapes, Target, targets

Column = tuple[str, Callable[[Row], str]]
BUSY_LIMIT, WAITED_LIMIT = 0.98, 0.05


def spread(row: Row, figure: str, digits: int = 2) -> str:
    """The median with the lowest and the highest, if there is more than one."""
    values = [sample[figure] for sample in row.samples]
    median = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _figure(figure: str, digits: int = 2) -> Callable[[Row], str]:
    return lambda row: spread(row, figure, digits) if figure in row.samples[0] else ""


def _latency(row: Row) -> str:
    if row.peer == SEND_LOOP:
        return ""
    if row.latencies_us:
        return " / ".join(f"{row.overall(percent) / 1000:.2f}" for percent in (50, 99, 99.9))
    return f"{row.median('p50_us') / 1000:.2f} / {row.median('p99_us') / 1000:.2f}"


def _rate(figure: Callable[[Row], float]) -> Callable[[Row], str]:
    return lambda row: f"{figure(row):,.0f}"


def _percent(figure: str) -> Callable[[Row], str]:
    return lambda row: f"{row.median(figure):.0%}" if row.samples[0].get(figure) else ""


PER_CORE: Column = ("a second on one core", _rate(lambda row: 1e6 / row.median("cpu_us")))
COMMON: list[Column] = [
    PER_CORE,
    ("latency p50 / p99 (/ p99.9), ms", _latency),
    ("generator busy", _percent("busy")),
]
COLUMNS: dict[str, list[Column]] = {
    "fanout": [
        ("CPU µs per delivery", _figure("cpu_us")),
        ("events per read", _figure("per_read", 1)),
        *COMMON,
    ],
    "chat": [
        ("CPU µs per delivery", _figure("cpu_us")),
        ("events per read", _figure("per_read", 1)),
        *COMMON,
    ],
    "publish": [("CPU µs per event", _figure("cpu_us", 1)), *COMMON],
    "connect": [
        ("CPU µs per connect", _figure("cpu_us", 1)),
        ("per disconnect", _figure("leave_us", 1)),
        ("connects/s seen", _rate(lambda row: row.median("per_second"))),
        ("until subscribed p50 / p99, ms", _latency),
        ("MB empty", _figure("empty_mb", 1)),
        ("at the peak", _figure("peak_mb", 1)),
        ("more after it", _figure("left_mb", 1)),
        ("more after another", _figure("left_again_mb", 1)),
    ],
    "memory": [
        ("KB resident per connection", _figure("kb")),
        ("MB empty", _figure("empty_mb", 1)),
        ("MB more when all have gone", _figure("left_mb", 1)),
    ],
    "growth": [
        ("CPU µs per delivery", _figure("cpu_us")),
        ("latency p50 / p99, ms", _latency),
    ],
    "isolation": [("others' latency p50 / p99 / p99.9, ms", _latency)],
}
TITLES = {
    "fanout": "1. Fan-out",
    "chat": "2. Chat",
    "publish": "3. Publishing, nobody subscribed",
    "connect": "4. Connecting and leaving",
    "memory": "4. Memory of idle connections",
    "growth": "5. Growth",
    "isolation": "6. Other clients' latency",
}


def markdown(shapes: Shapes) -> str:
    """The whole page."""
    parts = [
        "# Oyez beside its peers",
        "Written by `make bench-peers`; `../README.md` explains it.",
    ]
    parts += ["![Oyez beside its peers](peers.svg)", _targets(targets(shapes))]
    for name, shape in shapes.items():
        parts += [f"## {TITLES[name]}", _table(shape), _failures(shape), _about(shape)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _targets(found: Sequence[Target]) -> str:
    lines = ["| ratio | wanted | reached | |", "|---|---|---|---|"]
    for target in found:
        sign = "<" if target.strictly else "≤"
        reached = "not measured" if target.reached is None else f"{target.reached:.2f}"
        verdict = "" if target.reached is None else "yes" if target.met else "**no**"
        lines.append(f"| {target.what} | {sign} {target.wanted:.2f} | {reached} | {verdict} |")
    return "\n".join(lines)


def _table(shape: Shape) -> str:
    rows = [row for row in shape.rows if row.samples and not row.failure]
    columns = [column for column in COLUMNS[shape.name] if any(column[1](row) for row in rows)]
    head = ["case", "server", *(name for name, _ in columns)]
    lines = [_line(head), _line(["---"] * len(head))]
    for case in dict.fromkeys(row.case for row in rows):
        lines += [
            _line([case, row.peer, *(cell(row) for _, cell in columns)])
            for row in rows
            if row.case == case
        ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _failures(shape: Shape) -> str:
    failed = [row for row in shape.rows if row.failure]
    return "\n".join(
        f"- **{row.peer}** {row.case or 'did not start'}: {row.failure.splitlines()[0]}"
        for row in failed
    )


def _about(shape: Shape) -> str:
    about = shape.circumstances
    plan = about["plan"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"- {about['date']}, {about['seconds']} s; {plan['rounds']} rounds of {plan['section_s']} s"
        f" (paced: {plan['paced_rounds']} of {plan['paced_s']} s); median (lowest-highest).",
        f"- {about['processor']}, Linux {about['kernel']}; the host took "
        f"{about['host_took_percent']}% of the time.",
        f"- {versions}; {about['libraries']}.",
    ]
    lines += [f"- Missing: {name}: {reason}." for name, reason in about["missing"].items()]
    if plan["quick"]:
        lines.append("- **A smoke test: no figure of it means anything.**")
    return "\n".join(lines + _doubts(shape))


def _doubts(shape: Shape) -> list[str]:
    doubts = []
    for row in (row for row in shape.rows if row.samples and not row.failure):
        first = row.samples[0]
        if first.get("busy", 0) and row.median("busy") > BUSY_LIMIT:
            doubts.append(
                f"- {row.peer}, {row.case}: the load generator was busy for "
                f"{row.median('busy'):.0%} of the time; believe the CPU time, not the latency."
            )
        # Where there are several threads, they wait for each other.
        one_thread = row.peer in (OURS, SEND_LOOP)
        if one_thread and "waited" in first and row.median("waited") > WAITED_LIMIT:
            doubts.append(
                f"- {row.peer}, {row.case}: **it waited for its core for "
                f"{row.median('waited'):.0%} of the time; the machine was not quiet.**"
            )
    return doubts
