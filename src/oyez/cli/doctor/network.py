"""What is elsewhere: the server at ``--url``, its clock, the engine."""

import contextlib
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from oyez.cli.doctor.finding import Finding
from oyez.cli.output import netloc
from oyez.cli.target import DEVELOPMENT_URL, explain, shown
from oyez.sdk.client import Client
from oyez.sdk.errors import OyezError
from oyez.sdk.transport import HttpOptions, HttpTransport, Request, Response

__all__ = ["engine", "server"]

_TIMEOUT = 5.0
_UNNOTICED = 2.0  # a Date header has whole seconds
_REFUSED = 600.0  # spec ``http-api.md`` 2.3: a time stamp may be so far off
_PORTS = {"redis": 6379, "rediss": 6379, "cluster": 6379, "sentinel": 26379, "nats": 4222}
_NTP = "sudo timedatectl set-ntp true"


_Place = tuple[str, int]  # host and port, or path and 0


class _Observed(HttpTransport):
    """Remembers the last answer, and how long it took: the SDK has no use for its headers."""

    answer: Response | None = None
    asked = came = 0.0

    def send(self, request: Request) -> Response:
        self.asked = time.time()
        self.answer = super().send(request)
        self.came = time.time()
        return self.answer


def server(url: str) -> list[Finding]:
    """Whether it answers, takes the credentials, and has the same time.

    Raises:
        ValueError: ``url`` is not one of an app.
    """
    transport = _Observed(HttpOptions(timeout=_TIMEOUT))
    with contextlib.closing(transport):
        client = Client.from_url(url, transport=transport, retries=0)
        try:
            client.channels()
        except OyezError as error:
            reachable = _refused(url, error, answered=transport.answer is not None)
        else:
            reachable = Finding("server", "ok", f"{shown(url)} answers and knows the credentials")
    return [reachable, _clock(transport)]


def _refused(url: str, error: OyezError, *, answered: bool) -> Finding:
    if url == DEVELOPMENT_URL and not answered:
        found = "no --url was given, and no development server runs"
        return Finding("server", "skipped", found, "oyez serve")
    found, _, fix = explain(error, url).partition("; ")
    return Finding("server", "problem", found, fix)


def _clock(transport: _Observed) -> Finding:
    date = None if transport.answer is None else transport.answer.headers.get("date")
    try:
        told = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Finding("clock", "skipped", "no server has told the time")
    # It was told at some moment between question and answer, which on a busy machine are far apart.
    ahead = max(transport.asked - told, 0.0) or min(transport.came - told, 0.0)
    off = f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the server"
    if abs(ahead) >= _REFUSED:
        return Finding("clock", "problem", f"{off}: it refuses every request", _NTP)
    if abs(ahead) > _UNNOTICED:
        return Finding("clock", "warning", f"{off}; beyond {_REFUSED:.0f} s it refuses", _NTP)
    return Finding("clock", "ok", "the same time as the server")


def engine(address: str) -> Finding:
    """Whether the engine can be reached; speaking to it is left to the server.

    Args:
        address: ``memory``, or as in the settings.
    """
    check = "engine"
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Finding(check, "ok", f"{address}, in the server's own process")
    try:
        places = list(_places(scheme, rest))
    except ValueError as error:
        fix = "correct engine in the configuration"
        return Finding(
            check, "problem", f"{scheme}:// with an address that cannot be: {error}", fix
        )
    away = {place: why for place in places if (why := _unreachable(place))}
    names = ", ".join(map(_name, places))
    if not away:
        return Finding(check, "ok", f"{scheme}: {names} accepts connections")
    found = ", ".join(f"{_name(place)} does not answer: {why}" for place, why in away.items())
    fix = f"start it, or correct engine in the configuration ({scheme}://{names})"
    return Finding(check, "problem" if len(away) == len(places) else "warning", found, fix)


def _places(scheme: str, rest: str) -> Iterator[_Place]:
    """Every host of an address, or the path of a socket; credentials and options left out."""
    plain, _, mode = scheme.partition("+")
    path = rest.partition("?")[0].rpartition("@")[2]
    if plain == "unix":
        yield path, 0
        return
    for host in path.partition("/")[0].split(","):
        parts = urlsplit(f"//{host}")
        yield parts.hostname or "localhost", parts.port or _PORTS[mode or plain]


def _unreachable(place: _Place) -> str:
    """Why it is; empty if it is not."""
    host, port = place
    try:
        if port:
            socket.create_connection(place, _TIMEOUT).close()
        else:
            with socket.socket(socket.AF_UNIX) as local:
                local.settimeout(_TIMEOUT)
                local.connect(host)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _name(place: _Place) -> str:
    host, port = place
    return netloc(host, port) if port else host
