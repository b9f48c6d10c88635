"""Each example application does what it shows: for pusher-js, and against those who cheat."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from oyez.protocol.signing import Token
from oyez.protocol.webhooks import request_headers, write_body
from tests.examples.conftest import Application

SCENARIO = Path(__file__).parent / "scenario.mjs"
SUCCEEDED, REFUSED = "pusher:subscription_succeeded", "pusher:subscription_error"
ADA = {"Authorization": "token-of-ada"}

pytestmark = pytest.mark.xdist_group("examples")


@pytest.fixture(scope="module")
def seen(application: Application) -> dict[str, Any]:
    """What two browsers saw."""
    server = application.server
    where = {
        "app": application.url,
        "host": server.host,
        "port": server.port,
        "key": server.key,
    }
    with subprocess.Popen(
        ["node", str(SCENARIO), json.dumps(where)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as browsers:
        assert browsers.stdin is not None
        assert browsers.stdout is not None
        found: dict[str, Any] = json.loads(browsers.stdout.readline() or "null")
        with server.client() as client:
            client.trigger("private-encrypted-notes", "noted", {"note": "secret"})
            client.trigger("presence-chat", "last", {})
        browsers.stdin.close()
        found.update(json.loads(browsers.stdout.readline()))
    return found


def test_private_presence_and_encrypted_channels_are_authorized(seen: dict[str, Any]) -> None:
    assert set(seen["ada"].values()) == {SUCCEEDED}
    assert seen["members"] == {"ada": {"name": "Ada"}, "bob": {"name": "Bob"}}
    assert seen["note"] == {"note": "secret"}


def test_a_batch_is_one_request_and_refuses_one_by_one(seen: dict[str, Any]) -> None:
    channels = ["presence-chat", "private-user-ada", "private-encrypted-notes"]
    assert seen["requests"] == [channels]
    assert seen["bob"] == dict(zip(channels, [SUCCEEDED, REFUSED, SUCCEEDED], strict=True))
    assert seen["refusal"]["error"] == "not authorized: private-user-ada"


def test_a_user_signs_in(seen: dict[str, Any]) -> None:
    assert seen["user"] == {"id": "ada", "user_info": {"name": "Ada"}}


def test_who_sends_does_not_get_it_back(seen: dict[str, Any]) -> None:
    assert seen["sent"] == [200, 200]
    assert seen["bobMessages"] == ["message 0", "message 1"]
    assert seen["adaMessages"] == ["message 1"]


def test_webhooks_arrive_and_are_believed(seen: dict[str, Any], application: Application) -> None:
    application.wait_for_log("webhook: member_added on presence-chat", count=2)
    application.wait_for_log("webhook: member_removed on presence-chat", count=2)


def webhook(application: Application, secret: str, ids: list[str], channel: str) -> httpx2.Response:
    event = json.dumps({"name": "channel_occupied", "channel": channel}).encode()
    body = write_body(int(time.time() * 1000), [event])
    headers = request_headers(Token(application.server.key, secret), body, ids)
    if not ids:
        headers = {name: value for name, value in headers.items() if value}
    return post(application, "/webhooks", dict(headers), body)


def post(
    application: Application, path: str, headers: dict[str, str], body: bytes | dict[str, Any]
) -> httpx2.Response:
    content: dict[str, Any] = {"content" if isinstance(body, bytes) else "data": body}
    return httpx2.post(application.url + path, headers=headers, trust_env=False, **content)


def test_a_webhook_that_comes_again_is_dropped(application: Application) -> None:
    for event_id in ("one", "one", "two"):
        answer = webhook(application, application.server.secret, [event_id], "repeated")
        assert answer.status_code == 200
    application.wait_for_log("on repeated", count=2)
    assert application.logged("on repeated") == 2


def test_webhooks_without_ids_are_all_taken(application: Application) -> None:
    for _ in range(2):
        assert webhook(application, application.server.secret, [], "hosted").status_code == 200
    application.wait_for_log("on hosted", count=2)


def test_a_webhook_of_somebody_else_is_refused(application: Application) -> None:
    answer = webhook(application, "not the secret", ["x"], "forged")

    assert answer.status_code == 401
    assert "signature" in answer.json()["error"]
    assert not application.logged("on forged")


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/pusher/auth", {"socket_id": "1.2", "channel_name": "private-a"}),
        ("/pusher/auth-batch", {"socket_id": "1.2", "channel_name": ["private-a", "private-b"]}),
        ("/pusher/user-auth", {"socket_id": "1.2"}),
        ("/messages", {"text": "hello"}),
    ],
)
def test_nobody_gets_nothing(application: Application, path: str, form: dict[str, Any]) -> None:
    assert post(application, path, {}, form).status_code in (401, 403)
    assert post(application, path, ADA, form).status_code == 200


def test_a_channel_of_another_user_is_refused(application: Application) -> None:
    form = {"socket_id": "1.2", "channel_name": "private-user-bob"}

    assert post(application, "/pusher/auth", ADA, form).status_code == 403


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/pusher/auth", {"socket_id": "1.2::user::{}", "channel_name": "private-a"}),
        ("/pusher/auth", {"socket_id": "1.2", "channel_name": "public"}),
        ("/pusher/auth", {"channel_name": "private-a"}),
        ("/pusher/auth-batch", {"socket_id": "1.2", "channel_name": ["private-a", "no channel"]}),
        ("/pusher/user-auth", {"socket_id": "none"}),
    ],
)
def test_nonsense_is_the_fault_of_the_client(
    application: Application, path: str, form: dict[str, Any]
) -> None:
    assert post(application, path, ADA, form).status_code in (400, 422)


def test_a_socket_id_that_is_none_is_not_excluded(application: Application) -> None:
    answer = post(application, "/messages", {**ADA, "X-Socket-ID": "x"}, {"text": "hello"})

    assert answer.status_code == 400
