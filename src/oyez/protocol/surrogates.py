r"""Reading JSON with halves of surrogate pairs, which cannot be text.

JavaScript cuts strings between any two 16-bit units: ``"Anna 👩".slice(0, 6)`` ends in half a
letter, which ``JSON.stringify`` writes as the escape ``\ud83d``. RFC 8259 (8.2) allows that, but no
UTF-8 can hold it. The rule everywhere: a value that is read has U+FFFD in its place, as JavaScript
itself puts there when it makes UTF-8 of a string; what is passed on without being read, such as
JSON inside the string ``data``, stays as it came.
"""

import re
from typing import Any, TypeVar

import msgspec

__all__ = ["decode", "decode_object"]

_Value = TypeVar("_Value")

_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_BACKSLASH, _STAND_IN = rb"\\", b"\0\0"  # JSON has no NUL, so it can stand for something else
_object = msgspec.json.Decoder(dict[str, Any])


def decode(decoder: msgspec.json.Decoder[_Value], text: bytes | str) -> _Value:
    """Decode JSON.

    Raises:
        ValueError: it is no JSON, not UTF-8, nested too deep, or not what the decoder is for.
    """
    try:
        return decoder.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except ValueError:
        mended = _mend(text.encode() if isinstance(text, str) else text)
        if mended is None:
            raise
    try:
        return decoder.decode(mended)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def decode_object(text: bytes | str) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        ValueError: it is none, as for `decode`.
    """
    return decode(_object, text)


def _mend(text: bytes) -> bytes | None:
    r"""Replace the halves; None if there are none.

    Escaped backslashes are set aside first, so that each one left begins an escape: ``\\ud83d`` is
    a backslash and five letters.
    """
    if b"\\u" not in text or b"\0" in text:
        return None
    mended, count = _HALF.subn(_REPLACEMENT, text.replace(_BACKSLASH, _STAND_IN))
    return mended.replace(_STAND_IN, _BACKSLASH) if count else None
