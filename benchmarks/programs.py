"""The load's programs, most of them in C: compiling them, starting them, giving them orders."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SOURCES = Path(__file__).parent
BUILD = SOURCES / "build"
ANSWER_TIMEOUT_S = 150  # a little more than loadgen's own limit for an order
STOP_TIMEOUT_S = 5
COMPILE_TIMEOUT_S = 120
LOADGEN = ["loadgen.c", "fanout.c", "churn.c", "publishers.c", "subscribers.c", "dialect.c"]
LOADGEN += ["loop.c", "wire.c", "tls.c"]


class BenchmarkError(Exception):
    """The measurement cannot go on; the message is meant for whoever started it."""


def compile_programs() -> None:
    """Compiles loadgen and send_loop into the build folder."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise BenchmarkError(
            "gcc was not found: the load generator is written in C, so install gcc "
            "(Debian: apt-get install gcc libc6-dev) and run this again."
        )
    BUILD.mkdir(exist_ok=True)
    _compile(compiler, "send_loop", ["send_loop.c"], [])
    _compile(compiler, "loadgen", LOADGEN, ["-lssl", "-lcrypto"] if has_openssl() else [])


def has_openssl() -> bool:
    """Whether the load generator can speak TLS and join presence channels: see tls.h."""
    return any(Path(folder, "include/openssl/ssl.h").exists() for folder in ("/usr", "/usr/local"))


def _compile(compiler: str, program: str, sources: Sequence[str], libraries: list[str]) -> None:
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(BUILD / program)]
    command += [str(SOURCES / source) for source in sources]
    built = subprocess.run(
        [*command, *libraries], capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S
    )
    if built.returncode:
        raise BenchmarkError(f"gcc could not compile {program}:\n{built.stderr}")


def pinned_to(core: int) -> functools.partial[None]:
    """For `preexec_fn`: the child, and every thread it will have, runs on this core only."""
    return functools.partial(os.sched_setaffinity, 0, {core})


def _in_background(core: int) -> Callable[[], None]:
    def prepare() -> None:
        pinned_to(core)()
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    return prepare


class Program:
    """A running program that answers each line on its input with one line of JSON.

    It is a C program called `name`, unless a `command` says how to start it. One in the background
    runs when no other program has anything to do on its core.
    """

    def __init__(
        self,
        name: str,
        *arguments: str,
        core: int,
        command: Sequence[str] = (),
        background: bool = False,
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*(command or (str(BUILD / name),)), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_in_background(core) if background else pinned_to(core),
        )
        self._received = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def read(self) -> dict[str, Any]:
        """The next line of the program; BenchmarkError with its last words if it has ended."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while b"\n" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise BenchmarkError(f"{self.name} did not answer for {ANSWER_TIMEOUT_S} s.")
            chunk = os.read(self._process.stdout.fileno(), 65536)
            if not chunk:
                raise BenchmarkError(self._last_words())
            self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def order(self, *numbers: int) -> dict[str, Any]:
        """Has one section done and returns its figures; the program says what the numbers mean."""
        self.give(*numbers)
        return self.read()

    def give(self, *numbers: int) -> None:
        """Has one section done; `read` returns its figures later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{' '.join(map(str, numbers))}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise BenchmarkError(self._last_words()) from None

    def stop(self) -> None:
        """The end of its input ends the program."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # an order that it did not live to read
                pipe.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        status = self._process.wait(STOP_TIMEOUT_S)
        words = self._process.stderr.read().decode(errors="replace").strip()
        return f"{self.name} ended with status {status}: {words or 'without a word'}"
