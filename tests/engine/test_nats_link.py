"""One connection to NATS, against a server of a few lines that says what it was sent."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator

import pytest

from oyez.server.engine import EngineUnavailable, OutcomeUnknown
from oyez.server.engine.nats.address import Address
from oyez.server.engine.nats.link import Link, Message

LIMIT = 0.5


class Peer:
    """Takes one connection and answers pings as long as it is told to."""

    def __init__(self) -> None:
        self.received = b""
        self.answers = True
        self.port = 0
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        info = {"version": "2.12.0", "headers": True, "max_payload": 1000}
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        while data := await reader.read(65536):
            self.received += data
            if self.answers:
                self.say(b"PONG\r\n" * data.count(b"PING\r\n"))

    def say(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def commands(self, count: int) -> list[str]:
        """The first words of what has come since the handshake, once there is so much."""
        for _ in range(200):
            found = re.findall(rb"^(?:PUB|HPUB|SUB|UNSUB|PING)\b[^\r]*", self.received, re.M)
            # the PING of the handshake, and the subscription to answers
            if len(found) >= count + 2:
                return [each.decode() for each in found[2:]]
            await asyncio.sleep(0.005)
        raise AssertionError(self.received)


class Connected:
    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.lost: list[str] = []
        address = Address(f"nats://127.0.0.1:{peer.port}", {}, limit=LIMIT)
        self.link = Link(address, limit=LIMIT, lost=self.lost.append)


@pytest.fixture
async def connected() -> AsyncIterator[Connected]:
    peer = Peer()
    await peer.start()
    made = Connected(peer)
    await made.link.open()
    yield made
    await made.link.close()
    await peer.stop()


async def test_one_ping_confirms_all_of_a_turn_and_comes_behind_it(connected: Connected) -> None:
    link = connected.link
    confirmations = []
    for number in range(3):
        link.publish(f"a.{number}", b"x")
        confirmations.append(link.confirmed())
    await asyncio.gather(*confirmations)
    link.publish("b", b"x")
    await link.confirmed()

    commands = [each.split()[:2] for each in await connected.peer.commands(6)]
    expected = [["PUB", "a.0"], ["PUB", "a.1"], ["PUB", "a.2"], ["PING"], ["PUB", "b"], ["PING"]]
    assert commands == expected


async def test_what_follows_does_not_wait_for_earlier_answers(connected: Connected) -> None:
    connected.peer.answers = False
    for subject in ("a", "b"):
        connected.link.publish(subject, b"x")
        asyncio.ensure_future(connected.link.confirmed()).add_done_callback(lambda f: f.exception())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert len(await connected.peer.commands(4)) == 4


async def test_what_was_written_is_unknown_and_what_was_not_is_certain(
    connected: Connected,
) -> None:
    link = connected.link
    connected.peer.answers = False
    link.publish("a", b"x")
    written = link.confirmed()
    await connected.peer.commands(2)
    link.publish("b", b"x")
    waiting = link.confirmed()
    link.fail("for a test")
    after = link.confirmed()

    with pytest.raises(OutcomeUnknown, match="for a test"):
        await written
    for each in (waiting, after):
        with pytest.raises(EngineUnavailable) as caught:
            await each
        assert not isinstance(caught.value, OutcomeUnknown)
    with pytest.raises(EngineUnavailable, match="not connected"):
        link.publish("c", b"x")
    assert b" c " not in connected.peer.received
    assert connected.lost == ["for a test"]


async def test_nobody_waits_longer_than_the_limit(connected: Connected) -> None:
    connected.peer.answers = False
    connected.link.publish("a", b"x")
    # Our timer, or the one of nats-py for its pings, whichever is first.
    with pytest.raises(OutcomeUnknown, match=r"no answer within|stale connection"):
        await connected.link.confirmed()
    await asyncio.sleep(2 * LIMIT)
    assert len(connected.lost) == 1


async def test_questions_are_told_apart_and_nobody_may_be_there(connected: Connected) -> None:
    link, peer = connected.link, connected.peer
    first = asyncio.create_task(link.ask("a", b"1"))
    second = asyncio.create_task(link.ask("b", b"2"))
    commands = await peer.commands(2)
    inbox = [each.split()[2] for each in commands]
    peer.say(f"HMSG {inbox[1]} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n".encode())
    peer.say(f"MSG {inbox[0]} 1 5\r\nhello\r\n".encode())

    assert (await first).data == b"hello"
    assert (await second).nobody


async def test_messages_come_in_the_order_of_the_broker_across_subjects(
    connected: Connected,
) -> None:
    received: list[Message] = []
    sids = [connected.link.subscribe(subject, received.append) for subject in ("a", "b")]
    for number in range(6):
        data = f"{number}".encode()
        connected.peer.say(b"MSG x %d 1\r\n%s\r\n" % (sids[number % 2], data))
    await connected.link.confirmed()
    assert [each.data for each in received] == [b"0", b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"-ERR 'Slow Consumer'\r\n", "slow consumer"),
        (b"nonsense\r\n", "(?i)protocol"),
        (b"MSG a x y\r\n", "."),
    ],
)
async def test_the_end_is_told_once_and_no_error_is_logged(
    connected: Connected, said: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = asyncio.create_task(connected.link.ask("a", b""))
    await connected.peer.commands(1)
    with caplog.at_level(logging.WARNING):
        connected.peer.say(said)
        with pytest.raises(OutcomeUnknown):
            await waiting
        await connected.link.close()
    assert len(connected.lost) == 1
    assert re.search(reason, connected.lost[0])
    assert not caplog.records


async def test_a_refused_permission_does_not_end_it(connected: Connected) -> None:
    connected.peer.say(b"-ERR 'Permissions Violation for Publish to \"a\"'\r\n")
    connected.link.publish("a", b"x")
    await connected.link.confirmed()
    assert connected.lost == []


async def test_what_is_too_large_is_not_sent(connected: Connected) -> None:
    with pytest.raises(EngineUnavailable, match="more than the broker takes"):
        connected.link.publish("a", bytes(1001))
    await connected.link.confirmed()
    assert b"PUB a" not in connected.peer.received
