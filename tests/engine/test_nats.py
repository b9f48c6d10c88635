"""The clustered engine over a real NATS server keeps the contract."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable, Left, Occupancy, OutcomeUnknown
from oyez.server.engine.backplane import Held
from oyez.server.engine.nats import NatsBackplane, deputy, wire
from oyez.server.engine.nats.link import Message
from tests.engine.cluster import (
    LEASE,
    LIMIT,
    REMOVED,
    ClusterContract,
    ClusterNode,
    Deployment,
)
from tests.engine.contract import ADA, BOB, EngineContract, eventually
from tests.nats_server import (
    SUBJECTS,
    NatsServer,
    depose,
    forget,
    linked,
    nats_is_installed,
    running_nats,
    running_nats_cluster,
)

pytestmark = nats_is_installed


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with running_nats() as server:
        yield server


class OnNats(Deployment):
    """Nodes over one server."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.server = server
        self.all: list[ClusterNode] = []

    def backplane(self, lease: float, limit: float) -> NatsBackplane:
        return NatsBackplane(self.server.url, lease=lease, limit=limit)

    async def node(self) -> ClusterNode:
        self.all.append(await super().node())
        return self.all[-1]

    async def keeper(self) -> ClusterNode:
        """The node that is the keeper, once there is one."""
        await eventually(lambda: any(map(is_keeper, self.all)))
        return next(filter(is_keeper, self.all))

    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        async with linked(self.server) as link:
            link.publish(SUBJECTS.event(app_id, channel), message)
            await link.confirmed()

    async def flush(self) -> None:
        await depose(self.server)

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()


def is_keeper(node: ClusterNode) -> bool:
    reign = node.backplane._reign
    return reign is not None and reign.keeper is not None and reign.keeper.reigns


class TestNats(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, nats: NatsServer) -> AsyncIterator[OnNats]:
        async with OnNats(nats) as deployment:
            await forget(nats)
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnNats) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]

    async def test_when_the_keeper_dies_a_deputy_goes_on(self, deployment: OnNats) -> None:
        one, two, three = [await deployment.node() for _ in range(3)]
        keeper = await deployment.keeper()
        others = [node for node in (one, two, three) if node is not keeper]
        await keeper.enter("presence-a", ADA)
        for node in others:
            await node.enter("presence-a", BOB)
            await node.join("news")
        before = await others[0].backplane.roll("1", "presence-a")
        await keeper.crash()
        began = time.monotonic()

        assert await others[0].engine.occupancy("1", "presence-a") == Occupancy(3, 2)
        assert time.monotonic() - began < LEASE
        assert not any(node.engine.away for node in others)
        assert (await deployment.keeper()) in others
        await eventually(lambda: all(node.named(REMOVED) for node in others))
        assert await others[1].engine.channels("1", "") == {
            "presence-a": Occupancy(2, 1),
            "news": Occupancy(2, 0),
        }
        after = await others[1].backplane.roll("1", "presence-a")
        assert after.revision > before.revision
        told = [each for node in others for each in node.gone]
        assert told == [("presence-a", Left(False, 2, removed=True), "ada")]
        assert [node.named(REMOVED) for node in others] == [['{"user_id":"ada"}']] * 2

    async def test_what_a_deputy_did_not_hear_of_is_put_right(self, deployment: OnNats) -> None:
        nodes = [await deployment.node() for _ in range(3)]
        keeper = await deployment.keeper()
        one, two = (node for node in nodes if node is not keeper)
        await two.enter("presence-a", BOB)
        await one.join("news")
        await eventually(lambda: one.backplane._reign._deputy._store is not None)
        reign = keeper.backplane._reign
        reign.keeper._deputies._silent.clear()  # so that nothing is passed on any more
        reign._deputy.end()
        await one.join("news")
        await one.enter("presence-a", ADA)
        await two.leave("presence-a", "bob")
        await keeper.crash()

        async def right() -> bool:
            return await two.engine.channels("1", "") == {
                "presence-a": Occupancy(1, 1),
                "news": Occupancy(2, 0),
            }

        await eventually(right)
        assert not one.engine.away

    async def test_without_a_deputy_the_next_keeper_is_told_everything_again(
        self, deployment: OnNats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deputy, "MOST", 0)
        nodes = [await deployment.node() for _ in range(3)]
        keeper = await deployment.keeper()
        others = [node for node in nodes if node is not keeper]
        for node in nodes:
            await node.enter("presence-a", BOB)
        await keeper.crash()

        async def restated() -> bool:
            return await others[0].engine.occupancy("1", "presence-a") == Occupancy(2, 1)

        await eventually(restated)
        assert not any(node.engine.away for node in others)
        assert [node.named(REMOVED) for node in others] == [[], []]

    async def test_keepers_may_die_one_after_another(self, deployment: OnNats) -> None:
        nodes = [await deployment.node() for _ in range(5)]
        for node in nodes:
            await node.join("news")
        for left in (4, 3, 2, 1):
            keeper = await deployment.keeper()
            nodes.remove(keeper)
            deployment.all.remove(keeper)
            await keeper.crash()

            async def counted(left: int = left) -> bool:
                return await nodes[0].engine.occupancy("1", "news") == Occupancy(left, 0)

            await eventually(counted)
        assert not nodes[0].engine.away

    async def test_only_some_are_deputies_and_they_take_over_first(
        self, deployment: OnNats
    ) -> None:
        nodes = [await deployment.node() for _ in range(6)]

        def deputies() -> list[ClusterNode]:
            return [each for each in nodes if each.backplane._reign._deputy._store is not None]

        await eventually(lambda: len(deputies()) == deputy.MOST)
        for _ in range(3):
            await asyncio.gather(*(node.join("news") for node in nodes))
        chosen, keeper = deputies(), await deployment.keeper()

        def others_listen_to_nothing() -> bool:
            idle = [node.backplane._reign._deputy for node in nodes if node not in chosen]
            return not any(each._sid or each._early for each in idle)

        await eventually(others_listen_to_nothing)
        await keeper.crash()
        nodes.remove(keeper)
        deployment.all.remove(keeper)

        assert await deployment.keeper() in chosen
        await eventually(lambda: len(deputies()) == deputy.MOST)
        assert (await nodes[0].engine.occupancy("1", "news")).subscriptions >= 15

    async def test_a_deputy_that_has_missed_something_begins_anew(
        self, nodes: list[ClusterNode], deployment: OnNats
    ) -> None:
        keeper = await deployment.keeper()
        (other,) = (node for node in nodes if node is not keeper)
        standing = other.backplane._reign._deputy
        await eventually(lambda: standing._store is not None)
        await nodes[0].join("news")
        await eventually(lambda: standing._position == keeper.backplane._reign.keeper.position)
        replica = standing._store

        standing._link.unsubscribe(standing._sid)
        await nodes[0].join("news")

        await eventually(lambda: standing._store not in (None, replica))
        await eventually(lambda: standing._position == keeper.backplane._reign.keeper.position)
        request = wire.Occupancy("1", "news")
        assert standing._store.do(request, 0.0) == Occupancy(2, 0)

    async def test_a_keeper_that_cannot_renew_answers_nobody(self, deployment: OnNats) -> None:
        nodes = [await deployment.node() for _ in range(3)]
        keeper = await deployment.keeper()
        others = [node for node in nodes if node is not keeper]
        term = keeper.backplane._reign.keeper.term
        never = asyncio.Event()

        async def hang(*_: object) -> int:
            await never.wait()
            return 0

        keeper.backplane._reign._entries.write = hang
        await eventually(lambda: any(map(is_keeper, others)))

        assert not is_keeper(keeper)
        async with linked(deployment.server, limit=0.3) as link:
            request = wire.write([wire.Occupancy("1", "a")])
            with pytest.raises(OutcomeUnknown):
                await link.ask(SUBJECTS.keeper(term), request)
            answer = await link.ask(SUBJECTS.keeper(term + 1), request)
            assert wire.join_pieces(bytearray(), answer.data) is not None

    async def test_many_that_start_at_once_elect_one(self, deployment: OnNats) -> None:
        nodes = await asyncio.gather(*(deployment.node() for _ in range(6)))
        await asyncio.gather(*(node.join("news") for node in nodes))

        assert sum(map(is_keeper, nodes)) == 1
        assert await nodes[3].engine.occupancy("1", "news") == Occupancy(6, 0)
        replies: list[Message] = []
        term = (await deployment.keeper()).backplane._reign.keeper.term
        async with linked(deployment.server) as link:
            request = wire.write([wire.Occupancy("1", "news")])
            link.question(SUBJECTS.keeper(term), request, replies.append)
            await asyncio.sleep(0.1)
        assert len(replies) == 1

    async def test_nobody_is_answered_that_speaks_another_version(
        self, nodes: list[ClusterNode], deployment: OnNats
    ) -> None:
        term = (await deployment.keeper()).backplane._reign.keeper.term
        async with linked(deployment.server) as link:
            answer = await link.ask(SUBJECTS.keeper(term), b"\x07\x91")
            answers = wire.join_pieces(bytearray(), answer.data)
        assert answers == [wire.Answer("message version 7, this node knows 1")]

        keeper = (await deployment.keeper()).backplane._reign.keeper
        keeper._link.unsubscribe(keeper._sid)
        async with linked(deployment.server) as link:
            link.subscribe(
                SUBJECTS.keeper(term),
                lambda message: link.publish(message.reply.decode(), b"\x07\x00\x90"),
            )
            await link.confirmed()
            with pytest.raises(EngineUnavailable, match="speaks version 7, this node 1"):
                await nodes[0].backplane.roll("1", "a")

    async def test_what_was_cached_and_used_survives_all_keepers(
        self, deployment: OnNats, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deputy, "MOST", 0)
        first = await deployment.node()
        event = Event("e", "cache-a", "kept")
        await first.engine.publish("1", [event, Event("e", "cache-b", "late")], cache_seconds=60)
        await first.engine.publish("1", [event], cache_seconds=1)
        sequence = (await first.backplane.cached("1", "cache-a")).sequence
        await first.engine.meter(1, {"1": 5})
        await asyncio.sleep(LEASE / 2)
        await first.crash()
        second = await deployment.node()

        found = (await second.join("cache-a")).cached
        assert found is not None
        assert (found.name, found.data, found.sequence) == ("e", "kept", sequence)
        assert 0 < found.seconds <= 1
        assert await second.engine.meter(1, {"1": 1}) == {"1": 6}
        await second.engine.publish("1", [event], cache_seconds=60)
        again = await second.engine.cached("1", "cache-a")
        assert again is not None
        assert again.sequence > sequence
        assert (await second.join("cache-b")).cached is not None

    async def test_events_travel_while_nobody_is_the_keeper(
        self, nodes: list[ClusterNode], deployment: OnNats
    ) -> None:
        one, two = nodes
        await two.join("news")
        for node in nodes:
            node.backplane._reign._entries.read = node.backplane._reign._entries.write = _refused
        await eventually(lambda: not any(map(is_keeper, nodes)))

        await one.engine.publish("1", [Event("e", "news", "1")])
        await eventually(lambda: two.named("e") == ["1"])
        with pytest.raises(EngineUnavailable):
            await one.engine.occupancy("1", "news")
        with pytest.raises(EngineUnavailable):
            await one.engine.publish("1", [Event("e", "cache-a", "1")])

    async def test_a_broker_that_hangs_is_found_out_once(self, nats: NatsServer) -> None:
        reasons: list[str] = []
        backplane = NatsBackplane(nats.url, lease=LEASE, limit=LIMIT)
        await backplane.connect(lambda *_: None, reasons.append)
        nats.pause()
        try:
            began = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                await backplane.publish("1", [Event("e", "news", "1")], 0)
            with pytest.raises(EngineUnavailable):
                await backplane.publish("1", [Event("e", "news", "1")], 0)
            with pytest.raises(EngineUnavailable):
                await backplane.connect(lambda *_: None, reasons.append)
            assert time.monotonic() - began < 3 * LIMIT
        finally:
            nats.resume()
        assert len(reasons) == 1
        await backplane.connect(lambda *_: None, reasons.append)
        await backplane.publish("1", [Event("e", "news", "1")], 0)
        await backplane.close()
        assert len(reasons) == 1

    async def test_a_silent_connection_is_found_out_without_a_publish(
        self, nats: NatsServer
    ) -> None:
        reasons: list[str] = []
        backplane = NatsBackplane(nats.url, lease=LEASE, limit=LIMIT)
        await backplane.connect(lambda *_: None, reasons.append)
        nats.pause()
        try:
            await asyncio.sleep(1.5 * LIMIT)
            assert len(reasons) == 1
        finally:
            nats.resume()
            await backplane.close()

    async def test_what_is_too_large_is_refused_and_nothing_of_it_sent(
        self, nodes: list[ClusterNode]
    ) -> None:
        one, two = nodes
        await two.join("news")
        for channel in ("news", "cache-a"):
            events = [Event("e", "news", "small"), Event("e", channel, "x" * 2_000_000)]
            with pytest.raises(EngineUnavailable, match="more than the broker takes"):
                await one.engine.publish("1", events)
        await one.engine.publish("1", [Event("e", "news", "last")])
        await eventually(lambda: two.named("e") == ["last"])
        assert not one.engine.away


async def test_large_questions_and_answers_arrive(nats: NatsServer) -> None:
    held = {f"channel-{number:0150}": Held(1) for number in range(12_000)}
    one, two = (NatsBackplane(nats.url, prefix="large") for _ in range(2))
    try:
        for each in (one, two):
            await each.connect(lambda *_: None, lambda _: None)
        await one.beat("1", "x", register=True)

        changes = await one.restate("1", "x", held)

        assert [each.channel for each in changes] == list(held)
        assert set(await two.channels("1", "")) == set(held)
        assert set(await two.held("1", "x")) == set(held)
    finally:
        for each in (one, two):
            await each.close()


async def test_a_cancelled_attempt_to_connect_ends_and_leaves_nothing(nats: NatsServer) -> None:
    backplane = NatsBackplane(nats.url, prefix="cancelled")
    await backplane.connect(lambda *_: None, lambda _: None)
    for turns in range(40):
        connecting = asyncio.create_task(backplane.connect(lambda *_: None, lambda _: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        done = connecting.done()
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled() or done
    await backplane.close()


async def _refused(*_: object) -> None:
    raise EngineUnavailable("for a test")


async def test_of_a_cluster_of_servers_one_may_die() -> None:
    with running_nats_cluster() as servers:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers)
        received: list[bytes] = []
        nodes: list[NatsBackplane] = []
        for number, server in enumerate(servers):
            url = f"nats://127.0.0.1:{server.port},{hosts}"
            nodes.append(NatsBackplane(url, {"dont_randomize": True}, lease=2, limit=3))
            while True:
                with contextlib.suppress(EngineUnavailable):  # JetStream has no leader yet
                    await nodes[-1].connect(lambda *m: received.append(m[2]), lambda _: None)
                    break
            await nodes[-1].beat("1", str(number), register=True)
        await nodes[0].subscribe("1", "news")
        await asyncio.sleep(0.1)  # until all servers know
        await nodes[1].publish("1", [Event("e", "news", "1")], 0)
        await nodes[2].join("1", "2", "news", None, 1)
        await asyncio.gather(*(deputised(node) for node in nodes))

        dead = next(n for n, each in enumerate(nodes) if each._reign and each._reign.keeper)
        servers[dead].stop()
        for number in {0, 1, 2} - {dead}:
            await nodes[number].join("1", str(number), "news", None, 1)
        await nodes[dead].connect(lambda *m: received.append(m[2]), lambda _: None)

        assert await nodes[dead].occupancy("1", "news") == Occupancy(3, 0)
        assert len(received) == 1
        for each in nodes:
            await each.close()


async def deputised(node: NatsBackplane) -> None:
    """Wait until a node is the keeper, or could take its place."""
    reign = node._reign
    assert reign is not None
    await eventually(lambda: reign.keeper is not None or reign._deputy._store is not None)


async def test_a_server_without_jetstream_is_told_apart() -> None:
    with running_nats(jetstream=False) as server:
        backplane = NatsBackplane(server.url)
        with pytest.raises(EngineUnavailable, match="has no JetStream"):
            await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()


@pytest.mark.parametrize(
    ("arguments", "login", "wrong"),
    [
        (("--auth", "token-1"), "token-1", "token-2"),
        (("--user", "ada", "--pass", "p@ss"), "ada:p%40ss", "ada:word"),
    ],
)
async def test_a_password_is_asked_for(arguments: tuple[str, ...], login: str, wrong: str) -> None:
    with running_nats(*arguments) as server:
        address = f"127.0.0.1:{server.port},127.0.0.1:{server.port}"
        backplane = NatsBackplane(f"nats://{login}@{address}")
        await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()
        backplane = NatsBackplane(f"nats://{wrong}@{address}")
        with pytest.raises(EngineUnavailable, match="Authorization Violation"):
            await backplane.connect(lambda *_: None, lambda _: None)
        await backplane.close()


async def test_tls_is_insisted_on_and_checked(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    names = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "other", "cert", "key")}
    authority.cert_pem.write_to_path(names["ca"])
    other.cert_pem.write_to_path(names["other"])
    certificate.cert_chain_pems[0].write_to_path(names["cert"])
    certificate.private_key_pem.write_to_path(names["key"])

    async def connect(server: NatsServer, scheme: str, ca: str) -> None:
        url = f"{scheme}://127.0.0.1:{server.port}"
        backplane = NatsBackplane(url, {"tls_ca_file": names[ca]})
        try:
            await backplane.connect(lambda *_: None, lambda _: None)
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        finally:
            await backplane.close()

    with running_nats("--tls", "--tlscert", names["cert"], "--tlskey", names["key"]) as server:
        await connect(server, "tls", "ca")
        await connect(server, "nats", "ca")
        with pytest.raises(EngineUnavailable, match="certificate verify failed"):
            await connect(server, "tls", "other")
    with running_nats() as server, pytest.raises(EngineUnavailable, match="has no TLS"):
        await connect(server, "tls", "ca")
    with pytest.raises(ValueError, match="TLS: "):
        NatsBackplane("tls://a", {"tls_ca_file": str(tmp_path / "missing")})


@pytest.mark.parametrize(
    "url", ["nats://", "nats://a/b", "nats://a,", "nats://a:x", "nats://a?b=c", "http://a"]
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NatsBackplane(url)


def test_options_that_are_ours_are_refused() -> None:
    with pytest.raises(ValueError, match="allow_reconnect"):
        NatsBackplane("nats://a", {"allow_reconnect": True})
