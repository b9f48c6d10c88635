"""A TCP proxy that is a bad network: it delays, throttles, holds back, swallows and cuts.

What it does to bytes is what real networks do: bytes of one connection are late or never come, but
are never missing in the middle. So a connection of which something was swallowed is cut when the
network is well again, and what was only held back arrives then.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["Direction", "FaultProxy"]

_CHUNK = 65536
_QUEUED = 256  # chunks on the way of one direction
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@dataclass
class Direction:
    """What happens to bytes that go one way.

    Attributes:
        delay: seconds that every byte is late.
        rate: bytes per second and connection; 0 for no limit.
        swallowing: bytes disappear.
        flowing: cleared while bytes are held back.
    """

    delay: float = 0.0
    rate: float = 0.0
    swallowing: bool = False
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.flowing.set()

    def heal(self) -> None:
        """Bytes go their way again."""
        self.delay = self.rate = 0.0
        self.swallowing = False
        self.flowing.set()


class _Connection:
    """Two sockets and the tasks that carry bytes between them.

    Attributes:
        tainted: some of its bytes were swallowed.
        aborted: it was cut, perhaps before there was a second socket.
    """

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.target: asyncio.StreamWriter | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.tainted = False
        self.aborted = False

    def abort(self) -> None:
        """Both ends see the connection break at once."""
        self.aborted = True
        for task in self.tasks:
            task.cancel()
        for writer in (self.client, self.target):
            if writer is not None:
                _reset(writer)


class FaultProxy:
    """Listens on a port of this machine and connects to another one for everybody who comes.

    Args:
        port: to listen on; 0 for a free one.

    Attributes:
        upward: from who connects here to the target.
        downward: the way back.
        refusing: whoever connects is cut at once.
    """

    def __init__(self, target_port: int, *, port: int = 0) -> None:
        self.port = port
        self.upward = Direction()
        self.downward = Direction()
        self.refusing = False
        self._target_port = target_port
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._listener.wait_closed()

    def __len__(self) -> int:
        """Connections at present."""
        return len(self._connections)

    # Faults.

    def cut(self) -> None:
        """Break every connection; new ones may come."""
        for connection in tuple(self._connections):
            connection.abort()

    def refuse(self) -> None:
        """Break every connection, and new ones at once."""
        self.refusing = True
        self.cut()

    def swallow(self) -> None:
        """Take everything and deliver nothing; neither end notices by itself."""
        self.upward.swallowing = self.downward.swallowing = True

    def hold(self, *directions: Direction) -> None:
        """Hold bytes back, in both directions if none is named; they arrive once healed."""
        for direction in directions or (self.upward, self.downward):
            direction.flowing.clear()

    def slow(self, *, delay: float = 0.0, rate: float = 0.0) -> None:
        """Be late, or narrow, in both directions."""
        for direction in (self.upward, self.downward):
            direction.delay, direction.rate = delay, rate

    def heal(self) -> None:
        """Be a good network again."""
        self.refusing = False
        for connection in tuple(self._connections):
            if connection.tainted:
                connection.abort()
        self.upward.heal()
        self.downward.heal()

    # Carrying.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = _Connection(writer)
        try:
            if self.refusing:
                return
            self._connections.add(connection)
            await self._relay(connection, reader)
        except OSError:
            pass  # the target is not there: whoever connected finds out by being cut
        finally:
            connection.abort()
            self._connections.discard(connection)
            self._serving.discard(task)

    async def _relay(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        """Until both directions have ended, or one has failed."""
        above, connection.target = await asyncio.open_connection("127.0.0.1", self._target_port)
        if connection.aborted:
            return
        ways = (
            (reader, connection.target, self.upward),
            (above, connection.client, self.downward),
        )
        connection.tasks = {asyncio.create_task(self._carry(connection, *way)) for way in ways}
        done, _ = await asyncio.wait(connection.tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():
                task.exception()  # a broken socket; `_serve` breaks the other one

    async def _carry(
        self,
        connection: _Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Direction,
    ) -> None:
        """One direction of one connection; its end travels like its bytes."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED)
        reading = asyncio.create_task(self._read(reader, queue, way))
        try:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                await way.flowing.wait()
                if way.swallowing:
                    connection.tainted = True
                    continue
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
                if way.rate:
                    await asyncio.sleep(len(data) / way.rate)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    @staticmethod
    async def _read(
        reader: asyncio.StreamReader, queue: "asyncio.Queue[tuple[float, bytes]]", way: Direction
    ) -> None:
        loop = asyncio.get_running_loop()
        data = b" "
        while data:
            try:
                data = await reader.read(_CHUNK)
            except OSError:
                data = b""  # a broken connection ends like any other, after what it has said
            if way.rate:  # so that a narrow link is a steady trickle and no big lumps
                for at in range(0, len(data), 512):
                    await queue.put((loop.time() + way.delay, data[at : at + 512]))
                if data:
                    continue
            await queue.put((loop.time() + way.delay, data))


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a socket with RST, so that the other end knows at once."""
    raw = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()
