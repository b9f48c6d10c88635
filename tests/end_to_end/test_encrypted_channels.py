"""Encrypted channels: official libraries encrypt and decrypt, the server only carries."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pusher import Pusher
from pusher.errors import PusherBadStatus

from tests.conftest import RunningServer
from tests.end_to_end.authorization import SignedBy, SignedByNpmPusher
from tests.end_to_end.driver import Application, LibraryError, Message
from tests.end_to_end.publishers import NpmPusher, Sdk
from tests.end_to_end.receivers import Connect, Echo, PusherJs
from tests.operation.clients import Client, accepted

SECRET: dict[str, Any] = {"note": "Grüße 🌍, top secret", "lines": [1, 2.5, None, True]}
WRONG_KEY = base64.b64encode(b"another application's master key").decode()
LARGEST = 7_600  # characters that still fit, encrypted and in base64, into 10 240 bytes
SEALED = re.compile(r'\{"nonce": ?"[A-Za-z0-9+/]{32}", ?"ciphertext": ?"[A-Za-z0-9+/]+={0,2}"\}')


@pytest.fixture
def wire(server: RunningServer) -> Iterator[Client]:
    """A subscriber that has signatures but no secret, and shows what came over the wire."""
    with accepted(server) as client:
        yield client


@pytest.mark.parametrize("data", [SECRET, "plain text ünd 🌍", [1, "two"], 17], ids=repr)
def test_pusher_js_reads_what_an_official_library_encrypted(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
    data: Any,
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(signed_by("npm pusher"))
    client.subscribe(channel)

    answer = sdk.trigger(channel, "order-shipped", data)

    assert answer == {}
    assert client.wait_for_event(channel, "order-shipped").data == data
    [message] = client.messages(channel)
    assert message.name == "order-shipped"
    assert message.data.keys() == {"nonce", "ciphertext"}
    assert client.errors() == []


def test_either_library_hands_out_the_secret_of_the_channel(
    sdk: Sdk,
    signer: str,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(signed_by(signer))
    client.subscribe(channel)

    sdk.trigger(channel, "order-shipped", SECRET)

    assert client.wait_for_event(channel, "order-shipped").data == SECRET


def test_echo_reads_an_encrypted_channel(
    sdk: Sdk,
    connect_echo: Connect[Echo],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    name = fresh("orders")
    channel = connect_echo(signed_by(signer)).encrypted(name, listen=[".order.shipped"])
    channel.wait_for("subscribed")
    assert channel.full_name == f"private-encrypted-{name}"

    sdk.trigger(channel.full_name, "order.shipped", SECRET)

    assert channel.wait_for("listen", ".order.shipped") == SECRET


def test_each_event_of_a_batch_is_encrypted_by_itself(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    first, second, plain = fresh("private-encrypted-a"), fresh("private-encrypted-b"), fresh("c")
    client = connect_pusher_js(signed_by("npm pusher"))
    for channel in (first, second, plain):
        client.subscribe(channel)

    sdk.trigger_batch(
        [
            {"channel": first, "name": "e", "data": {"n": 1}},
            {"channel": second, "name": "e", "data": {"n": 2}},
            {"channel": plain, "name": "e", "data": {"n": 3}},
        ]
    )

    found = [client.wait_for_event(channel, "e").data for channel in (first, second, plain)]
    assert found == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert client.messages(first)[0].data.keys() == {"nonce", "ciphertext"}
    assert client.messages(plain)[0].data == {"n": 3}


def test_a_subscriber_without_the_secret_gets_ciphertext_only(
    sdk: Sdk,
    wire: Client,
    pypi_pusher: Pusher,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(signed_by("npm pusher"))
    client.subscribe(channel)
    authorized = pypi_pusher.authenticate(channel, wire.socket_id)
    succeeded = wire.subscribe(channel, auth=authorized["auth"])
    assert succeeded["data"] == "{}"

    sdk.trigger(channel, "order-shipped", SECRET)

    message = wire.receive("order-shipped")
    assert message.keys() == {"event", "channel", "data"}
    assert SEALED.fullmatch(message["data"])
    # Both got the same bytes, of which one of them can make sense.
    assert client.wait_for_event(channel, "order-shipped").data == SECRET
    assert client.messages(channel)[0].data == json.loads(message["data"])


def test_pusher_js_with_another_secret_hands_nothing_to_its_bindings(
    sdk: Sdk,
    app: Application,
    connect_pusher_js: Connect[PusherJs],
    fresh: Callable[[str], str],
) -> None:
    channel, news = fresh("private-encrypted-orders"), fresh("news")
    client = connect_pusher_js(SignedByNpmPusher(replace(app, master_key=WRONG_KEY)))
    client.subscribe(channel)
    client.subscribe(news)

    sdk.trigger(channel, "order-shipped", SECRET)
    sdk.trigger(news, "end", {})

    client.wait_for_event(news, "end")
    assert [message.name for message in client.messages(channel)] == ["order-shipped"]
    assert client.events(channel) == []


def test_a_wrong_signature_is_refused_as_on_any_private_channel(
    connect_pusher_js: Connect[PusherJs],
    wrongly_signed_by: SignedBy,
    signer: str,
    sdk: Sdk,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(wrongly_signed_by(signer))

    client.start_subscribing(channel)

    # No `subscription_error`, which the official Java client would try to decrypt.
    assert "Invalid signature" in client.wait_for_error()["data"]["message"]
    assert sdk.channel_info(channel) == {"occupied": False}


def test_what_is_not_encrypted_passes_unread(
    npm_pusher: NpmPusher, wire: Client, pypi_pusher: Pusher, fresh: Callable[[str], str]
) -> None:
    channel = fresh("private-encrypted-orders")
    wire.subscribe(channel, auth=pypi_pusher.authenticate(channel, wire.socket_id)["auth"])
    data = '{"nonce" : 17, "nonce":"x"}'

    npm_pusher.post("/events", {}, {"name": "e", "channels": [channel], "data": data})

    assert wire.receive("e")["data"] == data


def test_the_limit_counts_the_encrypted_data(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(signed_by("npm pusher"))
    client.subscribe(channel)

    with pytest.raises((PusherBadStatus, LibraryError)) as caught:
        sdk.trigger(channel, "too large", "x" * (LARGEST + 40))
    sdk.trigger(channel, "fits", "x" * LARGEST)

    assert client.wait_for_event(channel, "fits").data == "x" * LARGEST
    assert [message.name for message in client.messages(channel)] == ["fits"]
    if isinstance(caught.value, LibraryError):
        status, body = caught.value.status, caught.value.body or ""
    else:
        start, body = str(caught.value).split(": ", 1)
        status = int(start)
    assert status == 413
    assert json.loads(body)["error"].startswith("The data content of this event exceeds")


def test_a_late_subscriber_of_an_encrypted_cache_channel_decrypts_the_last_event(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-cache-prices")
    sdk.trigger(channel, "price", {"old": True})
    sdk.trigger(channel, "price", SECRET)
    client = connect_pusher_js(signed_by(signer))

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price").data == SECRET
    [message] = client.messages(channel)
    assert message.data.keys() == {"nonce", "ciphertext"}


def test_neither_name_nor_state_of_the_channel_is_a_secret(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-encrypted-orders")
    client = connect_pusher_js(signed_by("npm pusher"))
    client.subscribe(channel)

    assert sdk.channels_info(channel) == {"channels": {channel: {}}}
    assert sdk.channel_info(channel, ["subscription_count"])["subscription_count"] == 1
    system = [
        message.data for message in client.reports(Message) if message.name.endswith("succeeded")
    ]
    assert system == [{}]
