"""Where an app is and how to prove that one may speak for it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from oyez.protocol.signing import Token, body_digest
from oyez.sdk.arguments import text

__all__ = ["Address", "options_of_environment", "options_of_url"]

_APP_ID = re.compile(r"[0-9]+", re.ASCII)
_IN_PATH = "/-_=@,.;:~#"
_FORM = "http(s)://KEY:SECRET@HOST[:PORT][/PREFIX]/apps/APP_ID"


@dataclass(frozen=True, slots=True)
class Address:
    """One app of one server.

    Attributes:
        app_id: decimal digits.
        token: signs every request.
        base: scheme, host and port, such as ``https://api-eu.pusher.com``.
        prefix: path before ``/apps``, signed too; usually empty.
    """

    app_id: str
    token: Token
    base: str
    prefix: str = ""

    @classmethod
    def of(
        cls,
        app_id: str,
        key: str,
        secret: str,
        *,
        cluster: str | None = None,
        host: str | None = None,
        port: int | None = None,
        ssl: bool = True,
        path: str = "",
    ) -> "Address":
        """From the arguments of a client; ``host`` wins over ``cluster``.

        Raises:
            TypeError: an argument of the wrong type.
            ValueError: an app id that is not digits, or neither host nor cluster.
        """
        app_id, key, secret = text("app_id", app_id), text("key", key), text("secret", secret)
        if not _APP_ID.fullmatch(app_id):
            raise ValueError(f"app_id must be decimal digits, not {app_id!r}")
        if not key or not secret:
            raise ValueError("key and secret must not be empty")
        if not host and not cluster:
            raise ValueError("host or cluster must be given")
        name = text("host", host) if host else f"api-{text('cluster', cluster)}.pusher.com"
        if ":" in name and not name.startswith("["):
            name = f"[{name}]"
        base = f"{'https' if ssl else 'http'}://{name}"
        if port:
            base += f":{port}"
        prefix = text("path", path).strip("/")
        return cls(app_id, Token(key, secret), base, f"/{prefix}" if prefix else "")

    def path_to(self, path: str) -> str:
        """The path that is meant: ``path`` is relative to the app."""
        return f"{self.prefix}/apps/{self.app_id}{path}"

    def signed_path(self, path: str) -> str:
        """What to sign for a path that is meant.

        Signed is what is meant, and what is sent only where it could be taken for something else:
        the user ``a%26b`` is not ``a&b``.
        """
        return path if unquote(path) == path and "\n" not in path else _quoted(path)

    def url_of(self, path: str, query: str) -> str:
        """The URL of a request for a path that is meant, with its signed query."""
        return f"{self.base}{_quoted(path)}?{query}"

    def sign(
        self, method: str, path: str, params: Mapping[str, str], body: bytes, timestamp: int
    ) -> str:
        """The whole query: ``params``, the authentication and last the signature.

        Values are signed as they are and percent-encoded only in the result (spec
        ``http-api.md`` 2.2).

        Raises:
            ValueError: the signature would be good for other parameters, too.
        """
        parts = {
            "auth_key": self.token.key,
            "auth_timestamp": str(timestamp),
            "auth_version": "1.0",
        }
        if body:
            parts["body_md5"] = body_digest(body)
        if params:
            _check_params(params)
            parts.update((name.lower(), value) for name, value in params.items())
            parts = dict(sorted(parts.items()))
        signed = "&".join([f"{name}={value}" for name, value in parts.items()])
        signature = self.token.sign(f"{method}\n{path}\n{signed}".encode())
        if params:
            signed = urlencode(parts, quote_via=quote, safe="")
        else:
            signed = signed.replace(self.token.key, quote(self.token.key, safe=""), 1)
        return f"{signed}&auth_signature={signature}"


def _quoted(path: str) -> str:
    quoted = quote(path, safe=_IN_PATH).replace("#", "%23")
    if "/." in quoted:  # a user may be called "..", which HTTP libraries take for the way up
        parts = quoted.split("/")
        quoted = "/".join(x.replace(".", "%2E") if x in (".", "..") else x for x in parts)
    return quoted


def _check_params(params: Mapping[str, str]) -> None:
    for name, value in params.items():
        if "&" in value or "&" in name or "=" in name:
            raise ValueError(
                f"params must have no & in names and values and no = in names, not {name!r} with "
                f"{value!r}: what is signed would mean other parameters, too"
            )


def options_of_url(url: str) -> dict[str, Any]:
    """Arguments of a client, from ``http(s)://KEY:SECRET@HOST[:PORT][/PREFIX]/apps/APP_ID``.

    Raises:
        TypeError: not a string.
        ValueError: another form; the message does not repeat the secret.
    """
    try:
        parts = urlsplit(text("url", url))
        port = parts.port
    except ValueError as error:
        raise ValueError(f"url must look like {_FORM}: {error}") from None
    prefix, apps, app_id = parts.path.rpartition("/apps/")
    if (
        parts.scheme not in ("http", "https")
        or not (parts.username and parts.password and parts.hostname and apps)
        or not _APP_ID.fullmatch(app_id)
        or parts.query
        or parts.fragment
    ):
        raise ValueError(f"url must look like {_FORM}")
    return {
        "app_id": app_id,
        "key": unquote(parts.username),
        "secret": unquote(parts.password),
        "host": parts.hostname,
        "port": port,
        "ssl": parts.scheme == "https",
        "path": unquote(prefix),
    }


def options_of_environment(
    name: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Arguments of a client from a variable with a URL, or else from ``PUSHER_APP_ID`` and so on.

    Raises:
        ValueError: neither is there, or something is not what it must be.
    """
    found = os.environ if environment is None else environment
    if found.get(name):
        return options_of_url(found[name])
    app_id = found.get("PUSHER_APP_ID", "")
    key = found.get("PUSHER_APP_KEY") or found.get("PUSHER_KEY", "")
    secret = found.get("PUSHER_APP_SECRET") or found.get("PUSHER_SECRET", "")
    if not (app_id and key and secret):
        raise ValueError(
            f"environment variable {name} is not set, nor are PUSHER_APP_ID, PUSHER_APP_KEY and "
            "PUSHER_APP_SECRET"
        )
    scheme, port = found.get("PUSHER_SCHEME", "https"), found.get("PUSHER_PORT", "")
    if scheme not in ("http", "https"):
        raise ValueError(f"PUSHER_SCHEME must be http or https, not {scheme!r}")
    if port and not port.isdecimal():
        raise ValueError(f"PUSHER_PORT must be a number, not {port!r}")
    return {
        "app_id": app_id,
        "key": key,
        "secret": secret,
        "host": found.get("PUSHER_HOST") or None,
        "cluster": found.get("PUSHER_APP_CLUSTER") or None,
        "port": int(port) if port else None,
        "ssl": scheme == "https",
    }
