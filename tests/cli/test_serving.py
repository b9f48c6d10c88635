"""Starting a server, and what the command says about itself."""

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import trustme

from oyez import __version__
from tests.cli.command import SECONDS, environment, oyez


def test_a_setting_that_is_not_valid_is_refused_before_anything_starts() -> None:
    done = oyez("serve", "--host", "0.0.0.0")

    assert done.returncode == 1
    assert "the sample secret must not be reachable at 0.0.0.0" in done.stderr


def without_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return True
    return False


@contextlib.contextmanager
def started(settings: str, directory: Path) -> Iterator[tuple[dict[str, str], str]]:
    """A server with the development app: the addresses that it prints, and the line to try."""
    file = directory / "oyez.toml"
    file.write_text(f"port = 0\nadmin_port = 0\n{settings}")
    process = subprocess.Popen(
        [sys.executable, "-m", "oyez", "serve", "--config", str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    try:
        rows: dict[str, str] = {}
        for line in process.stdout:
            if "oyez trigger" in line:
                yield rows, line.strip()
                return
            name, _, value = line.strip().rpartition("  ")
            rows[name.strip()] = value
        raise AssertionError(f"the server has ended: {rows}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
        process.stdout.close()


PLACES = {
    "plain": ("", "http", "127.0.0.1", ""),
    "below a path": ('path_prefix = "/real/time"', "http", "127.0.0.1", "/real/time"),
    "below a path for the shell": ('path_prefix = "/a;b"', "http", "127.0.0.1", "/a;b"),
    "with TLS": ("TLS", "https", "127.0.0.1", ""),
    "with TLS below a path": ('TLS\npath_prefix = "/x"', "https", "127.0.0.1", "/x"),
    "everywhere": ('host = "0.0.0.0"\nallow_sample_secret = true', "http", "127.0.0.1", ""),
    "IPv6": pytest.param(
        'host = "::1"\nadmin_host = "::1"',
        "http",
        "[::1]",
        "",
        marks=pytest.mark.skipif(without_ipv6(), reason="this machine has no IPv6"),
    ),
}


@pytest.mark.parametrize(("settings", "scheme", "host", "prefix"), PLACES.values(), ids=PLACES)
def test_the_addresses_that_are_printed_are_those_of_the_server(
    tmp_path: Path, settings: str, scheme: str, host: str, prefix: str
) -> None:
    authority = trustme.CA()
    trusted, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    settings = settings.replace("TLS", f'tls_certificate = "{certificate}"')

    with started(settings, tmp_path) as (rows, line):
        api = rows["HTTP API"]
        assert api.startswith(f"{scheme}://{host}:")
        assert api.endswith(f"{prefix}/apps/1001")
        assert rows["clients"] == (
            api.replace("http", "ws", 1).replace("/apps/1001", "/app/app-key")
        )
        page = httpx2.get(f"{rows['welcome page']}welcome/config", trust_env=False).json()
        assert (page["tls"], page["path"]) == (scheme == "https", prefix)
        assert f":{page['port']}{prefix}/" in api
        done = oyez(*shlex.split(line)[1:], SSL_CERT_FILE=str(trusted))

    assert (done.returncode, done.stderr) == (0, "")


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
