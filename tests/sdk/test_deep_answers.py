"""JSON nested deeper than anything can read, where a server, an endpoint or a sender may say it."""

import pytest

import oyez
from oyez.sdk.answers import UserAuthentication, retry_seconds
from oyez.sdk.calls import encode_json
from oyez.sdk.encryption import decrypt_with
from oyez.sdk.errors import DecryptionFailed
from oyez.sdk.permission import Grant
from tests.conftest import RunningServer
from tests.sdk.conftest import options_of
from tests.sdk.test_derived_values import Card, Text

DEEP = '{"x":' + "[" * 100_000


def test_an_encrypted_event_of_that_kind_is_none() -> None:
    with pytest.raises(DecryptionFailed, match="nested too deep"):
        decrypt_with(bytes(32), DEEP)


def test_channel_data_of_that_kind_names_nobody() -> None:
    assert Grant("", DEEP).user_id is None
    assert Grant("", r'{"user_id":"a\ud83d"}').user_id == "a\N{REPLACEMENT CHARACTER}"


def test_what_goes_round_in_circles_is_refused() -> None:
    data: list[object] = [Text("x")]
    data.append(data)
    for each in (data, [data], {"a": data}):
        with pytest.raises(ValueError, match="nested too deep"):
            encode_json(each)


def test_half_letters_in_data_classes_are_replaced() -> None:
    assert encode_json(Card("\ud83d", {"\ud83d"})) == '{"title":"�","tags":["�"]}'


def test_a_date_without_a_zone_is_in_gmt() -> None:
    headers = {"date": "Sat Nov 28 10:00:00 2026", "retry-after": "Sat, 28 Nov 2026 10:00:10 GMT"}
    assert retry_seconds(headers, 0.0) == 10.0


async def test_a_user_with_half_a_letter_signs_in(server: RunningServer) -> None:
    def authenticate(socket_id: str, user: object) -> UserAuthentication:
        data = r'{"id":"half-in","name":"Anna \ud83d"}'
        return client._authorizer.sign_user(socket_id, data)

    client = oyez.Client(**options_of(server))
    async with oyez.AsyncSubscriber(
        server.key, host=server.host, port=server.port, ssl=False, authenticate=authenticate
    ) as subscriber:
        user = await subscriber.signin()
    assert user.data["name"] == "Anna �"
