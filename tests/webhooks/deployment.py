"""Several nodes' webhooks in this process, over one real database and an engine that is a dict."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from oyez.protocol.app import App
from oyez.protocol.messages import Member
from oyez.protocol.signing import Token
from oyez.protocol.webhooks import EVENT_TYPES, Endpoint, WebhookEvent, read_event
from oyez.server.engine import EngineUnavailable, Joined, Left, Occupancy
from oyez.server.engine.backplane import Roll
from oyez.server.webhooks import Webhooks
from oyez.server.webhooks.courier import Policy
from oyez.server.webhooks.senders import DeliveryFailed
from oyez.server.webhooks.shared import SharedLedger, Source, Timing

APP = App("1", (Token("k", "s"),))
TARGETS = ("http://one.example/", "http://two.example/")
TIMING = Timing(beat=0.05, lease=0.6, poll=0.02, patience=1.0, compare=0.3)
GRACE = 0.15
LEASE = 2.0  # of the engine


class Truth:
    """The store of an engine: who is on which channel, numbered."""

    def __init__(self) -> None:
        self.on: dict[str, list[str]] = {}  # a user for each subscription, or ""
        self.revision = 1000
        self.age = 1000.0
        self.away = False

    def join(self, channel: str, user_id: str = "") -> Joined:
        there = self.on.setdefault(channel, [])
        self.revision += 1
        added = bool(user_id) and user_id not in there
        there.append(user_id)
        occupied = len(there) == 1
        return Joined(occupied, len(there), added=added, revision=self.revision)

    def leave(self, channel: str, user_id: str = "") -> Left:
        there = self.on[channel]
        self.revision += 1
        there.remove(user_id)
        removed = bool(user_id) and user_id not in there
        if not there:
            del self.on[channel]
        return Left(not there, len(there), removed=removed, revision=self.revision)

    def told(self) -> set[tuple[str, str]]:
        """What receivers should believe in the end."""
        found = {(channel, "") for channel in self.on}
        return found | {(c, user) for c, users in self.on.items() for user in users if user}

    async def channels(self, app_id: str, prefix: str) -> Mapping[str, Occupancy]:
        self._require()
        return {c: Occupancy(len(there), len(set(there) - {""})) for c, there in self.on.items()}

    async def roll(self, app_id: str, channel: str) -> Roll:
        self._require()
        there = self.on.get(channel, [])
        users = dict.fromkeys(user for user in there if user)
        members = tuple(Member(user, msgspec.Raw(b"{}")) for user in users)
        return Roll(self.age, len(there), members, self.revision)

    def _require(self) -> None:
        if self.away:
            raise EngineUnavailable("away")


class Delivered(msgspec.Struct):
    node: int
    target: str
    ids: list[str]
    events: list[WebhookEvent]
    at: float


class Log:
    """What all receivers got, in order."""

    def __init__(self) -> None:
        self.requests: list[Delivered] = []
        self.under_way: dict[str, set[int]] = {}
        self.seconds = 0.0
        self.fails: Callable[[str], bool] = lambda target: False

    def events(self, target: str = TARGETS[0]) -> list[WebhookEvent]:
        """Each once, in the order of the first arrival."""
        found: dict[str, WebhookEvent] = {}
        for request in self.requests:
            if request.target == target:
                for id_, event in zip(request.ids, request.events, strict=True):
                    found.setdefault(id_, event)
        return list(found.values())

    def has(self, count: int, target: str) -> bool:
        return len(self.events(target)) >= count

    def names(self, channel: str, target: str = TARGETS[0]) -> list[str]:
        return [event.name for event in self.events(target) if event.channel == channel]

    def believed(self, target: str = TARGETS[0]) -> set[tuple[str, str]]:
        """Who is there, for one who believes the events; they must alternate."""
        there: set[tuple[str, str]] = set()
        for event in self.events(target):
            key = (event.channel, event.user_id or "")
            if event.name in ("channel_occupied", "member_added"):
                assert key not in there, f"{event} twice"
                assert not event.user_id or (event.channel, "") in there, f"{event} too soon"
                there.add(key)
            elif event.name in ("channel_vacated", "member_removed"):
                assert key in there, f"{event} without a beginning"
                there.remove(key)
                rest = [each for each in there if each[0] == event.channel]
                assert event.user_id or not rest, f"{event} before {rest}"
        return there


class Sender:
    def __init__(self, node: int, log: Log) -> None:
        self._node = node
        self._log = log

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        others = self._log.under_way.setdefault(target, set())
        others.add(self._node)
        try:
            assert others == {self._node}, "two nodes deliver to one endpoint"
            await asyncio.sleep(self._log.seconds)
            if self._log.fails(target):
                raise DeliveryFailed("as told")
            ids = headers["X-Oyez-Event-Ids"].split(",")
            read = [read_event(event) for event in events]
            self._log.requests.append(Delivered(self._node, target, ids, read, time.monotonic()))
        finally:
            others.discard(self._node)

    async def close(self) -> None: ...


class Node:
    """The webhooks of one node."""

    numbers = itertools.count(1)

    def __init__(self, url: str, truth: Truth, log: Log, timing: Timing = TIMING) -> None:
        self.number = next(self.numbers)
        self._truth = truth
        sender = Sender(self.number, log)
        endpoints = [
            (APP, Endpoint(target, frozenset(EVENT_TYPES), batching=batching), sender)
            for target, batching in zip(TARGETS, (True, False), strict=True)
        ]
        source = Source(truth.channels, truth.roll, LEASE)
        self.ledger = SharedLedger(url, {APP.id: GRACE}, source, timing)
        policy = Policy(collect=0.001, first_retry=0.02, longest_retry=0.05, give_up=0.3)
        self.webhooks = Webhooks(endpoints, self.ledger, policy)

    async def join(self, channel: str, user_id: str = "") -> None:
        joined = self._truth.join(channel, user_id)
        await self.webhooks.joined(APP, channel, joined, user_id or None)

    def leave(self, channel: str, user_id: str = "") -> None:
        self.webhooks.left(APP, channel, self._truth.leave(channel, user_id), user_id or None)

    async def kill(self) -> None:
        """Stop at once: nothing is written, no duty is given up."""
        ledger = self.ledger
        tasks = [*ledger._tasks, *([ledger._reconciling] if ledger._reconciling else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for address in TARGETS:
            await self.webhooks.abandon(APP.id, address)
        ledger._database.close()
        ledger._aside.close()

    @property
    def duties(self) -> frozenset[str]:
        return self.ledger._held


class Nodes:
    """Starts nodes of one deployment."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.truth = Truth()
        self.log = Log()
        self._stack = stack

    async def start(self, timing: Timing = TIMING) -> Node:
        node = Node(self.url, self.truth, self.log, timing)
        self._stack.push_async_callback(node.webhooks.__aexit__, None, None, None)
        await node.webhooks.__aenter__()
        return node

    async def start_to_kill(self, timing: Timing = TIMING) -> Node:
        """One that is not stopped in good order."""
        node = Node(self.url, self.truth, self.log, timing)
        await node.webhooks.__aenter__()
        return node


@asynccontextmanager
async def deployment(url: str) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(url, stack)


async def eventually(condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)
