"""Runs the chaos lane from the command line: ``python -m tests.chaos --engine redis --seed 7``."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import describe
from tests.chaos.run import run


def main() -> int:
    """The exit code: how many seeds failed, at most 100."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--engine", default="redis", choices=("redis", "nats"))
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after another")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the storm")
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="where logs are kept; default: of failures only")
    parser.add_argument("--no-webhooks", action="store_true", help="leave them out")
    given = parser.parse_args()
    failed = 0
    for seed in range(given.seed, given.seed + given.seeds):
        parent = given.keep or Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"oyez-chaos-{given.engine}-{seed}-", dir=parent))
        verdict = asyncio.run(
            run(
                given.engine,
                seed,
                given.seconds,
                given.clients,
                directory,
                webhooks=not given.no_webhooks,
            )
        )
        sys.stdout.write(describe(verdict, given.clients, directory))
        sys.stdout.flush()
        failed += bool(verdict.differences)
    return min(failed, 100)


if __name__ == "__main__":
    sys.exit(main())
