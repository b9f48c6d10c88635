"""The build of pusher-js with encryption, which browsers load, in Chromium."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.conftest import RunningServer
from tests.end_to_end.browser import IN_A_BROWSER, WITH_ENCRYPTION, InBrowser, prepare
from tests.end_to_end.driver import Application
from tests.end_to_end.publishers import Sdk

pytestmark = IN_A_BROWSER

SECRET: dict[str, Any] = {"note": "Grüße 🌍", "lines": [1, 2.5, None, True]}


@pytest.fixture
def client(browser_page: Page, server: RunningServer, app: Application, endpoint: str) -> InBrowser:
    browser_page.goto(f"http://{server.host}:{server.admin_port}/")
    prepare(browser_page, WITH_ENCRYPTION)
    client = InBrowser(
        browser_page,
        app,
        wsHost=app.host,
        wsPort=app.port,
        enabledTransports=["ws"],
        channelAuthorization={
            "endpoint": f"{endpoint}/pusher/auth",
            "transport": "ajax",
            "params": {"user": "null"},
        },
    )
    client.wait_until("connected")
    return client


def test_a_browser_reads_what_an_official_library_encrypted(
    sdk: Sdk, client: InBrowser, fresh: Callable[[str], str]
) -> None:
    channel = fresh("private-encrypted-orders")
    client.subscribe(channel)

    sdk.trigger(channel, "order-shipped", SECRET)

    assert client.wait_for_event(channel, "order-shipped") == SECRET
    [(_, data)] = [message for message in client.messages(channel) if message[0] == "order-shipped"]
    assert data.keys() == {"nonce", "ciphertext"}


def test_a_browser_that_comes_late_reads_the_cached_event(
    sdk: Sdk, client: InBrowser, fresh: Callable[[str], str]
) -> None:
    channel = fresh("private-encrypted-cache-prices")
    sdk.trigger(channel, "price", SECRET)

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price") == SECRET
