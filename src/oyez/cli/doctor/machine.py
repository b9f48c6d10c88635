"""What the machine allows: open files, the backlog, ports and who holds them."""

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oyez.cli.doctor.finding import Finding
from oyez.cli.output import netloc

if TYPE_CHECKING:
    from oyez.server.config import Settings

__all__ = ["backlog", "open_files", "port"]

_FEW = 10_000
_WANTED = 1_048_576
_SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
_PROC = Path("/proc")
_LISTENING = "0A"  # state TCP_LISTEN in /proc/net/tcp
_LOWEST_FREE_PORT = 1024


def open_files(settings: "Settings") -> Finding:
    """Whether there are enough for the connections that the settings ask for.

    The server itself raises the soft limit to the hard one, so only that counts.
    """
    check = "open files"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fix = f"sudo prlimit --nofile={_WANTED}:{_WANTED} --pid $$, or LimitNOFILE={_WANTED} in systemd"
    if hard == resource.RLIM_INFINITY:
        return Finding(check, "ok", "no limit")
    from oyez.server.capacity import capacity_of, usable_memory

    try:
        capacity_of(settings, files=hard, memory=usable_memory())
    except ValueError as error:
        return Finding(check, "problem", str(error), fix)
    if hard < _FEW:
        return Finding(check, "warning", f"{hard} allowed, one per connection", fix)
    return Finding(check, "ok", f"{hard} allowed, one per connection")


def backlog(wanted: int) -> Finding:
    """Whether the kernel holds as many connections as the server asks it to."""
    check = "backlog"
    try:
        allowed = int(_SOMAXCONN.read_text())
    except (OSError, ValueError):
        return Finding(check, "skipped", "this system does not say how long it may be")
    if allowed < wanted:
        return Finding(
            check,
            "warning",
            f"net.core.somaxconn is {allowed}, less than backlog = {wanted}: clients that "
            "connect in one moment may be dropped",
            f"sudo sysctl -w net.core.somaxconn={wanted}",
        )
    return Finding(check, "ok", f"net.core.somaxconn is {allowed}, backlog {wanted}")


def port(check: str, option: str, host: str, number: int) -> Finding:
    """Whether the server can listen there, or who keeps it from doing so.

    Args:
        option: of ``serve``, which chooses another port.
    """
    where = netloc(host, number)
    if number == 0:
        return Finding(check, "ok", "any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, number), family=family).close()
    except OSError as error:
        return _unusable(check, option, where, number, error)
    return Finding(check, "ok", f"{where} is free")


def _unusable(check: str, option: str, where: str, number: int, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        return _taken(check, option, where, number)
    if error.errno == errno.EACCES and number < _LOWEST_FREE_PORT:
        return Finding(
            check,
            "problem",
            f"{where}: ports below {_LOWEST_FREE_PORT} are for root",
            f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={number}",
        )
    # create_server repeats the address in its text; names that cannot be found have no errno.
    said = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return Finding(
        check, "problem", f"{where}: {said}", f"choose an address of this machine: {option}"
    )


def _taken(check: str, option: str, where: str, number: int) -> Finding:
    other = f"oyez serve {option} {number + 1}"
    for pid in _holders(number):
        name = _read(_PROC / pid / "comm").strip()
        # Its arguments are looked at and not shown: they may have a secret.
        arguments = _read(_PROC / pid / "cmdline").split("\0")
        if "serve" in arguments and any("oyez" in each for each in arguments):
            return Finding(check, "ok", f"{where} is held by Oyez, process {pid}")
        found = f"{where} is held by {name}, process {pid}"
        return Finding(check, "problem", found, f"kill {pid}, or another port: {other}")
    return Finding(
        check,
        "problem",
        f"{where} is held by a process of somebody else",
        f"sudo lsof -i :{number} -s TCP:LISTEN says whose; or another port: {other}",
    )


def _holders(number: int) -> Iterator[str]:
    """Processes that listen on a port, as far as one may know."""
    wanted = set(_listening(number))
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for opened in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(opened) in wanted:
                        yield process.name
                        break


def _listening(number: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _read(_PROC / "net" / table).splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == _LISTENING and int(local.rpartition(":")[2], 16) == number:
                yield f"socket:[{rest[5]}]"


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
