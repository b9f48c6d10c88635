"""The vectors of the specification as data, usable from any language.

``requests``: signed API requests (HTTP-*). ``authorizations``: channels and users (AUTH-*).
``webhooks``: signed bodies (HOOK-*). ``encryption``: encrypted events (E2E-*).
"""

import json
from pathlib import Path
from typing import Any

Vector = dict[str, Any]


def load(name: str) -> list[Vector]:
    """All vectors of one file."""
    found: list[Vector] = json.loads(Path(__file__).with_name(f"{name}.json").read_text())
    return found
