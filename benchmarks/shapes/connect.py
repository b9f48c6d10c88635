"""Coming and going: connects with and without TLS, and a storm with what it leaves behind."""

from __future__ import annotations

import contextlib
import functools
import time

from benchmarks.programs import BenchmarkError, Program, has_openssl
from benchmarks.sections import Lane, Row, Sample, wait_until_quiet
from benchmarks.server import CpuTime, Server
from benchmarks.stage import Running, Stage, interleave

SHAPE = "connect"
PLAIN, TLS, STORM = "connect, plain", "connect, TLS", "storm of 10 000"
CONNECTIONS, AT_ONCE = 2000, 64
STORM_CONNECTIONS, STORM_AT_ONCE, STORM_ROUNDS = 10_000, 100, 2  # Sockudo's backlog is 128
CHANNELS = 1000
SETTLE_S = 3.0  # for what is freed a while after everybody has gone
MB = 1024 * 1024


class Connecting:
    """So many connections up to the subscription, then all of them closed at once."""

    def __init__(self, program: Program, *, case: str, peer: str, server: Server, count: int):
        self.case = case
        self.peer = peer
        self._program = program
        self._server = server
        self._count = count

    def warm_up(self) -> None:
        self.run(0)

    def run(self, seconds: float) -> tuple[Sample, list[float]]:
        """The number of connections is given, not the time."""
        return storm(self._program, self._server, self._count, AT_ONCE), []


def storm(program: Program, server: Server, count: int, at_once: int) -> Sample:
    """Everybody in, everybody out; CPU time until the server has nothing left to do."""
    wait_until_quiet(server)
    before = CpuTime.of(server.pid)
    answer = program.order(count, at_once)
    wait_until_quiet(server)
    between = CpuTime.of(server.pid)
    peak = server.resident_bytes()
    program.order(0, 1)
    wait_until_quiet(server)
    after = CpuTime.of(server.pid)
    seconds = answer["seconds"]
    return {
        "cpu_us": (between.used_ns - before.used_ns) / 1000 / count,
        "leave_us": (after.used_ns - between.used_ns) / 1000 / count,
        "per_second": count / seconds,
        "p50_us": answer["p50_us"],
        "p99_us": answer["p99_us"],
        "busy": answer["busy"],
        "waited": (between.waited_ns - before.waited_ns) / 1e9 / seconds,
        "peak_mb": peak / MB,
    }


def measure(stage: Stage) -> list[Row]:
    """TLS off, TLS on, and the storm, each server alone in it."""
    rows = []
    for case, tls in ((PLAIN, False), (TLS, True)):
        if tls and not has_openssl():
            stage.progress("no TLS: OpenSSL's headers are missing (apt-get install libssl-dev)")
            continue
        stage.progress(case)
        entries = [(peer, 0) for peer in stage.peers]
        build = functools.partial(_lanes, stage, case, tls)
        rows += interleave(stage, SHAPE, entries, build, tls=tls)
    for peer in stage.peers:
        stage.progress(f"{STORM}: {peer.name}")
        row = Row(SHAPE, STORM, peer.name)
        rows.append(row)
        try:
            for _ in range(1 if stage.plan.quick else STORM_ROUNDS):
                with stage.running(peer) as running:
                    row.samples.append(_storm(stage, running))
        except BenchmarkError as error:
            row.failure = str(error)
            stage.progress(f"{peer.name} failed in the storm: {error}")
    return rows


def _lanes(
    stage: Stage, case: str, tls: bool, stack: contextlib.ExitStack, running: Running
) -> list[Lane]:
    count = stage.plan.scaled(CONNECTIONS)
    program = stack.enter_context(_generator(stage, running, count, tls=tls))
    program.read()
    peer = running.peer.name
    return [Connecting(program, case=case, peer=peer, server=running.server, count=count)]


def _generator(stage: Stage, running: Running, count: int, *, tls: bool = False) -> Program:
    arguments = ["--connections", str(count), "--channels", str(min(count, CHANNELS))]
    return stage.generator(running, "connect", *arguments, *(["--tls"] if tls else []))


def _storm(stage: Stage, running: Running) -> Sample:
    """Twice on one server: what is still there after the second but not after the first leaks."""
    count = stage.plan.scaled(STORM_CONNECTIONS)
    server = running.server
    with _generator(stage, running, count) as program:
        program.read()
        time.sleep(SETTLE_S)
        empty = server.resident_bytes()
        sample = storm(program, server, count, STORM_AT_ONCE)
        time.sleep(SETTLE_S)
        first = server.resident_bytes()
        storm(program, server, count, STORM_AT_ONCE)
        time.sleep(SETTLE_S)
        second = server.resident_bytes()
    left = {"left_mb": (first - empty) / MB, "left_again_mb": (second - first) / MB}
    return sample | {"empty_mb": empty / MB} | left
