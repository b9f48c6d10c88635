"""Oyez itself, from this working tree."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.peers.peer import Place
from benchmarks.peers.pusher import PusherPeer


class Oyez(PusherPeer):
    name = "oyez"
    config = "oyez.toml"

    def install(self) -> None:
        """It is what runs this."""

    def version(self) -> str:
        return f"{metadata.version('oyez')} on CPython {platform.python_version()}"

    def command(self, config: Path) -> list[str]:
        return [sys.executable, "-m", "oyez", "serve", "--config", str(config)]

    def configuration(self, place: Place) -> dict[str, str]:
        if place.certificate is None:
            return {"tls": ""}
        return {"tls": f'tls_certificate = "{place.certificate}"\ntls_key = "{place.key}"'}
