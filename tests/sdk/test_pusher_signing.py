"""What the drop-in signs and checks without a server, and the functions that go with it."""

import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

import oyez
import oyez.pusher as pusher
from oyez.protocol.signing import Token
from oyez.pusher import crypto, signature, util
from oyez.pusher.errors import PusherError, WebhookError
from tests.sdk.pusher_drop_in.libraries import MASTER_KEY
from tests.vectors import Vector, load

CLIENT = pusher.AuthenticationClient("4", "foo", "bar", encryption_master_key_base64=MASTER_KEY)
NOW = 1_700_000_000.0
HOOKS = [each for each in load("webhooks") if each["id"] != "HOOK-1"]


def body_of(seconds: float, **more: Any) -> str:
    return json.dumps({"time_ms": int(seconds * 1000), "events": [], **more})


def signed(body: str, secret: str = "bar") -> str:
    return Token("", secret).sign(body.encode())


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.mark.parametrize(
    "vector",
    [each for each in load("authorizations") if '":"' not in each["string_to_sign"]],
    ids=lambda vector: vector["id"],
)
def test_a_documented_answer(vector: Vector) -> None:
    client = pusher.Pusher(
        "4",
        vector["key"],
        vector["secret"],
        encryption_master_key_base64=vector.get("encryption_master_key_base64"),
    )
    expected = vector["response"]
    socket_id, _, rest = vector["string_to_sign"].partition(":")
    data = expected.get("channel_data")

    found = client.authenticate(
        rest if data is None else rest.removesuffix(f":{data}"),
        socket_id,
        None if data is None else json.loads(data),
    )

    assert found == expected


def test_a_private_channel() -> None:
    assert CLIENT.authenticate("private-channel", "345.23") == {
        "auth": "foo:89955e77e1b40e33df6d515a5ecbba86a01dc816a5b720da18a06fd26f7d92ff"
    }


def test_the_secret_of_an_encrypted_channel_can_be_sent_as_json() -> None:
    found = CLIENT.authenticate("private-encrypted-channel", "345.23")

    assert json.loads(json.dumps(found)) == {
        "auth": "foo:fff0503dfe4929f5162efe4d1dacbce524b0d8e7e1331117a8651c0e74d369e3",
        "shared_secret": "VmIsNZtCSteh8kazd2toc+ofhohBtUouQRSDtRvuyVI=",
    }


def test_a_presence_channel() -> None:
    member = {"user_id": "fred", "user_info": {"key": "wert ü"}}
    data = '{"user_id": "fred", "user_info": {"key": "wert \\u00fc"}}'

    assert CLIENT.authenticate("presence-channel", "345.43245", member) == {
        "auth": f"foo:{signed(f'345.43245:presence-channel:{data}')}",
        "channel_data": data,
    }


def test_a_user() -> None:
    data = '{"id": "123", "name": "John Smith"}'

    assert CLIENT.authenticate_user("12345.6789", json.loads(data)) == {
        "auth": f"foo:{signed(f'12345.6789::user::{data}')}",
        "user_data": data,
    }


def test_who_is_nobody_yet_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oyez"):
        found = CLIENT.authenticate("presence-room", "1.2")

    assert "channel_data" not in found
    assert "only a signed-in user can join" in caplog.text


def test_authorizing_may_be_strict() -> None:
    authorize = pusher.Pusher("4", "foo", "bar").authorize_channel
    member = {"user_id": "1"}

    assert authorize("public", "1.2") == CLIENT.authenticate("public", "1.2")
    assert authorize("presence-a", "1.2", member, strict=True) == CLIENT.authenticate(
        "presence-a", "1.2", member
    )
    assert authorize(b"private-a", "1.2", strict=True)
    for refused in (("public", "1.2"), ("presence-a", "1.2"), ("presence-a", "1.2", {"id": "1"})):
        with pytest.raises(ValueError, match="must"):
            authorize(*refused, strict=True)


@pytest.mark.parametrize("kind", [str, str.encode])
def test_a_webhook(kind: Callable[[str], Any]) -> None:
    body = body_of(NOW - 299, new={"ü": 1})

    found = CLIENT.validate_webhook(kind("foo"), kind(signed(body)), kind(body))

    assert found == json.loads(body)


@pytest.mark.parametrize(
    ("key", "body", "signature_of"),
    [
        ("bad", body_of(NOW), body_of(NOW)),
        ("foo", body_of(NOW), "another body"),
        ("foo", body_of(NOW - 301), body_of(NOW - 301)),
        ("foo", body_of(NOW + 301), body_of(NOW + 301)),
        ("foo", '{"events": []}', '{"events": []}'),
        ("foo", '{"time_ms": "now"}', '{"time_ms": "now"}'),
        ("foo", "some body", "some body"),
        ("foo", "[]", "[]"),
    ],
)
def test_a_webhook_that_is_not_trusted(key: str, body: str, signature_of: str) -> None:
    assert CLIENT.validate_webhook(key, signed(signature_of), body) is None


def test_nonsense_is_no_webhook() -> None:
    assert CLIENT.validate_webhook("foo", "ü", "x") is None
    assert CLIENT.validate_webhook("foo", signed("x"), b"\xff") is None


def test_a_json_decoder_of_the_users() -> None:
    class Decoder(json.JSONDecoder):
        def __init__(self) -> None:
            super().__init__(parse_constant=lambda name: 99999)

    client = pusher.Pusher("4", "foo", "bar", json_decoder=Decoder)
    body = f'{{"nan": NaN, "time_ms": {NOW * 1000:f}}}'

    assert client.validate_webhook("foo", signed(body), body) == {
        "nan": 99999,
        "time_ms": NOW * 1000,
    }


def test_several_tokens_and_any_age() -> None:
    client = pusher.Pusher(
        "4",
        "foo",
        "bar",
        extra_tokens=[("old", "s1"), {"key": "older", "secret": "s2"}],
        webhook_tolerance=None,
    )
    body = body_of(1)

    for key, secret in (("foo", "bar"), ("old", "s1"), ("older", "s2")):
        assert client.validate_webhook(key, signed(body, secret), body)
        headers = {"X-Pusher-Key": key, "X-Pusher-Signature": signed(body, secret)}
        assert client.webhook(headers, body).time_ms == 1000
    assert client.validate_webhook("old", signed(body), body) is None


@pytest.mark.parametrize("vector", HOOKS, ids=lambda vector: vector["id"])
def test_a_documented_webhook(vector: Vector) -> None:
    client = pusher.AsyncPusher("4", vector["key"], vector["secret"])
    headers = {
        "HTTP_X_PUSHER_KEY": vector["key"],
        "HTTP_X_PUSHER_SIGNATURE": vector["signature"],
    }

    found = client.webhook(headers, vector["body"].encode(), tolerance=1e12)

    assert list(found) == json.loads(vector["body"])["events"]


def test_a_webhook_says_why_it_is_not_trusted() -> None:
    client, body = pusher.Pusher("4", "foo", "bar"), body_of(NOW - 301)

    def reason(key: str, secret: str = "bar", **options: Any) -> str:
        headers = {"X-Pusher-Key": key, "X-Pusher-Signature": signed(body, secret)}
        with pytest.raises(WebhookError) as caught:
            client.webhook(headers, body, **options)
        assert isinstance(caught.value, PusherError | oyez.WebhookError)
        return caught.value.reason

    assert reason("") == "missing_header"
    assert reason("other") == "unknown_key"
    assert reason("foo", "wrong") == "bad_signature"
    assert reason("foo") == "expired"
    assert reason("other", "s", extra_tokens=[("other", "s")]) == "expired"


def test_a_client_event_is_decrypted() -> None:
    client = pusher.Pusher("4", "foo", "bar", encryption_master_key_base64=MASTER_KEY)
    channel = "private-encrypted-a"
    event = {"name": "client_event", "channel": channel, "data": client.encrypt(channel, {"a": 1})}
    body = body_of(NOW, events=[event])

    found = client.webhook({"X-Pusher-Key": "foo", "X-Pusher-Signature": signed(body)}, body)

    assert found.events[0]["data"] == '{"a": 1}'


def test_a_client_without_a_key_does_not_encrypt() -> None:
    client = pusher.Pusher("4", "foo", "bar")

    for call in (client.encrypt, client.decrypt):
        with pytest.raises(ValueError, match="encryption_master_key_base64 must be set"):
            call("private-encrypted-a", "x")


@pytest.mark.parametrize(
    ("name", "encrypted"),
    [
        ("private-encrypted-a", True),
        ("private-encrypted--a-", True),
        ("private-encrypted-cache-a", True),
        ("private--encrypted-a", False),
        ("private-encrypteda", False),
        ("private-a", False),
        ("a private-encrypted-b", False),
    ],
)
def test_what_is_an_encrypted_channel(name: str, encrypted: bool) -> None:
    assert crypto.is_encrypted_channel(name) is encrypted


@pytest.mark.parametrize("vector", load("encryption"), ids=lambda vector: vector["id"])
def test_documented_ciphers(vector: Vector) -> None:
    if "nonce_hex" not in vector:
        pytest.skip("no message")
    channel, key = vector["channel"], bytes.fromhex(vector["master_key_hex"])
    nonce = bytes.fromhex(vector["nonce_hex"])

    assert crypto.generate_shared_secret(channel.encode(), key).hex() == vector["shared_secret_hex"]
    found = crypto.encrypt(channel, vector["plaintext"], key, nonce)
    assert found == json.loads(vector["data"])
    assert crypto.encrypt(channel, "x", key) != crypto.encrypt(channel, "x", key)


def test_no_cipher_without_a_key() -> None:
    with pytest.raises(ValueError, match="must be set"):
        crypto.encrypt("private-encrypted-a", "x", None)


def test_signatures() -> None:
    expected = hmac.new(b"s", "ü".encode(), "sha256").hexdigest()

    assert signature.sign("s", "ü") == expected
    assert signature.verify("s", "ü", expected)
    assert not signature.verify("s", "ü", expected.upper())
    assert not signature.verify("s", "ü", "ü")


@pytest.mark.parametrize("user_id", ["1", "ab12", "A_b-c=@,.;", "x" * 200, b"bytes"])
def test_a_user_id(user_id: Any) -> None:
    assert util.validate_user_id(user_id) == util.ensure_text(user_id, "")


@pytest.mark.parametrize("user_id", ["", "x" * 201, "abc%&*", "a b", "a\n"])
def test_no_user_id(user_id: str) -> None:
    with pytest.raises(ValueError, match="user_id must be"):
        util.validate_user_id(user_id)


@pytest.mark.parametrize(
    "channel",
    ["123", "Channel@123", "channel,456;asd", "-abc_ABC@012.xpto,987;654", "#server-to-user-ID-1"],
)
def test_a_channel(channel: str) -> None:
    assert util.validate_channel(channel) == channel
    assert util.validate_channel(channel.encode()) == channel


@pytest.mark.parametrize(
    "channel",
    ["", "#123", "x" * 201, "abc%&*", "#server-to-user1", "#server-to-users", "#server-to-useR-1"],
)
def test_no_channel(channel: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        util.validate_channel(channel)


def test_small_functions() -> None:
    assert util.ensure_binary("ü", "x") == "ü".encode()
    assert util.ensure_binary(b"x", "x") == b"x"
    assert util.join_attributes(["a", "b"]) == util.join_attributes("a,b") == "a,b"
    assert util.data_to_string({"ü": 1}, None) == '{"ü": 1}'
    assert util.validate_socket_id(b"1.2") == "1.2"
    assert [util.is_base64(each) for each in ("YQ==", b"YQ==", "YQ=", "Y", 5)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    util.validate_user_data({"id": "1"})

    @util.doc_string("what it does")
    def decorated() -> None: ...

    assert decorated.__doc__ == "what it does"
    with pytest.raises(TypeError, match="x must be a str or bytes, not int: 5"):
        util.ensure_binary(5, "x")


def test_patterns() -> None:
    assert util.channel_name_re.match("private-a")
    assert not util.channel_name_re.match("#a")
    assert util.server_to_user_channel_re.match("#server-to-user-a")
    assert util.app_id_re.match("12")
    assert util.socket_id_re.match("1.2")
    found = util.pusher_url_re.match("http://key:secret@host/apps/4")
    assert found
    assert found.groups() == ("http", "key", "secret", "host", "4")
