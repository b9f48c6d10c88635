"""Endpoints of an application that authorize, asked over real HTTP as pusher-js asks them."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from oyez.sdk.errors import ServerError, SigninError, SubscriptionError
from oyez.sdk.permission import HttpAuthenticator, HttpAuthorizer
from tests.conftest import RunningServer
from tests.sdk.subscribers import backend_of, fresh, subscriber_of


@dataclass
class Application:
    """An endpoint for channels at ``/auth`` and one for users at ``/user-auth``."""

    answer: Callable[[str, dict[str, str]], tuple[int, Any]]
    url: str = ""
    requests: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def application(server: RunningServer) -> Iterator[Application]:
    backend = backend_of(server)

    def vouch(path: str, form: dict[str, str]) -> tuple[int, Any]:
        if path == "/user-auth":
            return 200, backend.authenticate_user(form["socket_id"], {"id": "ada"})
        channel = form["channel_name"]
        member = {"user_id": "ada"} if channel.startswith("presence-") else None
        return 200, backend.authorize_channel(channel, form["socket_id"], member)

    app = Application(vouch)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            app.requests.append((form, {k.lower(): v for k, v in self.headers.items()}))
            status, value = app.answer(self.path, form)
            content = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        app.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield app
        http.shutdown()
        thread.join()


async def test_an_endpoint_authorizes_all_kinds(
    server: RunningServer, application: Application
) -> None:
    authorize = HttpAuthorizer(
        f"{application.url}/auth", headers={"X-Token": "hush"}, params={"tenant": "7 & 8"}
    )
    authenticate = HttpAuthenticator(f"{application.url}/user-auth")
    private, room = fresh("private-encrypted-"), fresh("presence-")

    async with subscriber_of(server, authorize=authorize, authenticate=authenticate) as it:
        await it.subscribe(private)
        joined = await it.subscribe(room)
        user = await it.signin()
        socket_id = it.socket_id

    assert joined.members.me == ("ada", {})
    assert user.id == "ada"
    form, headers = application.requests[0]
    assert form == {"tenant": "7 & 8", "socket_id": socket_id, "channel_name": private}
    assert headers["x-token"] == "hush"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert application.requests[2][0] == {"socket_id": socket_id}
    assert "hush" not in repr(authorize)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (403, "Forbidden", "403: Forbidden"),
        (302, "", "302"),
        (200, "<html>", "no JSON object"),
        (200, "[]", "no JSON object"),
        (200, {"message": "who?"}, "auth"),
    ],
)
async def test_an_endpoint_that_does_not_authorize(
    server: RunningServer, application: Application, status: int, body: Any, reason: str
) -> None:
    application.answer = lambda path, form: (status, body)
    authorize = HttpAuthorizer(f"{application.url}/auth")
    authenticate = HttpAuthenticator(f"{application.url}/user-auth")

    async with subscriber_of(server, authorize=authorize, authenticate=authenticate) as it:
        with pytest.raises(SubscriptionError, match=reason) as refused:
            await it.subscribe("private-x")
        with pytest.raises(SigninError, match=reason):
            await it.signin()

    assert refused.value.status == (0 if reason == "auth" else status)


async def test_an_endpoint_that_is_broken_is_the_cause(
    server: RunningServer, application: Application
) -> None:
    application.answer = lambda path, form: (503, "later")
    authorize = HttpAuthorizer(f"{application.url}/auth")

    async with subscriber_of(server, authorize=authorize) as it:
        with pytest.raises(SubscriptionError, match="503") as refused:
            await it.subscribe("private-x")

    assert isinstance(refused.value.__cause__, ServerError)


async def test_the_endpoint_says_who_is_there() -> None:
    with pytest.raises(ValueError, match="member must be left out"):
        await HttpAuthorizer("http://h/auth")("presence-x", "1.2", {"user_id": "ada"})
    with pytest.raises(ValueError, match="user must be left out"):
        await HttpAuthenticator("http://h/auth")("1.2", {"id": "ada"})
