"""One connection that receives: subscriptions, their confirmations, and messages.

It speaks RESP2 on a connection made by redis-py, so TLS, passwords, Sentinel and whatever else the
address asks for are its affair. A broken connection is not repaired here: what was missed on it has
to be known to the engine, which makes a new one.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from oyez.server.engine import EngineUnavailable

__all__ = ["Listener"]

_MOST: Final = 500  # topics of one command


class Listener:
    """Receives on one connection.

    Args:
        connection: made for this alone, not connected yet.
        sharded: whether topics are those of a shard of a cluster.
        limit: seconds for an answer; the connection is asked for one that often, too.
        receive: called with topic and message.
        lost: called with a reason, once, when the connection has broken.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        sharded: bool,
        limit: float,
        receive: Callable[[bytes, bytes], None],
        lost: Callable[[str], None],
    ) -> None:
        self._connection: Any = connection
        self._verbs = ("SSUBSCRIBE", "SUNSUBSCRIBE") if sharded else ("SUBSCRIBE", "UNSUBSCRIBE")
        self._confirmation = self._verbs[0].lower().encode()
        self._message = b"smessage" if sharded else b"message"
        self._gone = b"sunsubscribe" if sharded else b""
        self._limit = limit
        self._receive = receive
        self._lost = lost
        self._asked: dict[bytes, asyncio.Future[None]] = {}
        self._ending: set[bytes] = set()
        self._topics: dict[bytes, bool] = {}  # to subscribe, or not any more; in the order asked
        self._wanted = asyncio.Event()
        self._heard = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect.

        Raises:
            EngineUnavailable: nobody answers.
        """
        try:
            async with asyncio.timeout(self._limit):
                await self._connection.connect()
        except (RedisError, OSError, TimeoutError) as error:
            raise EngineUnavailable(f"cannot subscribe: {error}") from error
        self._connection.socket_timeout = None  # silence is not a failure here
        for work in (self._read(), self._write(), self._watch()):
            self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """Give back the connection; who waits for a confirmation is told."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail("closed")
        await self._connection.disconnect(nowait=True)

    def subscribe(self, topic: bytes) -> "asyncio.Future[None]":
        """Receive a topic; the future is done once the server has confirmed."""
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._tasks or self._tasks[0].done():
            confirmed.set_exception(EngineUnavailable("not connected"))
            return confirmed
        self._asked[topic] = confirmed
        self._topics[topic] = True
        self._wanted.set()
        return confirmed

    def unsubscribe(self, topic: bytes) -> None:
        """Receive a topic no longer."""
        self._topics[topic] = False
        self._wanted.set()

    async def _write(self) -> None:
        """Send what was asked for in this turn with as few commands as there can be."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(0)
                self._wanted.clear()
                topics, self._topics = self._topics, {}
                for verb, wanted in zip(self._verbs, (True, False), strict=True):
                    chosen = [topic for topic, each in topics.items() if each is wanted]
                    if not wanted:
                        self._ending.update(chosen)
                    await self._send(verb, chosen)
        except (RedisError, OSError) as error:
            self._broken(str(error))

    async def _send(self, verb: str, topics: list[bytes]) -> None:
        for at in range(0, len(topics), _MOST):
            await self._connection.send_command(verb, *topics[at : at + _MOST])

    async def _read(self) -> None:
        read, heard = self._connection.read_response, self._heard
        try:
            while True:
                kind, topic, *rest = await read(disable_decoding=True)
                heard.set()
                if kind == self._message:
                    self._receive(topic, rest[0])
                else:
                    self._answered(kind, topic)
        except (RedisError, OSError, ValueError, TypeError) as error:
            self._broken(str(error) or type(error).__name__)

    def _answered(self, kind: bytes, topic: bytes) -> None:
        if kind == self._confirmation:
            confirmed = self._asked.pop(topic, None)
            if confirmed is not None and not confirmed.done():
                confirmed.set_result(None)
        elif kind == self._gone and topic not in self._ending:
            self._broken("the shard of some channels has moved")
        self._ending.discard(topic)

    async def _watch(self) -> None:
        """A connection on which nothing arrives, not even an answer, is dead."""
        try:
            while True:
                self._heard.clear()
                await asyncio.sleep(self._limit / 2)
                if self._heard.is_set():
                    continue
                await self._connection.send_command("PING", check_health=False)
                async with asyncio.timeout(self._limit / 2):
                    await self._heard.wait()
        except (RedisError, OSError, TimeoutError) as error:
            self._broken(str(error) or "no answer on the connection of subscriptions")

    def _broken(self, reason: str) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._fail(reason)
        self._lost(reason)

    def _fail(self, reason: str) -> None:
        asked, self._asked = self._asked, {}
        for confirmed in asked.values():
            if not confirmed.done():
                confirmed.set_exception(EngineUnavailable(reason))
                confirmed.exception()  # whoever waited may have gone
