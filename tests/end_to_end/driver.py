"""The Node process that runs the client libraries, and what it reports.

`clients/driver.mjs` describes the lines exchanged. The process is shared by all tests of a run;
each test makes its own clients in it.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

CLIENTS = Path(__file__).parent / "clients"
TIMEOUT = 90.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Application:
    """Where a server is, and the credentials of one app on it.

    Attributes:
        master_key: of the encrypted channels, in base64; the server is never told.
    """

    host: str
    port: int
    app_id: str
    key: str
    secret: str
    master_key: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Event:
    """What pusher-js handed to a binding of a channel."""

    channel: str
    name: str
    data: Any
    user_id: str | None


@dataclass(frozen=True, slots=True)
class UserEvent:
    """What pusher-js handed to a binding of `pusher.user`."""

    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class Watched:
    """What pusher-js handed to an `online` or `offline` binding of `pusher.user.watchlist`."""

    name: str
    user_ids: list[str]


@dataclass(frozen=True, slots=True)
class Heard:
    """What Echo handed to a callback, e.g. to the one given to `listen("OrderShipped", …)`."""

    channel: str
    method: str
    argument: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Message:
    """A protocol message as it came over the connection, whether or not anything is bound to it."""

    name: str
    channel: str | None
    data: Any
    user_id: str | None


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of a connection's state."""

    previous: str
    current: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What was given to the `error` bindings of a connection."""

    error: dict[str, Any]


Report = Event | UserEvent | Watched | Heard | Message | StateChange | Failure


class DriverError(Exception):
    """The Node process ended, or did not report in time what a test waits for."""


class LibraryError(Exception):
    """A JavaScript library threw; `status` and `body` are those of npm pusher's RequestError."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.status: int | None = error.get("status")
        self.body: str | None = error.get("body")


class Driver:
    """Sends commands to the Node process and keeps its reports, in order, per client."""

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise DriverError("the end-to-end tests need Node 20 or newer on the PATH")
        if not (CLIENTS / "node_modules").is_dir():
            raise DriverError("run `npm ci` in tests/end_to_end/clients first")
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115, closed in __exit__
        self._process = subprocess.Popen(
            [node, "driver.mjs"],
            cwd=CLIENTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
        )
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._replies: dict[int, dict[str, Any]] = {}
        self._reports: dict[str, list[Report]] = {}
        self._ended = False
        self._reader = threading.Thread(target=self._read_lines, name="driver reports")
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._stderr.close()

    def call(self, operation: str, **arguments: Any) -> Any:
        """Carry out an operation of `driver.mjs` and give back its result."""
        assert self._process.stdin is not None
        number = next(self._ids)
        # ASCII only: Node's line reader takes U+2028 for the end of a line, and json escapes it.
        line = json.dumps({"id": number, "operation": operation, **arguments})
        with contextlib.suppress(BrokenPipeError):  # waiting for the reply says it better
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        reply = self.wait(lambda: self._replies.pop(number, None), f"the reply to {line}")
        if "error" in reply:
            raise LibraryError(reply["error"])
        return reply["result"]

    def new_client(self, library: str) -> str:
        name = f"{library}-{next(self._ids)}"
        self._reports[name] = []
        return name

    def reports(self, client: str) -> list[Report]:
        with self._changed:
            return list(self._reports[client])

    def wait(
        self, find: Callable[[], Found | None], what: str, *, client: str | None = None
    ) -> Found:
        """Call `find` after every line from the process, until it gives something back."""
        found: Found | None = None

        def is_found_or_hopeless() -> bool:
            nonlocal found
            found = find()
            return found is not None or self._ended

        with self._changed:
            self._changed.wait_for(is_found_or_hopeless, TIMEOUT)
            if found is not None:
                return found
            reason = "the process ended" if self._ended else f"nothing came in {TIMEOUT:g} s"
            seen = "".join(f"\n  {report}" for report in self._reports.get(client or "", ()))
        raise DriverError(f"waited for {what}: {reason}; reports:{seen}\n{self._read_stderr()}")

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        try:
            for text in self._process.stdout:
                line = json.loads(text)
                with self._changed:
                    if "reply" in line:
                        self._replies[line["reply"]] = line
                    else:
                        self._reports[line["client"]].append(_read_report(line))
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_stderr(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read()


def _read_report(line: dict[str, Any]) -> Report:
    """Turn a line into a report; JavaScript leaves out what is undefined."""
    match line["report"]:
        case "event":
            return Event(line["channel"], line["event"], line.get("data"), line.get("user_id"))
        case "user_event":
            return UserEvent(line["event"], line.get("data"))
        case "watched":
            return Watched(line["name"], line["user_ids"])
        case "heard":
            channel, method = line["channel"], line["method"]
            return Heard(channel, method, line.get("argument"), line.get("data"))
        case "message":
            return Message(
                line["event"], line.get("channel"), line.get("data"), line.get("user_id")
            )
        case "state":
            return StateChange(line["previous"], line["current"])
        case "failure":
            return Failure(line["error"])
        case unknown:
            raise DriverError(f"unknown report {unknown!r}")
