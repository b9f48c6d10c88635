"""What is refused before anything is signed, and how the message says so."""

import re
from collections.abc import Callable
from typing import Any

import pytest

import oyez
from oyez.sdk.transport import Request, Response


class Silent:
    """A transport that nothing must reach."""

    def send(self, request: Request) -> Response:
        raise AssertionError(f"sent {request}")

    def close(self) -> None:
        raise AssertionError("closed by a client that did not make it")


client = oyez.Client("3", "key", "secret", host="127.0.0.1", transport=Silent())

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: client.trigger([], "e", ""), ValueError, "channels must be 1 to 100 names, not 0"),
    (
        lambda: client.trigger(["a"] * 101, "e", ""),
        ValueError,
        "channels must be 1 to 100 names, not 101",
    ),
    (
        lambda: client.trigger({"a": 1}, "e", ""),  # type: ignore[arg-type]
        TypeError,
        "channels must be a str or a list of them, not dict: {'a': 1}",
    ),
    (
        lambda: client.trigger("a:b", "e", ""),
        ValueError,
        "channel must be 1 to 200 characters of A-Z a-z 0-9 _ - = @ , . ; not 'a:b' (3)",
    ),
    (
        lambda: client.trigger("a" * 201, "e", ""),
        ValueError,
        f"channel must be 1 to 200 characters of A-Z a-z 0-9 _ - = @ , . ; not '{'a' * 59}… (201)",
    ),
    (
        lambda: client.trigger(["a", 5], "e", ""),  # type: ignore[list-item]
        TypeError,
        "channel must be a str, not int: 5",
    ),
    (
        lambda: client.trigger("a", "", ""),
        ValueError,
        "event must be 1 to 200 characters, not 0: ''",
    ),
    (
        lambda: client.trigger("a", "e" * 201, ""),
        ValueError,
        f"event must be 1 to 200 characters, not 201: '{'e' * 59}…",
    ),
    (
        lambda: client.trigger("a", "e", "", socket_id="1.2:x"),
        ValueError,
        "socket_id must look like 1234.5678, not '1.2:x'",
    ),
    (
        lambda: client.trigger("a", "e", "ü" * 20_000),
        ValueError,
        "data must be at most 30720 bytes, not 40000",
    ),
    (
        lambda: client.trigger(["private-encrypted-a", "b"], "e", ""),
        ValueError,
        "channels must be one name where one is encrypted, not 2: "
        "'private-encrypted-a' has a key of its own",
    ),
    (
        lambda: client.trigger("private-encrypted-a", "e", ""),
        ValueError,
        "encryption_master_key must be set to publish on 'private-encrypted-a': it is encrypted",
    ),
    (
        lambda: client.trigger_batch([]),
        ValueError,
        "batch must be 1 to 10 events, not 0; split=True sends several batches",
    ),
    (
        lambda: client.trigger_batch([{"channel": "a", "name": "e", "data": ""}] * 11),
        ValueError,
        "batch must be 1 to 10 events, not 11; split=True sends several batches",
    ),
    (
        lambda: client.trigger_batch([{"channel": "a", "name": "e"}]),
        ValueError,
        "batch[0] must have the key 'data', not only ['channel', 'name']",
    ),
    (
        lambda: client.send_to_user("a b", "e", ""),
        ValueError,
        "user_id must be 1 to 200 characters of A-Z a-z 0-9 _ - = @ , . ; not 'a b' (3)",
    ),
    (lambda: client.users("#x"), ValueError, "channel must be 1 to 200 characters"),
    (lambda: client.get("/channels?info=x"), ValueError, "path must not have a query, use params"),
    (
        lambda: client.authorize_channel("news", "1.2"),
        ValueError,
        "channel must be private or presence, 'news' is public",
    ),
    (
        lambda: client.authorize_channel("private-a", "1.2::user::{}"),
        ValueError,
        "socket_id must look like 1234.5678, not '1.2::user::{}'",
    ),
    (
        lambda: client.authorize_channel("presence-a", "1.2", {"user_info": {}}),
        ValueError,
        "member must have a user_id, not only ['user_info']",
    ),
    (
        lambda: client.authenticate_user("1.2", {"id": 5}),
        TypeError,
        "user_id must be a str, not int: 5",
    ),
    (
        lambda: client.encrypt("private-a", ""),
        ValueError,
        "encryption_master_key must be set to encrypt and decrypt",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), REFUSED, ids=[str(at) for at in range(len(REFUSED))]
)
def test_a_wrong_argument_names_the_limit_and_the_value(
    call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        call()

    assert str(caught.value).startswith(message)


def test_a_caller_s_transport_is_not_closed() -> None:
    client.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"app_id": "shop"}, "app_id must be decimal digits, not 'shop'"),
        ({"key": ""}, "key and secret must not be empty"),
        ({"host": None}, "host or cluster must be given"),
        ({"encryption_master_key": "x"}, "the master key is not valid base64"),
        ({"encryption_master_key": "eA=="}, "the master key must be base64 of 32 bytes, not 1"),
        ({"encryption_master_key": b"x"}, "the master key must be 32 bytes, not 1"),
    ],
)
def test_a_client_that_cannot_work_is_not_made(options: dict[str, Any], message: str) -> None:
    given = {"app_id": "3", "key": "key", "secret": "secret", "host": "127.0.0.1", **options}

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        oyez.Client(**given)


def test_secrets_are_in_no_repr() -> None:
    made = oyez.Client("3", "key", "hush", host="h", encryption_master_key=b"m" * 32)

    assert "hush" not in repr(vars(made))
    assert "m" * 32 not in repr(vars(made))
