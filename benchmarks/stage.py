"""The two cores, the servers on one of them and the load generators on the other."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Peer
from benchmarks.peers.peer import BATCH
from benchmarks.programs import BUILD, BenchmarkError, Program
from benchmarks.sections import Lane, Publishing, Row
from benchmarks.server import Server
from benchmarks.signed_requests import PAYLOAD_BYTES, payload, write_records

STRIDE = 7919  # a prime: successive events go to channels that are far apart
REQUESTS, REQUESTS_TO_MANY = 4096, 20_000  # both can be dealt evenly to 16 publishers
SEND_LOOP = "C send() loop"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rounds: int = 5
    section_s: float = 0.8
    paced_rounds: int = 3
    paced_s: float = 5.0
    quick: bool = False

    def scaled(self, number: int) -> int:
        """A number of connections, a tenth of it for a smoke test."""
        return max(10, number // 10) if self.quick else number


QUICK = Plan(rounds=1, section_s=0.1, paced_rounds=1, paced_s=1.0, quick=True)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is up, and what it was started for if there are several of its kind."""

    peer: Peer
    server: Server
    size: int = 0


Build = Callable[[contextlib.ExitStack, Running], Sequence[Lane]]


class Stage:
    """Starts what is measured where it belongs."""

    def __init__(
        self,
        peers: Sequence[Peer],
        plan: Plan,
        *,
        server_core: int,
        generator_core: int,
        progress: Callable[[str], None],
    ) -> None:
        self.peers = list(peers)
        self.plan = plan
        self.server_core = server_core
        self.generator_core = generator_core
        self.progress = progress

    def with_(self, *features: str) -> list[Peer]:
        """The servers that lack none of these."""
        return [peer for peer in self.peers if not peer.lacks.intersection(features)]

    @contextlib.contextmanager
    def running(self, peer: Peer, *, size: int = 0, tls: bool = False) -> Iterator[Running]:
        """One server on its core."""
        certificate = make_certificate() if tls else None
        with peer.running(core=self.server_core, tls=certificate) as server:
            yield Running(peer, server, size)

    def generator(
        self, running: Running, mode: str, *arguments: str, background: bool = False
    ) -> Program:
        """A load generator for this server, on the other core."""
        server = ("--port", str(running.server.port), *running.peer.arguments())
        core = self.generator_core
        return Program("loadgen", mode, *server, *arguments, core=core, background=background)

    def publishing(
        self,
        running: Running,
        mode: str,
        *arguments: str,
        channel: str = "bench",
        channels: int = 1,
        batches: bool = False,
        payload_bytes: int = PAYLOAD_BYTES,
        background: bool = False,
    ) -> Program:
        """The same with requests to publish; they are signed now and valid for ten minutes."""
        peer = running.peer
        requests = BUILD / f"requests-{peer.name}-{running.size}.bin"

        def records() -> Iterator[tuple[int, bytes]]:
            for number in range(REQUESTS if channels == 1 else REQUESTS_TO_MANY):
                index = number * STRIDE % channels
                name = channel if channels == 1 else f"{channel}-{index:06d}"
                text = payload(number, payload_bytes)
                batch = batches and peer.publish_batch(name, [text] * BATCH)
                yield index, batch or peer.publish(name, text)

        write_records(requests, records())
        common = ["--requests", str(requests), "--channel", channel, "--channels", str(channels)]
        common += ["--publishers", "16", *peer.publishing_arguments(batches=batches)]
        return self.generator(running, mode, *common, *arguments, background=background)

    def send_loop(
        self, stack: contextlib.ExitStack, case: str, connections: int, frame_bytes: int
    ) -> Lane:
        """The baseline: one system call per delivery and nothing else."""
        size = ("--connections", str(connections), "--frame-bytes", str(frame_bytes))
        sender = stack.enter_context(Program("send_loop", *size, core=self.server_core))
        port = str(sender.read()["listening"])
        stack.enter_context(
            Program("loadgen", "sink", "--port", port, *size, core=self.generator_core)
        )
        sender.read()
        return Publishing(sender, case=case, peer=SEND_LOOP, pid=sender.pid, in_flight=1)


def interleave(
    stage: Stage,
    shape: str,
    entries: Sequence[tuple[Peer, int]],
    build: Build,
    *,
    tls: bool = False,
    baseline: Callable[[contextlib.ExitStack, Sequence[Lane]], Sequence[Lane]] | None = None,
    rounds: int | None = None,
    section_s: float | None = None,
) -> list[Row]:
    """Every server up at once and every lane in turn, round by round; who fails is left out."""
    rows: dict[tuple[str, str], Row] = {}
    lanes: list[Lane] = []
    with contextlib.ExitStack() as stack:
        for peer, size in entries:
            try:
                running = stack.enter_context(stage.running(peer, size=size, tls=tls))
                lanes += build(stack, running)
            except BenchmarkError as error:
                failed = Row(shape, "", peer.name, failure=str(error))
                rows[peer.name, f"{size}"] = failed
                _tell(stage, failed)
        if baseline is not None and lanes:
            lanes += baseline(stack, lanes)
        for lane in lanes:
            rows[lane.peer, lane.case] = Row(shape, lane.case, lane.peer)
        for number in range(-1, rounds or stage.plan.rounds):
            for lane in lanes:
                row = rows[lane.peer, lane.case]
                if not row.failure:
                    _take_turn(stage, lane, row, number, section_s or stage.plan.section_s)
    return list(rows.values())


def _take_turn(stage: Stage, lane: Lane, row: Row, number: int, seconds: float) -> None:
    try:
        if number < 0:
            lane.warm_up()
            return
        sample, latencies = lane.run(seconds)
    except BenchmarkError as error:
        row.failure = str(error)
        _tell(stage, row)
        return
    row.samples.append(sample)
    row.latencies_us += latencies


def _tell(stage: Stage, row: Row) -> None:
    stage.progress(f"{row.peer} failed in {row.shape} {row.case}: {row.failure}")


def make_certificate() -> tuple[Path, Path]:
    """A self-signed one for all servers, with the key that is quickest to sign with."""
    certificate, key = BUILD / "certificate.pem", BUILD / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"]
    command += ["-out", str(certificate), "-keyout", str(key)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise BenchmarkError(f"openssl makes the certificate, but {error}") from None
    if done.returncode:
        raise BenchmarkError(f"openssl could not make a certificate: {done.stderr.strip()}")
    key.chmod(0o644)  # some of the servers read it after they have given up root
    return certificate, key


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)
