"""Sessions over an engine that takes its time, as one across a network does."""

import asyncio
import json
from typing import cast

import pytest

from oyez.protocol.app import App
from oyez.protocol.connection import Connection
from oyez.protocol.events import Event
from oyez.protocol.messages import Member, termination
from oyez.protocol.signing import Token, channel_string, user_string
from oyez.server.addresses import Addresses
from oyez.server.deadlines import Deadlines
from oyez.server.engine import EngineUnavailable, Joined, Left, Occupancy, OutcomeUnknown
from oyez.server.engine.memory import MemoryEngine
from oyez.server.hub import Hub
from oyez.server.metering import Metering
from oyez.server.metrics import Counters
from oyez.server.reached import Reached
from oyez.server.session import Services, Session
from oyez.server.turns import Turns
from oyez.server.websocket import WebSocket, WebSocketLimits
from tests.server.transport import Transport

TOKEN = Token("key", "secret")
APP = App(id="1", tokens=(TOKEN,), client_events=True, subscription_count=False)
LIMITS = WebSocketLimits(10_000, 10_000, 120, 30, 0)


class SlowEngine(MemoryEngine):
    """Answers joins and leaves only when told to."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub.deliver)
        self.gate = asyncio.Event()
        self.away = False
        self.unreachable = ""  # a channel that cannot be joined

    async def join(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        await self.gate.wait()
        if self.away or channel == self.unreachable:
            raise EngineUnavailable("away")
        return await super().join(app_id, channel, member, max_members)

    async def leave(self, app_id: str, channel: str, user_id: str | None) -> Left:
        """Away, it counts out later; here, at once."""
        await self.gate.wait()
        left = await super().leave(app_id, channel, user_id)
        if self.away:
            raise EngineUnavailable("away")
        return left


class Client:
    """A session with its socket, spoken to in messages."""

    def __init__(self, services: Services, socket_id: str) -> None:
        self.transport = Transport()
        self.socket_id = socket_id
        transport = cast(asyncio.Transport, self.transport)
        self.websocket = WebSocket(transport, LIMITS, Deadlines(0), Turns(), Turns())
        connection = Connection(APP, socket_id, 7)
        session = Session(services, connection, self.websocket, client="test", peer="here")
        self.websocket.start(session)
        self.websocket.send(session.open())

    def send(self, event: str, data: object = None, **fields: object) -> None:
        text = json.dumps({"event": event, "data": data, **fields}).encode()
        size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2)
        self.websocket.data_received(b"\x81" + size + bytes(4) + text)

    def join(self, channel: str, user_id: str = "") -> None:
        data = json.dumps({"user_id": user_id}) if user_id else None
        signed = TOKEN.sign(channel_string(self.socket_id, channel, data).encode())
        self.send(
            "pusher:subscribe",
            {"channel": channel, "auth": f"key:{signed}", "channel_data": data},
        )

    def sign_in(self, user_id: str, *watched: str) -> None:
        data = json.dumps({"id": user_id, "watchlist": watched})
        signed = TOKEN.sign(user_string(self.socket_id, data).encode())
        self.send("pusher:signin", {"auth": f"key:{signed}", "user_data": data})

    def vanish(self) -> None:
        self.transport.aborted = True
        self.websocket.connection_lost(None)


@pytest.fixture
async def services() -> Services:
    hub = Hub(Metering())
    deadlines, counters = Deadlines(0), Counters()
    reached = Reached(deadlines, counters.reached)
    addresses = Addresses(0, reached, public_only=False)
    return Services(hub, SlowEngine(hub), counters, deadlines, addresses, reached)


def engine_of(services: Services) -> SlowEngine:
    return cast(SlowEngine, services.engine)


async def settle(services: Services) -> None:
    while services.tasks:
        await asyncio.wait(services.tasks)
    await asyncio.sleep(0)


async def test_nothing_of_a_channel_comes_before_the_acknowledgement(services: Services) -> None:
    client = Client(services, "1.1")
    client.join("private-a")
    await services.engine.publish("1", [Event("early", "private-a", "")])
    await asyncio.sleep(0)
    assert client.transport.events() == ["connection_established"]

    engine_of(services).gate.set()
    await settle(services)
    await services.engine.publish("1", [Event("late", "private-a", "")])
    await asyncio.sleep(0)

    assert client.transport.events() == [
        "connection_established",
        "subscription_succeeded",
        "early",
        "late",
    ]


async def test_messages_behind_a_slow_one_wait_their_turn(services: Services) -> None:
    client = Client(services, "1.1")
    client.join("private-a")
    reading_while_asked = client.transport.reading
    client.send("pusher:ping")
    client.send("pusher:unsubscribe", {"channel": "private-a"})
    client.send("pusher:ping")
    assert client.transport.events() == ["connection_established"]

    engine_of(services).gate.set()
    await settle(services)

    assert (reading_while_asked, client.transport.reading) == (False, True)
    assert client.transport.events() == [
        "connection_established",
        "subscription_succeeded",
        "pong",
        "pong",
    ]
    assert services.hub.channels == {}
    assert await services.engine.channels("1", "") == {}


async def test_a_client_that_goes_during_a_join_leaves_nothing(services: Services) -> None:
    watcher, client = Client(services, "1.1"), Client(services, "1.2")
    engine_of(services).gate.set()
    watcher.join("presence-a", "watcher")
    engine_of(services).gate.clear()
    client.join("presence-a", "ada")
    client.vanish()

    engine_of(services).gate.set()
    await settle(services)

    assert [member.user_id for member in await services.engine.members("1", "presence-a")] == [
        "watcher"
    ]
    assert len(services.hub) == 1
    events = watcher.transport.events()
    assert events.count("member_added") == events.count("member_removed")


async def test_a_join_while_the_engine_is_away_is_refused_and_can_be_repeated(
    services: Services,
) -> None:
    client, engine = Client(services, "1.1"), engine_of(services)
    engine.gate.set()
    engine.away = True
    client.join("private-a")
    await settle(services)
    assert client.transport.messages()[-1]["data"] == {
        "code": None,
        "message": "Service unavailable, try again later",
    }
    assert services.hub.channels == {}

    engine.away = False
    client.join("private-a")
    await settle(services)

    assert client.transport.events()[-1] == "subscription_succeeded"


async def test_a_client_event_without_an_answer_is_not_called_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, engine = Client(services, "1.1"), engine_of(services)
    engine.gate.set()
    client.join("private-a")
    await settle(services)

    async def silent(*_: object) -> None:
        raise OutcomeUnknown("no answer")

    monkeypatch.setattr(engine, "publish", silent)
    client.send("client-e", "x", channel="private-a")
    await settle(services)

    assert client.transport.messages()[-1]["data"] == {
        "code": None,
        "message": "No answer from the engine, which may have delivered the event",
    }


async def test_a_bug_closes_only_the_connection_that_met_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, other = Client(services, "1.1"), Client(services, "1.2")

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Connection, "receive", broken)
    client.send("pusher:ping")
    monkeypatch.undo()
    other.send("pusher:ping")

    assert client.transport.stream.endswith(b"\x88\x10" + (1011).to_bytes(2) + b"Internal error")
    assert other.transport.events()[-1] == "pong"
    assert len(services.hub) == 1


async def test_a_client_that_goes_while_it_signs_in_leaves_nothing(services: Services) -> None:
    watcher, client = Client(services, "1.1"), Client(services, "1.2")
    engine_of(services).gate.set()
    watcher.sign_in("eve", "ada")
    engine_of(services).gate.clear()
    client.sign_in("ada", "bob", "eve")
    for _ in range(3):  # at whichever of its steps it is
        await asyncio.sleep(0)
    client.vanish()

    engine_of(services).gate.set()
    await settle(services)
    watcher.vanish()
    await settle(services)

    assert services.hub.channels == {}
    assert await services.engine.occupancy("1", "#connections-of-ada") == Occupancy()
    assert await services.engine.occupancy("1", "#watchers-of-bob") == Occupancy()


async def test_a_watchlist_that_cannot_be_followed_to_the_end_keeps_nothing_back(
    services: Services,
) -> None:
    engine = engine_of(services)
    engine.gate.set()
    client = Client(services, "1.1")
    engine.unreachable = "#watchers-of-eve"
    client.sign_in("ada", "bob", "eve")

    assert client.transport.events()[-2:] == ["signin_success", "error"]
    assert not any(channel.held for channel in services.hub.channels.values())


async def test_signing_out_without_an_engine_tells_it_of_every_channel(services: Services) -> None:
    engine = engine_of(services)
    engine.gate.set()
    client = Client(services, "1.1")
    client.sign_in("ada", "bob", "eve")
    engine.away = True
    client.vanish()
    await settle(services)
    engine.away = False

    assert services.hub.channels == {}
    for channel in ("#connections-of-ada", "#watchers-of-bob", "#watchers-of-eve"):
        assert await services.engine.occupancy("1", channel) == Occupancy()


async def test_a_watchlist_tells_what_is_and_then_what_changes(services: Services) -> None:
    engine_of(services).gate.set()
    watcher, client, second = (Client(services, f"1.{number}") for number in range(3))
    watcher.sign_in("eve", "ada", "eve", "bob")
    client.sign_in("ada")
    second.sign_in("ada")
    client.vanish()
    second.vanish()
    await settle(services)

    told = [
        json.loads(message["data"])["events"]
        for message in watcher.transport.messages()
        if message["event"] == "pusher_internal:watchlist_events"
    ]
    assert told == [
        [
            {"name": "online", "user_ids": ["eve"]},
            {"name": "offline", "user_ids": ["ada", "bob"]},
        ],
        [{"name": "online", "user_ids": ["ada"]}],
        [{"name": "offline", "user_ids": ["ada"]}],
    ]


async def test_terminating_a_user_closes_its_connections_and_no_others(
    services: Services,
) -> None:
    engine_of(services).gate.set()
    clients = [Client(services, f"1.{number}") for number in range(3)]
    for client, user_id in zip(clients, ("ada", "ada", "bob"), strict=True):
        client.sign_in(user_id)

    await services.engine.publish("1", [termination("ada")])
    await settle(services)

    closed = [b"You got disconnected by the app." in client.transport.stream for client in clients]
    assert closed == [True, True, False]
    assert len(services.hub) == 1
