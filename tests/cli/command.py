"""Runs the command as a program does, piped, and as a person does, on a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import RunningServer

SECONDS = 120
_WIDTH = 100


def environment(**given: str) -> dict[str, str]:
    """Ours, without what changes colours, and with what a test wants."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS") and not name.startswith("OYEZ_")
    }
    return {**kept, "TERM": "xterm-256color", **given}


def oyez(
    *arguments: str, cwd: Path | None = None, stdin: str | None = None, **given: str
) -> subprocess.CompletedProcess[str]:
    """The command, with its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "oyez", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=cwd,
        input=stdin,
        env=environment(**given),
    )


@dataclass
class OnTerminal:
    """A command on a terminal; what it prints, standard error included, comes from `output`."""

    process: "subprocess.Popen[bytes]"
    master: int

    def read(self) -> str:
        """What comes next; empty at the end."""
        with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody writes any more
            return os.read(self.master, 65536).decode(errors="replace")
        return ""

    def output(self) -> str:
        """Everything until the end."""
        found = ""
        while part := self.read():
            found += part
        os.close(self.master)
        self.process.wait(SECONDS)
        return found.replace("\r\n", "\n")


def on_terminal(*command: str, cwd: Path | None = None, **given: str) -> OnTerminal:
    """Start a command on a terminal of 100 columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, _WIDTH))
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=environment(**given)
    )
    os.close(slave)
    return OnTerminal(process, master)


def oyez_on_terminal(*arguments: str, cwd: Path | None = None, **given: str) -> OnTerminal:
    """Start our command on a terminal."""
    return on_terminal(sys.executable, "-m", "oyez", *arguments, cwd=cwd, **given)


def url_of(server: RunningServer, secret: str | None = None) -> str:
    """What ``--url`` is given."""
    credentials = f"{server.key}:{secret or server.secret}"
    return f"http://{credentials}@{server.host}:{server.port}/apps/{server.app_id}"
