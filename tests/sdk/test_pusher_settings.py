"""What a drop-in client is made with: types, defaults, URLs, the environment, keys, backends."""

import inspect
import os
import ssl
from collections.abc import Callable
from typing import Any

import pusher as official
import pytest
import trustme

import oyez.pusher as pusher
from oyez.pusher.client import Client
from oyez.pusher.crypto import parse_master_key
from oyez.pusher.http import Request
from oyez.pusher.requests import RequestsBackend
from oyez.pusher.sending import HttpBackend
from tests.sdk.pusher_drop_in.libraries import MASTER_KEY

KINDS: list[type[Any]] = [
    Client,
    pusher.PusherClient,
    pusher.AuthenticationClient,
    pusher.Pusher,
    pusher.AsyncPusher,
]
REQUIRED: dict[str, Any] = {"app_id": "4", "key": "key", "secret": "secret"}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("api.pusherapp.com", 443, "https")),
        ({"cluster": "eu"}, ("api-eu.pusher.com", 443, "https")),
        ({"cluster": b"eu"}, ("api-eu.pusher.com", 443, "https")),
        ({"host": "h"}, ("h", 443, "https")),
        ({"host": b"h", "cluster": "eu"}, ("h", 443, "https")),
        ({"host": "", "cluster": ""}, ("api.pusherapp.com", 443, "https")),
        ({"host": "h", "ssl": False}, ("h", 80, "http")),
        ({"host": "h", "ssl": False, "port": 4000}, ("h", 4000, "http")),
        ({"host": "h", "port": 0}, ("h", 443, "https")),
        ({"host": "::1", "port": 1}, ("::1", 1, "https")),
    ],
)
def test_where_the_server_is(kind: Any, options: Any, expected: Any) -> None:
    client = kind(**REQUIRED, **options)

    assert (client.host, client.port, client.scheme) == expected
    assert client.ssl == (expected[2] == "https")
    assert (client.app_id, client.key, client.secret) == ("4", "key", "secret")
    assert "secret" not in repr(client)


def test_defaults(kind: Any) -> None:
    client = kind("4", "key", "secret")

    assert (client.timeout, client.cluster) == (5, None)


def test_text_may_be_bytes(kind: Any) -> None:
    client = kind(b"4", "schlüssel".encode(), b"secret")

    assert (client.app_id, client.key, client.secret) == ("4", "schlüssel", "secret")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"app_id": 4}, TypeError),
        ({"app_id": "four"}, ValueError),
        ({"app_id": "4\n"}, ValueError),
        ({"key": 4}, TypeError),
        ({"secret": None}, TypeError),
        ({"host": 4}, TypeError),
        ({"cluster": 4}, TypeError),
        ({"ssl": 4}, TypeError),
        ({"ssl": None}, TypeError),
        ({"port": "400"}, TypeError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": None}, TypeError),
    ],
)
def test_what_cannot_be(kind: Any, options: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        kind(**{**REQUIRED, **options})


def test_a_timeout_may_have_fractions(kind: Any) -> None:
    assert kind(**REQUIRED, timeout=3.14).timeout == 3.14


@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "trigger",
        "trigger_batch",
        "send_to_user",
        "terminate_user_connections",
        "channels_info",
        "channel_info",
        "users_info",
        "authenticate",
        "authenticate_user",
        "validate_webhook",
        "from_url",
        "from_env",
    ],
)
@pytest.mark.parametrize("kind", [pusher.Pusher, pusher.AsyncPusher])
def test_arguments_are_those_of_the_official_library(kind: type[Any], name: str) -> None:
    def arguments(of: type[Any]) -> list[Any]:
        found = inspect.signature(getattr(of, name)).parameters.values()
        return [
            (each.name, each.kind, () if each.default == [] else each.default)
            for each in found
            if each.kind is not inspect.Parameter.KEYWORD_ONLY
        ]

    assert arguments(kind) == arguments(official.Pusher)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://foo:bar@host/apps/4", ("http://host:80", "foo", "bar", "")),
        ("https://foo:bar@host/apps/4", ("https://host:443", "foo", "bar", "")),
        (b"https://foo:bar@host/apps/4", ("https://host:443", "foo", "bar", "")),
        ("https://foo:bar@host:80/apps/4", ("https://host:80", "foo", "bar", "")),
        ("http://a%2Fb:b%40r@host/pre/fix/apps/4", ("http://host:80", "a/b", "b@r", "/pre/fix")),
    ],
)
@pytest.mark.parametrize("kind", [pusher.Pusher, pusher.AsyncPusher])
def test_a_url(kind: Any, url: Any, expected: Any) -> None:
    client = kind.from_url(url)

    address = client._pusher_client.address
    assert (address.base, client.key, client.secret, address.prefix) == expected
    assert client.app_id == client._authentication_client.app_id == "4"


def test_options_win_over_the_url() -> None:
    client = pusher.Pusher.from_url("http://foo:bar@host/apps/4", port=5, key="k")

    assert (client.host, client.port, client.key) == ("host", 5, "k")


@pytest.mark.parametrize("url", ["nonsense", "ftp://a:b@c/apps/4", "http://a:b@c/apps/four"])
def test_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="url must look like"):
        pusher.Pusher.from_url(url)
    with pytest.raises(TypeError):
        pusher.Pusher.from_url(4)  # type: ignore[arg-type]


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PUSHER_URL": "https://plah:bob@somehost/apps/42"})
    client = pusher.Pusher.from_env(timeout=1)
    assert (client.scheme, client.key, client.secret) == ("https", "plah", "bob")
    assert (client.host, client.app_id, client.timeout) == ("somehost", "42", 1)

    with pytest.raises(ValueError, match="OTHER"):
        pusher.Pusher.from_env("OTHER")

    names = {"APP_ID": "7", "APP_KEY": "k", "APP_SECRET": "s", "APP_CLUSTER": "eu", "PORT": "8"}
    monkeypatch.setattr(os, "environ", {f"PUSHER_{each}": names[each] for each in names})
    client = pusher.Pusher.from_env()
    assert (client.app_id, client.host, client.port) == ("7", "api-eu.pusher.com", 8)


@pytest.mark.filterwarnings("ignore:encryption_master_key is deprecated")
@pytest.mark.parametrize(
    ("old", "base64", "expected"),
    [
        ("this is 32 bytes 123456789012345", None, b"this is 32 bytes 123456789012345"),
        (b"this key has nonprintable char \0", None, b"this key has nonprintable char \0"),
        (None, MASTER_KEY, b"8tW5FQLniQ1sBQFwrw7t6TVEsJZd10yY"),
        (None, MASTER_KEY.encode(), b"8tW5FQLniQ1sBQFwrw7t6TVEsJZd10yY"),
        (None, None, None),
    ],
)
def test_a_master_key(old: Any, base64: Any, expected: bytes | None) -> None:
    assert parse_master_key(old, base64) == expected


@pytest.mark.filterwarnings("ignore:encryption_master_key is deprecated")
@pytest.mark.parametrize(
    ("old", "base64", "why"),
    [
        ("a" * 32, MASTER_KEY, "not both"),
        ("a" * 31, None, "32 bytes, not 31"),
        ("a" * 33, None, "32 bytes, not 33"),
        ("", None, "32 bytes, not 0"),
        (None, "YQ==", "decodes to 32 bytes, not 1"),
        (None, MASTER_KEY[:-1], "valid base64"),
        (None, "!" + MASTER_KEY[1:], "valid base64"),
        (None, 5, "valid base64"),
    ],
)
def test_no_master_key(old: Any, base64: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_master_key(old, base64)


def test_the_old_master_key_is_deprecated() -> None:
    with pytest.warns(UserWarning, match="use encryption_master_key_base64"):
        client = pusher.Pusher(**REQUIRED, encryption_master_key="a" * 32)

    assert client.decrypt("private-encrypted-a", client.encrypt("private-encrypted-a", "x")) == "x"


class Recording:
    """A backend as users write them."""

    def __init__(self, client: Client, **options: Any) -> None:
        self.client = client
        self.options = options

    def send_request(self, request: Request) -> str:
        return f"sent {request.method} {request.path}"


def test_a_backend_of_the_users_gets_its_options() -> None:
    client = pusher.Pusher(**REQUIRED, backend=Recording, color="red", verify="ca.pem", retries=3)

    backend = client._pusher_client.http
    assert isinstance(backend, Recording)
    assert backend.client is client._pusher_client
    assert backend.options == {"color": "red", "verify": "ca.pem", "retries": 3}
    assert client.trigger("a", "e", "x") == "sent POST /apps/4/events"
    assert client.users_info("presence-a") == "sent GET /apps/4/channels/presence-a/users"
    client.close()  # it has nothing to close


async def test_an_asynchronous_client_awaits_only_what_has_to_be() -> None:
    async with pusher.AsyncPusher(**REQUIRED, backend=Recording) as client:
        assert await client.trigger("a", "e", "x") == "sent POST /apps/4/events"


def test_options_of_requests_are_still_understood() -> None:
    with pusher.Pusher(**REQUIRED, proxies={"https": "http://p"}, verify=False) as client:
        backend = client._pusher_client.http
        assert isinstance(backend, RequestsBackend)
        assert backend.options == {
            "allow_redirects": False,
            "proxies": {"https": "http://p"},
            "verify": False,
        }


def test_other_options_are_for_who_sends(tmp_path: Any) -> None:
    context = ssl.create_default_context()
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))

    def trusts(**options: Any) -> Any:
        backend = pusher.Pusher(**REQUIRED, **options)._pusher_client.http
        assert isinstance(backend, HttpBackend)
        return backend._options

    assert trusts(ssl_context=context, verify=False).verify is context
    assert trusts(verify=False).verify is False
    assert trusts(verify=str(file)).verify.verify_mode is ssl.CERT_REQUIRED
    assert trusts(verify=str(tmp_path)).verify.verify_mode is ssl.CERT_REQUIRED
    assert trusts(proxy="http://p").proxy == "http://p"
    with pytest.raises(TypeError):
        pusher.AsyncPusher(**REQUIRED, proxies={})


@pytest.mark.parametrize(
    "make", [lambda: pusher.Pusher.trigger, lambda: pusher.PusherClient.trigger]
)
def test_methods_are_documented(make: Callable[[], Any]) -> None:
    assert make().__doc__
