"""Writes the generated pages of ``docs/reference`` from the code: ``make docs``."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from oyez.protocol.app import Limits
from oyez.server.app_settings import AppSettings, TokenSettings, WebhookSettings
from oyez.server.config import (
    ClusterSettings,
    Settings,
    WebhookDeliverySettings,
)
from oyez.server.node_limits import NodeLimitSettings

PAGE = Path(__file__).with_name("reference") / "configuration.md"
INTRODUCTION = """\
# Configuration

Written by `make docs` from the settings model; do not edit.

Order, later wins: built-in defaults, a TOML file (`--config`, or `oyez.toml` in the working
directory), environment variables, the command line. `oyez config` prints the effective
configuration with secrets hidden; `oyez config --check FILE` says what is wrong with a file and
where. `docs/guide/configuration.md` has an example.
"""
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Server", "At the top of the file.", Settings),
    ("Node limits: `[limits]`", "What one node spends on its connections.", NodeLimitSettings),
    (
        "Many nodes: `[cluster]`",
        "Only with an `engine` other than `memory`; [how to run it](../operations/cluster.md).",
        ClusterSettings,
    ),
    ("App: `[[apps]]`", "One table per app.", AppSettings),
    (
        "Webhook delivery: `[webhooks]`",
        "How webhooks of all apps are kept and delivered.",
        WebhookDeliverySettings,
    ),
    (
        "Webhook: `[[apps.webhooks]]`",
        "One table per endpoint of an app; the [guide](../guide/webhooks.md) has examples.",
        WebhookSettings,
    ),
    ("Token: `tokens` of an app", "`key` and `secret` in the app stand for one.", TokenSettings),
)
NESTED = {"limits", "apps", "webhooks", "cluster"}
PREFIXES: dict[type[BaseModel], str] = {
    Settings: "OYEZ_",
    NodeLimitSettings: "OYEZ_LIMITS__",
    ClusterSettings: "OYEZ_CLUSTER__",
    WebhookDeliverySettings: "OYEZ_WEBHOOKS__",
}


def rows(model: type[BaseModel]) -> Iterator[str]:
    """One row of the table per setting."""
    for name, field in model.model_fields.items():
        if name in NESTED:
            continue
        prefix = PREFIXES.get(model)
        variable = f"`{prefix}{name.upper()}`" if prefix else ""
        yield f"| `{name}` | {default_of(field)} | {variable} | {field.description or ''} |"


def default_of(field: FieldInfo) -> str:
    """A default as it would be written in TOML."""
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True), default=str)}`"


def limit_rows() -> Iterator[str]:
    """The limits of an app, whose fields are those of a dataclass of the protocol."""
    described: dict[str, str] = dict(limit_descriptions(Limits.__doc__ or ""))
    for each in fields(Limits):
        yield f"| `{each.name}` | `{each.default}` | {described[each.name]} |"


def limit_descriptions(docstring: str) -> Iterator[tuple[str, str]]:
    """Name and text of each attribute in a docstring of our style."""
    name, words = "", list[str]()
    for line in docstring.partition("Attributes:")[2].splitlines():
        if line.startswith("        ") and not line.startswith("         "):
            if name:
                yield name, " ".join(words)
            name, _, text = line.strip().partition(": ")
            words = [text]
        elif line.strip():
            words.append(line.strip())
    yield name, " ".join(words)


def page() -> str:
    """The whole page."""
    parts: list[Any] = [INTRODUCTION]
    for title, text, model in SECTIONS:
        parts += [f"## {title}\n", f"{text}\n"]
        parts += ["| setting | default | variable | meaning |\n|---|---|---|---|"]
        parts += [*rows(model), ""]
    parts += ["## App limits: `[apps.limits]`\n"]
    parts += ["Sizes are bytes of UTF-8, lengths characters, times seconds.\n"]
    parts += ["| limit | default | meaning |\n|---|---|---|", *limit_rows(), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
