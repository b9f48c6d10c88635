"""One measured section after another: a kind of load on a server that can be repeated."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.programs import Program
from benchmarks.server import CpuTime, Server

PAUSE_S = 0.03  # longer than a generator that is done stays awake: two of them share one core
WARM_UP_S = 0.3
QUIET_US = 500.0  # of CPU time in QUIET_S: the server has done what it had to do
QUIET_S = 0.1
QUIET_WITHIN_S = 20.0

Sample = dict[str, float]


@dataclass(slots=True)
class Row:
    """What one server did in one case: a sample for every round."""

    shape: str
    case: str
    peer: str
    samples: list[Sample] = field(default_factory=list)
    latencies_us: list[float] = field(default_factory=list)  # of all rounds, where all were noted
    failure: str = ""

    def median(self, figure: str) -> float:
        """Of all rounds."""
        return statistics.median(sample[figure] for sample in self.samples)

    def overall(self, percent: float) -> float:
        """A percentile of the latencies of all rounds together."""
        return percentile(self.latencies_us, percent)


class Lane(Protocol):
    """One case on one running server."""

    case: str
    peer: str

    def warm_up(self) -> None:
        """Have it do what it will do, unmeasured."""

    def run(self, seconds: float) -> tuple[Sample, list[float]]:
        """One section of about so long; a sample, and single latencies if they were noted."""


class Publishing:
    """Events, counted by delivery or, where nobody is subscribed, by event."""

    def __init__(
        self,
        program: Program,
        *,
        case: str,
        peer: str,
        pid: int,
        in_flight: int,
        per_second: int = 0,
        depth: int = 1,
        events_per_request: int = 1,
    ) -> None:
        self.case = case
        self.peer = peer
        self.frame_bytes = 0
        self._program = program
        self._pid = pid
        self._numbers = (in_flight, per_second, depth)
        self._events_per_request = events_per_request
        self._events_per_s = float(per_second or 100)

    def warm_up(self) -> None:
        """Finds how many events fill a second, so that every section takes the time it should."""
        self.run(WARM_UP_S / 10)
        self.run(WARM_UP_S)

    def run(self, seconds: float) -> tuple[Sample, list[float]]:
        in_flight, per_second, _ = self._numbers
        events = max(2 * in_flight, int(self._events_per_s * seconds))
        if per_second:
            events = max(1, int(per_second * seconds))
        time.sleep(PAUSE_S)
        before = CpuTime.of(self._pid)
        answer = self._program.order(events, *self._numbers)
        after = CpuTime.of(self._pid)
        if not per_second:
            self._events_per_s = events / answer["seconds"]
        self.frame_bytes = answer.get("frame_bytes", self.frame_bytes)
        units = answer.get("deliveries", 0) + answer.get("member_events", 0)
        units = units or events * self._events_per_request
        return self._sample(answer, units, before, after), answer.get("latencies_us", [])

    def _sample(
        self, answer: dict[str, Any], units: float, before: CpuTime, after: CpuTime
    ) -> Sample:
        seconds = answer["seconds"]
        return {
            "cpu_us": (after.used_ns - before.used_ns) / 1000 / units,
            "per_second": units / seconds,
            "p50_us": answer.get("p50_us", 0.0),
            "p99_us": answer.get("p99_us", 0.0),
            "waited": (after.waited_ns - before.waited_ns) / 1e9 / seconds,
            "busy": answer.get("busy", 0.0),
            "per_read": answer.get("frames_per_read", 1.0),
            "frame_bytes": self.frame_bytes,
        }


def wait_until_quiet(server: Server) -> None:
    """Returns when the server hardly uses its core any more, or after QUIET_WITHIN_S."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    used = CpuTime.of(server.pid).used_ns
    while time.monotonic() < deadline:
        time.sleep(QUIET_S)
        now = CpuTime.of(server.pid).used_ns
        if (now - used) / 1000 < QUIET_US:
            return
        used = now


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]
