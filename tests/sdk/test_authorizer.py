"""What an application server answers to its clients, from the documented vectors."""

import base64
import json
from typing import Any

import pytest

import oyez
from oyez.sdk.authorizer import Authorizer
from oyez.sdk.calls import encode_json
from oyez.sdk.encryption import Cipher, decrypt_with, master_key
from tests.vectors import Vector, load

AUTHORIZATIONS = load("authorizations")
ENCRYPTED = load("encryption")


def client_of(vector: Vector) -> oyez.Client:
    key = vector.get("encryption_master_key_base64")
    return oyez.Client("3", vector["key"], vector["secret"], host="h", encryption_master_key=key)


@pytest.mark.parametrize("vector", AUTHORIZATIONS, ids=lambda vector: vector["id"])
def test_a_documented_answer_is_given(vector: Vector) -> None:
    client, expected = client_of(vector), vector["response"]
    authorizer: Authorizer = client._authorizer
    socket_id, _, rest = vector["string_to_sign"].partition(":")

    if vector["kind"] == "user":
        found: Any = authorizer.sign_user(socket_id, expected["user_data"])
    else:
        data = expected.get("channel_data")
        channel = rest if data is None else rest.removesuffix(f":{data}")
        found = authorizer.sign(channel, socket_id, data)

    assert found == expected


def test_compact_json_is_signed_as_it_travels() -> None:
    vector = next(each for each in AUTHORIZATIONS if each["id"] == "AUTH-7")
    member = json.loads(vector["response"]["channel_data"])

    found = client_of(vector).authorize_channel("presence-room.1;a=b@c,d", "1234.5678", member)

    assert found == vector["response"]


def test_another_json_encoder_is_used_and_signed() -> None:
    vector = next(each for each in AUTHORIZATIONS if each["id"] == "AUTH-8")
    client = oyez.Client(
        "3",
        vector["key"],
        vector["secret"],
        host="h",
        json_encoder=lambda data: json.dumps(data, separators=(",", ":")),
    )
    member = json.loads(vector["response"]["channel_data"])

    found = client.authorize_channel("presence-room.1;a=b@c,d", "1234.5678", member)

    assert found == vector["response"]


def test_the_member_of_a_signed_in_connection_may_be_left_out() -> None:
    vector = next(each for each in AUTHORIZATIONS if each["id"] == "AUTH-9")

    assert client_of(vector).authorize_channel("presence-room", "1234.5678") == vector["response"]


def test_several_channels_are_authorized_at_once() -> None:
    client = oyez.Client("3", "key", "secret", host="h", encryption_master_key=b"m" * 32)
    names = ["private-a", "presence-b", "private-encrypted-c"]

    found = client.authorize_channels(names, "1.2", {"user_id": "ada"})

    assert list(found) == names
    assert found["private-a"] == client.authorize_channel("private-a", "1.2")
    assert found["presence-b"]["channel_data"] == '{"user_id":"ada"}'
    assert len(base64.b64decode(found["private-encrypted-c"]["shared_secret"])) == 32


def test_a_user_is_vouched_for() -> None:
    vector = next(each for each in AUTHORIZATIONS if each["id"] == "AUTH-10")
    user = json.loads(vector["response"]["user_data"])

    assert client_of(vector).authenticate_user("1234.5678", user) == vector["response"]


@pytest.mark.parametrize("vector", ENCRYPTED, ids=lambda vector: vector["id"])
def test_a_documented_message_is_encrypted_and_decrypted(vector: Vector) -> None:
    cipher = Cipher(bytes.fromhex(vector["master_key_hex"]))
    secret = cipher.shared_secret(vector["channel"])

    assert master_key(vector["master_key_base64"]).hex() == vector["master_key_hex"]
    assert secret.hex() == vector["shared_secret_hex"]
    assert decrypt_with(secret, vector["data"]) == vector["plaintext"]
    if vector["channel"].startswith("private-encrypted-"):
        nonce = bytes.fromhex(vector["nonce_hex"])
        assert cipher.encrypt(vector["channel"], vector["plaintext"], nonce=nonce) == vector["data"]
        assert cipher.decrypt(vector["channel"], vector["data"]) == vector["plaintext"]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[]",
        '{"nonce":"AAAA"}',
        '{"nonce":"AAAA","ciphertext":"AAAA"}',
        '{"nonce":"?","ciphertext":"AAAA"}',
        json.dumps({"nonce": "A" * 32, "ciphertext": "AAAA"}),
        json.dumps({"nonce": "A" * 32, "ciphertext": ""}),
        ENCRYPTED[1]["data"].replace("Gi", "Gj"),
        ENCRYPTED[1]["data"].replace("ZG", "ZH"),
    ],
)
def test_what_has_been_changed_is_not_decrypted(data: str) -> None:
    vector = ENCRYPTED[1]
    client = oyez.Client(
        "3", "k", "s", host="h", encryption_master_key=bytes.fromhex(vector["master_key_hex"])
    )

    with pytest.raises(oyez.DecryptionFailed):
        client.decrypt(vector["channel"], data)


def test_what_is_no_string_is_encrypted_as_json() -> None:
    client = oyez.Client("3", "k", "s", host="h", encryption_master_key=b"m" * 32)

    sealed = client.encrypt("private-encrypted-a", {"ü": 1})

    assert client.decrypt("private-encrypted-a", sealed) == '{"ü":1}' == encode_json({"ü": 1})
