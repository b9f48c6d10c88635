"""Signed API requests by hand (http-api.md 2.2), independent of the code under test.

An answer of 200 to one of these proves that the server read exactly the body that was meant: its
MD5 is part of what is signed.
"""

import hashlib
import hmac
import json
import time

from tests.conftest import RunningServer

__all__ = ["event_body", "publish_target", "signed_target"]


def event_body(size: int | None = None) -> bytes:
    """A body that publishes one event, padded to ``size`` bytes with a parameter nobody reads."""
    fields = {"name": "greeting", "channel": "conformance", "data": "hello", "padding": ""}
    bare = len(json.dumps(fields))
    return json.dumps({**fields, "padding": "x" * ((size or bare) - bare)}).encode()


def publish_target(server: RunningServer, body: bytes) -> str:
    """Path and query of a request that publishes ``body``."""
    return signed_target(server, "POST", f"/apps/{server.app_id}/events", body)


def signed_target(server: RunningServer, method: str, path: str, body: bytes = b"") -> str:
    """Path and signed query of a request to the HTTP API."""
    query = f"auth_key={server.key}&auth_timestamp={int(time.time())}&auth_version=1.0"
    if body:
        query += f"&body_md5={hashlib.md5(body).hexdigest()}"
    signed = f"{method}\n{path}\n{query}".encode()
    signature = hmac.new(server.secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"{path}?{query}&auth_signature={signature}"
