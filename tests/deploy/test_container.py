"""Dockerfile and compose.yaml, as far as they can be tried without Docker."""

import configparser
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from oyez.server.config import Settings, load
from tests.conftest import RunningServer
from tests.redis_server import free_port

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
SECRET = "5ecre7"


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def last(name: str) -> str:
    return [rest for each, rest in instructions() if each == name][-1]


def healthcheck() -> list[str]:
    command: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def is_healthy(server: RunningServer) -> bool:
    own = {**os.environ, "OYEZ_ADMIN_PORT": str(server.admin_port), "no_proxy": "*"}
    return subprocess.run(healthcheck(), env=own, capture_output=True, timeout=120).returncode == 0


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    sources = {each for part in copied if not part[0].startswith("--") for each in part}
    assert {"src", "pyproject.toml"} <= sources
    assert sources == let_in
    assert all((ROOT / each).exists() for each in sources)


def test_the_extras_that_are_installed_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = re.search(r"pip install .*'\.\[(.+)\]'", (ROOT / "Dockerfile").read_text())
    assert found is not None
    assert set(found[1].split(",")) <= set(project["optional-dependencies"])


def test_it_does_not_run_as_root_and_gets_its_signals_itself() -> None:
    assert last("USER") not in ("root", "0")
    assert json.loads(last("ENTRYPOINT")) + json.loads(last("CMD")) == ["oyez", "serve"]


def test_the_health_check_follows_readiness(start_server: Callable[..., RunningServer]) -> None:
    ready = start_server("")
    assert is_healthy(ready)
    nowhere = start_server(f'engine = "redis://127.0.0.1:{free_port()}"')
    assert not is_healthy(nowhere)
    ready.process.send_signal(signal.SIGTERM)
    ready.process.wait(20)
    assert not is_healthy(ready)


def composed(**given: str) -> dict[str, Any]:
    """The file with its variables replaced as Compose does it."""

    def value(found: re.Match[str]) -> str:
        name, operator, text = found.groups()
        if given.get(name):
            return given[name]
        if operator == ":?":
            raise LookupError(f"{name}: {text}")
        return text

    text = re.sub(r"\$\{(\w+)(:[?-])([^}]*)\}", value, (DEPLOY / "compose.yaml").read_text())
    assert "${" not in text
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def example() -> dict[str, str]:
    lines = (DEPLOY / "example.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: text for name, _, text in pairs}


def settings_of(services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a node of the compose file is started with, on top of what the image sets."""
    image = dict(pair.split("=", 1) for pair in last("ENV").split() if pair.startswith("OYEZ"))
    for variable, text in {**image, **services[name]["environment"]}.items():
        monkeypatch.setenv(variable, text)
    return load(None)


def test_credentials_have_to_be_made_up() -> None:
    with pytest.raises(LookupError, match=r"^APP_KEY: see example\.env$"):
        composed(**example())


def test_the_nodes_are_two_of_one_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    services = composed(**{**example(), "APP_KEY": "k", "APP_SECRET": SECRET})["services"]
    assert services["node1"] == services["node2"]
    settings = settings_of(services, "node1", monkeypatch)
    assert settings.engine == "redis://redis:6379/0"
    assert "redis" in services
    assert settings.trust_proxy
    assert settings.apps[0].tokens[0].secret.get_secret_value() == SECRET
    grace = int(services["node1"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.lame_duck_seconds + settings.drain_seconds + 5


def test_the_sample_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    services = composed(**{**example(), "APP_KEY": "app-key", "APP_SECRET": "app-secret"})
    with pytest.raises(ValueError, match="sample secret must not be reachable at 0\\.0\\.0\\.0"):
        settings_of(services["services"], "node1", monkeypatch)


def test_only_the_proxy_is_reached_and_only_from_this_machine_by_default() -> None:
    services = composed(APP_ID="1001", APP_KEY="k", APP_SECRET=SECRET)["services"]
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"haproxy": ["127.0.0.1:6001:80"]}
    servers = re.findall(r"server (\w+) (\w+):6001", (DEPLOY / "haproxy.cfg").read_text())
    assert {name for pair in servers for name in pair} == {"node1", "node2"}
    mounted = services["haproxy"]["volumes"][0].split(":")[0]
    assert (DEPLOY / mounted).is_file()


def systemd_service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "oyez.service")
    return unit["Service"]


def test_what_systemd_makes_is_for_nobody_else() -> None:
    service = systemd_service()
    assert (service["UMask"], service["StateDirectoryMode"]) == ("0077", "0700")


def test_systemd_gives_it_no_more_than_it_needs() -> None:
    service = systemd_service()
    assert service["PrivateDevices"] == service["NoNewPrivileges"] == "true"
    assert "AF_PACKET" not in service["RestrictAddressFamilies"].split()
    assert service["MemoryMax"].endswith("%")


def test_systemd_waits_for_the_whole_end() -> None:
    service = systemd_service()
    assert service["User"] not in ("root", "")
    assert service["ExecStart"].split()[1] == "serve"
    settings = Settings.model_fields
    longest = settings["lame_duck_seconds"].default + settings["drain_seconds"].default
    assert int(service["TimeoutStopSec"]) > longest + 30
