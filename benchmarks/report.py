"""The result as Markdown: the tables, and what they were measured on."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.measure import Fanout, Figures, Idle, Plan, Sample
from benchmarks.signed_requests import PAYLOAD_BYTES
from benchmarks.webhooks import (
    FANOUTS_PER_S,
    OFF,
    ON,
    SLOW,
    SLOW_S,
    SUBSCRIBERS,
    State,
    WebhookFigures,
)

README = Path(__file__).with_name("README.md")
START, END = "<!-- table:start -->", "<!-- table:end -->"
LIBRARIES = ("oyez", "uvloop", "aiofastnet", "httptools", "msgspec", "orjson")
BUSY_LIMIT = 0.98
WAITED_LIMIT = 0.05


def markdown(
    figures: Figures,
    webhooks: WebhookFigures,
    *,
    plan: Plan,
    settings: str,
    stolen_percent: float,
) -> str:
    """Everything that is printed, and written into the README."""
    parts = [_fanout_table(figures.fanout), _publish_table(figures.publish)]
    parts += [_idle_table(figures.idle), _webhook_table(webhooks)]
    parts.append(_circumstances(figures, plan, settings, stolen_percent))
    return "\n\n".join(parts)


def write_into_readme(text: str) -> None:
    """Replaces what stands between the two marks."""
    before, rest = README.read_text().split(START, 1)
    after = rest.split(END, 1)[1]
    README.write_text(f"{before}{START}\n{text}\n{END}{after}")


def _spread(values: Sequence[float], digits: int = 2) -> str:
    median = statistics.median(values)
    return f"{median:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _per_second(cpu_us: Sequence[float]) -> str:
    return f"{1e6 / statistics.median(cpu_us):,.0f}"


def _latency(samples: Sequence[Sample]) -> str:
    p50 = statistics.median(sample.p50_us for sample in samples)
    p99 = statistics.median(sample.p99_us for sample in samples)
    return f"{p50 / 1000:.2f} / {p99 / 1000:.2f}"


def _busy(samples: Sequence[Sample]) -> str:
    return f"{statistics.median(sample.generator_busy for sample in samples):.0%}"


def _fanout_table(fanouts: Sequence[Fanout]) -> str:
    lines = [
        "| fan-out | server CPU µs per delivery | deliveries/s of one core "
        "| ratio to `send()` loop | events per read | latency p50 / p99, ms | generator busy |",
        "|---|---|---|---|---|---|---|",
    ]
    for fanout in fanouts:
        baselines = [s.cpu_us for samples in fanout.baseline.values() for s in samples]
        lines.append(
            f"| C `send()` loop, {_count(fanout.subscribers, 'connection')} "
            f"| {_spread(baselines)} | {_per_second(baselines)} | 1 | | | |"
        )
        lines += [_fanout_row(fanout, in_flight) for in_flight in fanout.server]
    return "\n".join(lines)


def _fanout_row(fanout: Fanout, in_flight: int) -> str:
    samples = fanout.server[in_flight]
    cpu = [sample.cpu_us for sample in samples]
    pairs = zip(samples, fanout.baseline[in_flight], strict=True)
    ratios = [sample.cpu_us / baseline.cpu_us for sample, baseline in pairs]
    reads = statistics.median(sample.events_per_read for sample in samples)
    return (
        f"| {_count(fanout.subscribers, 'subscriber')}, {in_flight} in flight "
        f"| {_spread(cpu)} | {_per_second(cpu)} | {_spread(ratios)} "
        f"| {reads:.1f} | {_latency(samples)} | {_busy(samples)} |"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _publish_table(publish: dict[int, list[Sample]]) -> str:
    lines = [
        "| signed publish, nobody subscribed | server CPU µs per publish "
        "| publishes/s of one core | latency p50 / p99, ms | generator busy |",
        "|---|---|---|---|---|",
    ]
    for connections, samples in publish.items():
        cpu = [sample.cpu_us for sample in samples]
        lines.append(
            f"| {_count(connections, 'connection')} | {_spread(cpu, 1)} | {_per_second(cpu)} "
            f"| {_latency(samples)} | {_busy(samples)} |"
        )
    return "\n".join(lines)


def _idle_table(idle: Idle) -> str:
    pairs = list(zip(idle.empty_bytes, idle.full_bytes, strict=True))
    each = [(full - empty) / 1024 / idle.connections for empty, full in pairs]
    empty = [empty / 1024 / 1024 for empty, _ in pairs]
    return (
        "| idle, subscribed to one channel | KB resident per connection | empty server, MB |\n"
        "|---|---|---|\n"
        f"| {idle.connections} connections | {_spread(each)} | {_spread(empty, 1)} |"
    )


def _webhook_table(webhooks: WebhookFigures) -> str:
    lines = [
        "| webhooks of client events | client events/s | server CPU µs per client event "
        "| server CPU µs per webhook event | fan-out latency p50 / p99, ms "
        "| events sent / told / told again |",
        "|---|---|---|---|---|---|",
    ]
    names = {OFF: "off", ON: "on, quick receiver", SLOW: f"on, receiver takes {SLOW_S:.0f} s"}
    for key, name in names.items():
        cost = f"{webhooks.cpu_us_per_webhook:.1f}" if key == ON else ""
        lines.append(_webhook_row(name, webhooks.states[key], cost))
    fanouts = len(webhooks.states[OFF].latencies_us)
    lines.append(
        f"\n{fanouts} fan-outs to {SUBSCRIBERS} subscribers in {webhooks.seconds:g} s, "
        f"{FANOUTS_PER_S} a second, in each row."
    )
    return "\n".join(lines)


def _webhook_row(name: str, state: State, cost: str) -> str:
    p50, p99 = (state.percentile(percent) / 1000 for percent in (50, 99))
    return (
        f"| {name} | {state.rate:.0f} | {state.cpu_us:.1f} | {cost} | {p50:.2f} / {p99:.2f} "
        f"| {state.sent} / {state.arrived} / {state.again} |"
    )


def _circumstances(figures: Figures, plan: Plan, settings: str, stolen_percent: float) -> str:
    frames = " or ".join(str(size) for size in sorted({f.frame_bytes for f in figures.fanout}))
    most_waited = max(sample.waited for section in _sections(figures) for sample in section)
    lines = [
        f"- Median (lowest-highest) of {plan.rounds} rounds of {plan.round_s} s; "
        f"idle: {plan.idle_rounds}.",
        f"- Payload {PAYLOAD_BYTES} bytes, delivered frame {frames} bytes; {settings}.",
        f"- {processor()}, Linux {platform.release()}; the host took {stolen_percent:.1f}% of "
        f"the time; the server waited {_median_waited(figures):.1%} of it for its core, "
        f"at most {most_waited:.0%} in one section.",
        f"- {platform.python_implementation()} {platform.python_version()}; {versions()}.",
    ]
    return "\n".join(lines + _warnings(figures))


def _sections(figures: Figures) -> list[list[Sample]]:
    groups = [samples for fanout in figures.fanout for samples in fanout.server.values()]
    return groups + list(figures.publish.values())


def _warnings(figures: Figures) -> list[str]:
    groups = _sections(figures)
    busiest = max(statistics.median(s.generator_busy for s in samples) for samples in groups)
    warnings = []
    if busiest > BUSY_LIMIT:
        warnings.append(
            f"- **The load generator was busy for {busiest:.0%} of the time in one row: it may "
            "have been the limit there, so believe the CPU time but not the latency.**"
        )
    if _median_waited(figures) > WAITED_LIMIT:
        warnings.append(
            "- **Other programs were using these cores: believe neither the latency nor the rows "
            "with one connection or subscriber, and measure again on a quiet machine.**"
        )
    return warnings


def _median_waited(figures: Figures) -> float:
    return statistics.median(s.waited for section in _sections(figures) for s in section)


def versions() -> str:
    """Of what the hot path runs on."""
    found = []
    for library in LIBRARIES:
        try:
            found.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def processor() -> str:
    """As it calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
