"""Which webhook requests are trusted, and what they say."""

import json
from collections.abc import Mapping

import pytest

import oyez
from oyez.protocol.signing import Token
from tests.vectors import Vector, load

HOOKS = [each for each in load("webhooks") if each["id"] != "HOOK-1"]
NOW = 1_700_000_000.5


def client_of(vector: Vector, **options: object) -> oyez.Client:
    time_ms = json.loads(vector["body"])["time_ms"]
    return oyez.Client(
        "3",
        vector["key"],
        vector["secret"],
        host="h",
        clock=lambda: time_ms / 1000 + 299,
        **options,  # type: ignore[arg-type]
    )


def headers_of(vector: Vector) -> dict[str, str]:
    return {"X-Pusher-Key": vector["key"], "X-Pusher-Signature": vector["signature"]}


@pytest.mark.parametrize("vector", HOOKS, ids=lambda vector: vector["id"])
def test_a_documented_webhook_is_trusted(vector: Vector) -> None:
    webhook = client_of(vector).webhook(headers_of(vector), vector["body"])

    expected = json.loads(vector["body"])
    assert webhook.time_ms == expected["time_ms"]
    assert webhook.time.timestamp() == pytest.approx(expected["time_ms"] / 1000)
    assert list(webhook) == webhook.events == expected["events"]
    assert webhook.ids == []
    assert not webhook.undecrypted


@pytest.mark.parametrize("vector", HOOKS[:1])
def test_headers_are_found_in_any_spelling(vector: Vector) -> None:
    spellings: list[Mapping[str, str]] = [
        {name.lower(): value for name, value in headers_of(vector).items()},
        {name.upper(): value for name, value in headers_of(vector).items()},
        {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in headers_of(vector).items()
        },
    ]
    for headers in spellings:
        assert client_of(vector).webhook(headers, vector["body"].encode())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"X-Pusher-Key": ""}, "missing_header"),
        ({"X-Pusher-Signature": ""}, "missing_header"),
        ({"X-Pusher-Key": "another"}, "unknown_key"),
        ({"X-Pusher-Signature": "0" * 64}, "bad_signature"),
        ({"X-Pusher-Signature": "ü"}, "bad_signature"),
    ],
)
def test_an_untrusted_webhook_says_why(change: dict[str, str], reason: str) -> None:
    vector = HOOKS[0]

    with pytest.raises(oyez.WebhookError) as caught:
        client_of(vector).webhook({**headers_of(vector), **change}, vector["body"])

    assert caught.value.reason == reason


def signed(body: str, secret: str = "secret") -> dict[str, str]:
    return {
        "X-Pusher-Key": "key",
        "X-Pusher-Signature": Token("key", secret).sign(body.encode()),
        "X-Oyez-Event-Ids": "a,b",
    }


@pytest.mark.parametrize("body", ["", "[]", "{", '{"events":[]}', '{"time_ms":"x","events":[]}'])
def test_a_signed_body_that_is_no_webhook(body: str) -> None:
    client = oyez.Client("3", "key", "secret", host="h")

    with pytest.raises(oyez.WebhookError) as caught:
        client.webhook(signed(body), body)

    assert caught.value.reason == "bad_json"


def test_an_old_webhook_is_refused_unless_age_does_not_matter() -> None:
    client = oyez.Client("3", "key", "secret", host="h", clock=lambda: NOW)
    body = json.dumps({"time_ms": int(NOW * 1000) - 300_001, "events": []})

    with pytest.raises(oyez.WebhookError) as caught:
        client.webhook(signed(body), body)

    assert caught.value.reason == "expired"
    assert client.webhook(signed(body), body, tolerance=None).ids == ["a", "b"]
    assert client.webhook(signed(body), body, tolerance=301)


def test_any_of_several_tokens_may_have_signed() -> None:
    client = oyez.Client(
        "3", "new", "x", host="h", more_tokens=[("key", "secret")], clock=lambda: NOW
    )
    body = json.dumps({"time_ms": int(NOW * 1000), "events": [{"name": "n", "channel": "c"}]})

    assert client.webhook(signed(body), body).events == [{"name": "n", "channel": "c"}]


def test_client_events_of_encrypted_channels_are_decrypted() -> None:
    ours, theirs = (
        oyez.Client("3", "key", "secret", host="h", encryption_master_key=key, clock=lambda: NOW)
        for key in (b"m" * 32, b"n" * 32)
    )
    channel = "private-encrypted-a"
    events = [
        {
            "name": "client_event",
            "channel": "private-encrypted-a",
            "event": "client-x",
            "data": data,
        }
        for data in (
            ours.encrypt(channel, {"a": 1}),
            theirs.encrypt(channel, {"a": 1}),
        )
    ]
    body = json.dumps({"time_ms": int(NOW * 1000), "events": events})

    webhook = ours.webhook(signed(body), body)

    assert webhook.events[0]["data"] == '{"a":1}'
    assert webhook.events[1]["data"] == events[1]["data"]
    assert webhook.undecrypted == {1}
