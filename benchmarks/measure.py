"""The measurements: fan-out beside the send() loop, publishing alone, memory when idle."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.programs import BUILD, Program
from benchmarks.server import CpuTime, Server
from benchmarks.signed_requests import Credentials, write_requests

IN_FLIGHT = (1, 16)
WARM_UP_S = 0.3
PAUSE_S = 0.03  # longer than a generator that is done stays awake: two of them share one core
SETTLE_S = 1.0  # what the server still does after the last connection was opened

StartServer = Callable[[], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure, and what."""

    rounds: int = 9
    round_s: float = 0.8
    subscribers: tuple[int, ...] = (1, 1000)
    idle_rounds: int = 3
    idle_connections: int = 5000


QUICK = Plan(rounds=3, round_s=0.3, idle_rounds=1, idle_connections=2000)


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured section. `cpu_us` is the server's CPU time per delivery, or per publish."""

    cpu_us: float
    p50_us: float
    p99_us: float
    events_per_read: float
    generator_busy: float
    waited: float  # the share of the time in which the server was kept waiting for its core


class Load:
    """A kind of load on a process that can be repeated for about a given time."""

    def __init__(self, program: Program, *, pid: int, in_flight: int, units_per_event: int) -> None:
        self._program = program
        self._pid = pid
        self._in_flight = in_flight
        self._units_per_event = units_per_event
        self._events_per_s = 100.0
        self.frame_bytes = 0

    def warm_up(self) -> None:
        """Finds how many events fill a second, so that every section takes the time it should."""
        self.run(WARM_UP_S / 10)
        self.run(WARM_UP_S)

    def run(self, seconds: float) -> Sample:
        """One section; the CPU time is read while the process waits for work, before and after."""
        events = max(2 * self._in_flight, int(self._events_per_s * seconds))
        time.sleep(PAUSE_S)
        before = CpuTime.of(self._pid)
        answer = self._program.order(events, self._in_flight)
        after = CpuTime.of(self._pid)
        self._events_per_s = events / answer["seconds"]
        self.frame_bytes = answer.get("frame_bytes", 0)
        used_us = (after.used_ns - before.used_ns) / 1000
        return Sample(
            cpu_us=used_us / (events * self._units_per_event),
            waited=(after.waited_ns - before.waited_ns) / 1e9 / answer["seconds"],
            p50_us=answer.get("p50_us", 0.0),
            p99_us=answer.get("p99_us", 0.0),
            events_per_read=answer.get("frames_per_read", 1.0),
            generator_busy=answer.get("busy", 0.0),
        )


@dataclass(frozen=True, slots=True)
class Fanout:
    """Rounds with one number of subscribers: by events in flight, each beside its own baseline."""

    subscribers: int
    frame_bytes: int
    server: dict[int, list[Sample]] = field(default_factory=dict)
    baseline: dict[int, list[Sample]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Idle:
    """Resident memory before and with idle connections, one pair a round."""

    connections: int
    empty_bytes: list[int] = field(default_factory=list)
    full_bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """All that one run measured."""

    fanout: list[Fanout]
    publish: dict[int, list[Sample]]
    idle: Idle


class Bench:
    """Measures servers with the load generator on one core and what it loads on another."""

    def __init__(
        self,
        start_server: StartServer,
        *,
        plan: Plan,
        server_core: int,
        generator_core: int,
        credentials: Credentials | None = None,
    ) -> None:
        self._start_server = start_server
        self._plan = plan
        self._server_core = server_core
        self._generator_core = generator_core
        self._credentials = credentials or Credentials()

    def run(self, progress: Callable[[str], None]) -> Figures:
        """The whole of it; each part has a fresh server."""
        fanouts = []
        for subscribers in self._plan.subscribers:
            progress(f"fan-out to {subscribers}")
            fanouts.append(self.fanout(subscribers))
        progress("publishing with nobody subscribed")
        publish = self.publish()
        progress(f"{self._plan.idle_connections} idle connections")
        return Figures(fanout=fanouts, publish=publish, idle=self.idle())

    def fanout(self, subscribers: int) -> Fanout:
        """Rounds of send() loop, server with 1, send() loop, server with 16 events in flight."""
        with self._start_server() as server, contextlib.ExitStack() as stack:
            loads = self._loads(stack, server, "fanout", subscribers)
            frame_bytes = loads[IN_FLIGHT[0]].frame_bytes
            baseline = self._baseline(stack, subscribers, frame_bytes)
            result = Fanout(subscribers=subscribers, frame_bytes=frame_bytes)
            for _ in range(self._plan.rounds):
                for in_flight, load in loads.items():
                    sample = baseline.run(self._plan.round_s)
                    result.baseline.setdefault(in_flight, []).append(sample)
                    sample = load.run(self._plan.round_s)
                    result.server.setdefault(in_flight, []).append(sample)
            return result

    def publish(self) -> dict[int, list[Sample]]:
        """Signed publishes to a channel without subscribers, by keep-alive connections in use."""
        with self._start_server() as server, contextlib.ExitStack() as stack:
            loads = self._loads(stack, server, "publish", 1)
            result: dict[int, list[Sample]] = {in_flight: [] for in_flight in loads}
            for _ in range(self._plan.rounds):
                for in_flight, load in loads.items():
                    result[in_flight].append(load.run(self._plan.round_s))
            return result

    def idle(self) -> Idle:
        """A fresh server each round: memory that it has had before would hide what is needed."""
        connections = self._plan.idle_connections
        result = Idle(connections=connections)
        for _ in range(self._plan.idle_rounds):
            with self._start_server() as server:
                time.sleep(SETTLE_S)
                empty = server.resident_bytes()
                with self._generator("idle", server, "--connections", str(connections)) as clients:
                    clients.read()
                    time.sleep(SETTLE_S)
                    result.empty_bytes.append(empty)
                    result.full_bytes.append(server.resident_bytes())
        return result

    def _generator(self, mode: str, server: Server, *arguments: str) -> Program:
        app = ("--port", str(server.port), "--key", self._credentials.key)
        return self._loadgen(mode, *app, *arguments)

    def _loadgen(self, *arguments: str) -> Program:
        return Program("loadgen", *arguments, core=self._generator_core)

    def _loads(
        self, stack: contextlib.ExitStack, server: Server, mode: str, subscribers: int
    ) -> dict[int, Load]:
        channel = f"bench-{mode}"
        requests = BUILD / "requests.bin"
        write_requests(requests, channel=channel, credentials=self._credentials)
        arguments = ["--requests", str(requests), "--channel", channel]
        arguments += ["--connections", str(subscribers), "--publishers", str(max(IN_FLIGHT))]
        arguments += ["--body", server.published_body]
        if not server.keeps_connections:
            arguments.append("--reconnect")
        program = stack.enter_context(self._generator(mode, server, *arguments))
        program.read()
        loads = {}
        for in_flight in IN_FLIGHT:
            loads[in_flight] = Load(
                program, pid=server.pid, in_flight=in_flight, units_per_event=subscribers
            )
            loads[in_flight].warm_up()
        return loads

    def _baseline(self, stack: contextlib.ExitStack, connections: int, frame_bytes: int) -> Load:
        size = ("--connections", str(connections), "--frame-bytes", str(frame_bytes))
        sender = stack.enter_context(Program("send_loop", *size, core=self._server_core))
        port = str(sender.read()["listening"])
        stack.enter_context(self._loadgen("sink", "--port", port, *size))
        sender.read()
        load = Load(sender, pid=sender.pid, in_flight=1, units_per_event=connections)
        load.warm_up()
        return load
