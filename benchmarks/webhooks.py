"""What webhooks cost, and whether a slow endpoint holds up what has nothing to do with it."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.programs import BUILD, BenchmarkError, Program
from benchmarks.server import CpuTime, Server
from benchmarks.signed_requests import Credentials, write_requests

EVENTS_PER_S = 1000
SUBSCRIBERS = 1000
FANOUTS_PER_S = 50
WARM_UP_EVENTS = 500
WARM_UP_FANOUTS = 20
ARRIVAL_S = 60  # for what is still under way when everything was sent
SLOW_S = 5.0
NEVER_S = 3600.0

OFF, ON, SLOW, HANGING = "off", "on", "slow", "hanging"
DELAYS = {OFF: None, ON: 0.0, SLOW: SLOW_S}  # of the receiver's answer; None: nobody is told

StartServer = Callable[[Path], AbstractContextManager[Server]]


@dataclass(frozen=True, slots=True)
class State:
    """One server under the same load of client events, then with a fan-out beside it.

    `cpu_us` is the server's CPU time per client event without the fan-out; `sent` and `arrived`
    count all events of that server, `again` those that the receiver got once more.
    """

    cpu_us: float
    latencies_us: list[float]
    rate: float
    sent: int
    arrived: int
    again: int
    requests: int

    def percentile(self, percent: float) -> float:
        """By nearest rank, µs."""
        ordered = sorted(self.latencies_us)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class WebhookFigures:
    """All states of one run."""

    seconds: float
    states: dict[str, State]

    @property
    def cpu_us_per_webhook(self) -> float:
        """What telling the endpoint of one event adds to the event itself."""
        return self.states[ON].cpu_us - self.states[OFF].cpu_us


class WebhookBench:
    """A fresh server for each state, and everything else on the generator's core."""

    def __init__(
        self,
        start_server: StartServer,
        *,
        seconds: float,
        core: int,
        credentials: Credentials | None = None,
    ) -> None:
        self._start_server = start_server
        self._seconds = seconds
        self._core = core
        self._credentials = credentials or Credentials()

    def run(self, progress: Callable[[str], None]) -> WebhookFigures:
        """Off, on and slow, one after the other."""
        states = {}
        for name in DELAYS:
            progress(f"webhooks: {name}")
            states[name] = self.state(name)
        return WebhookFigures(seconds=self._seconds, states=states)

    def state(self, name: str) -> State:
        """One of OFF, ON, SLOW and HANGING, with a fresh server."""
        return self._state(NEVER_S if name == HANGING else DELAYS[name])

    def _state(self, delay: float | None) -> State:
        with contextlib.ExitStack() as stack:
            receiver = None
            url = ""
            if delay is not None:
                receiver = stack.enter_context(self._peer("receiver", str(delay)))
                url = f"http://127.0.0.1:{receiver.read()['port']}/"
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            config = _write_config(directory, url, self._credentials)
            server = stack.enter_context(self._start_server(config))
            client = stack.enter_context(self._client(server))
            _send(client, WARM_UP_EVENTS)
            must_arrive = receiver if delay == 0 else None
            cpu_us = self._cpu_us(server, client, must_arrive)
            latencies, sent = self._latencies(server, client)
            return _state_of(cpu_us, latencies, sent, receiver, all_of_them=delay == 0)

    def _cpu_us(self, server: Server, client: Program, receiver: Program | None) -> float:
        """Of the server per client event, all delivered, with nothing else to do."""
        if receiver is not None:
            receiver.order(WARM_UP_EVENTS, ARRIVAL_S)
        before = CpuTime.of(server.pid)
        events = self._events()
        sent = _send(client, events)
        if receiver is not None:
            receiver.order(sent["sent"], ARRIVAL_S)
        return (CpuTime.of(server.pid).used_ns - before.used_ns) / 1000 / events

    def _latencies(self, server: Server, client: Program) -> tuple[list[float], dict[str, Any]]:
        """Of a paced fan-out, one event in flight, while the client events go on."""
        with self._fanout(server) as fanout:
            for _ in range(WARM_UP_FANOUTS):
                fanout.order(1, 1)
            client.give(self._events(), EVENTS_PER_S)
            latencies = [fanout.order(1, 1)["p50_us"] for _ in _paced(self._seconds)]
            return latencies, client.read()

    def _events(self) -> int:
        return int(EVENTS_PER_S * self._seconds)

    def _peer(self, role: str, *arguments: str) -> Program:
        command = (sys.executable, "-m", "benchmarks.webhook_peers", role)
        return Program(role, *arguments, core=self._core, command=command)

    @contextlib.contextmanager
    def _client(self, server: Server) -> Iterator[Program]:
        app = self._credentials
        with self._peer("client", str(server.port), app.key, app.secret) as client:
            client.read()
            yield client

    @contextlib.contextmanager
    def _fanout(self, server: Server) -> Iterator[Program]:
        requests, channel = BUILD / "requests.bin", "bench-fanout"
        write_requests(requests, channel=channel, credentials=self._credentials)
        arguments = ["--port", str(server.port), "--key", self._credentials.key]
        arguments += ["--requests", str(requests), "--channel", channel]
        arguments += ["--connections", str(SUBSCRIBERS), "--body", server.published_body]
        # Awake, it would keep the clients and the receiver from the core that they share.
        with Program("loadgen", "fanout", *arguments, "--sleep", core=self._core) as fanout:
            fanout.read()
            yield fanout


def _send(client: Program, events: int) -> dict[str, Any]:
    return client.order(events, EVENTS_PER_S)


def _paced(seconds: float) -> Iterator[int]:
    """Counts up, FANOUTS_PER_S times a second; what is late is not made up for."""
    due = time.monotonic()
    end = due + seconds
    number = 0
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        yield number
        number += 1
        due = max(due + 1 / FANOUTS_PER_S, time.monotonic())


def _state_of(
    cpu_us: float,
    latencies: list[float],
    sent: dict[str, Any],
    receiver: Program | None,
    *,
    all_of_them: bool,
) -> State:
    if sent["heard"] != sent["sent"]:
        raise BenchmarkError(f"the other client heard {sent['heard']} of {sent['sent']} events.")
    told = {"events": 0, "ids": 0, "payloads": 0, "requests": 0}
    if receiver is not None:
        told = receiver.order(sent["sent"] if all_of_them else 0, ARRIVAL_S)
    if all_of_them and not told["ids"] == told["payloads"] == sent["sent"]:
        raise BenchmarkError(f"webhooks of {sent['sent']} events were sent, received: {told}")
    return State(
        cpu_us=cpu_us,
        latencies_us=latencies,
        rate=sent["events"] / sent["seconds"],
        sent=sent["sent"],
        arrived=told["ids"],
        again=told["events"] - told["ids"],
        requests=told["requests"],
    )


def _write_config(directory: Path, url: str, app: Credentials) -> Path:
    """The development app with client events without limit, told to `url` if there is one."""
    lines = [
        f'data_directory = "{directory / "data"}"',
        f'[webhooks]\nallow_private = true\n[[apps]]\nid = "{app.app_id}"',
        f'key = "{app.key}"\nsecret = "{app.secret}"\nclient_events = true',
    ]
    if url:
        lines.append(f'[[apps.webhooks]]\nurl = "{url}"\nevents = ["client_event"]')
    lines.append("[apps.limits]\nclient_events = 1000000\nmessages_per_second = 0\n")
    config = directory / "oyez.toml"
    config.write_text("\n".join(lines))
    return config
