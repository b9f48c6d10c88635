"""The certificate of the server, as the settings name it."""

import ssl
from pathlib import Path

from oyez.server.config import Settings

__all__ = ["load_tls", "renew_tls"]


def load_tls(settings: Settings) -> ssl.SSLContext:
    """A server's TLS context with the configured certificate.

    Raises:
        ValueError: a file cannot be read, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(_certificate(settings), settings.tls_key)
    except OSError as error:
        files = [str(file) for file in (settings.tls_certificate, settings.tls_key) if file]
        raise ValueError(f"cannot use {' and '.join(files)} for TLS: {error}") from error
    return context


def renew_tls(context: ssl.SSLContext, settings: Settings) -> None:
    """Use what the files contain now for new connections; those that are open stay.

    Raises:
        ValueError: as `load_tls`, and the context stays as it was.
    """
    load_tls(settings)  # a bad pair must not break the one in use
    context.load_cert_chain(_certificate(settings), settings.tls_key)


def _certificate(settings: Settings) -> Path:
    if settings.tls_certificate is None:
        raise ValueError("no tls_certificate is configured")
    return settings.tls_certificate
