"""Processes that tests start: servers, quickly, and what tests do to any process.

A server that is started as ``oyez serve`` spends a second of CPU time on imports, and the tests
start hundreds of them. So one process per test run imports everything once (the "fork server" of
`multiprocessing`), and a server is a fork of it that runs the same command line.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

__all__ = ["ForkedServer", "Process", "execute", "heeding_signals", "pause", "stop_and_go"]

_PRELOADED = (
    "oyez.cli",
    "oyez.server.engine.cluster",
    "oyez.server.engine.nats",
    "oyez.server.engine.redis",
    "oyez.server.node",
    "oyez.server.webhooks.assembly",
    "oyez.server.workers",
    "uvloop",
)
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(list(_PRELOADED))
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_STOPPED = ("T", "t", "Z", "X")


class ForkedServer:
    """``oyez serve`` in a fork; has of `subprocess.Popen` what the tests use.

    Attributes:
        stderr: what it says, as text.
    """

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        ours, theirs = os.pipe()
        self._process = _forks.Process(
            target=_serve, args=(arguments, dict(environment), os.getcwd(), DupFd(theirs))
        )
        self._process.start()
        os.close(theirs)
        self.stderr: IO[str] = open(ours, encoding="utf-8", errors="replace")  # noqa: SIM115

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("oyez serve", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


Process = ForkedServer | subprocess.Popen[str]
"""A server, forked or executed."""


def execute(
    arguments: tuple[str, ...], environment: Mapping[str, str], files: int | None = None
) -> "subprocess.Popen[str]":
    """Start ``oyez serve`` as people do, with a new interpreter.

    Args:
        files: that it may open, if that is to be less than what we may.
    """
    limited = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"] if files else []
    return subprocess.Popen(
        [*limited, sys.executable, "-X", "dev", "-m", "oyez", "serve", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@contextlib.contextmanager
def heeding_signals() -> Iterator[None]:
    """Give processes that are started meanwhile the usual dispositions of signals.

    A shell has what it runs in the background of a script ignore SIGINT, and so do all processes
    that come from there. A handler of ours is the default in a process that is executed.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        **{number: signal.signal(number, signal.SIG_DFL) for number in _ENDING},
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause(pid: int, seconds: float = 90) -> None:
    """Stop a process with SIGSTOP, and wait until all its threads stand still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    while not _stands_still(pid):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.001)


@contextlib.contextmanager
def stop_and_go(pid: int) -> Iterator[None]:
    """Have a process stand still for as long as this lasts."""
    pause(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    """Return whether no thread of a process runs."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended
            stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] not in _STOPPED:
                return False
    return True


def _serve(
    arguments: tuple[str, ...], environment: dict[str, str], directory: str, said: Any
) -> None:
    """Be ``oyez serve``, in the fork."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(said.detach(), 2)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment, PYTHONASYNCIODEBUG="1")
    warnings.simplefilter("default")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    from oyez.cli import app

    app(["serve", *arguments], prog_name="oyez")
