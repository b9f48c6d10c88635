"""Receives the webhooks of a test's server as an application would: over HTTP, verified."""

import contextlib
import threading
from collections.abc import Generator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from oyez.protocol.webhooks import WebhookEvent
from oyez.sdk.client import Client
from oyez.sdk.errors import WebhookError
from oyez.testing.record import Record

__all__ = ["Receiver", "Told"]

_POLL = 0.02  # seconds until the stop is noticed
_BEGINS = ("channel_occupied", "member_added")
_ENDS = ("channel_vacated", "member_removed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Receiver"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.take(dict(self.headers.items()), body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error, which belongs to the test."""


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of this machine.

    Attributes:
        events: each once, in the order of arrival.
        verifier: knows whose webhooks to believe; set it before the first arrives.
    """

    daemon_threads = False  # so that closing waits for them, and none outlives the test

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events: Record[WebhookEvent] = Record()
        self.verifier: Client | None = None
        self._seen: set[str] = set()
        self._present: set[tuple[str, str | None]] = set()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where to send webhooks."""
        return f"http://127.0.0.1:{self.server_port}/webhooks"

    @property
    def present(self) -> bool:
        """Whether somebody was told to be there and not yet to be gone."""
        with self._lock:
            return bool(self._present)

    @contextlib.contextmanager
    def running(self) -> Generator[None, None, None]:
        """Receive while the context is open."""
        thread = threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="oyez webhooks", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()

    def take(self, headers: dict[str, str], body: bytes) -> HTTPStatus:
        """Keep the events of one request, unless they have come before; the status to answer."""
        if self.verifier is None:
            return HTTPStatus.SERVICE_UNAVAILABLE
        try:
            webhook = self.verifier.webhook(headers, body)
        except WebhookError:
            return HTTPStatus.UNAUTHORIZED
        with self._lock:
            for event_id, event in zip(webhook.ids, webhook.events, strict=True):
                if event_id not in self._seen:
                    self._seen.add(event_id)
                    self._keep(msgspec.convert(event, WebhookEvent))
        return HTTPStatus.OK

    def _keep(self, event: WebhookEvent) -> None:
        presence = (event.channel, event.user_id)
        if event.name in _BEGINS:
            self._present.add(presence)
        elif event.name in _ENDS:
            self._present.discard(presence)
        self.events.add(event)


class Told:
    """What webhook a test waits for.

    Raises:
        TypeError: webhook events have no such field.
    """

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        unknown = fields.keys() - set(WebhookEvent.__struct_fields__)
        if unknown:
            raise TypeError(f"webhook events have no {', '.join(sorted(unknown))}")
        self._fields = {"name": name, **fields}

    def __call__(self, event: WebhookEvent) -> bool:
        """Whether ``event`` is it."""
        return all(getattr(event, name) == value for name, value in self._fields.items())

    def __str__(self) -> str:
        name, *rest = self._fields.items()
        return " ".join([repr(name[1]), *(f"{each}={value!r}" for each, value in rest)])
