"""Starting a server, and what the command says about itself."""

from pathlib import Path

import pytest

from oyez import __version__
from tests.cli.command import oyez


def test_a_setting_that_is_not_valid_is_refused_before_anything_starts() -> None:
    done = oyez("serve", "--host", "0.0.0.0")

    assert done.returncode == 1
    assert "the sample secret must not be reachable at 0.0.0.0" in done.stderr


def test_the_version_is_printed() -> None:
    assert oyez("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("library", "extra", "command"),
    [
        ("typer", "server", ["serve"]),
        ("structlog", "server", ["serve"]),
        ("pydantic_settings", "server", ["config"]),
    ],
)
def test_a_missing_extra_is_answered_with_the_command_that_installs_it(
    tmp_path: Path, library: str, extra: str, command: list[str]
) -> None:
    missing = f"raise ModuleNotFoundError('no {library}', name='{library}')"
    (tmp_path / f"{library}.py").write_text(missing)

    done = oyez(*command, PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    wanted = f"oyez: {library} is not installed; run: pip install 'oyez[{extra}]'\n"
    assert done.stderr == wanted


def test_talking_to_a_server_does_not_need_what_serving_does(tmp_path: Path) -> None:
    for library in ("pydantic_settings", "structlog", "starlette", "uvicorn", "httptools"):
        missing = f"raise ModuleNotFoundError('no {library}', name='{library}')"
        (tmp_path / f"{library}.py").write_text(missing)

    done = oyez("channels", "--url", "http://k:s@127.0.0.1:1/apps/1", PYTHONPATH=str(tmp_path))

    assert "no answer from http://127.0.0.1:1" in done.stderr


def test_a_mistyped_command_is_answered_with_the_right_one() -> None:
    done = oyez("trigge")

    assert done.returncode == 2
    assert "Did you mean 'trigger'?" in done.stderr


def test_wrong_options_are_a_usage_error() -> None:
    assert oyez("channels", "--no-such-option").returncode == 2
    assert oyez("trigger", "channel").returncode == 2
    assert oyez("bench", "--subscribers", "0").returncode == 2


def test_shells_can_complete_commands() -> None:
    shown = oyez("--show-completion", "bash", SHELL="/bin/bash")

    assert shown.returncode == 0
    assert "COMPLETE" in shown.stdout
