"""What was measured, one JSON file a shape, and the circumstances under which it was."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import Peer
from benchmarks.report import processor, versions
from benchmarks.sections import Row
from benchmarks.stage import Plan

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Shape:
    """The rows of one shape, and what they were measured on."""

    name: str
    rows: list[Row]
    circumstances: dict[str, Any]

    def row(self, case: str, peer: str) -> Row | None:
        """What this server did in this case, if it did."""
        for row in self.rows:
            if (row.case, row.peer) == (case, peer) and row.samples and not row.failure:
                return row
        return None


def circumstances(
    peers: Iterable[Peer], missing: dict[str, str], plan: Plan, seconds: float, stolen: float
) -> dict[str, Any]:
    """What has to be known to believe a figure."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(seconds),
        "processor": processor(),
        "kernel": platform.release(),
        "host_took_percent": round(stolen, 2),
        "plan": asdict(plan),
        "versions": {peer.name: peer.version() for peer in peers},
        "libraries": versions(),
        "missing": missing,
    }


def write(folder: Path, shape: str, rows: list[Row], about: dict[str, Any]) -> None:
    """Replaces what was known about this shape."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(_plain(row)) for row in rows)
    text = f'{{"shape": "{shape}",\n"circumstances": {json.dumps(about)},\n"rows": [\n{lines}\n]}}'
    (folder / f"{shape}.json").write_text(text + "\n")


def read(folder: Path, shapes: Iterable[str]) -> dict[str, Shape]:
    """Those that have been measured."""
    found = {}
    for name in shapes:
        file = folder / f"{name}.json"
        if file.exists():
            content = json.loads(file.read_text())
            rows = [Row(**row) for row in content["rows"]]
            found[name] = Shape(name, rows, content["circumstances"])
    return found


def _plain(row: Row) -> dict[str, Any]:
    plain = asdict(row)
    for sample in plain["samples"]:
        for key, value in sample.items():
            sample[key] = round(value, 4)
    plain["latencies_us"] = [round(latency) for latency in sorted(row.latencies_us)]
    return plain
