"""Who may import whom: the table of ARCHITECTURE.md, held against every import statement.

It reads source and does not look at loaded modules, because importing ``oyez.protocol`` runs
``oyez/__init__.py`` first.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "oyez"

# Of our own code, beside what a module's own package offers in its lower modules.
PROTOCOL = {"protocol"}
ENGINE = {"protocol", "server.engine"}
ALLOWED: dict[str, set[str]] = {
    "__init__": {"sdk"},
    "__main__": {"cli"},
    "cli": {"", "cli", "protocol", "sdk"},
    "cli.checking": {"cli", "conformance"},
    "cli.configuration": {"cli", "server.config", "server.redaction"},
    "cli.doctor": {"cli", "sdk", "server.capacity", "server.config", "server.tls"},
    "cli.serving": {
        "",
        "cli",
        "server.config",
        "server.embedded",
        "server.logs",
        "server.node",
        "server.webhooks",
        "server.workers",
    },
    "conformance": {"", "conformance", "protocol"},
    "protocol": PROTOCOL,
    "pusher": {"", "protocol", "pusher", "sdk"},
    "sdk": {"", "protocol", "sdk"},
    "server": set(),
    "testing": {"protocol", "sdk", "testing"},
    "testing.server": {"protocol", "sdk", "server.node", "testing"},
    "testing.settings": {"protocol", "server.config", "testing"},
    "testing.thread": {"server.config", "server.node", "testing"},
    "server.addresses": {"server.reached"},
    "server.admin": {"protocol", "server.metrics"},
    "server.api": ENGINE
    | {
        "server.apps",
        "server.cors",
        "server.http_reader",
        "server.http_response",
        "server.metering",
        "server.metrics",
        "server.routes",
    },
    "server.app_settings": PROTOCOL,
    "server.apps": PROTOCOL,
    "server.broadcast": {"server.ring"},
    "server.capacity": {"server.config"},
    "server.config": {
        "protocol",
        "server.app_settings",
        "server.broadcast",
        "server.logs",
        "server.node_limits",
    },
    "server.cors": {"server.http_reader", "server.http_response"},
    "server.deadlines": set(),
    "server.descriptors": set(),
    "server.eager": set(),
    "server.embedded": set(),
    "server.engine": PROTOCOL,
    "server.engine.aftermath": ENGINE,
    "server.engine.backplane": ENGINE,
    "server.engine.cluster": ENGINE,
    "server.engine.holdings": ENGINE,
    "server.engine.interest": ENGINE,
    "server.engine.knowledge": ENGINE,
    "server.engine.latest": ENGINE,
    "server.engine.lease": ENGINE,
    "server.engine.memory": ENGINE,
    "server.engine.nats": ENGINE | {"server.engine.nats"},
    "server.engine.redis": ENGINE | {"server.engine.redis"},
    "server.siblings": {"server.descriptors", "server.http_reader", "server.http_response"},
    "server.fallback": {
        "protocol",
        "server.siblings",
        "server.deadlines",
        "server.fallback_socket",
        "server.gate",
        "server.http_reader",
        "server.http_response",
        "server.turns",
    },
    "server.fallback_socket": {
        "protocol",
        "server.deadlines",
        "server.frames",
        "server.gate",
        "server.http_response",
        "server.pace",
        "server.turns",
        "server.websocket",
    },
    "server.forwarded": set(),
    "server.frames": set(),
    "server.gate": {
        "protocol",
        "server.apps",
        "server.deadlines",
        "server.forwarded",
        "server.frames",
        "server.http_reader",
        "server.http_response",
        "server.session",
        "server.upgrade",
        "server.websocket",
    },
    "server.http": {
        "server.descriptors",
        "server.eager",
        "server.forwarded",
        "server.http_reader",
        "server.http_response",
        "server.http_server",
        "server.http_stream",
    },
    "server.http_server": {
        "server.addresses",
        "server.deadlines",
        "server.forwarded",
        "server.http_reader",
        "server.http_response",
        "server.reached",
        "server.unanswered",
    },
    "server.http_stream": {"server.http_response"},
    "server.listener": {"server.config", "server.http", "server.http_server"},
    "server.reached": {"server.deadlines"},
    "server.unanswered": set(),
    "server.http_reader": {"server.upgrade"},
    "server.http_response": {"server.http_reader"},
    "server.hub": {"protocol", "server.broadcast", "server.frames", "server.metering"},
    "server.logs": set(),
    "server.redaction": set(),
    "server.metrics": {"", "protocol", "server.engine", "server.hub"},
    "server.node": {"protocol", "server"},
    "server.node_limits": {"server.app_settings"},
    "server.metering": ENGINE,
    "server.occupancy": ENGINE
    | {"server.deadlines", "server.eager", "server.rate", "server.turns", "server.webhooks"},
    "server.rate": {"server.deadlines"},
    "server.session": ENGINE
    | {
        "server.addresses",
        "server.broadcast",
        "server.deadlines",
        "server.eager",
        "server.frames",
        "server.hub",
        "server.metrics",
        "server.occupancy",
        "server.reached",
        "server.signin",
        "server.turns",
        "server.webhooks",
    },
    "server.pace": {"server.turns"},
    "server.ring": set(),
    "server.routes": PROTOCOL,
    "server.signin": ENGINE | {"server.broadcast", "server.hub", "server.occupancy"},
    "server.tls": {"server.config"},
    "server.turns": set(),
    "server.upgrade": set(),
    "server.webhooks": ENGINE | {"server.redaction", "server.webhooks"},
    "server.webhooks.assembly": {
        "protocol",
        "server.apps",
        "server.config",
        "server.engine.cluster",
        "server.webhooks",
    },
    "server.workers": {"server"},
    "server.websocket": {
        "server.deadlines",
        "server.descriptors",
        "server.frames",
        "server.pace",
        "server.turns",
    },
    "server.welcome": ENGINE | {"server.config"},
}

# Third-party packages, with the only files that may import them; ARCHITECTURE.md says why each.
LIBRARIES: dict[str, set[str]] = {
    "aiofastnet": {"server.listener"},
    "aiohttp": {"sdk.aiohttp_transport"},
    "anyio": {"sdk.transport"},
    "httptools": {"server.http_reader"},
    "httpx2": {"cli.webhooks", "conformance", "sdk.transport", "server.webhooks"},
    "msgspec": {
        "cli",
        "protocol",
        "sdk",
        "server.api",
        "server.engine",
        "server.fallback",
        "server.gate",
        "server.logs",
        "server.siblings",
        "server.webhooks",
        "testing.receiver",
    },
    "nacl": {"sdk.encryption"},
    "nats": {"server.engine.nats.client", "server.engine.nats.link"},
    "prometheus_client": {"server.metrics"},
    "pydantic": {
        "cli.configuration",
        "cli.places",
        "server.app_settings",
        "server.config",
        "server.node_limits",
    },
    "pydantic_settings": {"server.config", "testing.settings"},
    "pytest": {"testing.plugin"},
    "redis": {"server.engine.redis"},
    "requests": {"pusher.requests"},
    "rich": {"cli", "conformance"},
    "sqlalchemy": {"server.webhooks"},
    "starlette": {"server.admin", "server.node", "server.webhooks", "server.welcome"},
    "structlog": {
        "server.admin",
        "server.api",
        "server.deadlines",
        "server.embedded",
        "server.engine",
        "server.gate",
        "server.logs",
        "server.node",
        "server.occupancy",
        "server.reached",
        "server.session",
        "server.webhooks",
        "server.turns",
        "server.workers",
        "testing.logs",
    },
    "tomli_w": {"cli.configuration", "cli.credentials"},
    "typer": {"cli"},
    "uvicorn": {"server.admin"},
    "uvloop": {"cli.serving"},
    "yarl": {"sdk.aiohttp_transport"},
    "websockets": {"conformance", "sdk.link"},
}

# The standard library that a package without I/O, clock and environment may use.
PURE = {
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "operator",
    "re",
    "reprlib",
    "typing",
    "urllib",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports; a name taken from a package counts if it is a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("oyez.")
                yield f"oyez.{inner}" if inner in MODULES else node.module


def within(module: str, allowed: set[str]) -> bool:
    return any(module == each or (each and module.startswith(f"{each}.")) for each in allowed)


def rule_of(module: str) -> set[str]:
    while module and module not in ALLOWED:
        module = module.rpartition(".")[0]
    return ALLOWED.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_it_may(module: str) -> None:
    for name in imports(MODULES[module]):
        top, _, rest = name.partition(".")
        if top == "oyez":
            assert within(rest, rule_of(module)), f"{module} may not import {name}"
        elif top in sys.stdlib_module_names:
            if module.startswith("protocol"):
                assert top in PURE, f"{module} may not import {name}"
        else:
            assert within(module, LIBRARIES.get(top, set())), f"{module} may not import {name}"


def test_every_rule_is_of_a_module_that_exists() -> None:
    assert set(ALLOWED) <= set(MODULES)
    for library, files in LIBRARIES.items():
        for file in files:
            assert any(
                library == name.partition(".")[0] for path in _under(file) for name in imports(path)
            ), f"{file} does not import {library}"


def _under(module: str) -> list[Path]:
    return [path for name, path in MODULES.items() if within(name, {module})]


def test_the_architecture_page_names_every_library_and_module() -> None:
    page = (PACKAGE.parent.parent / "ARCHITECTURE.md").read_text()

    for library in LIBRARIES:
        assert library.replace("_", "-") in page or library in page, library
    for module in MODULES:
        name = module.rpartition(".")[2]
        if not name.startswith("__") and not module.startswith("conformance."):
            assert name in page, module
