"""Who signed a request, whichever official library spelled it."""

import contextlib
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from oyez.protocol.app import App
from oyez.protocol.errors import BadRequest, Unauthorized
from oyez.protocol.requests import Query, SignedRequest, verify
from oyez.protocol.signing import Token, body_digest
from tests.vectors import Vector, load

VECTORS = load("requests")
TOKEN = Token("key", "secret")
APP = App(id="3", tokens=(TOKEN, Token("newer", "other")))
NOW = 1_700_000_000


def signed(
    *pairs: tuple[str, str],
    wire: str = "",
    path: bytes = b"/apps/3/channels",
    signed_path: bytes = b"",
    body: bytes = b"",
    prefix: bytes = b"",
) -> SignedRequest:
    """A GET whose signature covers ``pairs`` and whose request line has ``wire`` in their place."""
    auth = [("auth_key", "key"), ("auth_timestamp", str(NOW)), ("auth_version", "1.0")]
    ordered = sorted([*auth, *pairs], key=lambda pair: pair[0])
    query = "&".join(f"{key}={value}" for key, value in ordered)
    message = b"GET\n" + (signed_path or path) + b"\n" + query.encode()
    head = "&".join(f"{key}={value}" for key, value in auth)
    line = f"{head}&{wire}&auth_signature={TOKEN.sign(message)}"
    return SignedRequest(b"GET", path, line.encode(), body, prefix)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
@pytest.mark.parametrize("quoted", [False, True], ids=["raw", "escaped"])
def test_a_documented_request_verifies(vector: Vector, quoted: bool) -> None:
    app = App(id="3", tokens=(Token(vector["key"], vector["secret"]),))
    pairs = vector.get("query_pairs") or list(vector["query"].items())
    spell = quote_plus if quoted else str
    line = "&".join(f"{spell(key)}={spell(value)}" for key, value in pairs)
    path = str(vector.get("wire_path") or vector["signed_path"]).encode()
    request = SignedRequest(
        vector["method"].encode(),
        path,
        f"{line}&auth_signature={vector['auth_signature']}".encode(),
        vector["body"].encode(),
    )

    query = verify(app, request, int(dict(pairs)["auth_timestamp"]))

    assert query.text("auth_key") == vector["key"]


DOCUMENTED = VECTORS[0]
OTHER_APP = App(id="4", tokens=(Token("other", "secret"),))


def documented(*, query: dict[str, str] | None = None, **changes: Any) -> SignedRequest:
    """HTTP-1 with some of its parts changed after it was signed."""
    parameters = {
        **DOCUMENTED["query"],
        "auth_signature": DOCUMENTED["auth_signature"],
        **(query or {}),
    }
    line = "&".join(f"{key}={value}" for key, value in parameters.items() if value != "-")
    values = {
        "method": b"POST",
        "path": b"/apps/3/events",
        "query": line.encode(),
        "body": DOCUMENTED["body"].encode(),
    }
    return SignedRequest(**{**values, **changes})


CHANGED = DOCUMENTED["body"].encode()[:-1] + b" "
NEGATIVE = {
    "600 s late": (documented(), 600, "Timestamp expired"),
    "600 s early": (documented(), -600, "Timestamp expired"),
    "body changed": (documented(body=CHANGED), 0, "Invalid body_md5"),
    "body and md5 changed": (
        documented(body=CHANGED, query={"body_md5": body_digest(CHANGED)}),
        0,
        "Invalid signature",
    ),
    "no body_md5": (documented(query={"body_md5": "-"}), 0, "Missing parameter: body_md5"),
    "version 1.1": (documented(query={"auth_version": "1.1"}), 0, "Version not supported"),
    "no version": (documented(query={"auth_version": "-"}), 0, "Version required"),
    "no timestamp": (documented(query={"auth_timestamp": "-"}), 0, "Timestamp required"),
    "timestamp 1e9": (documented(query={"auth_timestamp": "1e9"}), 0, "Timestamp required"),
    "timestamp of a thousand digits": (
        documented(query={"auth_timestamp": "9" * 1000}),
        0,
        "Timestamp expired",
    ),
    "no key": (documented(query={"auth_key": "-"}), 0, "Missing parameter: auth_key"),
    "another app's key": (documented(query={"auth_key": "other"}), 0, "Unknown auth_key"),
    "one more parameter": (documented(query={"x": "1"}), 0, "Invalid signature"),
    "another method": (documented(method=b"GET"), 0, "Invalid signature"),
    "no signature": (documented(query={"auth_signature": "-"}), 0, "Invalid signature"),
    "empty query": (
        SignedRequest(b"GET", b"/apps/3/events", b"", b""),
        0,
        "Missing parameter: auth_key",
    ),
    "bytes that are no text": (
        documented(query={"auth_signature": "%FF%FE"}),
        0,
        "Invalid signature",
    ),
}


@pytest.mark.parametrize(("request_", "late", "reason"), NEGATIVE.values(), ids=NEGATIVE.keys())
def test_a_changed_request_is_refused_in_the_documented_words(
    request_: SignedRequest, late: int, reason: str
) -> None:
    app = App(id="3", tokens=(Token(DOCUMENTED["key"], DOCUMENTED["secret"]),))

    with pytest.raises(Unauthorized, match=reason):
        verify(app, request_, 1_353_088_179 + late)


@pytest.mark.parametrize("late", [-599, 0, 599])
def test_a_request_is_good_for_less_than_ten_minutes(late: int) -> None:
    app = App(id="3", tokens=(Token(DOCUMENTED["key"], DOCUMENTED["secret"]),))
    upper = documented(query={"auth_signature": DOCUMENTED["auth_signature"].upper()})

    assert verify(app, documented(), 1_353_088_179 + late).text("auth_version") == "1.0"
    assert verify(app, upper, 1_353_088_179 + late).text("auth_version") == "1.0"


def test_the_expiry_names_both_times() -> None:
    app = App(id="3", tokens=(Token(DOCUMENTED["key"], DOCUMENTED["secret"]),))

    with pytest.raises(Unauthorized) as caught:
        verify(app, documented(), 1_353_088_779)

    assert str(caught.value) == (
        "Timestamp expired: Given timestamp (2012-11-16T17:49:39Z) not within 600s of "
        "server time (2012-11-16T17:59:39Z)"
    )


def test_a_wrong_signature_is_told_what_to_sign_but_not_the_secret() -> None:
    with pytest.raises(Unauthorized) as caught:
        verify(
            APP,
            SignedRequest(
                b"GET",
                b"/apps/3/channels",
                b"auth_key=key&auth_version=1.0&auth_timestamp=1700000000&auth_signature=abc",
                b"",
            ),
            NOW,
        )

    assert str(caught.value) == (
        'Invalid signature: you should have sent HmacSHA256Hex("GET\\n/apps/3/channels\\n'
        'auth_key=key&auth_timestamp=1700000000&auth_version=1.0", your_secret_key), '
        'but you sent "abc"'
    )


def test_every_active_token_verifies() -> None:
    message = b"GET\n/apps/3/channels\nauth_key=newer&auth_timestamp=1700000000&auth_version=1.0"
    line = (
        message.split(b"\n")[2]
        + b"&auth_signature="
        + Token("newer", "other").sign(message).encode()
    )

    assert verify(APP, SignedRequest(b"GET", b"/apps/3/channels", line, b""), NOW)


@pytest.mark.parametrize(
    ("meant", "wire", "name", "expected"),
    [
        ([("info", "a,b")], "info=a,b", "info", ["a,b"]),
        ([("info", "a,b")], "info=a%2Cb", "info", ["a,b"]),
        ([("info", "a b")], "info=a+b", "info", ["a b"]),
        ([("info", "a+b")], "info=a+b", "info", ["a+b"]),
        ([("info", "a+b")], "info=a%2Bb", "info", ["a+b"]),
        ([("info[]", "a"), ("info[]", "b")], "info=a&info=b", "info", ["a", "b"]),
        ([("info", "a"), ("info", "b")], "info=a&info=b", "info", ["a", "b"]),
        ([("info[]", "a"), ("info[]", "b")], "info[]=a&info[]=b", "info", ["a", "b"]),
        ([("info", "a,b")], "info%5B0%5D=a&info%5B1%5D=b", "info", ["a,b"]),
        ([("info[0]", "a"), ("info[1]", "b")], "info[0]=a&info[1]=b", "info", ["a", "b"]),
        (
            [(f"info[{at}]", str(at)) for at in range(12)],
            "&".join(f"info[{at}]={at}" for at in range(12)),
            "info",
            [str(at) for at in range(12)],
        ),
        ([("info", "")], "info=", "info", [""]),
        ([("info", "")], "info", "info", [""]),
        ([("info", "a=b;c")], "info=a=b;c", "info", ["a=b;c"]),
        ([("info", "ü")], "info=%C3%BC", "info", ["ü"]),
    ],
)
def test_parameters_verify_however_a_library_spells_them(
    meant: list[tuple[str, str]], wire: str, name: str, expected: list[str]
) -> None:
    query = verify(APP, signed(*meant, wire=wire), NOW)

    assert query.values(name) == expected


@pytest.mark.parametrize("channel", ["a_b-c=d@e,f.g;h", "100%", "grüße"])
def test_a_path_verifies_decoded_and_raw(channel: str) -> None:
    raw = f"/apps/3/channels/{quote(channel, safe='')}".encode()
    decoded = f"/apps/3/channels/{channel}".encode()

    assert verify(APP, signed(path=raw), NOW)
    assert verify(APP, signed(path=raw, signed_path=decoded), NOW)


ANEW = {
    "a value becomes two parameters": ([("x", "a&y=b")], "x=a%26y%3Db", "x=a&y=b", "y", ["b"]),
    "a name becomes two": ([("x=1&y", "b")], "x%3D1%26y=b", "x=1&y=b", "y", ["b"]),
    "a name becomes shorter": ([("x=y", "b")], "x%3Dy=b", "x=y=b", "x", ["y=b"]),
    "a string becomes a list": ([("x", "a,b")], "x=a%2Cb", "x[0]=a&x[1]=b", "x", ["a,b"]),
    "a list gets another order": (
        [("x", "a"), ("x[0]", "b")],
        "x=a&x[0]=b",
        "x[0]=b&x=a",
        "x",
        ["a", "b"],
    ),
}


@pytest.mark.parametrize(
    ("meant", "wire", "anew", "name", "expected"), ANEW.values(), ids=ANEW.keys()
)
def test_parameters_cannot_be_read_anew(
    meant: list[tuple[str, str]], wire: str, anew: str, name: str, expected: list[str]
) -> None:
    """Two requests with one signature mean the same, or one of them is refused."""
    readings = []
    for each in (wire, anew):
        with contextlib.suppress(BadRequest):
            readings.append(verify(APP, signed(*meant, wire=each), NOW).values(name))

    assert readings in ([expected], [expected, expected])


@pytest.mark.parametrize(
    ("decoded", "raw", "anew"),
    [("u%26x", "u%26x", "u%2526x"), ("u/x", "u/x", "u%2Fx"), ("u%2fx", "u%2fx", "u%252fx")],
)
def test_a_path_cannot_be_read_anew(decoded: str, raw: str, anew: str) -> None:
    """Who signs what it sends means another name than who signs what it meant."""
    path = b"/apps/3/users/%b/x"
    signed_path = path % decoded.encode()

    assert verify(APP, signed(path=path % raw.encode(), signed_path=signed_path), NOW)
    with pytest.raises(BadRequest, match="sign it as it is sent"):
        verify(APP, signed(path=path % anew.encode(), signed_path=signed_path), NOW)
    assert verify(APP, signed(path=path % anew.encode()), NOW)


def test_no_parameter_becomes_a_part_of_the_path() -> None:
    meant = signed(("a", "x\na2="), wire="a=x%0Aa2=", path=b"/apps/3/users/u")
    anew = signed(
        ("a2", ""), wire="a2=", path=b"/apps/3/users/u%0Aa=x", signed_path=b"/apps/3/users/u\na=x"
    )
    assert meant.query[-64:] == anew.query[-64:]

    assert verify(APP, meant, NOW).text("a") == "x\na2="
    with pytest.raises(BadRequest, match="sign it as it is sent"):
        verify(APP, anew, NOW)


def test_a_path_below_a_prefix_verifies_without_the_prefix() -> None:
    request = signed(path=b"/ws/apps/3/channels", signed_path=b"/apps/3/channels", prefix=b"/ws")

    assert verify(APP, request, NOW)


def test_an_absent_parameter_is_none() -> None:
    assert Query([(b"a", b"")]).text("b") is None
    assert Query([(b"a", b"")]).text("a") == ""
