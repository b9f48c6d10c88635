"""The functions of PyPI ``pusher`` for encrypted channels, over `oyez.sdk.encryption`."""

import base64
import json
import warnings

from oyez.pusher.util import Text, data_to_string, ensure_binary, ensure_text, is_base64
from oyez.sdk.encryption import Cipher, encrypt_with

# The last four are here because programs get them by ``from pusher.crypto import *``.
__all__ = [
    "ENCRYPTED_PREFIX",
    "data_to_string",
    "encrypt",
    "ensure_binary",
    "ensure_text",
    "generate_shared_secret",
    "is_base64",
    "is_encrypted_channel",
    "parse_master_key",
]

ENCRYPTED_PREFIX = "private-encrypted-"
_KEY_BYTES = 32


def is_encrypted_channel(channel: str) -> bool:
    """Whether the name makes a channel an encrypted one."""
    return channel.startswith(ENCRYPTED_PREFIX)


def parse_master_key(
    encryption_master_key: Text | None, encryption_master_key_base64: Text | None
) -> bytes | None:
    """The master key from the two arguments of the constructor; None if there is none.

    Raises:
        ValueError: both are given, or one that does not come to 32 bytes.
    """
    if encryption_master_key is not None and encryption_master_key_base64 is not None:
        raise ValueError(
            "encryption_master_key_base64 must be given alone, not both it and the deprecated "
            "encryption_master_key"
        )
    if encryption_master_key is not None:
        warnings.warn(
            "encryption_master_key is deprecated, use encryption_master_key_base64", stacklevel=3
        )
        return _of_length("encryption_master_key must be", encryption_master_key)
    if encryption_master_key_base64 is None:
        return None
    if not is_base64(encryption_master_key_base64):
        raise ValueError("encryption_master_key_base64 must be valid base64")
    return _of_length(
        "encryption_master_key_base64 must be base64 that decodes to",
        base64.b64decode(encryption_master_key_base64),
    )


def generate_shared_secret(channel: bytes, encryption_master_key: bytes | None) -> bytes:
    """The 32 bytes that subscribers of ``channel`` are given.

    Raises:
        ValueError: there is no master key.
    """
    if encryption_master_key is None:
        raise ValueError("encryption_master_key_base64 must be set to use encrypted channels")
    return Cipher(encryption_master_key).shared_secret(channel.decode())


def encrypt(
    channel: Text, data: str, encryption_master_key: bytes | None, nonce: Text | None = None
) -> dict[str, str]:
    """``nonce`` and ``ciphertext``, each in base64; the nonce is random by default.

    Raises:
        ValueError: there is no master key.
        ModuleNotFoundError: PyNaCl is not installed.
    """
    secret = generate_shared_secret(ensure_binary(channel, "channel"), encryption_master_key)
    raw = None if nonce is None else ensure_binary(nonce, "nonce")
    sealed: dict[str, str] = json.loads(encrypt_with(secret, data, nonce=raw))
    return sealed


def _of_length(what: str, key: Text) -> bytes:
    raw = ensure_binary(key, "encryption_master_key")
    if len(raw) != _KEY_BYTES:
        raise ValueError(f"{what} {_KEY_BYTES} bytes, not {len(raw)}")
    return raw
