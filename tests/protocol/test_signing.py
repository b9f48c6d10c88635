"""Every documented signature comes out, and only the documented one is accepted."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.protocol.signing import Token, body_digest, channel_string, user_string
from tests.vectors import Vector, load

AUTHORIZATIONS = load("authorizations")


@pytest.mark.parametrize("vector", AUTHORIZATIONS, ids=lambda vector: vector["id"])
def test_a_documented_authorization_is_made_and_verified(vector: Vector) -> None:
    token = Token(vector["key"], vector["secret"])
    message = vector["string_to_sign"].encode()

    assert token.sign(message) == vector["signature"]
    assert token.verifies(vector["signature"], message)
    assert token.verifies(vector["signature"].upper(), message)


@pytest.mark.parametrize("vector", load("webhooks"), ids=lambda vector: vector["id"])
def test_a_documented_webhook_signature_is_made(vector: Vector) -> None:
    body = vector["body"].encode()

    assert len(body) == vector["body_bytes"]
    assert Token(vector["key"], vector["secret"]).sign(body) == vector["signature"]


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0",
        "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a",
        "ä" * 64,
        "\ud800",
    ],
)
def test_another_signature_is_refused_whatever_it_is(signature: str) -> None:
    token = Token("278d425bdf160c739803", "7ad3773142a6692b25b8")

    assert not token.verifies(signature, b"1234.1234:private-foobar")


def test_strings_to_sign_are_those_of_the_vectors() -> None:
    data = '{"user_id":10,"user_info":{"name":"Mr. Pusher"}}'

    assert channel_string("1234.1234", "private-foobar") == "1234.1234:private-foobar"
    assert channel_string("1.2", "presence-x", data) == f"1.2:presence-x:{data}"
    assert user_string("1.2", '{"id":"7"}') == '1.2::user::{"id":"7"}'


def test_a_token_does_not_show_its_secret() -> None:
    assert "hidden" not in repr(Token("key", "hidden"))


def test_the_digest_of_nothing_is_the_one_that_the_python_library_sends() -> None:
    assert body_digest(b"") == "d41d8cd98f00b204e9800998ecf8427e"


@given(st.text(min_size=1, max_size=200), st.binary(max_size=500))
def test_the_prepared_states_sign_like_the_standard_library(secret: str, message: bytes) -> None:
    expected = hmac.new(secret.encode("utf-8", "replace"), message, "sha256").hexdigest()

    assert Token("key", secret.encode("utf-8", "replace").decode()).sign(message) == expected
