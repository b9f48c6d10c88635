"""Byte sequences that are UTF-8, and that are not: the ground of Autobahn's cases 6.5 to 6.23.

The tables follow Markus Kuhn's decoder stress test and RFC 3629.
"""

__all__ = ["BROKEN_AT_ONCE", "INVALID", "VALID"]

_GREEK = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()


def _table(rows: str) -> dict[str, bytes]:
    """Rows of hex bytes, named by themselves."""
    return {row.strip(): bytes.fromhex(row) for row in rows.split("|")}


def _each(first: int, last: int, tail: bytes = b"") -> dict[str, bytes]:
    """Every byte of a range, each with this tail."""
    return {(bytes((n,)) + tail).hex(): bytes((n,)) + tail for n in range(first, last + 1)}


_FIRST_AND_LAST_OF_EACH_LENGTH = _table(
    "00 | 7f | c280 | dfbf | e0a080 | efbfbf | f0908080 | f48fbfbf"
)
_AROUND_THE_SURROGATES_AND_THE_END = _table("ed9fbf | ee8080 | efbfbd | f48fbfbf | f3bfbfbf")
_NON_CHARACTERS = {
    f"U+{plane:X}FFF{digit:X}": chr(plane << 16 | 0xFFF0 | digit).encode()
    for plane in range(17)
    for digit in (0xE, 0xF)
}
_SPECIALS = _table("efbfb9 | efbfba | efbfbb | efbfbc | efbfbd | efbfbe | efbfbf")
_PROSE = {
    "German": "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode(),
    "Greek": _GREEK,
    "emoji": "\U0001f30d\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea".encode(),
    "Chinese": "\u4f60\u597d\uff0c\u4e16\u754c".encode(),
    "byte order mark": b"\xef\xbb\xbf",
    "whole characters of the Greek word": _GREEK[:5],
}

VALID: dict[str, bytes] = {
    **_FIRST_AND_LAST_OF_EACH_LENGTH,
    **_AROUND_THE_SURROGATES_AND_THE_END,
    **_NON_CHARACTERS,
    **_SPECIALS,
    **_PROSE,
}

_BEYOND_THE_END = _table("f4908080 | f5808080 | f7bfbfbf | f888808080 | fbbfbfbfbf | fdbfbfbfbfbf")
_CONTINUATIONS_ALONE = {
    **_each(0x80, 0xBF),
    **{f"{count} in a row": b"\x80\xbf" * (count // 2) + b"\x80" for count in range(2, 8)},
}
_STARTS_ALONE = {
    **_each(0xC0, 0xDF, b" "),
    **_each(0xE0, 0xEF, b" "),
    **_each(0xF0, 0xF7, b" "),
    **_each(0xF8, 0xFF, b" "),
}
_LAST_BYTE_MISSING = _table(
    "df | c2 | e0a0 | efbf | f09080 | f48fbf | e080 | f08080 | f8808080 | f7bfbf"
)
_MISSING_ONE_AFTER_THE_OTHER = _table("dfe0a0efbff09080f48fbf | c220e0a020f0908020")
_IMPOSSIBLE = _table("fe | ff | fefeffff")
_OVERLONG = _table(
    "c0af | e080af | f08080af | f8808080af | fc80808080af"
    "| c1bf | e09fbf | f08fbfbf | f887bfbfbf | fc83bfbfbfbf"
    "| c080 | e08080 | f0808080 | f880808080 | fc8080808080"
)
_SURROGATES = _table(
    "eda080 | edadbf | edae80 | edafbf | edb080 | edbe80 | edbfbf"
    "| eda080edb080 | eda080edbfbf | edadbfedb080 | edadbfedbfbf"
    "| edae80edb080 | edae80edbfbf | edafbfedb080 | edafbfedbfbf"
)
_CUT_PROSE = {
    f"Greek word cut after {size} bytes": _GREEK[:size]
    for size in range(1, len(_GREEK))
    if size not in (2, 5, 7, 9)
}

INVALID: dict[str, bytes] = {
    **_BEYOND_THE_END,
    **_CONTINUATIONS_ALONE,
    **_STARTS_ALONE,
    **_LAST_BYTE_MISSING,
    **_MISSING_ONE_AFTER_THE_OTHER,
    **_IMPOSSIBLE,
    **_OVERLONG,
    **_SURROGATES,
    **_CUT_PROSE,
}

# No bytes that could follow would mend these, so a message that begins so is lost already. (The
# first two bytes of a surrogate are left out: CPython's decoder waits for its third.)
BROKEN_AT_ONCE: dict[str, bytes] = {
    **_BEYOND_THE_END,
    **_IMPOSSIBLE,
    **_OVERLONG,
    **_SURROGATES,
    **_table("80 | bf | c220 | e0a020 | f0908020 | f490 | e09f | f08f"),
}
