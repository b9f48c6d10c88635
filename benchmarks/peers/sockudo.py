"""Sockudo, built by cargo."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.peers.peer import (
    INSTALLED,
    PIPELINES,
    Place,
    first_line,
    needed,
    run,
    unpack_debian,
)
from benchmarks.peers.pusher import PusherPeer

FOLDER = INSTALLED / "sockudo"
PROGRAM = FOLDER / "bin/sockudo"
VERSION = "5.2.0"
# One of its libraries compiles a protocol description while it is built.
COMPILER = ("protobuf-compiler", "libprotoc32", "libprotobuf32", "libprotobuf-dev")


class Sockudo(PusherPeer):
    name = "sockudo"
    config = "sockudo.toml"
    published_body = '{"ok":true}'
    keeps_connections = False
    lacks = frozenset({PIPELINES})

    def install(self) -> None:
        if PROGRAM.exists():
            return
        cargo = needed("cargo", "the Rust toolchain")
        target = FOLDER / "target"
        command = ["install", f"sockudo@{VERSION}", "--locked", "--root", str(FOLDER)]
        environment = {"CARGO_TARGET_DIR": str(target), **_protoc()}
        FOLDER.mkdir(parents=True, exist_ok=True)
        run(cargo, *command, cwd=FOLDER, environment=environment)
        shutil.rmtree(target)  # gigabytes that only another build would use

    def version(self) -> str:
        return first_line(str(PROGRAM), "--version").split()[-1]

    def command(self, config: Path) -> list[str]:
        return [str(PROGRAM), "--config", str(config)]

    def configuration(self, place: Place) -> dict[str, str]:
        if place.certificate is None:
            return {"tls": ""}
        files = f'cert_path = "{place.certificate}"\nkey_path = "{place.key}"'
        return {"tls": f"[ssl]\nenabled = true\n{files}"}


def _protoc() -> dict[str, str]:
    """Where protoc is: installed, or unpacked from Debian's packages."""
    if shutil.which("protoc"):
        return {}
    root = unpack_debian(INSTALLED / "protoc", *COMPILER)
    libraries = next(root.glob("usr/lib/*/libprotoc.so.*")).parent
    return {
        "PROTOC": str(root / "usr/bin/protoc"),
        "PROTOC_INCLUDE": str(root / "usr/include"),
        "LD_LIBRARY_PATH": str(libraries),
    }
