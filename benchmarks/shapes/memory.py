"""Resident memory of connections that do nothing, and what remains when they have gone."""

from __future__ import annotations

import time

from benchmarks.peers import Peer
from benchmarks.peers.peer import PLAIN, PRESENCE
from benchmarks.programs import BenchmarkError
from benchmarks.sections import Row, Sample
from benchmarks.stage import Stage

SHAPE = "memory"
CONNECTIONS = 5000
SUBSCRIBERS = 5  # of each channel, where there is more than one
SETTLE_S, LEFT_S = 1.5, 3.0
KB, MB = 1024, 1024 * 1024
NOTHING, SHARED = "no channel", "1 channel, of all"
OWN, TEN, FIFTY = "1 channel of 5", "10 channels of 5", "50 channels of 5"
MEMBER = "1 presence channel of 5"
PER_CONNECTION = {OWN: 1, TEN: 10, FIFTY: 50}
CASES = (NOTHING, SHARED, OWN, TEN, FIFTY, MEMBER)


def measure(stage: Stage) -> list[Row]:
    """A fresh server each time: memory that it has had before would hide what is needed."""
    rows = []
    for case in CASES:
        for peer in stage.with_(*_needs(case)):
            stage.progress(f"memory, {case}: {peer.name}")
            row = Row(SHAPE, case, peer.name)
            rows.append(row)
            try:
                row.samples.append(_sample(stage, peer, case))
            except BenchmarkError as error:
                row.failure = str(error)
                stage.progress(f"{peer.name} failed: {error}")
    return rows


def _needs(case: str) -> list[str]:
    return {NOTHING: [PLAIN], MEMBER: [PRESENCE]}.get(case, [])


def _arguments(peer: Peer, case: str, connections: int) -> list[str]:
    if case == NOTHING:
        return ["--plain"]
    if case == SHARED:
        return []
    each = PER_CONNECTION.get(case, 1)
    arguments = ["--channels", str(connections * each // SUBSCRIBERS)]
    if case == MEMBER:
        return [*arguments, "--presence", "--channel", f"{peer.presence_prefix}bench"]
    return [*arguments, "--per-connection", str(each)]


def _sample(stage: Stage, peer: Peer, case: str) -> Sample:
    connections = stage.plan.scaled(CONNECTIONS)
    arguments = ["--connections", str(connections), *_arguments(peer, case, connections)]
    with stage.running(peer) as running:
        time.sleep(SETTLE_S)
        empty = running.server.resident_bytes()
        with stage.generator(running, "idle", *arguments) as clients:
            clients.read()
            time.sleep(SETTLE_S)
            full = running.server.resident_bytes()
        time.sleep(LEFT_S)
        left = running.server.resident_bytes()
    return {
        "kb": (full - empty) / KB / connections,
        "empty_mb": empty / MB,
        "left_mb": (left - empty) / MB,
    }
