"""One run: a storm over a deployment in use, calm, and the verdict.

What is checked, and when:

1. When the storm is over everything is healed, clients lose their whims, publishers stop. Every
   client gets what it wants within `_CLIENTS_SETTLE`.
2. Within `_STATES_SETTLE` every node, client and webhook agrees with the truth (`oracle`).
3. One more event on every channel through every node reaches everybody, and after another lease
   everything still agrees.
4. All clients leave; soon after nothing is left of them anywhere.
5. The whole history is judged (`oracle`), and so are logs and memory of the nodes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import oracle
from tests.chaos.clients import Client, Surroundings
from tests.chaos.deployment import Deployment
from tests.chaos.history import History, Outcome
from tests.chaos.node import NodeProcess, unix_time
from tests.chaos.outages import outages
from tests.chaos.population import clients_of, publishers_of
from tests.chaos.questions import ask_all
from tests.chaos.schedule import Fault, plan
from tests.chaos.states import believed, compare, truth_of
from tests.chaos.storm import Storm

__all__ = ["Verdict", "run"]

_CLIENTS_SETTLE = 20.0
_STATES_SETTLE = 14.0  # a few leases, and the longest pause before a node tries to come back
_MORE_MEMORY = 96 * 1024 * 1024


@dataclass
class Verdict:
    """What came out.

    Attributes:
        faults: the schedule.
        differences: what was wrong; none if all is well.
        history: what it was judged by.
        figures: how much happened, for people.
    """

    engine: str
    seed: int
    seconds: float
    faults: list[Fault]
    history: History = field(default_factory=History)
    differences: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


async def run(
    engine: str, seed: int, seconds: float, clients: int, directory: Path, *, webhooks: bool = True
) -> Verdict:
    """Do it all."""
    verdict = Verdict(engine, seed, seconds, plan(seed, seconds))
    history, began = verdict.history, asyncio.get_running_loop().time()
    async with Deployment(engine, directory, history, began, webhooks=webhooks) as deployment:
        around = Surroundings(
            tuple(f"127.0.0.1:{door.port}" for door in deployment.doors),
            deployment.app.key,
            deployment.apis[0],
            history,
            deployment.clock,
        )
        living = _Living(clients_of(seed, clients, around))
        course = _Course(deployment, history, living, verdict)
        try:
            await course.take(seed, around)
        finally:
            await living.leave()
    return verdict


class _Living:
    """Clients and the tasks in which they live."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._tasks = [asyncio.create_task(client.run()) for client in clients]

    async def leave(self) -> None:
        """All of them hang up."""
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


class _Course:
    """What happens one after another in a run."""

    def __init__(
        self, deployment: Deployment, history: History, living: _Living, verdict: Verdict
    ) -> None:
        self._deployment = deployment
        self._history = history
        self._living = living
        self._verdict = verdict

    async def take(self, seed: int, around: Surroundings) -> None:
        """From the first client to the last."""
        verdict, deployment = self._verdict, self._deployment
        publishers = publishers_of(seed, deployment, around)
        publishing = [asyncio.create_task(publisher.run()) for publisher in publishers]
        await asyncio.sleep(1.0)
        storm = Storm(deployment, self._living.clients)
        await storm.rage(verdict.faults, verdict.seconds)
        for task in publishing:
            task.cancel()
        await asyncio.gather(*publishing, return_exceptions=True)
        await self._calm_down()
        await asyncio.gather(*(each.publish_everywhere() for each in publishers))
        await asyncio.sleep(max(oracle.LONGEST_WAY, deployment.app.lease))
        verdict.differences += await self._differences("a lease later")
        occupied, present = self._truth()
        self._note_outages(storm)
        verdict.differences += oracle.judge(self._history)
        if deployment.webhooks:
            verdict.differences += oracle.judge_webhooks(self._history, occupied, present)
        await self._say_goodbye()
        self._judge_nodes()
        self._count()

    def _truth(self) -> tuple[set[str], set[tuple[str, str]]]:
        truth = truth_of(self._history)
        return set(truth.subscriptions), truth.present()

    async def _calm_down(self) -> None:
        """Healed: everybody gets what he wants, and soon all agree."""
        clock, began = self._deployment.clock, self._deployment.clock()
        self._deployment.unreliable = False
        for client in self._living.clients:
            client.calm = True
        if not await _until(lambda: self._unsettled() == [], _CLIENTS_SETTLE):
            self._verdict.differences += self._unsettled()
        self._verdict.figures["clients settled after"] = clock() - began
        began = clock()
        found = await self._until_agreed()
        self._verdict.figures["states settled after"] = clock() - began
        self._verdict.differences += [f"not settled in time: {text}" for text in found]

    def _unsettled(self) -> list[str]:
        return [
            f"{client.name} does not get what it wants"
            for client in self._living.clients
            if not client.settled
        ]

    async def _until_agreed(self) -> list[str]:
        """The differences that are still there when the time is over."""
        deadline = self._deployment.clock() + _STATES_SETTLE
        while True:
            found = await self._differences() + self._webhooks()
            if not found or self._deployment.clock() > deadline:
                return found
            await asyncio.sleep(0.5)

    async def _differences(self, when: str = "") -> list[str]:
        answers, found = await ask_all(self._deployment)
        truth = truth_of(self._history)
        for each in answers:
            found += compare(truth, each)
        found += believed(truth, self._history)
        return [f"{when}: {text}" for text in found] if when else found

    def _webhooks(self) -> list[str]:
        """What is wrong with the last webhook of each; order is judged at the end."""
        if not self._deployment.webhooks:
            return []
        found = oracle.webhooks_of_presences(self._history, *self._truth())
        return [text for text in found if "the truth" in text]

    async def _say_goodbye(self) -> None:
        """Everybody leaves, and nothing is left."""
        before = set(self._webhooks())
        await self._living.leave()
        for text in await self._until_agreed():
            if text not in before:
                self._verdict.differences.append(f"after everybody has left: {text}")

    def _note_outages(self, storm: Storm) -> None:
        away = [each for node in self._deployment.nodes for each in self._away(node)]
        self._history.outages = outages(
            storm.done,
            away,
            limit=self._deployment.app.limit,
            flush_is_harmless=self._deployment.broker.flush_is_harmless,
        )

    def _away(self, node: NodeProcess) -> list[tuple[int, float, float]]:
        """When a node had no engine, as it says."""
        found, since = list[tuple[int, float, float]](), None
        for line in node.log():
            if line["event"] == "engine away":
                since = (
                    since if since is not None else self._deployment.since_began(unix_time(line))
                )
            elif line["event"] == "engine connected":
                until = self._deployment.since_began(unix_time(line))
                found.append((node.number, until if since is None else since, until))
                since = None
        if since is not None:
            found.append((node.number, since, float("inf")))
        return found

    def _judge_nodes(self) -> None:
        differences = self._verdict.differences
        for node in self._deployment.nodes:
            if not node.alive:
                differences.append(f"node {node.number} has died")
                continue
            more = node.memory() - node.rss
            self._verdict.figures[f"MiB more in node {node.number}"] = more / 1024 / 1024
            if more > _MORE_MEMORY:
                differences.append(f"node {node.number} has grown by {more} bytes")
        for node in self._deployment.nodes:
            for line in node.log():
                if line.get("level") in ("error", "critical"):
                    differences.append(f"node {node.number} has logged {line}"[:2000])

    def _count(self) -> None:
        history = self._history
        figures = self._verdict.figures
        for outcome in Outcome:
            publishes = [each for each in history.publishes if each.outcome is outcome]
            figures[f"events {outcome.value}"] = len(publishes)
        figures["connections"] = len(history.links)
        figures["webhooks"] = len(history.webhooks)
        figures["deliveries"] = sum(
            len(subscription.deliveries)
            for link in history.links
            for subscription in link.subscriptions
        )


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes true in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
