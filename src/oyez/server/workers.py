"""Several processes on one port: started, watched, started anew, stopped.

Each is a node of its own and listens with ``SO_REUSEPORT``, so the kernel deals out connections;
what they share is the engine. They end with the supervisor, also when that is killed: each holds
one end of a pipe and stops when the other end is gone.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import structlog

from oyez.server import logs
from oyez.server.capacity import capacity_of, open_files, usable_memory
from oyez.server.config import Settings
from oyez.server.node import Node, serve
from oyez.server.siblings import Siblings

__all__ = ["Workers", "how_many"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.workers")

_FIRST_PAUSE = 0.5  # seconds before a worker that died is started anew
_LONGEST_PAUSE = 30.0
_LASTED = 60.0  # seconds after which a death is no longer held against the next start
_spawn = multiprocessing.get_context("spawn")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def how_many(workers: int | str) -> int:
    """The number of processes: as configured, or one per usable core for ``auto``."""
    return len(os.sched_getaffinity(0)) if workers == "auto" else int(workers)


class Workers:
    """The processes of one machine.

    Args:
        settings: of each; admin ports count up from ``admin_port``, unless it is 0.
        count: how many.
        loop_factory: named so that it can be found again in another process.

    Raises:
        OSError: the port cannot be had.
        ValueError: they could not take what the settings say.

    Attributes:
        port: that all of them listen at.
        admin_ports: of those that have started, by number.
    """

    def __init__(self, settings: Settings, count: int, loop_factory: LoopFactory | None) -> None:
        capacity_of(settings, files=open_files(), memory=usable_memory() // count)  # or it raises
        self._settings = settings
        self._count = count
        self._loop_factory = loop_factory
        self._reserved = _reserve(settings)
        self._doors = tempfile.TemporaryDirectory(prefix="oyez-")  # only this user may enter it
        self.port: int = self._reserved.getsockname()[1]
        self.admin_ports: dict[int, int] = {}
        self._workers: dict[int, _Worker] = {}
        self._stopping = asyncio.Event()

    async def run(self, *, started: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT, then until all have drained; a second signal is passed on too.

        Args:
            started: called once, when all listen.

        Raises:
            OSError: a worker cannot listen.
        """
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        all_listen = asyncio.Barrier(self._count)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._count):
                    group.create_task(self._keep(number, all_listen, started))
        except* _CannotStart as problem:
            raise OSError(str(problem.exceptions[0])) from None
        finally:
            await asyncio.gather(*(each.end() for each in self._workers.values()))
            self._reserved.close()
            self._doors.cleanup()
            log.info("all workers stopped")

    def _stop(self) -> None:
        self._stopping.set()
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for worker in self._workers.values():
            worker.tell(number)

    async def _keep(
        self, number: int, all_listen: asyncio.Barrier, started: Callable[[], None]
    ) -> None:
        """One worker, and its successors."""
        pause, first = _FIRST_PAUSE, True
        while not self._stopping.is_set():
            began = time.monotonic()
            siblings = Siblings(Path(self._doors.name), number, self._count)
            worker = _Worker(self._settings, siblings, number, self.port, self._loop_factory)
            self._workers[number] = worker
            admin_port = await worker.listening()
            if admin_port is not None:
                self.admin_ports[number] = admin_port
                if first and await all_listen.wait() == 0:
                    started()
            elif first:
                code = await worker.ended()
                self._stop()
                raise _CannotStart(f"worker {number} ended with {code} before it listened")
            first = False
            code = await worker.ended()
            del self._workers[number]
            if self._stopping.is_set():
                return
            log.error("worker died", worker=number, exit_code=code, again_in=pause)
            await _sleep_unless(self._stopping, pause)
            lasted = time.monotonic() - began > _LASTED
            pause = _FIRST_PAUSE if lasted else min(2 * pause, _LONGEST_PAUSE)


class _CannotStart(Exception):
    """A worker that has never listened: another try would not help."""


class _Worker:
    """One process, as the supervisor sees it."""

    def __init__(
        self,
        settings: Settings,
        siblings: Siblings,
        number: int,
        port: int,
        loop_factory: LoopFactory | None,
    ) -> None:
        ours, theirs = _spawn.Pipe()
        self._pipe: Connection[int, int] = ours
        admin_port = settings.admin_port + number if settings.admin_port else 0
        given = {**dict(settings), "port": port, "admin_port": admin_port}
        own = Settings.model_construct(**given)  # a class that another process can find
        self._process: BaseProcess = _spawn.Process(
            target=_work, args=(own, siblings, theirs, loop_factory), name=f"oyez worker {number}"
        )
        self._process.start()
        theirs.close()

    def tell(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    async def end(self) -> None:
        """Let it drain, as nobody watches it any more."""
        self.tell(signal.SIGTERM)
        await self.ended()

    async def listening(self) -> int | None:
        """Its admin port once it listens; None if it has ended before."""
        await _readable(self._pipe.fileno())
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            return None

    async def ended(self) -> int | None:
        """Wait for its end; the exit code."""
        await _readable(self._process.sentinel)
        self._process.join()
        self._pipe.close()
        return self._process.exitcode


async def _readable(descriptor: int) -> None:
    loop, found = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, found.set)
    try:
        await found.wait()
    finally:
        loop.remove_reader(descriptor)


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _reserve(settings: Settings) -> socket.socket:
    """Bound but not listening: keeps the port for us and gets no connections.

    Raises:
        OSError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((settings.host, settings.port))
    except OSError:
        reserved.close()
        raise
    return reserved


def _work(
    settings: Settings,
    siblings: Siblings,
    supervisor: "Connection[int, int]",
    loop_factory: LoopFactory | None,
) -> None:
    """What a worker process does."""
    os.setpgid(0, 0)  # Ctrl-C is for the supervisor, which passes it on once
    logs.configure(settings.log_format, settings.log_level)
    node = Node(settings, siblings)

    async def run() -> None:
        loop = asyncio.get_running_loop()

        def abandoned() -> None:
            loop.remove_reader(supervisor.fileno())
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(supervisor.fileno(), abandoned)
        await serve(node, started=lambda: supervisor.send(node.admin_port))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            runner.run(run())
        except (OSError, ValueError) as error:
            log.error("worker cannot start", error=str(error))
            sys.exit(1)
