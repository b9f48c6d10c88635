"""End-to-end encryption: the server carries what it cannot read (spec ``auth.md`` 4).

XSalsa20-Poly1305 of NaCl, by PyNaCl: ``pip install 'oyez[encryption]'``.
"""

import base64
import binascii
from hashlib import sha256
from importlib.util import find_spec

import msgspec

from oyez.protocol import surrogates
from oyez.protocol.channels import kind_of
from oyez.sdk.arguments import plain
from oyez.sdk.errors import DecryptionFailed
from oyez.sdk.forks import no_fork

__all__ = ["Cipher", "decrypt_with", "encrypt_with", "master_key", "require_pynacl"]

_KEY_BYTES = 32
_NONCE_BYTES = 24


class _Sealed(msgspec.Struct):
    nonce: str
    ciphertext: str


_decoder = msgspec.json.Decoder(_Sealed)


class Cipher:
    """Encrypts and decrypts with one master key.

    Args:
        key: 32 bytes; see `master_key`.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"the master key must be {_KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return "Cipher(…)"

    def shared_secret(self, channel: str) -> bytes:
        """The 32 bytes that subscribers of ``channel`` are given."""
        return sha256(channel.encode() + self._key).digest()

    def encrypt(self, channel: str, plaintext: str, *, nonce: bytes | None = None) -> str:
        """The data string that travels.

        Args:
            nonce: 24 bytes, never the same twice; random by default.

        Raises:
            ValueError: not an encrypted channel.
            ModuleNotFoundError: PyNaCl is not installed.
        """
        _must_be_encrypted(channel)
        return encrypt_with(self.shared_secret(channel), plaintext, nonce=nonce)

    def decrypt(self, channel: str, data: str) -> str:
        """What was encrypted.

        Raises:
            ValueError: not an encrypted channel.
            DecryptionFailed: made with another key, changed on the way, or no such data.
            ModuleNotFoundError: PyNaCl is not installed.
        """
        _must_be_encrypted(channel)
        return decrypt_with(self.shared_secret(channel), data)


def encrypt_with(shared_secret: bytes, plaintext: str, *, nonce: bytes | None = None) -> str:
    """The data string that travels, with the secret of one channel; see `Cipher.encrypt`."""
    require_pynacl()
    with no_fork():
        from nacl.secret import SecretBox

    sealed = SecretBox(shared_secret).encrypt(plain(plaintext).encode(), nonce)
    return f'{{"nonce":"{_base64(sealed.nonce)}","ciphertext":"{_base64(sealed.ciphertext)}"}}'


def decrypt_with(shared_secret: bytes, data: str) -> str:
    """What was encrypted, with the secret of one channel.

    Raises:
        DecryptionFailed: made with another key, changed on the way, or no such data.
        ModuleNotFoundError: PyNaCl is not installed.
    """
    require_pynacl()
    with no_fork():
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox

    try:
        sealed = surrogates.decode(_decoder, data)
        nonce = base64.b64decode(sealed.nonce, validate=True)
        ciphertext = base64.b64decode(sealed.ciphertext, validate=True)
    except ValueError as error:  # no JSON, or no base64
        raise DecryptionFailed(f"not encrypted data: {error}") from None
    if len(nonce) != _NONCE_BYTES:
        raise DecryptionFailed(f"the nonce has {len(nonce)} bytes, not {_NONCE_BYTES}")
    try:
        return SecretBox(shared_secret).decrypt(ciphertext, nonce).decode()
    except (CryptoError, UnicodeDecodeError):
        raise DecryptionFailed("the key does not open it, or it has been changed") from None


def require_pynacl() -> None:
    """Say what to install.

    Raises:
        ModuleNotFoundError: the library is not there.
    """
    if find_spec("nacl") is None:
        raise ModuleNotFoundError(
            "encrypted channels need the library PyNaCl: pip install 'oyez[encryption]'",
            name="nacl",
        )


def master_key(text: str) -> bytes:
    """Read a master key: base64 of 32 bytes, as ``openssl rand -base64 32`` prints it.

    Raises:
        ValueError: it is something else.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("the master key is not valid base64") from None
    if len(key) != _KEY_BYTES:
        raise ValueError(f"the master key must be base64 of {_KEY_BYTES} bytes, not {len(key)}")
    return key


def _must_be_encrypted(channel: str) -> None:
    if not kind_of(channel).encrypted:
        raise ValueError(f"channel must begin with private-encrypted-, not {channel!r}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
