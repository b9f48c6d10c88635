"""The command line as a person meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.operation.clients import accepted


def oyez(
    *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oyez", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def test_the_effective_configuration_is_toml_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text('port = 7001\n[[apps]]\nid="5"\nkey="k"\nsecret="hidden"\n')

    shown = oyez("config", cwd=tmp_path, OYEZ_LOG_LEVEL="debug")

    assert shown.returncode == 0
    assert "port = 7001" in shown.stdout
    assert 'log_level = "debug"' in shown.stdout
    assert 'key = "k"' in shown.stdout
    assert "hidden" not in shown.stdout


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    good, bad, broken = (tmp_path / name for name in ("good.toml", "bad.toml", "broken.toml"))
    good.write_text('[[apps]]\nid="5"\nkey="k"\nsecret="s"\n')
    bad.write_text('port = "x"\n[[apps]]\nid="5"\nkey="k"\nsecret="s"\n[apps.limits]\nuser_id=0\n')
    broken.write_text("port = \n")

    assert (oyez("config", "--check", str(good)).stdout) == f"{good}: good, 1 app(s)\n"
    wrong = oyez("config", "--check", str(bad))
    assert wrong.returncode == 1
    assert "port: Input should be a valid integer" in wrong.stderr
    assert "apps[0].limits: user_id must be at least 1, not 0" in wrong.stderr
    unreadable = oyez("config", "--check", str(broken))
    assert "line 1" in unreadable.stderr
    assert oyez("config", "--check", str(tmp_path / "none.toml")).returncode == 1


def test_an_event_can_be_triggered(server: RunningServer) -> None:
    url = f"http://{server.key}:{server.secret}@{server.host}:{server.port}/apps/{server.app_id}"
    with accepted(server) as client:
        client.subscribe("cli-news")

        done = oyez("trigger", "cli-news", "my-event", '{"a": 1}', "--url", url)

        assert (done.returncode, done.stdout) == (0, "{}\n")
        message = client.receive()
        assert (message["event"], message["data"]) == ("my-event", '{"a": 1}')


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/apps/1", "--url must look like"),
        ("http://k:s@127.0.0.1:1/apps/1", "no answer from http://127.0.0.1:1"),
    ],
)
def test_an_event_that_cannot_be_sent_is_one_line(url: str, said: str) -> None:
    done = oyez("trigger", "c", "e", "d", OYEZ_URL=url)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_shown_as_the_server_said_it(server: RunningServer) -> None:
    url = f"http://{server.key}:wrong@{server.host}:{server.port}/apps/{server.app_id}"

    done = oyez("trigger", "c", "e", "d", "--url", url)

    assert done.returncode == 1
    assert "answered 401" in done.stderr
    assert "Invalid signature" in done.stderr


def test_a_setting_that_is_not_valid_is_refused_before_anything_starts() -> None:
    done = oyez("serve", "--host", "0.0.0.0")

    assert done.returncode == 1
    assert "the sample secret must not be reachable at 0.0.0.0" in done.stderr


def test_the_version_is_printed() -> None:
    from oyez import __version__

    assert oyez("--version").stdout.strip() == __version__


def test_a_missing_extra_is_answered_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no typer', name='typer')")

    done = oyez("serve", PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == "oyez: typer is not installed; run: pip install 'oyez[server]'\n"
