"""The process that is measured: starting it on its own core, its CPU time and its memory."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.programs import BUILD, BenchmarkError, pinned_to

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A listening server, whatever it is written in; all that a measurement needs to know of it."""

    pid: int
    port: int
    published_body: str = "{}"  # what a successful publish is answered with
    keeps_connections: bool = True  # or closes them after each answer

    def resident_bytes(self) -> int:
        """Resident memory, counted page by page (statm may lag behind by some hundred KB)."""
        return sum(_resident_bytes(pid) for pid in process_tree(self.pid))


def process_tree(pid: int) -> list[int]:
    """The process and all that it has started, such as the workers of nginx."""
    tree = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            tree += process_tree(int(child))
    return tree


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError(f"no Rss in smaps_rollup of process {pid}")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Of all threads of a process tree: nanoseconds on a core, and waiting for it meanwhile."""

    used_ns: int
    waited_ns: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """As of now, from schedstat: utime and stime count in ticks of ten milliseconds."""
        used = waited = 0
        for task in (task for each in process_tree(pid) for task in _tasks(each)):
            try:
                fields = (task / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended
            used += int(fields[0])
            waited += int(fields[1])
        return cls(used_ns=used, waited_ns=waited)


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_up(port: int, path: str = "/up", *, tls: bool = False) -> bool:
    """Whether a GET is answered with 200; whose certificate it is does not matter."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def oyez_server(
    config: Path | None = None, *, core: int, transport: str | None, name: str = "server"
) -> Iterator[Server]:
    """`oyez serve` on a core of its own until the block is left; without config, its own app."""
    port, admin_port = free_port(), free_port()
    command = [sys.executable, "-m", "oyez", "serve"]
    command += ["--port", str(port), "--admin-port", str(admin_port)]
    if config is not None:
        command += ["--config", str(config)]
    if transport is not None:
        command += ["--transport", transport]
    log = BUILD / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Neither an oyez.toml where this was started nor a variable of the shell may take part.
            cwd=BUILD,
            env={name: text for name, text in os.environ.items() if not name.startswith("OYEZ_")},
            preexec_fn=pinned_to(core),
        )
    try:
        wait_until_up(process, port, log, path="/readyz")
        yield Server(pid=process.pid, port=port)
    finally:
        stop(process)


def wait_until_up(
    process: subprocess.Popen[bytes], port: int, log: Path, *, path: str = "/up", tls: bool = False
) -> None:
    """Returns when the server answers; BenchmarkError with its last words if it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_up(port, path, tls=tls):
        if process.poll() is not None or time.monotonic() > deadline:
            last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise BenchmarkError(f"the server did not come up on port {port}:\n{last_lines}")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], *, within_s: float = STOP_TIMEOUT_S) -> None:
    """Ends a server that was started here, by force if it takes long."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        for pid in process_tree(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
