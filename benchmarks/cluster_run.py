"""`python -m benchmarks.cluster_run`: of `benchmarks.run` only several nodes over a broker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.cluster import QUICK, Plan, measure_cluster
from benchmarks.cluster_tables import cluster_tables
from benchmarks.programs import BenchmarkError, compile_programs
from benchmarks.run import EXIT_CANNOT_MEASURE, choose_cores, tell


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; 0, or 2 with a sentence on stderr when it cannot be done."""
    options = _parser().parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds)
    only = options.brokers.split(",") if options.brokers else ()
    try:
        compile_programs()
        figures = measure_cluster(
            plan, transport=None, cores=choose_cores(), only=only, progress=tell
        )
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return EXIT_CANNOT_MEASURE
    print(cluster_tables(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster_run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    parser.add_argument("--brokers", help="redis or nats; all unless told")
    return parser


if __name__ == "__main__":
    sys.exit(main())
