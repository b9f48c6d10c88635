"""How much a node takes: what the settings say, or else what open files and memory allow."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from oyez.server.config import Settings

__all__ = ["Capacity", "capacity_of", "open_files", "usable_memory"]

_PLAIN = 8_192  # bytes that a connection takes, with some subscriptions and what the kernel keeps
_SECURE = 65_536  # with TLS
_MOST_RESERVED = 256
_FEWEST_HTTP = 16
_ONE_PLACE = 20_000  # connections that may well come from the address of one company
_NO_LIMIT = 1 << 20  # files, where the system sets no limit
_LEAST_UNANSWERED, _MOST_UNANSWERED = 16 << 20, 256 << 20
_PACKET = 1 << 18  # most bytes that are read at once
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one node takes.

    Attributes:
        files: descriptors from this one on are not for clients.
        connections: WebSockets and sessions over HTTP, 0 for no limit.
        http_connections: connections that are no WebSockets.
        per_address: connections from one address, 0 for no limit.
        public_only: whether that is only meant for public addresses.
        unanswered_bytes: kept of requests that are not answered yet.
    """

    files: int
    connections: int
    http_connections: int
    per_address: int
    public_only: bool
    unanswered_bytes: int


def capacity_of(settings: Settings, *, files: int, memory: int) -> Capacity:
    """Work out what one process takes.

    Args:
        files: that it may open.
        memory: bytes that it may use.

    Raises:
        ValueError: what the settings say cannot be had.
    """
    limits = settings.limits
    reserved = limits.reserved_files
    if reserved is None:
        reserved = min(_MOST_RESERVED, files // 4)
    clients = files - reserved
    if clients < _FEWEST_HTTP:
        raise ValueError(
            f"limits.reserved_files ({reserved}) leave {max(clients, 0)} for clients of the "
            f"{files} files that this process may open"
        )
    total = max(min(clients, memory // (_SECURE if settings.secure else _PLAIN)), _FEWEST_HTTP)
    http = limits.http_connections
    if http is None:
        http = max(total // 4, _FEWEST_HTTP)
        if limits.connections:
            http = max(min(http, clients - limits.connections), _FEWEST_HTTP)
    connections = max(total - http, 1) if limits.connections is None else limits.connections
    if connections + http > clients:
        raise ValueError(
            f"limits.connections ({connections}) and limits.http_connections ({http}) need more "
            f"than the {clients} files that this process may open for clients ({files}, of which "
            f"limits.reserved_files are {reserved}): raise the limit (ulimit -n, LimitNOFILE)"
        )
    given = limits.connections_per_address
    return Capacity(
        files=clients,
        connections=connections,
        http_connections=http,
        per_address=max(total // 2, min(total, _ONE_PLACE)) if given is None else given,
        public_only=given is None,
        unanswered_bytes=_unanswered(settings, memory),
    )


def _unanswered(settings: Settings, memory: int) -> int:
    largest = max(app.limits.http_request_body for app in settings.apps)
    least = largest + settings.limits.head_bytes + _PACKET  # of one request and what follows it
    given = settings.limits.unanswered_bytes
    if given is None:
        return max(min(max(memory // 16, _LEAST_UNANSWERED), _MOST_UNANSWERED), 4 * least)
    if given < least:
        raise ValueError(
            f"limits.unanswered_bytes must be at least {least}, not {given}: a request of an app "
            f"may have a body of {largest} bytes (http_request_body)"
        )
    return given


def open_files() -> int:
    """How many files this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else min(soft, _NO_LIMIT)


def usable_memory() -> int:
    """Bytes that this process may use: of the machine, or of its control group if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_of_groups()])


def _of_groups() -> list[int]:
    """What is set for the groups that this process is in, of both versions."""
    files = [_CGROUPS / "memory" / "memory.limit_in_bytes"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("0::/"):
            group = _CGROUPS / line[4:]
            files += [each / "memory.max" for each in (group, *group.parents)]
    found = []
    for file in files:
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):  # there is none, or it says max
            continue
    return found
