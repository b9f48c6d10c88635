"""Servers that are away, slow, busy or talk nonsense: what is tried again, and what it becomes."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import oyez
from oyez.sdk.retries import Retries
from tests.sdk.conftest import Either

MakeClient = Callable[..., Either]
Answer = tuple[int, bytes, dict[str, str]]
GOOD: Answer = (200, b"{}", {})
HANG_UP: Answer = (0, b"", {})
SILENT: Answer = (-1, b"", {})


class Handler(BaseHTTPRequestHandler):
    """Gives the answers that the test wants, one after another."""

    protocol_version = "HTTP/1.1"
    server: "Scripted"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.paths.append(self.path.partition("?")[0])
        status, body, headers = self.server.script.pop(0)
        if status <= 0:
            if status == SILENT[0]:
                self.server.closing.wait(10)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name is the library's

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


class Scripted(ThreadingHTTPServer):
    """A real HTTP server with a list of answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.paths: list[str] = []
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def options(self, **more: Any) -> dict[str, Any]:
        place = {"host": "127.0.0.1", "port": self.server_port, "ssl": False}
        return {"app_id": "1", "key": "k", "secret": "s", **place, **more}


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_did_nothing_is_asked_again(
    make_client: MakeClient, scripted: Scripted, status: int
) -> None:
    scripted.script = [(status, b"busy", {"Retry-After": "0"})] * 2 + [GOOD]

    assert await make_client(**scripted.options()).trigger("a", "e", "") == {}
    assert scripted.paths == ["/apps/1/events"] * 3


async def test_patience_ends(make_client: MakeClient, scripted: Scripted) -> None:
    scripted.script = [(503, b"busy", {"Retry-After": "0"})] * 4

    with pytest.raises(oyez.ServerError) as caught:
        await make_client(**scripted.options(retries=3)).trigger("a", "e", "")

    assert caught.value.retry_after == 0
    assert len(scripted.paths) == 4


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((500, b"", {}), oyez.ServerError),
        ((502, b"", {}), oyez.ServerError),
        (HANG_UP, oyez.ConnectionFailed),
    ],
)
async def test_a_publish_that_may_have_arrived_is_not_repeated(
    make_client: MakeClient, scripted: Scripted, answer: Answer, kind: type[oyez.OyezError]
) -> None:
    scripted.script = [answer]

    with pytest.raises(kind):
        await make_client(**scripted.options()).trigger("a", "e", "")

    assert len(scripted.paths) == 1


@pytest.mark.parametrize("answer", [(500, b"", {}), HANG_UP])
async def test_a_question_is_asked_again(
    make_client: MakeClient, scripted: Scripted, answer: Answer
) -> None:
    scripted.script = [answer, (200, b'{"channels":{}}', {})]

    assert await make_client(**scripted.options()).channels() == {"channels": {}}


async def test_an_answer_that_takes_too_long(make_client: MakeClient, scripted: Scripted) -> None:
    scripted.script = [SILENT]

    with pytest.raises(oyez.TimedOut) as caught:
        await make_client(**scripted.options(timeout=0.2)).trigger("a", "e", "")

    assert caught.value.may_have_arrived
    assert caught.value.__cause__ is not None
    assert "auth_signature" not in str(caught.value)


async def test_nobody_there(make_client: MakeClient) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        options = {"host": "127.0.0.1", "port": bound.getsockname()[1], "ssl": False}
        client = make_client(app_id="1", key="k", secret="s", **options)

        with pytest.raises(
            oyez.ConnectionFailed, match=r"no answer from http://127\.0\.0\.1"
        ) as caught:
            await client.trigger("a", "e", "")

    assert not caught.value.may_have_arrived


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b"null"])
async def test_a_success_that_is_none(
    make_client: MakeClient, scripted: Scripted, body: bytes
) -> None:
    scripted.script = [(200, body, {})]

    with pytest.raises(oyez.BadResponse) as caught:
        await make_client(**scripted.options()).trigger("a", "e", "")

    assert caught.value.status == 200


async def test_an_empty_success_is_an_empty_answer(
    make_client: MakeClient, scripted: Scripted
) -> None:
    scripted.script = [(202, b"", {})]

    assert await make_client(**scripted.options()).trigger("a", "e", "") == {}


async def test_a_redirect_is_not_followed(make_client: MakeClient, scripted: Scripted) -> None:
    scripted.script = [(302, b"", {"Location": "/elsewhere"})]

    with pytest.raises(oyez.ApiError) as caught:
        await make_client(**scripted.options()).trigger("a", "e", "")

    assert caught.value.status == 302
    assert len(scripted.paths) == 1


async def test_a_proxy_is_asked(make_client: MakeClient, scripted: Scripted) -> None:
    proxy = f"http://127.0.0.1:{scripted.server_port}"
    scripted.script = [(200, json.dumps({"channels": {}}).encode(), {})]
    client = make_client(
        app_id="1", key="k", secret="s", host="host.invalid", ssl=False, proxy=proxy
    )

    assert await client.channels() == {"channels": {}}
    assert scripted.paths == ["http://host.invalid/apps/1/channels"]


def test_pauses_double_with_jitter_and_heed_the_server() -> None:
    retries = Retries(count=20, first=0.1, longest=5.0)
    busy, slow = oyez.ServerError(503, "", retry_after=2), oyez.ServerError(503, "", retry_after=9)

    pauses = [
        retries.pause(oyez.ServerError(503, ""), attempts, repeatable=False)
        for attempts in range(1, 21)
    ]

    assert all(pause is not None for pause in pauses)
    assert 0.1 <= (pauses[0] or 0) <= 0.15
    assert 0.8 <= (pauses[3] or 0) <= 1.2
    assert 5.0 <= (pauses[19] or 0) <= 7.5
    assert 2.0 <= (retries.pause(busy, 1, repeatable=False) or 0) <= 3.0
    assert retries.pause(slow, 1, repeatable=False) is None
    assert retries.pause(busy, 21, repeatable=True) is None
    assert retries.pause(oyez.Forbidden(403, ""), 1, repeatable=True) is None
