"""The Lua scripts beside this file, as the server knows them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BEAT",
    "CACHED",
    "CHANNELS",
    "JOIN",
    "LEAVE",
    "PUBLISH",
    "RESTATE",
    "ROLL",
    "SWEEP",
    "Script",
]


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name under which the server keeps it once it has seen it."""

    text: str
    digest: str


def _script(name: str, *, of_app: bool = True) -> Script:
    folder = Path(__file__).parent
    text = (folder / "lib.lua").read_text() if of_app else ""
    text += (folder / f"{name}.lua").read_text()
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


BEAT = _script("beat")
CACHED = _script("cached", of_app=False)
CHANNELS = _script("channels")
JOIN = _script("join")
LEAVE = _script("leave")
PUBLISH = _script("publish", of_app=False)
RESTATE = _script("restate")
ROLL = _script("roll")
SWEEP = _script("sweep")
