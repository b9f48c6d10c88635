"""Runs test files as a user of the kit would write them."""

from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]
ASYNCIO = ("-p", "pytest_asyncio.plugin")
ANYIO = ("-p", "anyio.pytest_plugin")

_NOT_OURS = "The configuration option"  # of pytest-asyncio, when its loop scope is not configured


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a file of tests in a process of its own; every warning is an error.

    Of all plugins that happen to be installed only ours is there, and those a test names.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_file(text: str, *arguments: str, conftest: str = "") -> pytest.RunResult:
        pytester.makepyfile(text)
        if conftest:
            pytester.makeconftest(conftest)
        strict = ("-W", "error", "-W", f"ignore:{_NOT_OURS}")
        ours = ("-p", "oyez.testing.plugin")
        return pytester.runpytest_subprocess(*ours, *strict, *arguments, timeout=120)

    return run_file
