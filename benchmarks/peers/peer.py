"""What the benchmark has to know of a server: installing, starting and publishing to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import ClassVar

from benchmarks.programs import BUILD, BenchmarkError, pinned_to
from benchmarks.server import Server, free_port, stop, wait_until_up
from benchmarks.signed_requests import Credentials

CONFIGS = Path(__file__).parent
INSTALLED = BUILD / "peers"
INSTALL_TIMEOUT_S = 3600
PATIENCE_S = 1.0  # some wait ten seconds for clients that have long gone
CREDENTIALS = Credentials()
BATCH = 10

# What a server may lack.
PRESENCE, BATCHES = "presence channels", "batches"
PIPELINES, PLAIN = "pipelined requests", "connections without a channel"


class MissingError(Exception):
    """This peer cannot be had here; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one instance runs: its ports, its files and, for TLS, its certificate."""

    port: int
    admin_port: int
    cluster_port: int
    directory: Path
    certificate: Path | None = None
    key: Path | None = None


class Peer(ABC):
    """A kind of server; also the source of the requests that are published to it."""

    name: ClassVar[str]
    dialect: ClassVar[str] = "pusher"
    published_body: ClassVar[str] = "{}"
    batch_body: ClassVar[str] = "{}"
    keeps_connections: ClassVar[bool] = True
    up_path: ClassVar[str] = "/up"
    presence_prefix: ClassVar[str] = "presence-"
    most_channels: ClassVar[int] = 1000  # of one connection
    lacks: ClassVar[frozenset[str]] = frozenset()
    config: ClassVar[str]

    @abstractmethod
    def install(self) -> None:
        """Make it runnable, or raise MissingError; quick if it is there already."""

    @abstractmethod
    def version(self) -> str:
        """What is installed."""

    @abstractmethod
    def command(self, config: Path) -> list[str]:
        """How it is started."""

    @abstractmethod
    def publish(self, channel: str, data: str) -> bytes:
        """A whole HTTP request that publishes this JSON text to one channel."""

    @abstractmethod
    def publish_batch(self, channel: str, data: list[str]) -> bytes:
        """The same for several events at once."""

    def configuration(self, place: Place) -> dict[str, str]:
        """What is filled into the configuration besides the place; `tls` at least."""
        return {"tls": ""}

    def environment(self) -> dict[str, str]:
        """Variables that this server is started with, besides the usual ones."""
        return {}

    def arguments(self) -> list[str]:
        """For the load generator, whatever it is to do."""
        found = ["--dialect", self.dialect, "--key", CREDENTIALS.key]
        return [*found, "--secret", CREDENTIALS.secret]

    def publishing_arguments(self, *, batches: bool = False) -> list[str]:
        """For the load generator, where it publishes."""
        body = self.batch_body if batches else self.published_body
        return ["--body", body, *([] if self.keeps_connections else ["--reconnect"])]

    @contextlib.contextmanager
    def running(self, *, core: int, tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
        """One instance on a core of its own until the block is left."""
        with tempfile.TemporaryDirectory(prefix=f"bench-{self.name}-") as directory:
            port, admin_port, cluster_port = (free_port() for _ in range(3))
            certificate, key = tls or (None, None)
            place = Place(port, admin_port, cluster_port, Path(directory), certificate, key)
            log = BUILD / f"{self.name}.log"
            process = self._start(place, log, core)
            try:
                secure = tls is not None
                wait_until_up(process, place.port, log, path=self.up_path, tls=secure)
                yield Server(pid=process.pid, port=place.port)
            finally:
                stop(process, within_s=PATIENCE_S)

    def _start(self, place: Place, log: Path, core: int) -> subprocess.Popen[bytes]:
        config = place.directory / self.config
        fields = {name: str(getattr(place, name)) for name in Place.__slots__}
        text = Template((CONFIGS / self.config).read_text())
        config.write_text(text.substitute(fields | self.configuration(place)))
        ours = ("OYEZ_", "SOKETI_", "CENTRIFUGO_", "NODE_OPTIONS")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=place.directory,
                env=inherited | self.environment(),
                preexec_fn=pinned_to(core),
            )


def http_request(target: str, body: bytes, headers: tuple[str, ...] = ()) -> bytes:
    """A POST with the headers that an HTTP library sends."""
    lines = [f"POST {target} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: oyez-benchmarks"]
    lines += ["Connection: keep-alive", "Accept: */*", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def needed(program: str, what_it_is: str) -> str:
    """The path of a program, or MissingError."""
    path = shutil.which(program)
    if path is None:
        raise MissingError(f"needs {program} ({what_it_is}), which is not installed")
    return path


def run(*command: str, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """The output of a step of an installation; MissingError with its last line if it failed."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"`{command[0]}` could not be run: {error}") from None
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        said = next((line for line in lines if "error" in line.lower()), "without a word")
        raise MissingError(f"`{' '.join(command[:3])}` failed: {said.strip()}")
    return done.stdout


def unpack_debian(folder: Path, *packages: str) -> Path:
    """Downloads Debian packages and unpacks them below `folder`: nothing of the system changes."""
    needed("apt-get", "Debian or Ubuntu")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run("apt-get", "download", "-q", *packages, cwd=folder)
    except MissingError:
        run("apt-get", "update", "-q", cwd=folder)  # the lists of a new machine may be old or empty
        run("apt-get", "download", "-q", *packages, cwd=folder)
    root = folder / "root"
    for package in folder.glob("*.deb"):
        run("dpkg", "-x", str(package), str(root), cwd=folder)
    return root


def first_line(*command: str, environment: dict[str, str] | None = None) -> str:
    """Of what a program says about its version, on either output."""
    done = subprocess.run(
        command, env=os.environ | (environment or {}), capture_output=True, text=True, timeout=60
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    if not lines:
        raise BenchmarkError(f"{command[0]} does not tell its version")
    return lines[0]
