"""What is on disk: the data directory and the certificate."""

import contextlib
import ssl
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from oyez.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from oyez.server.config import Settings

__all__ = ["certificate", "data_directory", "validity"]

_SOON_DAYS = 14
_DAY = 86_400
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# X.690: what is inside of one another on the way to the dates (RFC 5280 4.1).
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG = 0x80


def data_directory(settings: "Settings") -> Finding:
    """Whether the server can write what must survive a restart."""
    check, wanted = "data directory", settings.data_directory
    place = next(each for each in (wanted, *wanted.absolute().parents) if each.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        needed = any(app.webhooks for app in settings.apps) and not settings.webhooks.outbox
        found = f"{wanted} cannot be written: {error.strerror}"
        fix = f"sudo install -d -o $(id -un) {wanted}, or another one: data_directory"
        return Finding(check, "problem" if needed else "warning", found, fix)
    able = "can be written" if place == wanted else "can be made and written"
    return Finding(check, "ok", f"{wanted} {able}")


def certificate(settings: "Settings", now: float | None = None) -> Finding:
    """Whether the certificate can be used, and for how long."""
    check, file = "certificate", settings.tls_certificate
    if file is None:
        return Finding(check, "skipped", "no tls_certificate is configured")
    from oyez.server.tls import load_tls

    renew = "renew it, such as: certbot renew; then: kill -HUP $(pgrep -f 'oyez serve')"
    try:
        load_tls(settings)
        begins, ends = validity(file.read_text())
    except (OSError, ValueError) as error:
        return Finding(check, "problem", str(error), "oyez config shows tls_certificate, tls_key")
    now = time.time() if now is None else now
    until = f"{file} is good until {ends:%Y-%m-%d}"
    days = (ends.timestamp() - now) / _DAY
    if days < 0:
        return Finding(check, "problem", f"{file} has expired on {ends:%Y-%m-%d}", renew)
    if begins.timestamp() > now:
        return Finding(check, "problem", f"{file} is not good before {begins:%Y-%m-%d}", "date")
    if days < _SOON_DAYS:
        return Finding(check, "warning", f"{until}, {days:.0f} more days", renew)
    return Finding(check, "ok", until)


def validity(pem: str) -> tuple[datetime, datetime]:
    """From when until when the first certificate of a PEM file is good.

    The standard library shows the dates of a certificate only once it is trusted, and a library
    for this one question is more to install than to write.

    Raises:
        ValueError: there is no certificate in it.
    """
    start, end = pem.find(_BEGIN), pem.find(_END)
    if start < 0 or end < start:
        raise ValueError("no certificate in the PEM file")
    der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)])
    with contextlib.suppress(StopIteration, IndexError, ValueError):
        [(_, whole)] = _values(der)
        tbs = list(_values(next(_values(whole))[1]))
        if tbs[0][0] == _VERSION:
            tbs.pop(0)
        _serial, _algorithm, _issuer, (kind, dates), *_ = tbs
        if kind == _SEQUENCE:
            begins, ends = (_time(*each) for each in _values(dates))
            return begins, ends
    raise ValueError("the certificate in the PEM file cannot be read")


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value of a series."""
    at = 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & _LONG:
            count = size & ~_LONG
            size, at = int.from_bytes(der[at : at + count]), at + count
        yield tag, der[at : at + size]
        at += size


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits, of 1950 to 2049 (RFC 5280 4.1.2.5.1)
        text = f"{'19' if text >= '50' else '20'}{text}"
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"no time: tag {tag}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
