"""What the settings change about the HTTP API; the official libraries cover the rest."""

from collections.abc import Callable

import httpx2
import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted, call, open_client

StartServer = Callable[..., RunningServer]


def test_errors_are_json_with_sentence_and_status(server: RunningServer) -> None:
    answer = call(server, "GET", "/nonsense")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": "404 NOT FOUND", "code": 404}


def test_an_unknown_app_is_named(server: RunningServer) -> None:
    answer = call(server, "GET", "/channels", app_id="77")

    assert (answer.status_code, answer.json()["error"]) == (404, "App 77 not found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/events", "POST"), ("POST", "/channels", "GET"), ("PUT", "/batch_events", "POST")],
)
def test_a_wrong_method_is_told_the_right_one(
    server: RunningServer, method: str, path: str, allowed: str
) -> None:
    answer = call(server, method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json() == {"error": "405 METHOD NOT ALLOWED", "code": 405}


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        ("/channels", {"info": "user_count"}, "user_count may only be requested for presence"),
        ("/channels", {"info": "x"}, "info should be a comma separated list of attributes"),
        ("/channels/news", {"info": "user_count"}, "Cannot retrieve the user count unless"),
        ("/channels/a%20b", {}, "Invalid channel name: 'a b'"),
        ("/channels/news/users", {}, "Users can only be retrieved for presence channels"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    server: RunningServer, path: str, query: dict[str, str], text: str
) -> None:
    answer = call(server, "GET", path, query=query)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)


def test_nobody_there_is_an_answer_and_no_error(start_server: StartServer) -> None:
    server = start_server(
        '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nsubscription_count = true'
    )

    assert call(server, "GET", "/channels").text == '{"channels":{}}'
    assert call(server, "GET", "/channels/presence-x").json() == {"occupied": False}
    assert call(server, "GET", "/channels/presence-x/users").json() == {"users": []}
    asked = {"name": "e", "data": "", "info": "user_count,subscription_count"}
    answer = call(server, "POST", "/events", {**asked, "channels": ["presence-x", "y"]})
    assert answer.json() == {
        "channels": {
            "presence-x": {"user_count": 0, "subscription_count": 0},
            "y": {"subscription_count": 0},
        }
    }


def test_a_head_request_has_the_headers_of_a_get(server: RunningServer) -> None:
    answer = call(server, "HEAD", "/channels")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_cors_is_off_unless_configured(server: RunningServer) -> None:
    answer = call(server, "GET", "/channels", headers={"Origin": "https://a.example"})

    assert "access-control-allow-origin" not in answer.headers


def test_cors_names_the_origins_it_is_told(start_server: StartServer) -> None:
    server = start_server('cors_origins = ["https://a.example"]')
    url = f"http://{server.host}:{server.port}/apps/1001/events"

    good = httpx2.options(url, headers={"Origin": "https://a.example"}, trust_env=False)
    other = httpx2.options(url, headers={"Origin": "https://b.example"}, trust_env=False)

    assert good.status_code == other.status_code == 204
    assert good.headers["access-control-allow-origin"] == "https://a.example"
    assert "X-Socket-Id" in good.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("origin", ["https://a.example", "https://b.example", ""])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PUT"])
def test_caches_are_told_that_answers_differ_by_origin(
    start_server: StartServer, origin: str, method: str
) -> None:
    server = start_server('cors_origins = ["https://a.example"]')
    headers = {"Origin": origin} if origin else {}

    for path in ("/up", "/nowhere", "/apps/1001/channels"):
        url = f"http://{server.host}:{server.port}{path}"
        answer = httpx2.request(method, url, headers=headers, trust_env=False)
        assert answer.headers.get_list("vary") == ["Origin"]


def test_answers_do_not_differ_by_origin_where_none_may_read_them(server: RunningServer) -> None:
    assert "vary" not in call(server, "GET", "/channels", headers={"Origin": "null"}).headers


@pytest.mark.parametrize("transport", ["xhr", "xhr_streaming"])
def test_fallbacks_work_from_an_origin_that_may_also_read_the_api(
    start_server: StartServer, transport: str
) -> None:
    server = start_server('cors_origins = ["https://a.example"]')
    url = f"http://{server.host}:{server.port}/app/{server.key}/1/cors0001/{transport}?protocol=7"
    headers = {"Origin": "https://a.example"}

    with httpx2.stream("POST", url, headers=headers, trust_env=False, timeout=10) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "o"
        assert "connection_established" in next(lines)
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]


def test_a_server_below_a_path_answers_with_and_without_it(start_server: StartServer) -> None:
    server = start_server('path_prefix = "/realtime"')

    for path in ("/realtime", ""):
        with accepted(server, path=path) as client:
            client.subscribe("news")
            assert "news" in call(server, "GET", "/channels", prefix=path).json()["channels"]
    with open_client(server, path="/elsewhere") as client:
        assert client.closed_with() == (4005, "Path not found")
