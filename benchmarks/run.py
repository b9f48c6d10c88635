"""`python -m benchmarks.run`: measures Oyez on one core from another, and prints the tables."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import cluster
from benchmarks.cluster_tables import cluster_tables
from benchmarks.measure import QUICK, Bench, Plan
from benchmarks.programs import BenchmarkError, compile_programs
from benchmarks.report import markdown, write_into_readme
from benchmarks.server import oyez_server
from benchmarks.webhooks import WebhookBench

EXIT_CANNOT_MEASURE = 2
WEBHOOK_S, QUICK_WEBHOOK_S = 8.0, 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0, or 2 with a sentence on stderr when it cannot be done."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    try:
        webhook_s = options.webhook_seconds or (QUICK_WEBHOOK_S if options.quick else WEBHOOK_S)
        text = _measure(
            plan,
            transport=options.transport,
            webhook_s=webhook_s,
            cluster_plan=cluster.QUICK if options.quick else cluster.Plan(),
        )
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return EXIT_CANNOT_MEASURE
    print(text)
    if options.write:
        write_into_readme(text)
    return 0


def _measure(
    plan: Plan, *, transport: str | None, webhook_s: float, cluster_plan: cluster.Plan
) -> str:
    compile_programs()
    server_core, generator_core = choose_cores()
    start_server = functools.partial(oyez_server, core=server_core, transport=transport)
    bench = Bench(
        start_server,
        plan=plan,
        server_core=server_core,
        generator_core=generator_core,
    )
    webhook_bench = WebhookBench(start_server, seconds=webhook_s, core=generator_core)
    before = processor_times()
    figures = bench.run(tell)
    webhooks = webhook_bench.run(tell)
    several = cluster.measure_cluster(
        cluster_plan, transport=transport, cores=(server_core, generator_core), progress=tell
    )
    text = markdown(
        figures,
        webhooks,
        plan=plan,
        settings=f"transport {transport or 'default'}; server on core {server_core}, "
        f"load generator on core {generator_core}, awake while it waits",
        stolen_percent=stolen_percent(before, processor_times()),
    )
    return f"{text}\n\n{cluster_tables(several)}"


def tell(what: str) -> None:
    """Progress goes to stderr."""
    print(f"measuring {what} …", file=sys.stderr, flush=True)


def choose_cores() -> tuple[int, int]:
    """One core for the server, another for everything else; the runner itself moves there too."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkError("two CPU cores are needed, one for the server and one for the load.")
    server_core, generator_core = usable[:2]
    os.sched_setaffinity(0, {generator_core})
    return server_core, generator_core


def processor_times() -> list[int]:
    """Ticks of all cores by what they were spent on, as in proc(5)."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]


def stolen_percent(before: Sequence[int], after: Sequence[int]) -> float:
    """The share that the host of a virtual machine kept for others (proc(5), "steal")."""
    passed = [late - early for early, late in zip(before, after, strict=True)]
    return 100 * passed[7] / max(1, sum(passed[:8]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of about 45 seconds")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    parser.add_argument(
        "--webhook-seconds", type=float, help="how long client events are sent in each section"
    )
    parser.add_argument("--transport", help="passed on to `oyez serve`")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
