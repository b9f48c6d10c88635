"""Several nodes over one broker: what an event costs on each part, and how long it takes."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.brokers import Broker, Kind, kinds
from benchmarks.programs import BUILD, Program
from benchmarks.sections import PAUSE_S, WARM_UP_S
from benchmarks.server import CpuTime, Server, oyez_server
from benchmarks.signed_requests import Credentials, write_requests

MEMORY = "memory"
PER_NODE = 500
MOST_NODES = 3
PUBLISHERS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rounds: int = 5
    section_s: float = 0.4


QUICK = Plan(rounds=2, section_s=0.1)


@dataclass(frozen=True, slots=True)
class Case:
    """Events published at the first of some nodes, for subscribers at some of them."""

    nodes: int
    interested: tuple[int, ...]
    subscribers: int  # at each of those
    in_flight: int

    @property
    def deliveries(self) -> int:
        """Of one event."""
        return self.subscribers * len(self.interested)


HERE = Case(nodes=1, interested=(0,), subscribers=1, in_flight=1)
THERE = Case(nodes=2, interested=(1,), subscribers=1, in_flight=1)
ALONE = [Case(1, (0,), PER_NODE, in_flight) for in_flight in (1, 16)]
SPREAD = [
    Case(nodes, interested, PER_NODE, in_flight)
    for nodes, interested in ((2, (1,)), (2, (0, 1)), (3, (0, 1, 2)))
    for in_flight in (1, 16)
]
GROWTH = [Case(nodes, (0,), 1, 16) for nodes in range(1, MOST_NODES + 1)]


@dataclass(frozen=True, slots=True)
class Sample:
    """One section: CPU time per event of each node, in order, and of the broker."""

    nodes_us: tuple[float, ...]
    broker_us: float
    p50_us: float
    p99_us: float

    @property
    def all_us(self) -> float:
        """Of all parts."""
        return sum(self.nodes_us) + self.broker_us


@dataclass(slots=True)
class Row:
    """One case with one engine: a sample for every round."""

    engine: str
    case: Case
    samples: list[Sample] = field(default_factory=list)

    def values(self, figure: Callable[[Sample], float]) -> list[float]:
        """One for each round."""
        return [figure(sample) for sample in self.samples]

    def median(self, figure: Callable[[Sample], float]) -> float:
        """Of all rounds."""
        return statistics.median(self.values(figure))


@dataclass(frozen=True, slots=True)
class ClusterFigures:
    """All rows, and the engines that there are none of, with the reason."""

    plan: Plan
    rows: list[Row]
    versions: dict[str, str]
    missing: dict[str, str]

    def row(self, engine: str, case: Case) -> Row | None:
        """What was measured of it, if it was."""
        return next((row for row in self.rows if (row.engine, row.case) == (engine, case)), None)


class StartNode(Protocol):
    """Starts `oyez serve` on the servers' core."""

    def __call__(self, config: Path, *, name: str) -> AbstractContextManager[Server]:
        """Until the block is left."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Nodes that share a broker, or one that has none."""

    engine: str
    nodes: list[Server]
    broker: Broker | None

    def cpu_ns(self) -> list[int]:
        """Of each node, and of the broker, so far."""
        pids = [node.pid for node in self.nodes] + ([self.broker.pid] if self.broker else [])
        return [CpuTime.of(pid).used_ns for pid in pids]


class Lane:
    """One case on one deployment, again and again."""

    def __init__(self, deployment: Deployment, program: Program, row: Row) -> None:
        self.row = row
        self._deployment = deployment
        self._program = program
        self._events_per_s = 100.0

    def warm_up(self) -> None:
        """Finds how many events fill a second."""
        self._section(WARM_UP_S / 10)
        self._section(WARM_UP_S)

    def run(self, seconds: float) -> None:
        """One section of about so long."""
        self.row.samples.append(self._section(seconds))

    def _section(self, seconds: float) -> Sample:
        in_flight = self.row.case.in_flight
        events = max(2 * in_flight, int(self._events_per_s * seconds))
        time.sleep(PAUSE_S)
        before = self._deployment.cpu_ns()
        answer: dict[str, Any] = self._program.order(events, in_flight)
        after = self._deployment.cpu_ns()
        self._events_per_s = events / answer["seconds"]
        used = [(late - early) / 1000 / events for early, late in zip(before, after, strict=True)]
        count = self.row.case.nodes
        return Sample(
            nodes_us=tuple(used[:count]),
            broker_us=sum(used[count:]),
            p50_us=answer["p50_us"],
            p99_us=answer["p99_us"],
        )


class ClusterBench:
    """All deployments at once, and every lane in turn, so that all saw the same machine."""

    def __init__(
        self,
        start_node: StartNode,
        kinds: Sequence[Kind],
        *,
        plan: Plan,
        server_core: int,
        generator_core: int,
    ) -> None:
        self._start_node = start_node
        self._kinds = kinds
        self._plan = plan
        self._server_core = server_core
        self._generator_core = generator_core
        self._credentials = Credentials()

    def run(self, progress: Callable[[str], None]) -> ClusterFigures:
        """The whole of it."""
        present = [kind for kind in self._kinds if not kind.missing]
        with contextlib.ExitStack() as stack:
            lanes = []
            for deployment in self._deployments(stack, present):
                lanes += self._lanes(stack, deployment)
            progress(
                f"{MOST_NODES} nodes over {' and '.join(k.name for k in present) or 'nothing'}"
            )
            for lane in lanes:
                lane.warm_up()
            for _ in range(self._plan.rounds):
                for lane in lanes:
                    lane.run(self._plan.section_s)
        return ClusterFigures(
            plan=self._plan,
            rows=[lane.row for lane in lanes],
            versions={kind.name: kind.version() for kind in present},
            missing={kind.name: kind.missing for kind in self._kinds if kind.missing},
        )

    def _deployments(
        self, stack: contextlib.ExitStack, kinds: Sequence[Kind]
    ) -> Iterator[Deployment]:
        """A node without broker; then for each kind one, two and three nodes with one of theirs."""
        yield Deployment(MEMORY, [self._node(stack, MEMORY, MEMORY)], None)
        for kind in kinds:
            for count in range(1, MOST_NODES + 1):
                broker = stack.enter_context(kind.running(core=self._server_core))
                names = [f"{kind.name}-{number}-of-{count}" for number in range(1, count + 1)]
                nodes = [self._node(stack, broker.url, name) for name in names]
                yield Deployment(kind.name, nodes, broker)

    def _node(self, stack: contextlib.ExitStack, engine: str, name: str) -> Server:
        config = BUILD / "node.toml"
        config.write_text(f'engine = "{engine}"\n')
        return stack.enter_context(self._start_node(config, name=name))

    def _lanes(self, stack: contextlib.ExitStack, deployment: Deployment) -> list[Lane]:
        cases = [HERE, *ALONE] if deployment.broker is None else [HERE, THERE, *SPREAD, *GROWTH]
        programs: dict[tuple[tuple[int, ...], int], Program] = {}
        lanes = []
        for case in (case for case in cases if case.nodes == len(deployment.nodes)):
            audience = case.interested, case.subscribers
            if audience not in programs:
                programs[audience] = self._generator(stack, deployment, case, len(programs))
            row = Row(deployment.engine, case)
            lanes.append(Lane(deployment, programs[audience], row))
        return lanes

    def _generator(
        self, stack: contextlib.ExitStack, deployment: Deployment, case: Case, number: int
    ) -> Program:
        channel, requests = f"bench-{number}", BUILD / "requests.bin"
        write_requests(requests, channel=channel, credentials=self._credentials)
        nodes = deployment.nodes
        arguments = ["--port", ",".join(str(nodes[index].port) for index in case.interested)]
        arguments += ["--publish-port", str(nodes[0].port), "--key", self._credentials.key]
        arguments += ["--requests", str(requests), "--channel", channel]
        arguments += ["--connections", str(case.deliveries), "--publishers", str(PUBLISHERS)]
        program = Program("loadgen", "fanout", *arguments, core=self._generator_core)
        stack.enter_context(program).read()
        return program


def measure_cluster(
    plan: Plan,
    *,
    transport: str | None,
    cores: tuple[int, int],
    only: Sequence[str] = (),
    progress: Callable[[str], None],
) -> ClusterFigures:
    """With all brokers that there are on this machine, or only with these."""
    server_core, generator_core = cores
    bench = ClusterBench(
        functools.partial(oyez_server, core=server_core, transport=transport),
        [kind for kind in kinds() if not only or kind.name in only],
        plan=plan,
        server_core=server_core,
        generator_core=generator_core,
    )
    return bench.run(progress)
