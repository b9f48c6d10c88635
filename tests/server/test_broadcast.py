"""Writing to many real sockets at once, in both ways."""

import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest

from oyez.server.broadcast import Broadcast, Way, Writer, broadcasting, write_to_each
from oyez.server.ring import Ring


def ring_is_missing() -> str:
    try:
        Ring().close()
    except OSError as error:
        return str(error)
    return ""


MISSING = ring_is_missing()


@pytest.fixture(
    params=[
        "write",
        pytest.param("io_uring", marks=pytest.mark.skipif(bool(MISSING), reason=MISSING)),
    ]
)
def broadcast(request: pytest.FixtureRequest) -> Iterator[Broadcast]:
    with broadcasting(request.param) as found:
        yield found


class Client:
    """A socket; what it does not take is queued here, as a transport would."""

    def __init__(self, buffer: int | None = None) -> None:
        self.peer, self.ours = socket.socketpair()
        self.ours.setblocking(False)
        if buffer is not None:
            self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.descriptor = self.ours.fileno()
        self.queued = b""

    def write(self, data: bytes) -> None:
        self.queued += data

    def get_write_buffer_size(self) -> int:
        return len(self.queued)

    def received(self) -> bytes:
        """Everything so far, in the order the client sees it."""
        self.ours.close()
        with self.peer:
            stream = b""
            while part := self.peer.recv(1_000_000):
                stream += part
        return stream + self.queued


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    found = [Client() for _ in range(300)]
    yield found
    for client in found:
        client.ours.close()
        client.peer.close()


def by_writer(clients: list[Client]) -> dict[Writer, int]:
    return {client: client.descriptor for client in clients}


@pytest.mark.parametrize("count", [1, 127, 128, 129, 255, 256, 257, 300])
def test_everybody_gets_the_same_bytes_in_order(
    broadcast: Broadcast, clients: list[Client], count: int
) -> None:
    writers = by_writer(clients[:count])
    events = [bytes([65 + number]) * (10 * number + 1) for number in range(9)]

    for event in events:
        broadcast(writers, event)

    assert {client.received() for client in clients[:count]} == {b"".join(events)}
    assert {client.received() for client in clients[count:]} <= {b""}


def test_channels_of_any_size_take_turns(broadcast: Broadcast, clients: list[Client]) -> None:
    """So that the queue of the ring ends within a channel, anywhere."""
    expected = dict.fromkeys(clients, b"")
    for number in range(40):
        chosen = clients[number : number + 120 + 5 * number]
        broadcast(by_writer(chosen), b"%d;" % number)
        for client in chosen:
            expected[client] += b"%d;" % number

    assert all(client.received() == expected[client] for client in clients)


def test_what_a_socket_does_not_take_is_queued_behind_what_it_took(
    broadcast: Broadcast, clients: list[Client]
) -> None:
    small = Client(buffer=1)
    writers = by_writer([*clients[:200], small, *clients[200:]])
    events = [bytes([65 + number]) * 1000 for number in range(20)]

    for event in events:
        broadcast(writers, event)

    assert small.queued
    assert small.received() == b"".join(events)
    assert not any(client.queued for client in clients)
    assert clients[299].received() == b"".join(events)


def test_nothing_overtakes_what_a_transport_has_queued(
    broadcast: Broadcast, clients: list[Client]
) -> None:
    clients[3].queued = b"older"

    broadcast(by_writer(clients), b"newer")

    assert clients[3].queued == b"oldernewer"
    assert clients[4].received() == b"newer"


def test_a_transport_without_a_plain_socket_writes_itself(
    broadcast: Broadcast, clients: list[Client]
) -> None:
    broadcast({**by_writer(clients), clients[7]: -1}, b"secret")

    assert clients[7].queued == b"secret"
    assert clients[8].received() == b"secret"


def test_a_broken_socket_is_left_to_its_transport(
    broadcast: Broadcast, clients: list[Client]
) -> None:
    clients[5].peer.close()

    broadcast(by_writer(clients), b"event")

    assert clients[5].queued == b"event"
    assert clients[6].received() == b"event"


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """The kernel refuses whatever would open a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("way", ["auto", "write"])
def test_where_there_is_no_ring_each_socket_is_written_to(way: Way) -> None:
    with no_more_descriptors(), broadcasting(way) as found:
        assert found is write_to_each


def test_a_ring_that_was_asked_for_must_be_there() -> None:
    with (
        pytest.raises(ValueError, match="io_uring cannot be used"),
        no_more_descriptors(),
        broadcasting("io_uring"),
    ):
        pass
