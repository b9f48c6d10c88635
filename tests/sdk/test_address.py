"""Where a client thinks its app is, and what it signs."""

import os
import re
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oyez
from oyez.protocol.app import App
from oyez.protocol.requests import SignedRequest, verify
from oyez.protocol.signing import Token
from oyez.sdk.address import Address, options_of_environment, options_of_url
from tests.vectors import Vector, load

_AUTHENTICATION = {"auth_key", "auth_timestamp", "auth_version", "body_md5"}


def _plain(vector: Vector) -> bool:
    """Whether a request is one that we would make: no repeated keys, no MD5 of nothing."""
    return "query" in vector and bool(vector["body"]) == ("body_md5" in vector["query"])


@pytest.mark.parametrize(
    "vector", [each for each in load("requests") if _plain(each)], ids=lambda vector: vector["id"]
)
def test_a_documented_request_gets_its_documented_signature(vector: Vector) -> None:
    address = Address("3", Token(vector["key"], vector["secret"]), "https://h")
    params = {k: v for k, v in vector["query"].items() if k not in _AUTHENTICATION}

    query = address.sign(
        vector["method"],
        vector["signed_path"],
        params,
        vector["body"].encode(),
        int(vector["query"]["auth_timestamp"]),
    )

    assert dict(parse_qsl(query, keep_blank_values=True)) == {
        **{name.lower(): value for name, value in vector["query"].items()},
        "auth_signature": vector["auth_signature"],
    }
    assert query.endswith(f"&auth_signature={vector['auth_signature']}")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
        st.text(st.characters(exclude_characters="&", exclude_categories=["Cs"]), max_size=20),
    ),
    st.text(max_size=30).map(str.encode),
    st.text("abc24/-_=@,.;:~# é%+\n", max_size=20),
)
def test_whatever_a_client_signs_the_server_verifies(
    params: dict[str, str], body: bytes, path: str
) -> None:
    address = Address.of("3", "k:ey+", "s", host="h", port=80, ssl=False, path="/pre/")
    path = address.path_to(f"/{path}")
    params = {k: v for k, v in params.items() if k not in _AUTHENTICATION | {"auth_signature"}}

    signed = address.signed_path(path)
    url = address.url_of(path, address.sign("POST", signed, params, body, 1000))

    raw_path, _, query = url.removeprefix("http://h:80").partition("?")
    request = SignedRequest(b"POST", raw_path.encode(), query.encode(), body)
    read = verify(App("3", (address.token,)), request, now=1001.0)
    assert {name: read.text(name) for name in params} == params


@pytest.mark.parametrize("path", ["/users/u%26x/y", "/users/u%2Fx/y", "/users/u\nx=/y"])
def test_a_path_that_could_be_another_one_is_signed_as_it_is_sent(path: str) -> None:
    address = Address.of("3", "key", "s", host="h")
    path = address.path_to(path)

    query = address.sign("POST", address.signed_path(path), {}, b"", 1000)

    sent = address.url_of(path, query).removeprefix("https://h").partition("?")[0]
    signed = f"POST\n{sent}\nauth_key=key&auth_timestamp=1000&auth_version=1.0"
    assert query.endswith(address.token.sign(signed.encode()))
    request = SignedRequest(b"POST", sent.encode(), query.encode(), b"")
    assert verify(App("3", (address.token,)), request, now=1001.0)


@pytest.mark.parametrize("params", [{"x": "1&y=2"}, {"x&y": "1"}, {"x=1": ""}])
def test_parameters_that_could_be_others_are_not_signed(params: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no & in names and values"):
        Address.of("3", "key", "s", host="h").sign("GET", "/", params, b"", 1000)


def test_a_url_says_everything() -> None:
    url = "http://k%3Aey:s%2Fecret@[::1]:6001/pre/fix/apps/1001"

    assert options_of_url(url) == {
        "app_id": "1001",
        "key": "k:ey",
        "secret": "s/ecret",
        "host": "::1",
        "port": 6001,
        "ssl": False,
        "path": "/pre/fix",
    }
    client = oyez.Client.from_url(url)
    assert client.base_url == "http://[::1]:6001/pre/fix"
    assert (client.app_id, client.key) == ("1001", "k:ey")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://key:secret@h/apps/1",
        "http://key@h/apps/1",
        "http://h/apps/1",
        "http://key:secret@/apps/1",
        "http://key:secret@h/apps/shop",
        "http://key:secret@h/apps/1/events",
        "http://key:secret@h/apps/1?x=1",
        "http://key:secret@h/1",
        "http://key:secret@h:99999/apps/1",
    ],
)
def test_another_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"url must look like http\(s\)://KEY:SECRET@") as caught:
        oyez.Client.from_url(url)

    assert "key:secret" not in str(caught.value)


def test_options_beside_a_url_win() -> None:
    client = oyez.Client.from_url("https://k:s@h/apps/1", host="other", port=1)

    assert client.base_url == "https://other:1"


def test_a_cluster_is_a_host_of_pusher() -> None:
    assert oyez.Client("1", "k", "s", cluster="eu").base_url == "https://api-eu.pusher.com"
    assert oyez.Client("1", "k", "s", cluster="eu", host="h").base_url == "https://h"


VARIABLES = {"PUSHER_APP_ID": "1", "PUSHER_APP_KEY": "k", "PUSHER_APP_SECRET": "s"}


@pytest.mark.parametrize(
    ("variables", "base"),
    [
        ({"PUSHER_URL": "https://k:s@h/apps/1", "PUSHER_HOST": "no"}, "https://h"),
        ({**VARIABLES, "PUSHER_HOST": "h", "PUSHER_PORT": "6001"}, "https://h:6001"),
        ({**VARIABLES, "PUSHER_HOST": "h", "PUSHER_SCHEME": "http"}, "http://h"),
        ({**VARIABLES, "PUSHER_APP_CLUSTER": "ap1"}, "https://api-ap1.pusher.com"),
        (
            {"PUSHER_APP_ID": "1", "PUSHER_KEY": "k", "PUSHER_SECRET": "s", "PUSHER_HOST": "h"},
            "https://h",
        ),
    ],
)
def test_the_environment_says_where(
    variables: dict[str, str], base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("PUSHER_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert oyez.Client.from_env().base_url == base
    assert oyez.AsyncClient.from_env().base_url == base


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "environment variable PUSHER_URL is not set, nor are PUSHER_APP_ID,"),
        ({**VARIABLES, "PUSHER_PORT": "x"}, "PUSHER_PORT must be a number, not 'x'"),
        ({**VARIABLES, "PUSHER_SCHEME": "ws"}, "PUSHER_SCHEME must be http or https, not 'ws'"),
    ],
)
def test_an_environment_that_does_not_say_is_named(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        options_of_environment("PUSHER_URL", variables)


def test_a_signed_query_fits_a_request_made_by_other_means() -> None:
    client = oyez.Client("3", "key", "secret", host="h", clock=lambda: 1000.5)

    query = client.signed_query("get", "/apps/3/channels", {"filter_by_prefix": "a b,c"})

    assert query.startswith("auth_key=key&auth_timestamp=1000&auth_version=1.0&filter_by_prefix=")
    assert quote("a b,c", safe="") in query
    request = SignedRequest(b"GET", b"/apps/3/channels", query.encode(), b"")
    assert verify(App("3", (Token("key", "secret"),)), request, now=1000.0)
