"""`python -m benchmarks.peer_run`: Oyez beside the servers that people would pick instead."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import results
from benchmarks.peers import PEERS, Peer
from benchmarks.peers.peer import MissingError
from benchmarks.plot import draw
from benchmarks.programs import BUILD, BenchmarkError, compile_programs
from benchmarks.run import choose_cores, processor_times, stolen_percent
from benchmarks.sections import Row
from benchmarks.shapes import SHAPES
from benchmarks.stage import QUICK, Plan, Stage, say
from benchmarks.table import markdown

EXIT_FAILED, EXIT_CANNOT_MEASURE = 1, 2
# As the issue numbers them.
NUMBERS = {"1": "fanout", "2": "chat", "3": "publish", "4": "connect,memory", "5": "growth"}
NUMBERS["6"] = "isolation"


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 if Oyez failed in a shape; 2 with a sentence if nothing could be measured."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(options.results or (BUILD / "quick" if options.quick else results.RESULTS))
    try:
        failed = [] if options.render else _measure(options, folder)
    except BenchmarkError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return EXIT_CANNOT_MEASURE
    _render(folder)
    return EXIT_FAILED if failed else 0


def _stop(number: int, frame: object) -> None:
    """So that being terminated, too, ends the servers that were started."""
    sys.exit(128 + number)


def _measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    plan = QUICK if options.quick else Plan()
    if options.rounds:
        plan = replace(plan, rounds=options.rounds, paced_rounds=options.rounds)
    shapes = _shapes(options.only)
    chosen = options.peers.split(",") if options.peers else list(PEERS)
    compile_programs()
    peers, missing = _install(chosen)
    if options.install:
        return []
    server_core, generator_core = choose_cores()
    stage = Stage(peers, plan, server_core=server_core, generator_core=generator_core, progress=say)
    failed = []
    for shape in shapes:
        before, began = processor_times(), time.monotonic()
        rows = SHAPES[shape](stage)
        stolen = stolen_percent(before, processor_times())
        seconds = time.monotonic() - began
        about = results.circumstances(peers, missing, plan, seconds, stolen)
        results.write(folder, shape, rows, about)
        failed += [row for row in rows if row.failure and row.peer == "oyez"]
    return failed


def _shapes(only: str | None) -> list[str]:
    if not only:
        return list(SHAPES)
    names = ",".join(NUMBERS.get(word, word) for word in only.split(",")).split(",")
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        raise BenchmarkError(f"no shape is called {unknown[0]}; there are {', '.join(SHAPES)}.")
    return names


def _install(names: Sequence[str]) -> tuple[list[Peer], dict[str, str]]:
    """What can be had of them, and why the others cannot."""
    peers, missing = [], {}
    for name in names:
        if name not in PEERS:
            raise BenchmarkError(f"no peer is called {name}; there are {', '.join(PEERS)}.")
        say(f"installing {name}, if it is not there …")
        try:
            PEERS[name].install()
            say(f"{name} {PEERS[name].version()}")
            peers.append(PEERS[name])
        except MissingError as error:
            missing[name] = str(error)
            say(f"WITHOUT {name}: {error}")
    return peers, missing


def _render(folder: Path) -> None:
    shapes = results.read(folder, SHAPES)
    if not shapes:
        return
    text = markdown(shapes)
    (folder / "README.md").write_text(text)
    print(text)
    if draw(shapes, folder):
        say(f"written to {os.path.relpath(folder)}: README.md, peers.svg, peers.png and *.json")
    else:
        say("no plot: matplotlib is missing (pip install -r benchmarks/requirements.txt)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_run", description=__doc__)
    parser.add_argument("--only", metavar="SHAPE[,SHAPE]", help=", ".join(SHAPES) + "; or 1 to 6")
    parser.add_argument("--peers", metavar="NAME[,NAME]", help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, help="rounds of each section")
    parser.add_argument("--quick", action="store_true", help="a smoke test; into build/quick")
    parser.add_argument("--results", metavar="FOLDER", help="where to, and where to read from")
    parser.add_argument("--render", action="store_true", help="only write table and plot anew")
    parser.add_argument("--install", action="store_true", help="only install the peers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
