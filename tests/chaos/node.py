"""One node: a real ``oyez serve`` with its own way to the engine; killed, stopped, restarted."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.processes import pause
from tests.redis_server import free_port

__all__ = ["App", "NodeProcess"]

_START_SECONDS = 30.0
# Below those that the system gives to anybody: a node's port stays free while the node is dead.
_PORTS = range(12_000, 32_000)


@dataclass(frozen=True)
class App:
    """The one app of the deployment, and how soon nodes notice things; seconds."""

    id: str = "7"
    key: str = "chaos-key"
    secret: str = "chaos-secret"
    lease: float = 2.0
    limit: float = 1.0
    webhook_delay: int = 1

    def settings(self, engine: str, webhooks: str, directory: Path, outbox: Path) -> str:
        """The configuration of one node as TOML; without webhooks if there is no URL.

        Args:
            outbox: the database of webhooks, which all nodes share.
        """
        settings = f"""
engine = "{engine}"
data_directory = "{directory}"
drain_seconds = 1

[cluster]
lease_seconds = {self.lease}
timeout = {self.limit}

[[apps]]
id = "{self.id}"
key = "{self.key}"
secret = "{self.secret}"
client_events = true
subscription_count = true

[apps.limits]
webhook_delay = {self.webhook_delay}
"""
        if not webhooks:
            return settings
        return f"""{settings}
[webhooks]
outbox = "sqlite:///{outbox}"
one_machine = true

[[apps.webhooks]]
url = "{webhooks}"
events = [
    "channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event",
]
"""


class NodeProcess:
    """A process with fixed ports and a directory that outlives it.

    Attributes:
        number: 0, 1, 2.
        rss: bytes in memory right after the last start.
    """

    def __init__(self, number: int, directory: Path, settings: str) -> None:
        self.number = number
        self.port = free_port(among=_PORTS)
        self.admin_port = free_port(among=_PORTS)
        self.rss = 0
        self._log = directory / f"node-{number}.log"
        self._file = directory / f"node-{number}.toml"
        self._file.write_text(settings)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start, and wait until it listens."""
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "oyez", "serve", "--config", str(self._file)),
                *("--port", str(self.port), "--admin-port", str(self.admin_port)),
                *("--log-format", "json"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                cwd=self._file.parent,
                env={k: v for k, v in os.environ.items() if not k.startswith("OYEZ_")},
            )
        async with asyncio.timeout(_START_SECONDS):
            while not await self.answers("/healthz"):
                if not self.alive:
                    raise RuntimeError(f"node {self.number} did not start: {self._log.read_text()}")
                await asyncio.sleep(0.1)
        self.rss = self.memory()

    async def answers(self, path: str) -> bool:
        """Whether ``/healthz`` or ``/readyz`` says yes."""
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
                answer = await http.get(f"http://{self.address}{path}")
        except httpx2.HTTPError:
            return False
        return answer.status_code == 200

    async def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        if self._process is not None and self._process.returncode is None:
            pause(self._process.pid)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def memory(self) -> int:
        """Bytes in memory."""
        assert self._process is not None
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def log(self) -> Iterator[dict[str, Any]]:
        """Every line so far, of all its lives; what is no JSON has level ``error``."""
        for text in self._log.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text, "level": "error"}
            yield line

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def unix_time(line: dict[str, Any]) -> float:
    """When a line was logged."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()
