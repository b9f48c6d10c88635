"""PyPI ``pusher`` and our drop-in do the same to the real server."""

import json
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from oyez.sdk.encryption import Cipher, decrypt_with
from tests.conftest import RunningServer
from tests.operation.clients import accepted
from tests.sdk.pusher_drop_in.libraries import MASTER_KEY, NAMES, Make, clients, library
from tests.webhooks.receiver import Receiver


@pytest.fixture(params=NAMES)
def pusher(request: pytest.FixtureRequest) -> ModuleType:
    return library(request.param)


@pytest.fixture
def make(pusher: ModuleType, server: RunningServer) -> Iterator[Make]:
    with clients(pusher, server) as making:
        yield making


@pytest.fixture
def client(make: Make) -> Any:
    return make()


@pytest.fixture
def unique(pusher: ModuleType) -> str:
    """Tells the channels of one library from those of the other."""
    return pusher.__name__.replace(".", "-")


def test_an_event_on_one_channel(client: Any, server: RunningServer, unique: str) -> None:
    with accepted(server) as subscriber:
        subscriber.subscribe(f"one-{unique}")

        assert client.trigger(f"one-{unique}", "greeting", {"ü": ["hello", 1.5, None]}) == {}

        event = subscriber.receive("greeting")
        assert event["channel"] == f"one-{unique}"
        assert event["data"] == '{"ü": ["hello", 1.5, null]}'


def test_text_travels_as_it_is(client: Any, server: RunningServer, unique: str) -> None:
    with accepted(server) as subscriber:
        subscriber.subscribe(f"text-{unique}")

        client.trigger(f"text-{unique}", "greeting", "no {json}")

        assert subscriber.receive("greeting")["data"] == "no {json}"


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_an_event_on_several_channels(
    client: Any, server: RunningServer, unique: str, kind: Callable[[Any], Any]
) -> None:
    names = [f"several-{number}-{unique}" for number in range(3)]
    with accepted(server) as subscriber:
        for name in names:
            subscriber.subscribe(name)

        assert client.trigger(kind(names), "greeting", "x") == {}

        assert {subscriber.receive("greeting")["channel"] for _ in names} == set(names)


def test_the_one_who_caused_it_does_not_get_it(
    client: Any, server: RunningServer, unique: str
) -> None:
    channel = f"excluded-{unique}"
    with accepted(server) as causing, accepted(server) as other:
        causing.subscribe(channel)
        other.subscribe(channel)

        client.trigger(channel, "first", "x", causing.socket_id)
        client.trigger(channel, "second", "x")

        assert causing.receive()["event"] == "second"
        assert other.receive()["event"] == "first"


def test_text_may_come_as_bytes(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"bytes-{unique}"
    with accepted(server) as causing, accepted(server) as other:
        causing.subscribe(channel)
        other.subscribe(channel)

        client.trigger([channel.encode()], b"first", "x", causing.socket_id.encode())
        client.trigger([channel], "second", "x")

        assert causing.receive()["event"] == "second"
        assert other.receive()["event"] == "first"


def test_a_batch(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"batch-{unique}"
    with accepted(server) as causing, accepted(server) as other:
        causing.subscribe(channel)
        other.subscribe(channel)

        found = client.trigger_batch(
            [
                {
                    "channel": channel,
                    "name": "first",
                    "data": {"a": 1},
                    "socket_id": causing.socket_id,
                },
                {"channel": channel, "name": "second", "data": "x"},
            ]
        )

        assert found == {}
        assert causing.receive()["event"] == "second"
        assert [other.receive()["data"] for _ in range(2)] == ['{"a": 1}', "x"]


def test_a_batch_that_is_encoded_goes_as_it_is(
    client: Any, server: RunningServer, unique: str
) -> None:
    with accepted(server) as subscriber:
        subscriber.subscribe(f"encoded-{unique}")
        event = {"channel": f"encoded-{unique}", "name": "e", "data": '"x"'}

        assert client.trigger_batch([event], already_encoded=True) == {}

        assert subscriber.receive("e")["data"] == '"x"'


def test_an_empty_batch_is_for_the_server_to_judge(client: Any) -> None:
    assert client.trigger_batch() == {}


def test_a_batch_with_info_is_answered(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"batch-info-{unique}"
    with accepted(server) as subscriber:
        subscriber.subscribe(channel)

        found = client.trigger_batch(
            [{"channel": channel, "name": "e", "data": "x", "info": "subscription_count"}]
        )

        assert found == {"batch": [{"subscription_count": 1}]}


def test_which_channels_are_occupied(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"presence-list-{unique}"
    with accepted(server) as subscriber:
        subscriber.join(server, channel, "ada")

        assert channel in client.channels_info()["channels"]
        assert client.channels_info(channel) == {"channels": {channel: {}}}
        assert client.channels_info(channel, ["user_count"]) == {
            "channels": {channel: {"user_count": 1}}
        }
        assert client.channels_info(prefix_filter="nobody-") == {"channels": {}}


def test_the_state_of_a_channel(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"presence-state-{unique}"
    assert client.channel_info(channel) == {"occupied": False}
    with accepted(server) as subscriber:
        subscriber.join(server, channel, "ada")

        assert client.channel_info(channel) == {"occupied": True}
        assert client.channel_info(channel, attributes=["user_count", "subscription_count"]) == {
            "occupied": True,
            "user_count": 1,
            "subscription_count": 1,
        }


def test_who_is_present(client: Any, server: RunningServer, unique: str) -> None:
    channel = f"presence-users-{unique}"
    with accepted(server) as subscriber:
        subscriber.join(server, channel, "ada")

        assert client.users_info(channel) == {"users": [{"id": "ada"}]}


@pytest.mark.parametrize(
    ("channel", "member"),
    [
        ("private-auth", None),
        ("presence-auth", {"user_id": "ada", "user_info": {"name": "Zoë 🌍"}}),
        ("private-encrypted-auth", None),
    ],
)
def test_a_client_is_let_in(
    make: Make, server: RunningServer, unique: str, channel: str, member: Any
) -> None:
    client = make(encryption_master_key_base64=MASTER_KEY)
    with accepted(server) as subscriber:
        signed = client.authenticate(f"{channel}-{unique}", subscriber.socket_id, member)

        signed.pop("shared_secret", None)
        answer = subscriber.subscribe(f"{channel}-{unique}", **signed)

        hash_ = json.loads(answer["data"]).get("presence", {}).get("hash")
        assert hash_ == (member and {"ada": member["user_info"]})


def test_answers_to_clients_are_the_same_text(server: RunningServer) -> None:
    made = []
    for name in NAMES:
        with clients(library(name), server) as make:
            client = make(encryption_master_key_base64=MASTER_KEY)
            member = {"user_id": "1", "user_info": {"name": "Zoë 🌍", "a": [1, 2]}}
            made.append(
                (
                    client.authenticate("private-a", "1.2"),
                    client.authenticate("public", "1.2"),
                    client.authenticate(b"presence-a", b"1.2", member),
                    client.authenticate("presence-a", "1.2"),
                    client.authenticate("private-encrypted-a", "1.2")["auth"],
                    client.authenticate_user("1.2", {"id": "ada", "watchlist": ["bob"]}),
                )
            )

    assert made[0] == made[1]


def test_an_encrypted_event_is_opened_by_who_was_given_the_secret(
    make: Make, server: RunningServer, unique: str
) -> None:
    client, channel = make(encryption_master_key_base64=MASTER_KEY), f"private-encrypted-{unique}"
    with accepted(server) as subscriber:
        signed = client.authenticate(channel, subscriber.socket_id)
        subscriber.subscribe(channel, auth=signed["auth"])

        client.trigger(channel, "single", {"secret": "ü"})
        client.trigger_batch([{"channel": channel, "name": "batched", "data": "x"}])

        key = Cipher(b"8tW5FQLniQ1sBQFwrw7t6TVEsJZd10yY").shared_secret(channel)
        single, batched = (subscriber.receive(name)["data"] for name in ("single", "batched"))
        assert decrypt_with(key, single) == '{"secret": "ü"}'
        assert decrypt_with(key, batched) == "x"


def test_a_user_signs_in_is_reached_and_sent_away(
    client: Any, server: RunningServer, unique: str
) -> None:
    with accepted(server) as subscriber:
        user_id = f"ada-{unique}"
        signed = client.authenticate_user(subscriber.socket_id, {"id": user_id, "role": "pilot"})
        subscriber.send("pusher:signin", signed)
        assert json.loads(
            json.loads(subscriber.receive("pusher:signin_success")["data"])["user_data"]
        ) == {"id": user_id, "role": "pilot"}
        subscriber.subscribe(f"#server-to-user-{user_id}")

        assert client.send_to_user(user_id, "greeting", {"a": 1}) == {}
        event = subscriber.receive("greeting")
        assert (event["channel"], event["data"]) == (f"#server-to-user-{user_id}", '{"a": 1}')

        # PyPI pusher asks for a path of its own, which the server knows as well.
        assert client.terminate_user_connections(user_id) == {}
        assert subscriber.closed_with()[0] == 4009


def test_a_webhook_of_the_server_is_trusted(
    pusher: ModuleType, start_server: Callable[..., RunningServer], tmp_path: Any
) -> None:
    receiver = Receiver()
    server = start_server(
        f'data_directory = "{tmp_path}"\n'
        '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\n'
        f'[[apps.webhooks]]\nurl = "{receiver.url}"\nevents = ["channel_occupied"]\n'
    )
    with clients(pusher, server) as make, accepted(server) as subscriber:
        client = make()
        subscriber.subscribe("news")
        with receiver.arrived:
            assert receiver.arrived.wait_for(lambda: receiver.requests, 20)
        request = receiver.requests[0]
        key, signature = request.headers["X-Pusher-Key"], request.headers["X-Pusher-Signature"]

        found = client.validate_webhook(key, signature, request.body)

        assert found["events"] == [{"name": "channel_occupied", "channel": "news"}]
        assert abs(time.time() * 1000 - found["time_ms"]) < 60_000
        assert client.validate_webhook("other", signature, request.body) is None
        assert client.validate_webhook(key, "0" * 64, request.body) is None
        assert client.validate_webhook(key, signature, request.body + b" ") is None
    receiver.close()


def test_from_a_url(make: Make, pusher: ModuleType, server: RunningServer) -> None:
    client = make(
        pusher.Pusher.from_url,
        f"http://{server.key}:{server.secret}@{server.host}/apps/{server.app_id}",
    )

    assert client.channel_info("nobody") == {"occupied": False}


def test_from_the_environment(
    make: Make, pusher: ModuleType, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://{server.key}:{server.secret}@{server.host}/apps/{server.app_id}"
    monkeypatch.setenv("PUSHER_URL", url)
    monkeypatch.setenv("OTHER_URL", url)

    for name in ([], ["OTHER_URL"]):
        client = make(pusher.Pusher.from_env, *name)
        assert client.channel_info("nobody") == {"occupied": False}


def test_what_the_server_refuses(make: Make, pusher: ModuleType, unique: str) -> None:
    errors, client = pusher.errors, make()

    with pytest.raises(errors.PusherBadRequest) as bad:
        client.users_info(f"public-{unique}")
    with pytest.raises(errors.PusherBadAuth) as unsigned:
        make(secret="wrong").trigger("a", "e", "x")
    with pytest.raises(errors.PusherBadStatus) as large:
        client.trigger("a", "e", "x" * 15_000)
    with pytest.raises(errors.PusherBadRequest):
        client.trigger("a", "", "x")  # neither library counts the characters

    for caught, code in ((bad, 400), (unsigned, 401)):
        assert json.loads(str(caught.value))["code"] == code
        assert caught.value.args == (str(caught.value),)
        assert isinstance(caught.value, errors.PusherError)
    assert str(large.value).startswith('413: {"error":"The data content')
    assert not isinstance(large.value, errors.PusherBadRequest)


def test_what_is_forbidden(pusher: ModuleType, start_server: Callable[..., RunningServer]) -> None:
    server = start_server(
        '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nforce_tls = true\n'
    )
    with (
        clients(pusher, server) as make,
        pytest.raises(pusher.errors.PusherForbidden, match='"code":403'),
    ):
        make().trigger("a", "e", "x")


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "mapping of channels": (lambda it: it.trigger({"a": 1}, "e", "x"), TypeError),
    "number as channel": (lambda it: it.trigger(5, "e", "x"), TypeError),
    "number among channels": (lambda it: it.trigger(["a", 5], "e", "x"), TypeError),
    "101 channels": (lambda it: it.trigger(["a"] * 101, "e", "x"), ValueError),
    "slash in a channel": (lambda it: it.trigger(["a/b"], "e", "x"), ValueError),
    "long channel": (lambda it: it.trigger("a" * 201, "e", "x"), ValueError),
    "number as event": (lambda it: it.trigger("a", 5, "x"), TypeError),
    "long event": (lambda it: it.trigger("a", "e" * 201, "x"), ValueError),
    "bytes as data": (lambda it: it.trigger("a", "e", b"x"), TypeError),
    "large data": (lambda it: it.trigger("a", "e", "x" * 30_721), ValueError),
    "large in UTF-8": (lambda it: it.trigger("a", "e", "世" * 20_000), ValueError),
    "crossing socket id": (lambda it: it.trigger("a", "e", "x", "1.2:b"), ValueError),
    "number as socket id": (lambda it: it.trigger("a", "e", "x", 5), TypeError),
    "encrypted among several": (
        lambda it: it.trigger(["private-encrypted-a", "b"], "e", "x"),
        ValueError,
    ),
    "encrypted without key": (lambda it: it.trigger("private-encrypted-a", "e", "x"), ValueError),
    "batch without channel": (lambda it: it.trigger_batch([{"name": "e", "data": "x"}]), KeyError),
    "batch to nowhere": (
        lambda it: it.trigger_batch([{"channel": "a b", "name": "e", "data": "x"}]),
        ValueError,
    ),
    "number as prefix": (lambda it: it.channels_info(5), TypeError),
    "number as attribute": (lambda it: it.channels_info("a", [5]), TypeError),
    "nameless channel": (lambda it: it.channel_info(""), ValueError),
    "number as user": (lambda it: it.send_to_user(5, "e", "x"), TypeError),
    "empty user": (lambda it: it.terminate_user_connections(""), ValueError),
    "long user": (lambda it: it.send_to_user("u" * 201, "e", "x"), ValueError),
    "colon in a channel": (lambda it: it.authenticate("a:b", "1.2"), ValueError),
    "channel of a user": (lambda it: it.authenticate("#server-to-user-1", "1.2"), ValueError),
    "socket id of two": (lambda it: it.authenticate("private-a", "1.2:x"), ValueError),
    "secretless": (lambda it: it.authenticate("private-encrypted-a", "1.2"), ValueError),
    "no user data": (lambda it: it.authenticate_user("1.2"), ValueError),
    "user data without id": (lambda it: it.authenticate_user("1.2", {"name": "a"}), ValueError),
    "number as id": (lambda it: it.authenticate_user("1.2", {"id": 5}), TypeError),
    "number as key": (lambda it: it.validate_webhook(5, "s", "b"), TypeError),
    "number as body": (lambda it: it.validate_webhook("k", "s", 5), TypeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_before_it_is_sent(client: Any, name: str) -> None:
    call, error = REFUSED[name]

    with pytest.raises(error):
        call(client)
