"""The welcome page in a real browser: what a person sees in the first minute."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import trustme
from playwright.sync_api import Page, expect

from tests.conftest import RunningServer
from tests.end_to_end.browser import IN_A_BROWSER

pytestmark = IN_A_BROWSER


@pytest.fixture
def page(browser_page: Page, server: RunningServer) -> Page:
    browser_page.goto(f"http://{server.host}:{server.admin_port}/")
    expect(browser_page.locator("#state")).to_have_text("connected")
    return browser_page


def test_it_names_the_credentials(page: Page, server: RunningServer) -> None:
    expect(page.locator("#app-id")).to_have_text(server.app_id)
    expect(page.locator("#key")).to_have_text(server.key)
    expect(page.locator("#secret")).to_have_text(server.secret)
    expect(page.locator("#port")).to_have_text(str(server.port))


def test_an_event_from_the_command_line_appears(page: Page, server: RunningServer) -> None:
    url = f"http://{server.key}:{server.secret}@{server.host}:{server.port}/apps/{server.app_id}"
    command = ["trigger", "--url", url, "my-channel", "my-event", '{"message":"<b>hi</b>"}']

    subprocess.run([sys.executable, "-m", "oyez", *command], check=True, timeout=120)

    row = page.locator("#events li").first
    expect(row).to_contain_text("my-event")
    expect(row).to_contain_text('{"message":"<b>hi</b>"}')


def test_the_form_publishes(page: Page) -> None:
    page.locator("[name=name]").fill("from-form")
    page.locator("[name=data]").fill("plain text")
    page.get_by_role("button", name="Publish").click()

    expect(page.locator("#answer")).to_have_text("accepted")
    expect(page.locator("#events li").first).to_contain_text("from-formplain text")


def test_the_form_says_what_is_wrong(page: Page) -> None:
    page.locator("[name=name]").fill("pusher:mine")
    page.get_by_role("button", name="Publish").click()

    expect(page.locator("#answer")).to_have_text("Invalid event name: 'pusher:mine'")


def test_it_connects_to_a_server_with_tls_below_a_path(
    browser_page: Page, start_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    certificate = tmp_path / "server.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    server = start_server(f'tls_certificate = "{certificate}"\npath_prefix = "/real/time"')

    assert browser_page.context.browser is not None
    page = browser_page.context.browser.new_page(ignore_https_errors=True)
    with page.expect_websocket() as opened:
        page.goto(f"http://{server.host}:{server.admin_port}/")
        expect(page.locator("#state")).to_have_text("connected")
    assert opened.value.url.startswith(f"wss://127.0.0.1:{server.port}/real/time/app/app-key?")
    expect(page.locator("#path")).to_have_text("/real/time")
    expect(page.locator("#example")).to_contain_text("ssl=True")
    page.close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://[::1", "Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example:9601", "Host": "evil.example:9601"},
    ],
)
def test_no_other_site_publishes_through_a_developers_browser(
    server: RunningServer, headers: dict[str, str]
) -> None:
    answer = httpx2.post(
        f"http://{server.host}:{server.admin_port}/welcome/events",
        json={"name": "e", "channel": "my-channel", "data": ""},
        headers=headers,
        trust_env=False,
    )

    assert answer.status_code == 403
