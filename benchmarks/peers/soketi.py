"""soketi 1.6.1 from npm, on a build of µWebSockets for today's Node."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.peer import (
    INSTALLED,
    PIPELINES,
    MissingError,
    Place,
    first_line,
    needed,
    run,
)
from benchmarks.peers.pusher import PusherPeer

FOLDER = INSTALLED / "soketi"
PROGRAM = FOLDER / "node_modules/@soketi/soketi/bin/server.js"
NODE_AT_LEAST = 20
PACKAGE = {
    "private": True,
    "dependencies": {"@soketi/soketi": "1.6.1"},
    # 1.6.1 asks for µWebSockets from a git address, in a build that only Node 18 and older load.
    "overrides": {"uWebSockets.js": "npm:uwebsockets@3.0.6"},
}


class Soketi(PusherPeer):
    name = "soketi"
    config = "soketi.json"
    published_body = '{"ok":true}'
    batch_body = '{"ok":true}'
    keeps_connections = False
    up_path = "/"
    lacks = frozenset({PIPELINES})

    def install(self) -> None:
        node, npm = needed("node", "Node 20+"), needed("npm", "Node 20+")
        major = int(first_line(node, "--version").lstrip("v").split(".")[0])
        if major < NODE_AT_LEAST:
            raise MissingError(f"needs Node {NODE_AT_LEAST}+, this is {major}")
        if PROGRAM.exists():
            return
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "package.json").write_text(json.dumps(PACKAGE))
        run(npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=FOLDER)

    def version(self) -> str:
        node = first_line(needed("node", "Node 20+"), "--version").lstrip("v")
        return f"1.6.1 on Node {node} with uwebsockets 3.0.6"

    def command(self, config: Path) -> list[str]:
        return [needed("node", "Node 20+"), str(PROGRAM), "start", f"--config={config}"]

    def configuration(self, place: Place) -> dict[str, str]:
        if place.certificate is None:
            return {"tls": ""}
        files = f'"ssl.certPath": "{place.certificate}", "ssl.keyPath": "{place.key}"'
        return {"tls": f",\n  {files}"}
