"""A signed API request: reading its query and verifying who sent it (spec ``http-api.md`` 2).

The official libraries differ in what they sign for one and the same request: before or after
percent-encoding, a plus sign or a space, repeated keys with or without brackets. The verifier works
on the raw bytes of the request line; it tries the usual spelling and then, one after another, those
that some library is known to use.

A request means what was signed, and nothing else can be made of one signature: parameters are read
from the string whose signature matched, and what can be spelled like something else is refused.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from urllib.parse import unquote_to_bytes

import msgspec

from oyez.protocol.app import App
from oyez.protocol.errors import BadRequest, Unauthorized
from oyez.protocol.signing import body_digest

__all__ = ["MOST_PARAMETERS", "Query", "SignedRequest", "check_body", "key_of", "verify"]

Pairs = list[tuple[bytes, bytes]]

MOST_PARAMETERS = 128  # of a URL; a publish may have 100 channels there, beside nine others
_BY_KEY = itemgetter(0)
_INDEXED = re.compile(rb"(.+)\[\d+\]")
_ARRAY = re.compile(rb"(.+)\[(\d{0,9})\]")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")
_LATEST = 253_402_300_799  # the end of the year 9999, past which no date can be printed


class Query:
    """The parameters of a request as its sender signed them, without the signature.

    Names are in lower case; ``a=1&a=2``, ``a[]=1&a[]=2`` and ``a[0]=1&a[1]=2`` all read as the list
    ``["1", "2"]``.
    """

    __slots__ = ("_pairs", "_unread")

    def __init__(self, pairs: Pairs, unread: bytes = b"") -> None:
        self._pairs = pairs
        self._unread = unread  # what was signed, as long as nobody has asked for a parameter

    def __len__(self) -> int:
        return self._unread.count(b"&") + 1 if self._unread else len(self._pairs)

    def values(self, name: str) -> list[str]:
        """All values of one parameter in their order.

        Raises:
            BadRequest: a value is not UTF-8.
        """
        wanted = name.encode()
        found: list[tuple[int, bytes]] = []
        if self._unread:
            self._pairs, self._unread = _read(self._unread, plus_is_space=True), b""
        for key, value in self._pairs:
            array = _ARRAY.fullmatch(key) if b"[" in key else None
            if (array[1] if array else key) == wanted:
                found.append((int(array[2] or 0) if array else 0, value))
        found.sort(key=_BY_KEY)  # signed was a[10] before a[2]
        try:
            return [value.decode() for _, value in found]
        except UnicodeDecodeError:
            raise BadRequest(f"Parameter {name} is not UTF-8") from None

    def text(self, name: str) -> str | None:
        """The parameter as one string, a list joined with commas; None if it is absent."""
        values = self.values(name)
        return ",".join(values) if values else None


class SignedRequest(msgspec.Struct, frozen=True):
    """The parts of an API request that its signature covers, raw as they arrived.

    Attributes:
        path: path of the request line without the query, still percent-encoded.
        query: everything after the first question mark.
        body: None while it has not arrived, although one will.
        prefix: a configured path prefix that stands before ``/apps/``; clients sign without it.
    """

    method: bytes
    path: bytes
    query: bytes
    body: bytes | None
    prefix: bytes = b""


def key_of(query: bytes) -> str:
    """The app key that a request names, where its path names no app.

    Raises:
        Unauthorized: it names none.
        BadRequest: it has too many parameters.
    """
    _check_number(query)
    key = dict(_read(query, plus_is_space=True)).get(b"auth_key")
    if key is None:
        raise Unauthorized("Missing parameter: auth_key")
    return key.decode("utf-8", "replace")


def verify(app: App, request: SignedRequest, now: float) -> Query:
    """Check the signature in the documented order (spec ``http-api.md`` 2.3).

    All but the body itself can be checked before it has arrived, as its digest is signed.

    Args:
        app: the app named in the path; only its own tokens count.
        request: what arrived.
        now: Unix time in seconds.

    Returns:
        The parameters, in the interpretation whose signature matched.

    Raises:
        Unauthorized: the first check that failed, in the words of the reference verifier.
        BadRequest: there are too many parameters, or the signature is good for another request.
    """
    _check_number(request.query)
    parts = request.query.split(b"&")
    auth = _quick_auth(request.query, parts)
    quick = auth is not None
    if auth is None:
        auth = dict(_read(request.query, plus_is_space=True))
    key = auth.get(b"auth_key")
    if key is None:
        raise Unauthorized("Missing parameter: auth_key")
    token = app.token(key.decode("utf-8", "replace"))
    if token is None:
        raise Unauthorized("Unknown auth_key")
    version = auth.get(b"auth_version")
    if version != b"1.0":
        raise Unauthorized("Version not supported" if version else "Version required")
    _check_timestamp(auth, now, app.limits.signature_age)
    _check_digest(auth.get(b"body_md5"), request.body)
    given = auth.get(b"auth_signature", b"").decode("utf-8", "replace")
    if quick:
        joined = _usual_order(parts, auth)
        if token.verifies(given, b"%b\n%b\n%b" % (request.method, request.path, joined)):
            return Query([], joined)
    pairs = _read(request.query, plus_is_space=True)
    if _SIGNATURE.fullmatch(given):  # else no work for what cannot match
        for path, signed in _candidates(request, pairs):
            if token.verifies(given, _string_to_sign(request.method, path, signed)):
                _check_path(path, request)
                _check_pairs(signed)
                return Query(signed)
    path, signed = next(_candidates(request, pairs))
    expected = _string_to_sign(request.method, path, signed).decode("utf-8", "replace")
    escaped = expected.replace("\n", "\\n")
    raise Unauthorized(
        f'Invalid signature: you should have sent HmacSHA256Hex("{escaped}", your_secret_key), '
        f'but you sent "{given[:128]}"'
    )


def check_body(query: Query, body: bytes) -> None:
    """Check what `verify` could not see yet when it looked at the parameters.

    Raises:
        Unauthorized: it is not the body that was signed.
    """
    digests = query.values("body_md5")
    _check_digest(digests[-1].encode() if digests else None, body)


def _check_number(query: bytes) -> None:
    """Bound what anybody can have us sort and sign."""
    count = query.count(b"&") + 1
    if count > MOST_PARAMETERS:
        raise BadRequest(f"Too many query parameters ({count} > {MOST_PARAMETERS})")


def _quick_auth(query: bytes, parts: list[bytes]) -> dict[bytes, bytes] | None:
    """The parameters of a query that needs no decoding; None where it needs a closer look."""
    if b"%" in query or b"+" in query:
        return None
    try:
        found = dict([part.split(b"=", 1) for part in parts])
    except ValueError:  # a part without a value, or nothing between two ampersands
        return None
    return found if b"auth_key" in found and b"auth_signature" in found else None


def _usual_order(parts: list[bytes], auth: dict[bytes, bytes]) -> bytes:
    """What was signed of a query if nothing is encoded and no key is the beginning of another.

    Sorting whole parameters is then sorting by key. Where it is not, the string verifies nothing
    and `_candidates` has the right one.
    """
    parts.remove(b"auth_signature=" + auth[b"auth_signature"])
    parts.sort()
    return b"&".join(parts)


def _check_timestamp(auth: dict[bytes, bytes], now: float, age: int) -> None:
    text = auth.get(b"auth_timestamp", b"")
    if not text.isdigit():
        raise Unauthorized("Timestamp required")
    given = int(text) if len(text) <= 12 else _LATEST
    if abs(now - given) >= age:
        raise Unauthorized(
            f"Timestamp expired: Given timestamp ({_iso(given)}) not within {age}s of "
            f"server time ({_iso(int(now))})"
        )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(min(seconds, _LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_digest(digest: bytes | None, body: bytes | None) -> None:
    """An unsigned body could be replaced; an MD5 of the empty body is welcome but not needed."""
    if digest is None:
        if body or body is None:
            raise Unauthorized("Missing parameter: body_md5")
    elif body is not None and digest.lower().decode("latin-1") != body_digest(body):
        raise Unauthorized("Invalid body_md5")


def _candidates(request: SignedRequest, pairs: Pairs) -> Iterator[tuple[bytes, Pairs]]:
    """Each path with parameters in their order that a known client may have signed."""
    paths = _paths(request)
    for meant in _readings(request.query, pairs):
        for spelled in _spellings(meant):
            signed = sorted(spelled, key=_BY_KEY)  # equal keys keep their order
            signed = [pair for pair in signed if pair[0] != b"auth_signature"]
            for path in paths:
                yield path, signed


def _paths(request: SignedRequest) -> list[bytes]:
    raw = request.path
    if b"%" not in raw and not request.prefix:
        return [raw]
    paths = [unquote_to_bytes(raw), raw]
    if request.prefix and raw.startswith(request.prefix):
        bare = raw[len(request.prefix) :]
        paths += [unquote_to_bytes(bare), bare]
    return list(dict.fromkeys(paths))


def _check_path(signed: bytes, request: SignedRequest) -> None:
    """A path means its segments decoded, also one that was signed before it was encoded.

    ``u%26x`` is signed for ``u&x`` by who signs what it sends; it must not do for ``u%2526x``.
    """
    sent = request.path
    if _segments(signed) not in (_segments(sent), _segments(sent.removeprefix(request.prefix))):
        text = sent[:200].decode("latin-1")
        raise BadRequest(f"Ambiguous path: sign it as it is sent, {text}")


def _segments(path: bytes) -> list[bytes]:
    """Nothing at all where the signature cannot say where the path ends."""
    return [unquote_to_bytes(segment) for segment in path.split(b"/")] if b"\n" not in path else []


def _check_pairs(signed: Pairs) -> None:
    """The value ``1&b=2`` of ``a`` is signed like ``a=1&b=2``, which is what it must not do for."""
    for key, value in signed:
        if b"&" in value or b"&" in key or b"=" in key:
            text = key[:100].decode("utf-8", "replace")
            raise BadRequest(
                f"Ambiguous parameter {text!r}: once it is signed, & in names and values and = in "
                "names cannot be told from what stands between parameters"
            )


def _readings(query: bytes, pairs: Pairs) -> Iterator[Pairs]:
    """A plus sign is a space to PHP and Ruby, itself to Node, Go, Python and .NET."""
    yield pairs
    if b"+" in query:
        yield _read(query, plus_is_space=False)


def _spellings(pairs: Pairs) -> Iterator[Pairs]:
    """How one set of parameters may have been written when it was signed."""
    yield pairs
    times = Counter(key for key, _ in pairs)
    if len(times) < len(pairs):  # Ruby signs k[]=a&k[]=b and sends k=a&k=b
        yield [
            (key + b"[]" if times[key] > 1 and not key.endswith(b"]") else key, value)
            for key, value in pairs
        ]
    if any(b"[" in key for key in times):  # PHP signs k=a,b and sends k[0]=a&k[1]=b
        yield _joined(pairs)


def _joined(pairs: Pairs) -> Pairs:
    together: dict[bytes, list[bytes]] = {}
    for key, value in pairs:
        indexed = _INDEXED.fullmatch(key)
        together.setdefault(indexed[1] if indexed else key, []).append(value)
    return [(key, b",".join(values)) for key, values in together.items()]


def _string_to_sign(method: bytes, path: bytes, signed: Pairs) -> bytes:
    """Method, path and the parameters, which are in their order."""
    query = b"&".join([k + b"=" + v for k, v in signed])
    return method + b"\n" + path + b"\n" + query


def _read(query: bytes, *, plus_is_space: bool) -> Pairs:
    if plus_is_space and b"+" in query:
        query = query.replace(b"+", b" ")
    encoded = b"%" in query
    pairs = []
    for part in query.split(b"&"):
        key, _, value = part.partition(b"=")
        if encoded:
            key, value = unquote_to_bytes(key), unquote_to_bytes(value)
        if part:
            pairs.append((key.lower(), value))
    return pairs
