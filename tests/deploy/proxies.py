"""HAProxy, nginx and Caddy with the files of ``deploy``: only addresses and paths are replaced."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.conftest import RunningServer
from tests.operation.test_tls import Certificates
from tests.redis_server import free_port, until

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
NGINX_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy listens, what it stands in front of, and a directory of its own."""

    directory: Path
    nodes: Sequence[int]
    port: int
    tls_port: int
    certificates: Certificates


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the programs.

    Attributes:
        changes: what to replace in its file, and by what.
        command: how it is started with the changed file.
        asks: whether it asks the nodes at ``/readyz`` whether they are ready.
    """

    program: str
    file: str
    changes: Callable[[Place], dict[str, str]]
    command: Callable[[Place, Path], list[str]]
    asks: bool = True


def _haproxy_changes(place: Place) -> dict[str, str]:
    issued, both = place.certificates, place.directory / "both.pem"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    tls = f"bind 127.0.0.1:{place.tls_port} ssl crt {both}"
    return {
        "bind :80": f"bind 127.0.0.1:{place.port}",
        "# bind :443 ssl crt /etc/haproxy/oyez.pem": tls,
    }


def _nginx_changes(place: Place) -> dict[str, str]:
    paths = " ".join(f"{name}_temp_path {place.directory / name};" for name in NGINX_PATHS)
    issued = place.certificates
    return {
        "access_log off;": f"access_log off; {paths}",  # those of Debian belong to root
        "listen 80;": f"listen 127.0.0.1:{place.port};",
        "# listen 443 ssl;": f"listen 127.0.0.1:{place.tls_port} ssl;",
        "# ssl_certificate /etc/nginx/oyez.pem;": f"ssl_certificate {issued.certificate};",
        "# ssl_certificate_key /etc/nginx/oyez.key;": f"ssl_certificate_key {issued.key};",
    }


def _caddy_changes(place: Place) -> dict[str, str]:
    files = f"{place.certificates.certificate} {place.certificates.key}"
    tls = f"https://127.0.0.1:{place.tls_port} {{\n\ttls {files}\n\timport oyez\n}}\n"
    top = "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}\n"
    return {
        "(health) {": f"{top}(health) {{",
        ":80 {": f"{tls}http://127.0.0.1:{place.port} {{",
    }


def _nginx_command(place: Place, file: Path) -> list[str]:
    own = f"daemon off; pid {place.directory / 'nginx.pid'};"
    return ["-c", str(file), "-p", str(place.directory), "-e", "stderr", "-g", own]


KINDS = {
    "haproxy": Kind(
        "haproxy", "haproxy.cfg", _haproxy_changes, lambda _, file: ["-db", "-f", str(file)]
    ),
    "nginx": Kind("nginx", "nginx.conf", _nginx_changes, _nginx_command, asks=False),
    "caddy": Kind(
        "caddy",
        "Caddyfile",
        _caddy_changes,
        lambda _, file: ["run", "--adapter", "caddyfile", "--config", str(file)],
    ),
}


def program(name: str) -> str | None:
    """Where it is installed; ``/usr/sbin`` is not in everybody's path."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def is_installed(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        program(name) is None and not os.environ.get("CI"),
        reason=f"{name} is not installed: sudo apt-get install {name}",
    )


def configured(kind: Kind, place: Place) -> str:
    """Its file with the addresses and paths of this test; each must have been there."""
    text = (DEPLOY / kind.file).read_text()
    nodes = {
        f"node{number}:6001": f"127.0.0.1:{port}" for number, port in enumerate(place.nodes, 1)
    }
    for old, new in {**nodes, **kind.changes(place)}.items():
        assert old in text, f"{kind.file} has no {old!r}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(
    kind: Kind, nodes: Sequence[int], directory: Path, certificates: Certificates
) -> Iterator[tuple[RunningServer, int]]:
    """One proxy in front of the nodes at these ports: as a server to talk to, and its TLS port."""
    place = Place(directory, nodes, free_port(), free_port(), certificates)
    file = directory / kind.file
    file.write_text(configured(kind, place))
    found = program(kind.program)
    assert found is not None, f"install it: sudo apt-get install {kind.program}"
    own = {"HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [found, *kind.command(place, file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            env={**os.environ, **own},
        )
    proxy = RunningServer(process, port=place.port)
    try:
        until(lambda: process.poll() is not None or proxied(proxy))
        assert process.poll() is None, (directory / "log").read_text()
        yield proxy, place.tls_port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def proxied(proxy: RunningServer) -> bool:
    """Whether a node answers through it."""
    url = f"http://{proxy.host}:{proxy.port}/up"
    return httpx2.get(url, timeout=2, trust_env=False).status_code == 200
