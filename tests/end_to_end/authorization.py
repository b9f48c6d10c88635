"""How a receiver gets the signatures that private and presence channels and signing in ask for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from pusher import Pusher

from tests.end_to_end.driver import Application


@dataclass(frozen=True, slots=True)
class SignedByNpmPusher:
    """In the receiver's own process, by npm pusher.

    Attributes:
        user: a member of presence channels or, for signing in, the user.
    """

    app: Application
    user: dict[str, Any] | None = None
    socket_id: str | None = None  # another connection's, for a signature that must not be valid

    def as_json(self) -> dict[str, Any]:
        return {"app": self.app.as_json(), "user": self.user, "socket_id": self.socket_id}


@dataclass(frozen=True, slots=True)
class SignedByPypiPusher:
    """By an application server, see `serve_authorizations`."""

    endpoint: str
    user: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return {"endpoint": self.endpoint, "user": self.user}


Authorization = SignedByNpmPusher | SignedByPypiPusher


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Chooses the official library that signs, for one app and one application server."""

    app: Application
    endpoint: str

    def __call__(self, sdk: str, user: dict[str, Any] | None = None) -> Authorization:
        if sdk == "npm pusher":
            return SignedByNpmPusher(self.app, user)
        assert sdk == "PyPI pusher"
        return SignedByPypiPusher(self.endpoint, user)


@contextmanager
def serve_authorizations(sdk: Pusher) -> Iterator[str]:
    """Serve `/pusher/auth` and `/pusher/user-auth` as an application would, with PyPI pusher.

    A real application knows its user from a session; this one is told in the form field `user`.
    """

    def sign(path: str, form: dict[str, list[str]]) -> dict[str, Any]:
        [socket_id], [user] = form["socket_id"], form["user"]
        if path == "/pusher/user-auth":
            authenticated: dict[str, Any] = sdk.authenticate_user(socket_id, json.loads(user))
            return authenticated
        assert path == "/pusher/auth"
        [channel] = form["channel_name"]
        member = json.loads(user) if channel.startswith("presence-") else None
        authorized: dict[str, Any] = sdk.authenticate(channel, socket_id, member)
        return authorized

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            # PyPI pusher makes the shared secret of an encrypted channel bytes.
            body = json.dumps(sign(self.path, form), default=bytes.decode).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass  # the default writes every request to stderr

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, name="authorization endpoint")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
