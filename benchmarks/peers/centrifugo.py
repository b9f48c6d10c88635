"""Centrifugo, built by the Go toolchain."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.peer import INSTALLED, Peer, Place, first_line, http_request, needed, run

FOLDER = INSTALLED / "centrifugo"
PROGRAM = FOLDER / "centrifugo"
VERSION = "v6.9.1"
MODULE = f"github.com/centrifugal/centrifugo/v6@{VERSION}"
KEY = "bench-key"


class Centrifugo(Peer):
    name = "centrifugo"
    config = "centrifugo.json"
    dialect = "centrifugo"
    published_body = '{"result":{}}'
    batch_body = '{"replies":[' + ",".join(['{"publish":{}}'] * 10) + "]}"
    up_path = "/health"
    presence_prefix = "presence:"

    def install(self) -> None:
        if PROGRAM.exists():
            return
        go = needed("go", "the Go toolchain")
        FOLDER.mkdir(parents=True, exist_ok=True)
        run(go, "install", MODULE, cwd=FOLDER, environment={"GOBIN": str(FOLDER)})

    def version(self) -> str:
        go = first_line(str(PROGRAM), "version").partition("Go version: ")[2].rstrip(")")
        return f"{VERSION.lstrip('v')} on {go}"

    def command(self, config: Path) -> list[str]:
        return [str(PROGRAM), "--config", str(config)]

    def configuration(self, place: Place) -> dict[str, str]:
        if place.certificate is None:
            return {"tls": ""}
        files = {"cert_pem": str(place.certificate), "key_pem": str(place.key)}
        return {"tls": f', "tls": {json.dumps({"enabled": True, **files})}'}

    def publish(self, channel: str, data: str) -> bytes:
        body = f'{{"channel":"{channel}","data":{data}}}'
        return http_request("/api/publish", body.encode(), (f"X-API-Key: {KEY}",))

    def publish_batch(self, channel: str, data: list[str]) -> bytes:
        commands = ",".join(f'{{"publish":{{"channel":"{channel}","data":{x}}}}}' for x in data)
        body = f'{{"commands":[{commands}]}}'
        return http_request("/api/batch", body.encode(), (f"X-API-Key: {KEY}",))
