"""The two signing functions of PyPI ``pusher``."""

import hmac

from oyez.protocol.signing import Token

__all__ = ["sign", "verify"]


def sign(secret: str, string_to_sign: str) -> str:
    """HMAC-SHA256 in lowercase hex."""
    return Token("", secret).sign(string_to_sign.encode())


def verify(secret: str, string_to_sign: str, signature: str) -> bool:
    """Whether ``signature`` is exactly that of the string; takes constant time."""
    return hmac.compare_digest(signature.encode(), sign(secret, string_to_sign).encode())
