"""pusher-js in Chromium without WebSockets, as behind a proxy that breaks them."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, Request
from pusher import Pusher

from tests.conftest import RunningServer
from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.browser import IN_A_BROWSER, InBrowser, prepare
from tests.end_to_end.driver import Application
from tests.end_to_end.publishers import ask_until
from tests.end_to_end.receivers import Connect, PusherJs

pytestmark = IN_A_BROWSER

LONGEST_STREAM = 256 * 1024  # characters, after which pusher-js opens another one
STREAMING, POLLING = "xhr_streaming", "xhr_polling"

ConnectOverHttp = Callable[..., InBrowser]


@pytest.fixture
def page(browser_page: Page, server: RunningServer) -> Page:
    """A page that has pusher-js, and no connection left over from another test."""
    browser_page.goto(f"http://{server.host}:{server.admin_port}/")
    prepare(browser_page)
    return browser_page


@pytest.fixture(params=[STREAMING, POLLING])
def transport(request: pytest.FixtureRequest) -> str:
    """Runs the test once with each transport."""
    name: str = request.param
    return name


@pytest.fixture
def connect(page: Page, app: Application, endpoint: str) -> ConnectOverHttp:
    """Connects pusher-js in the page with one transport only, as a user if there is one."""

    def connect(transport: str, user: dict[str, Any] | None = None) -> InBrowser:
        client = InBrowser(page, app, **http_options(app, endpoint, transport, user=user))
        client.wait_until("connected")
        return client

    return connect


def http_options(
    app: Application, endpoint: str, *transports: str, user: dict[str, Any] | None = None
) -> dict[str, Any]:
    params = {"user": json.dumps(user)}
    auth = {"endpoint": f"{endpoint}/pusher/auth", "transport": "ajax", "params": params}
    user_auth = {**auth, "endpoint": f"{endpoint}/pusher/user-auth"}
    return {
        "httpHost": app.host,
        "httpPort": app.port,
        "enabledTransports": list(transports),
        "channelAuthorization": auth,
        "userAuthentication": user_auth,
    }


def receiving(page: Page) -> list[Request]:
    """Collects the requests from now on that a fallback receives with."""
    requests: list[Request] = []

    def collect(request: Request) -> None:
        if "/xhr?" in request.url or "/xhr_streaming?" in request.url:
            requests.append(request)

    page.on("request", collect)
    return requests


def test_pusher_js_connects_over_http_alone(
    transport: str, page: Page, connect: ConnectOverHttp, app: Application
) -> None:
    requests = receiving(page)

    client = connect(transport)

    assert client.transport == transport
    assert client.states() == ["connected"]
    assert client.errors() == []
    start = f"http://{app.host}:{app.port}/pusher/app/{app.key}/"
    assert requests[0].method == "POST"
    assert requests[0].url.startswith(start)
    assert ("/xhr_streaming?" in requests[0].url) is (transport == STREAMING)


def test_published_events_arrive_in_order(
    transport: str, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    client = connect(transport)
    client.subscribe(channel)

    for number in range(50):
        pypi_pusher.trigger(channel, "counted", {"n": number, "text": "Grüße 🌍 \u2028"})

    client.wait_for_event(channel, "counted", count=50)
    assert [data["n"] for data in client.events(channel, "counted")] == list(range(50))
    assert {data["text"] for data in client.events(channel, "counted")} == {"Grüße 🌍 \u2028"}
    assert client.state == "connected"


def test_client_events_go_both_ways(
    transport: str,
    connect: ConnectOverHttp,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-chat")
    over_http, over_websocket = connect(transport), connect_pusher_js(signed_by("npm pusher"))
    over_http.subscribe(channel)
    over_websocket.subscribe(channel)

    for number in range(5):
        over_http.trigger(channel, "client-asked", {"n": number})
        over_websocket.wait_for_event(channel, "client-asked", count=number + 1)
    for number in range(5):
        over_websocket.trigger(channel, "client-answered", {"n": number})

    over_http.wait_for_event(channel, "client-answered", count=5)
    expected = [{"n": number} for number in range(5)]
    assert [event.data for event in over_websocket.events(channel, "client-asked")] == expected
    assert over_http.events(channel, "client-answered") == expected
    assert over_http.events(channel, "client-asked") == []


def test_members_meet_whatever_their_transport(
    transport: str,
    connect: ConnectOverHttp,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    over_websocket = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
    over_websocket.subscribe(channel)

    over_http = connect(transport, {"user_id": "bob", "user_info": {"name": "Bob"}})
    over_http.subscribe(channel)

    added = over_websocket.wait_for_event(channel, "pusher:member_added")
    assert added.data == {"id": "bob", "info": {"name": "Bob"}}
    users = pypi_pusher.users_info(channel)["users"]
    assert users == [{"id": "ada"}, {"id": "bob"}]
    over_websocket.disconnect()
    removed = over_http.wait_for_event(channel, "pusher:member_removed")
    assert removed["id"] == "ada"


def test_the_connection_that_caused_an_event_is_excluded(
    transport: str, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("board")
    author, reader = connect(transport), connect(transport)
    for client in (author, reader):
        client.subscribe(channel)

    pypi_pusher.trigger(channel, "posted", {"n": 1}, author.socket_id)
    pypi_pusher.trigger(channel, "end", {})

    for client in (author, reader):
        client.wait_for_event(channel, "end")
    assert author.events(channel, "posted") == []
    assert reader.events(channel, "posted") == [{"n": 1}]


def test_the_cached_event_comes_first(
    transport: str, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("private-cache-prices")
    pypi_pusher.trigger(channel, "price", {"eur": 17})
    client = connect(transport)

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price") == {"eur": 17}
    assert client.messages(channel)[:2] == [
        ("pusher_internal:subscription_succeeded", {}),
        ("price", {"eur": 17}),
    ]


def test_a_refused_subscription_leaves_the_connection_open(
    transport: str,
    page: Page,
    app: Application,
    wrongly_signed_by: SignedBy,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel, news = fresh("private-accounts"), fresh("news")
    options = http_options(app, wrongly_signed_by.endpoint, transport)
    client = InBrowser(page, app, **options)
    client.wait_until("connected")

    client.start_subscribing(channel)

    assert client.wait_for_event(channel, "pusher:subscription_error")["status"] == 401
    client.subscribe(news)
    pypi_pusher.trigger(news, "end", {})
    client.wait_for_event(news, "end")
    assert client.states() == ["connected"]


def test_a_signed_in_user_gets_events_and_is_terminated(
    transport: str, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    ada, channel = fresh("ada"), fresh("news")
    client = connect(transport, {"id": ada})
    client.sign_in(ada)
    client.subscribe(channel)
    pypi_pusher.send_to_user(ada, "greeting", {"n": 1})
    assert client.wait_for_user_event("greeting") == {"n": 1}

    pypi_pusher.terminate_user_connections(ada)

    client.wait_until("disconnected")
    assert client.wait_for_error()["data"] == {
        "code": 4009,
        "message": "You got disconnected by the app.",
    }
    assert client.states() == ["connected", "disconnected"]
    ask_until(lambda: pypi_pusher.channel_info(channel), {"occupied": False})


def test_an_unknown_key_is_final(
    transport: str, page: Page, app: Application, endpoint: str
) -> None:
    stranger = replace(app, key="unknown-key")

    client = InBrowser(page, stranger, **http_options(app, endpoint, transport))

    client.wait_until("disconnected")
    assert client.states() == ["disconnected"]
    assert client.wait_for_error()["error"]["data"]["code"] == 4001


def test_a_long_stream_is_replaced_without_a_gap(
    page: Page, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    requests = receiving(page)
    client = connect(STREAMING)
    client.subscribe(channel)
    socket_id = client.socket_id
    text = "x" * 10_000

    for number in range(2 * LONGEST_STREAM // len(text) + 5):
        pypi_pusher.trigger(channel, "large", f"{number} {text}")
        assert client.wait_for_event(channel, "large", count=number + 1) == f"{number} {text}"

    assert len(requests) == 3
    assert len({request.url.partition("/xhr_streaming")[0] for request in requests}) == 1
    assert client.socket_id == socket_id
    assert client.states() == ["connected"]
    assert client.errors() == []


def test_nothing_is_lost_while_a_long_stream_is_replaced(
    page: Page, connect: ConnectOverHttp, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    requests = receiving(page)
    client = connect(STREAMING)
    client.subscribe(channel)
    text = "x" * 5_000
    count = 4 * LONGEST_STREAM // len(text)

    for number in range(count):
        pypi_pusher.trigger(channel, "large", {"n": number, "text": text})
    pypi_pusher.trigger(channel, "end", {})

    client.wait_for_event(channel, "end")
    assert [data["n"] for data in client.events(channel, "large")] == list(range(count))
    assert len(requests) > 1
    assert client.states() == ["connected"]


def test_pusher_js_falls_back_by_itself_where_websockets_are_broken(
    page: Page,
    app: Application,
    server: RunningServer,
    endpoint: str,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("news")
    options = http_options(app, endpoint, "ws", STREAMING, POLLING)
    # The admin port answers an upgrade as such a proxy does: with an ordinary response.
    websocket = {"wsHost": server.host, "wsPort": server.admin_port}

    client = InBrowser(page, app, **options, **websocket)

    client.wait_until("connected", seconds=20)  # pusher-js waits 5 s before it tries HTTP
    assert client.transport == STREAMING
    client.subscribe(channel)
    pypi_pusher.trigger(channel, "news", {"n": 1})
    assert client.wait_for_event(channel, "news") == {"n": 1}
