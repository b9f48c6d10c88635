"""Many requests, one round trip: what is asked while one is under way goes in the next together.

Requests are sent and answered in the order in which they were asked, so whoever waits for one
answer before asking again has the order kept. Each gets its own outcome.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NoConnection

from oyez.server.engine import EngineUnavailable, OutcomeUnknown
from oyez.server.engine.redis.scripts import Script

__all__ = ["Client", "Command", "Lane"]

Client = Redis | RedisCluster
Command = tuple[str | bytes | int, ...]

_MOST: Final = 1000  # commands of one round trip
# Not that the server says no, but that it is not there, or the wrong one.
_LOST: Final = (NoConnection, ReadOnlyError, OSError, TimeoutError)


class _Unanswered(Exception):
    """What was asked was on its way when the connection failed."""


class Lane:
    """Asks one deployment of Redis.

    Args:
        limit: seconds for a round trip.
        lost: called with a reason when one has failed.
    """

    def __init__(self, client: Client, *, limit: float, lost: Callable[[str], None]) -> None:
        self._client = client
        self._limit = limit
        self._lost = lost
        self._waiting: deque[tuple[Command, asyncio.Future[Any]]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._connection: Any = None  # not of a cluster, which has several
        self._closed = False

    async def ask(self, *command: str | bytes | int) -> Any:
        """The answer to one command.

        Raises:
            EngineUnavailable: there is none, or the server cannot do it now.
            OutcomeUnknown: it was sent, or about to be, and there is no answer.
        """
        try:
            return await self._queue(command)
        except _Unanswered as error:
            raise OutcomeUnknown(str(error)) from error
        except (RedisError, OSError, TimeoutError) as error:
            raise EngineUnavailable(_said(error)) from error

    async def run(self, script: Script, keys: list[str], *arguments: str | bytes | int) -> Any:
        """The answer of a script, which the server may not know yet.

        Raises:
            EngineUnavailable, OutcomeUnknown: see `ask`.
        """
        try:
            return await self.ask("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except EngineUnavailable as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return await self.ask("EVAL", script.text, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Fail what waits."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._refuse("closed")  # what was asked in this turn, when nothing had begun yet
        await self._hang_up()

    def _refuse(self, reason: str) -> None:
        """What waits has not been sent."""
        for _, future in self._waiting:
            _fail(future, NoConnection(reason))
        self._waiting.clear()

    async def _hang_up(self) -> None:
        """What may still be answered on the connection is nobody's."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _queue(self, command: Command) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(NoConnection("not connected"))
            return future
        self._waiting.append((command, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return future

    async def _run(self) -> None:
        """As long as something waits; it begins after this turn, so that it has company."""
        batch: list[tuple[Command, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch = []
                await self._connect()
                batch = [self._waiting.popleft() for _ in range(min(_MOST, len(self._waiting)))]
                await self._round_trip(batch)
        except BaseException as error:
            said = _said(error)
            for _, future in batch:
                _fail(future, _Unanswered(said))
            self._refuse(said)
            self._running = None  # before anything waits: what comes in meanwhile begins anew
            if not isinstance(error, asyncio.CancelledError):
                self._lost(said)
            await self._hang_up()
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._running = None

    async def _connect(self) -> None:
        """A connection of our own; the pipelines of a cluster have theirs."""
        if self._connection is not None or isinstance(self._client, RedisCluster):
            return
        pool: Any = self._client.connection_pool
        connection = pool.make_connection()
        async with asyncio.timeout(self._limit):
            await connection.connect()
        self._connection = connection

    async def _round_trip(self, batch: list[tuple[Command, "asyncio.Future[Any]"]]) -> None:
        commands = [command for command, _ in batch]
        async with asyncio.timeout(self._limit):
            answers = await self._exchange(commands)
        broken: BaseException | None = None
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, BaseException):
                if isinstance(answer, _LOST):
                    broken = answer
                    # What the server says is an answer; the others may have come after it acted.
                    if not isinstance(answer, ReadOnlyError | BusyLoadingError):
                        answer = _Unanswered(_said(answer))
                _fail(future, answer)
            elif not future.done():
                future.set_result(answer)
        if broken is not None:
            self._lost(_said(broken))

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        """The answers, of which some may be errors.

        A pipeline of redis-py would cost twice as much CPU time for a publish that comes alone.
        """
        if isinstance(self._client, RedisCluster):
            pipeline: Any = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers
        connection = self._connection
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [await _answer(connection) for _ in commands]


async def _answer(connection: Any) -> Any:
    """One answer; an error of the server is one, too."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waited may have gone


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
