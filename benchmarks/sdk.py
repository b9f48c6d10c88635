"""What publishing costs the caller: `oyez.Client` and `oyez.AsyncClient` beside PyPI `pusher`.

``python -m benchmarks.sdk`` starts a server on one core and publishes from another, each library in
turn and in a process of its own, in interleaved rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import oyez_server
from benchmarks.signed_requests import Credentials

CHANNEL, EVENT = "bench-sdk", "my-event"
DATA = {"message": "hello world", "number": 7, "tags": ["a", "b"]}
WARM_UP = 100
CORES = (0, 1)

Rows = dict[str, list["Round"]]


@dataclass(frozen=True, slots=True)
class Round:
    """One library, one number of callers at once."""

    cpu_us: float
    per_second: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; or, as ``--publish``, be one of the publishers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2000, help="per round and library")
    parser.add_argument("--publish", nargs=3, metavar=("LIBRARY", "CALLERS", "PORT"))
    options = parser.parse_args(arguments)
    if options.publish:
        library, callers, port = options.publish
        print(json.dumps(publish(library, int(callers), int(port), options.events)))
        return 0
    print(markdown(measure(options.rounds, options.events)))
    return 0


def measure(rounds: int, events: int) -> Rows:
    """Every library and number of callers, in interleaved rounds."""
    rows: Rows = {}
    os.sched_setaffinity(0, {CORES[1]})
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "oyez.toml"
        config.write_text("")
        with oyez_server(config, core=CORES[0], transport=None) as server:
            for _ in range(rounds):
                for library, callers in PUBLISHERS:
                    name = f"{library}, {callers} at once"
                    found = _run(library, callers, server.port, events)
                    rows.setdefault(name, []).append(found)
    return rows


def _run(library: str, callers: int, port: int, events: int) -> Round:
    command = [sys.executable, "-m", "benchmarks.sdk", "--events", str(events)]
    command += ["--publish", library, str(callers), str(port)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return Round(**json.loads(done.stdout))


def publish(library: str, callers: int, port: int, events: int) -> dict[str, float]:
    """Publish ``events`` from this process and say what it took."""
    app = Credentials()
    if library == "oyez.AsyncClient":
        return asyncio.run(_publish_async(app, callers, port, events))
    call = _official(app, port) if library == "pusher" else _ours(app, port)
    for _ in range(WARM_UP):
        call()
    cpu, wall = time.process_time(), time.perf_counter()
    if callers == 1:
        for _ in range(events):
            call()
    else:
        _from_threads(call, callers, events)
    return _result(cpu, wall, events)


def _from_threads(call: Callable[[], object], callers: int, events: int) -> None:
    def work() -> None:
        for _ in range(events // callers):
            call()

    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _official(app: Credentials, port: int) -> Callable[[], object]:
    import pusher

    client = pusher.Pusher(app.app_id, app.key, app.secret, host="127.0.0.1", port=port, ssl=False)
    return lambda: client.trigger(CHANNEL, EVENT, DATA)


def _ours(app: Credentials, port: int) -> Callable[[], object]:
    import oyez

    client = oyez.Client(app.app_id, app.key, app.secret, host="127.0.0.1", port=port, ssl=False)
    return lambda: client.trigger(CHANNEL, EVENT, DATA)


async def _publish_async(
    app: Credentials, callers: int, port: int, events: int
) -> dict[str, float]:
    import oyez

    async with oyez.AsyncClient(
        app.app_id, app.key, app.secret, host="127.0.0.1", port=port, ssl=False
    ) as client:

        async def work(count: int) -> None:
            for _ in range(count):
                await client.trigger(CHANNEL, EVENT, DATA)

        await work(WARM_UP)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work(events // callers) for _ in range(callers)))
        return _result(cpu, wall, events)


def _result(cpu: float, wall: float, events: int) -> dict[str, float]:
    used, took = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_us": used / events * 1e6, "per_second": events / took}


PUBLISHERS = (
    ("pusher", 1),
    ("oyez.Client", 1),
    ("oyez.AsyncClient", 1),
    ("pusher", 8),
    ("oyez.Client", 8),
    ("oyez.AsyncClient", 8),
)


def markdown(rows: Rows) -> str:
    """Median, lowest and highest of the rounds, and the ratio to PyPI `pusher`."""
    lines = [
        "| publisher | CPU µs per publish | publishes/s | CPU: ratio to `pusher` | rate: ratio |",
        "|---|---|---|---|---|",
    ]
    for name, rounds in rows.items():
        official = rows[f"pusher, {name.partition(', ')[2]}"]
        cpu, rate = _median(rounds, "cpu_us"), _median(rounds, "per_second")
        spread = [each.cpu_us for each in rounds]
        lines.append(
            f"| {name} | {cpu:.0f} ({min(spread):.0f}-{max(spread):.0f}) | {rate:.0f} "
            f"| {cpu / _median(official, 'cpu_us'):.2f} "
            f"| {rate / _median(official, 'per_second'):.2f} |"
        )
    return "\n".join(lines)


def _median(rounds: list[Round], name: str) -> float:
    return float(statistics.median(getattr(each, name) for each in rounds))


if __name__ == "__main__":
    sys.exit(main())
