"""Chromium, and pusher-js running in a page of it.

`clients/browser.js` is evaluated in the page and keeps what pusher-js reports there.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.end_to_end.driver import CLIENTS, TIMEOUT, Application

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]
IN_A_BROWSER = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ,
        reason="chromium is not installed: sudo apt-get install chromium",
    ),
]
WITH_ENCRYPTION = CLIENTS / "node_modules/pusher-js/dist/web/pusher-with-encryption.min.js"
"""The build that `import Pusher from "pusher-js/with-encryption"` gives a browser."""


@contextmanager
def open_browser() -> Iterator[Page]:
    """A page of a new Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser.new_page()
        finally:
            browser.close()


class InBrowser:
    """A pusher-js client in a page, made with the options given."""

    def __init__(self, page: Page, app: Application, **options: Any) -> None:
        self._page = page
        self._number = page.evaluate(
            "([key, options]) => oyez.connect(key, options)",
            [app.key, {"cluster": "", "forceTLS": False, **options}],
        )

    @property
    def state(self) -> str:
        return str(self._call("state"))

    @property
    def transport(self) -> str:
        """How pusher-js is connected, in its own words."""
        return str(self._call("transport"))

    @property
    def socket_id(self) -> str:
        return str(self._call("socketId"))

    def wait_until(self, state: str, *, seconds: float = TIMEOUT) -> None:
        self._wait("state", {"current": state}, seconds=seconds)

    def states(self) -> list[str]:
        return [report["current"] for report in self._reports("state")]

    def wait_for_error(self) -> Any:
        return self._wait("error", {})["error"]

    def errors(self) -> list[Any]:
        return [report["error"] for report in self._reports("error")]

    def subscribe(self, channel: str) -> None:
        """Subscribe and wait for the success."""
        self.start_subscribing(channel)
        self.wait_for_event(channel, "pusher:subscription_succeeded")

    def start_subscribing(self, channel: str) -> None:
        self._call("subscribe", channel)

    def trigger(self, channel: str, event: str, data: Any) -> None:
        """Send a client event."""
        assert self._call("trigger", channel, event, data) is True

    def wait_for_event(self, channel: str, name: str, *, count: int = 1) -> Any:
        """Wait until a channel's bindings have got so many events of this name; the last's data."""
        wanted = {"channel": channel, "event": name}
        return self._wait("event", wanted, count=count).get("data")

    def events(self, channel: str, name: str) -> list[Any]:
        """The data of all events of this name that the bindings of a channel have got."""
        reports = self._reports("event")
        return [
            report.get("data")
            for report in reports
            if (report["channel"], report["event"]) == (channel, name)
        ]

    def messages(self, channel: str) -> list[tuple[str, Any]]:
        """Name and data of the events on a channel as they came, whoever is bound to them."""
        return [
            (report["event"], report.get("data"))
            for report in self._reports("message")
            if report.get("channel") == channel
        ]

    def sign_in(self, user_id: str) -> None:
        """Sign in and wait until events to the user come."""
        self._call("signIn")
        succeeded = "pusher_internal:subscription_succeeded"
        self._wait("message", {"event": succeeded, "channel": f"#server-to-user-{user_id}"})

    def wait_for_user_event(self, name: str) -> Any:
        return self._wait("user", {"event": name})["data"]

    def _reports(self, kind: str) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = self._call("reportsOf", kind)
        return reports

    def _wait(
        self, kind: str, fields: dict[str, Any], *, count: int = 1, seconds: float = TIMEOUT
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._call("wait", kind, fields, count, seconds)
        return found

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._page.evaluate(
            "([number, method, args]) => oyez.clients[number][method](...args)",
            [self._number, method, list(arguments)],
        )


def prepare(page: Page, *builds: Path) -> None:
    """Let the page run clients, with another build of pusher-js if one is given."""
    scripts: Sequence[Path] = (*builds, CLIENTS / "browser.js")
    for script in scripts:
        # Not as an element: the page's own policy forbids foreign scripts.
        page.evaluate(f"() => {{ {script.read_text()}\n}}")
