"""Fan-out: who gets what, once, and in which order."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.protocol.channels import connections_of, to_user
from oyez.protocol.events import Event
from oyez.protocol.messages import TERMINATION
from oyez.server.broadcast import Writer
from oyez.server.hub import Hub
from oyez.server.metering import Metering


class Client:
    """A socket that keeps what is written to it."""

    def __init__(self) -> None:
        self.writer: Writer = self
        self.descriptor = -1
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        raise AssertionError("nobody closes in these tests")

    def texts(self) -> list[dict[str, Any]]:
        """All messages that arrived, taken out of their frames."""
        found, stream = [], b"".join(self.writes)
        while stream:
            size, start = stream[1], 2
            if size == 126:
                size, start = int.from_bytes(stream[2:4]), 4
            found.append(json.loads(stream[start : start + size]))
            stream = stream[start + size :]
        return found

    def data(self) -> list[str]:
        return [message["data"] for message in self.texts()]


def subscribe(hub: Hub, channel: str, client: Client) -> None:
    hub.hold("1", channel, client)
    hub.release("1", channel, client)


def connected(hub: Hub, number: int) -> Client:
    client = Client()
    hub.connect("1", f"{number}.0", client)
    return client


async def test_events_of_one_turn_are_written_at_once_and_in_order() -> None:
    hub, client = Hub(Metering()), Client()
    subscribe(hub, "a", client)

    for number in range(3):
        hub.deliver("1", Event("e", "a", str(number)))
    assert client.writes == []
    await asyncio.sleep(0)

    assert len(client.writes) == 1
    assert client.data() == ["0", "1", "2"]
    assert hub.metering["1"].deliveries == 3


async def test_the_same_bytes_go_to_everybody() -> None:
    hub, clients = Hub(Metering()), [Client() for _ in range(3)]
    for client in clients:
        subscribe(hub, "a", client)

    hub.deliver("1", Event("e", "a", "x"))
    await asyncio.sleep(0)

    assert len({id(client.writes[0]) for client in clients}) == 1


async def test_a_sender_does_not_get_its_own_event() -> None:
    hub = Hub(Metering())
    sender, other = connected(hub, 1), connected(hub, 2)
    for client in (sender, other):
        subscribe(hub, "a", client)

    hub.deliver("1", Event("e", "a", "0"))
    hub.deliver("1", Event("e", "a", "1", "1.0"))
    hub.deliver("1", Event("e", "a", "2", "9.9"))
    await asyncio.sleep(0)

    assert sender.data() == ["0", "2"]
    assert other.data() == ["0", "1", "2"]
    assert len(other.writes) == 1
    assert hub.metering["1"].deliveries == 5


async def test_the_socket_id_of_another_app_excludes_nobody() -> None:
    hub, stranger = Hub(Metering()), Client()
    hub.connect("2", "1.0", stranger)
    client = connected(hub, 3)
    subscribe(hub, "a", client)

    hub.deliver("1", Event("e", "a", "x", "1.0"))
    await asyncio.sleep(0)

    assert client.data() == ["x"]


async def test_apps_do_not_hear_each_other() -> None:
    hub, client = Hub(Metering()), Client()
    subscribe(hub, "a", client)

    hub.deliver("2", Event("e", "a", "x"))
    await asyncio.sleep(0)

    assert client.writes == []


async def test_what_is_published_before_a_subscription_is_not_for_it() -> None:
    hub, early, late = Hub(Metering()), Client(), Client()
    subscribe(hub, "a", early)

    hub.deliver("1", Event("e", "a", "0"))
    subscribe(hub, "a", late)
    hub.deliver("1", Event("e", "a", "1"))
    hub.remove("1", "a", early)
    hub.deliver("1", Event("e", "a", "2"))
    await asyncio.sleep(0)

    assert early.data() == ["0", "1"]
    assert late.data() == ["1", "2"]


async def test_what_comes_before_the_acknowledgement_follows_it() -> None:
    hub = Hub(Metering())
    client, other = connected(hub, 1), connected(hub, 2)
    subscribe(hub, "a", other)
    hub.hold("1", "a", client)

    hub.deliver("1", Event("e", "a", "0"))
    await asyncio.sleep(0)
    hub.deliver("1", Event("e", "a", "1", "1.0"))
    hub.deliver("1", Event("e", "a", "2"))
    assert client.writes == []
    client.write(b"\x81\x0e" + b'{"data":"ack"}')
    hub.release("1", "a", client)
    hub.deliver("1", Event("e", "a", "3"))
    await asyncio.sleep(0)

    assert client.data() == ["ack", "0", "2", "3"]
    assert other.data() == ["0", "1", "2", "3"]


async def test_a_subscription_that_was_held_can_be_given_up() -> None:
    hub, client = Hub(Metering()), Client()
    hub.hold("1", "a", client)
    hub.deliver("1", Event("e", "a", "0"))

    hub.remove("1", "a", client)
    await asyncio.sleep(0)

    assert client.writes == []
    assert hub.channels == {}


async def test_a_frame_for_one_socket_alone_comes_after_what_is_pending_for_it() -> None:
    hub, client = Hub(Metering()), Client()
    subscribe(hub, "a", client)

    hub.deliver("1", Event("e", "a", "0"))
    hub.flush_for(client)
    client.write(b"\x81\x0f" + b'{"data":"pong"}')
    hub.deliver("1", Event("e", "a", "1"))
    await asyncio.sleep(0)

    assert client.data() == ["0", "pong", "1"]


async def test_channels_that_share_a_subscriber_keep_the_order_of_publishing() -> None:
    hub, both, one = Hub(Metering()), Client(), Client()
    for channel in ("a", "b"):
        subscribe(hub, channel, both)
    subscribe(hub, "a", one)

    for number, channel in enumerate("abba"):
        hub.deliver("1", Event("e", channel, str(number)))
    await asyncio.sleep(0)

    assert both.data() == ["0", "1", "2", "3"]
    assert one.data() == ["0", "3"]


async def test_channels_without_a_common_subscriber_are_joined_all_the_same() -> None:
    hub, clients = Hub(Metering()), [Client(), Client()]
    for channel, client in zip("ab", clients, strict=True):
        subscribe(hub, channel, client)

    for number in range(10):
        hub.deliver("1", Event("e", "ab"[number % 2], str(number)))
    await asyncio.sleep(0)

    assert [len(client.writes) for client in clients] == [1, 1]


async def test_one_write_stays_bounded() -> None:
    hub, client = Hub(Metering()), Client()
    subscribe(hub, "a", client)

    for _ in range(100):
        hub.deliver("1", Event("e", "a", "x" * 10_000))
    await asyncio.sleep(0)

    assert max(map(len, client.writes)) < 300_000
    assert len(client.data()) == 100


async def test_nothing_is_kept_of_sockets_that_have_gone() -> None:
    hub = Hub(Metering())
    client = connected(hub, 1)
    subscribe(hub, "a", client)
    assert len(hub) == 1
    assert [socket.writer for socket in hub.all_sockets()] == [client]

    hub.disconnect("1", "1.0")
    hub.remove("1", "a", client)

    assert (len(hub), hub.sockets, hub.channels) == (0, {}, {})


async def test_what_a_replay_contained_is_not_delivered_again() -> None:
    """A replay is read on one connection, events come on another, perhaps later."""
    hub, old, new = Hub(Metering()), Client(), Client()
    subscribe(hub, "cache-a", old)
    hub.hold("1", "cache-a", new)
    hub.deliver("1", numbered(1))
    hub.release("1", "cache-a", new, after=3)  # it was sent the third one

    for sequence in (2, 3, 4, 5):
        hub.deliver("1", numbered(sequence))
    await asyncio.sleep(0)
    hub.deliver("1", numbered(6))
    await asyncio.sleep(0)

    assert old.data() == ["1", "2", "3", "4", "5", "6"]
    assert new.data() == ["4", "5", "6"]
    assert hub.metering["1"].deliveries == 9
    assert not hub.channels["1", "cache-a"].ahead


async def test_events_with_and_without_a_number_may_come_together() -> None:
    hub, old, new = Hub(Metering()), Client(), Client()
    subscribe(hub, "presence-a", old)
    hub.hold("1", "presence-a", new)
    for sequence in (0, 4, -3, 0, 6, -4):
        hub.deliver("1", Event("e", "presence-a", str(sequence), sequence=sequence))
    await asyncio.sleep(0)
    hub.release("1", "presence-a", new, after=5, told=3)

    assert old.data() == ["0", "4", "-3", "0", "6", "-4"]
    assert new.data() == ["0", "0", "6", "-4"]


async def test_who_is_ahead_is_forgotten_with_its_subscription() -> None:
    hub, client = Hub(Metering()), Client()
    hub.hold("1", "cache-a", client)
    hub.release("1", "cache-a", client, after=3)
    subscribe(hub, "cache-a", Client())
    hub.remove("1", "cache-a", client)
    subscribe(hub, "cache-a", client)

    hub.deliver("1", numbered(3))
    await asyncio.sleep(0)

    assert client.data() == ["3"]


def numbered(sequence: int) -> Event:
    return Event("e", "cache-a", str(sequence), sequence=sequence)


CHANNELS = "abc"
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(CHANNELS), st.none() | st.integers(0, 3)),
        st.tuples(st.just("alone"), st.integers(0, 3)),
        st.tuples(st.just("subscribe"), st.sampled_from(CHANNELS), st.integers(0, 3)),
        st.tuples(st.just("hold"), st.sampled_from(CHANNELS), st.integers(0, 3)),
        st.tuples(st.just("unsubscribe"), st.sampled_from(CHANNELS), st.integers(0, 3)),
        st.tuples(st.just("turn")),
    ),
    max_size=40,
)


@given(steps)
def test_every_socket_gets_what_it_should_once_and_in_the_order_of_publishing(
    script: list[tuple[Any, ...]],
) -> None:
    """The hub against a model that writes every event to every subscriber at once.

    A held subscription gets its events when it is released, so there the order is by channel.
    """

    async def run() -> None:
        hub = Hub(Metering())
        clients = [connected(hub, number) for number in range(4)]
        expected: list[list[str]] = [[] for _ in clients]
        members: dict[str, dict[int, list[str] | None]] = {name: {} for name in CHANNELS}
        delivered = 0
        for number, step in enumerate(script):
            label = str(number)
            match step:
                case ("publish", channel, excluded):
                    exclude = None if excluded is None else f"{excluded}.0"
                    hub.deliver("1", Event("e", channel, label, exclude))
                    for who, held in members[channel].items():
                        if who != excluded:
                            (expected[who] if held is None else held).append(label)
                            delivered += held is None
                case ("alone", who):
                    hub.flush_for(clients[who])
                    body = json.dumps({"data": label}).encode()
                    clients[who].write(bytes((0x81, len(body))) + body)
                    expected[who].append(label)
                case ("hold", channel, who) if who not in members[channel]:
                    hub.hold("1", channel, clients[who])
                    members[channel][who] = []
                case ("subscribe", channel, who):
                    if who not in members[channel]:
                        hub.hold("1", channel, clients[who])
                        members[channel][who] = []
                    held = members[channel][who]
                    if held is not None:
                        hub.release("1", channel, clients[who])
                        expected[who] += held
                        members[channel][who] = None
                case ("unsubscribe", channel, who) if who in members[channel]:
                    hub.remove("1", channel, clients[who])
                    del members[channel][who]
                case ("turn",):
                    await asyncio.sleep(0)
        await asyncio.sleep(0)
        hub.flush()
        assert [client.data() for client in clients] == expected
        assert hub.metering["1"].deliveries == delivered

    asyncio.run(run())


@pytest.mark.parametrize("events", [1, 20])
async def test_an_event_without_subscribers_costs_nothing(events: int) -> None:
    hub = Hub(Metering())

    for _ in range(events):
        hub.deliver("1", Event("e", "nobody", "x"))

    assert hub.channels == {}
    assert hub.metering["1"].deliveries == 0


async def test_an_event_called_like_an_order_is_an_event() -> None:
    hub = Hub(Metering())
    client = connected(hub, 1)
    subscribe(hub, "news", client)

    hub.deliver("1", Event(TERMINATION, "news", "1"))
    hub.deliver("1", Event(TERMINATION, to_user("ada"), "2"))
    hub.flush()

    assert [(text["event"], text["data"]) for text in client.texts()] == [(TERMINATION, "1")]


async def test_no_client_sees_what_is_said_where_orders_are_given() -> None:
    hub = Hub(Metering())
    client = connected(hub, 1)
    subscribe(hub, connections_of("ada"), client)

    hub.deliver("1", Event("of a later version", connections_of("ada"), "1"))
    hub.flush()

    assert client.writes == []
