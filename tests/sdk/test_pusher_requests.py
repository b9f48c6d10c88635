"""Requests that the drop-in makes, before they are sent, and what it makes of answers."""

import copy
import json
import pickle
import time
from decimal import Decimal
from typing import Any

import pytest

import oyez
import oyez.pusher as pusher
from oyez.pusher import errors
from oyez.pusher.http import (
    DELETE,
    GET,
    POST,
    PUT,
    Request,
    make_query_string,
    process_response,
)
from oyez.sdk.errors import refusal
from tests.sdk.pusher_drop_in.libraries import MASTER_KEY
from tests.vectors import load

QUERIES = [each for each in load("requests") if "query" in each]
CLIENT = pusher.PusherClient("4", "key", "secret", host="somehost")
SEALING = pusher.PusherClient(
    "4", "key", "secret", host="somehost", encryption_master_key_base64=MASTER_KEY
)


@pytest.mark.parametrize("channels", ["some_channel", ["some_channel"], b"some_channel"])
def test_an_event(channels: Any) -> None:
    request = CLIENT.trigger.make_request(channels, "some_event", {"message": "hello ü"})

    assert (request.method, request.path) == (POST, "/apps/4/events")
    assert request.params == {
        "channels": ["some_channel"],
        "data": '{"message": "hello ü"}',
        "name": "some_event",
    }
    assert json.loads(request.body) == request.params


def test_an_event_with_everything() -> None:
    request = CLIENT.trigger.make_request("a", "e", "x", "1.2", info=["user_count", "cache"])

    assert request.params["socket_id"] == "1.2"
    assert request.params["info"] == "user_count,cache"


def test_a_batch_leaves_what_it_was_given_alone() -> None:
    batch: list[dict[str, Any]] = [
        {"channel": "my-chan", "name": "my-event", "data": {"message": "something"}},
        {"channel": "my-chan-2", "name": "e", "data": "x", "socket_id": "1.2", "info": ["a", "b"]},
    ]
    before = copy.deepcopy(batch)

    request = CLIENT.trigger_batch.make_request(batch)
    again = CLIENT.trigger_batch.make_request(batch)

    assert batch == before
    assert (request.method, request.path) == (POST, "/apps/4/batch_events")
    assert request.params == again.params
    assert request.params == {
        "batch": [
            {"channel": "my-chan", "name": "my-event", "data": '{"message": "something"}'},
            {**before[1], "info": "a,b"},
        ]
    }


def test_a_batch_that_is_encoded_is_not_looked_at() -> None:
    batch = [{"channel": "a b", "anything": 1}]

    assert CLIENT.trigger_batch.make_request(batch, True).params == {"batch": batch}


def test_a_batch_has_an_end() -> None:
    client = pusher.PusherClient("4", "key", "secret", max_batch=2)
    batch = [{"channel": "a", "name": "e", "data": "x"}] * 3

    with pytest.raises(ValueError, match="batch must be at most 2 events, not 3"):
        client.trigger_batch.make_request(batch)
    with pytest.raises(ValueError, match="at most 10 events"):
        CLIENT.trigger_batch.make_request(batch * 4, already_encoded=True)


def test_encrypted_channels_in_a_batch_are_sealed_each_by_itself() -> None:
    names = ["plain", "private-encrypted-1", "private-encrypted-2"]
    batch = [{"channel": name, "name": "e", "data": {"a": 1}} for name in names]

    plain, first, second = SEALING.trigger_batch.make_request(batch).params["batch"]

    assert plain["data"] == '{"a": 1}'
    opener = pusher.Pusher("4", "key", "secret", encryption_master_key_base64=MASTER_KEY)
    for event in (first, second):
        assert opener.decrypt(event["channel"], event["data"]) == '{"a": 1}'
        assert event["data"].startswith('{"nonce": "')
    with pytest.raises(oyez.DecryptionFailed):
        opener.decrypt(names[1], second["data"])


def test_an_encrypted_channel_is_sealed_and_a_public_one_is_not() -> None:
    sealed = SEALING.trigger.make_request("private-encrypted-a", "e", {"a": 1}).params["data"]
    opened = SEALING.trigger.make_request("donuts", "e", {"a": 1}).params["data"]
    as_it_is = SEALING.trigger.make_request(
        "private-encrypted-a", "e", sealed, already_encoded=True
    )

    assert set(json.loads(sealed)) == {"nonce", "ciphertext"}
    assert opened == '{"a": 1}'
    assert as_it_is.params["data"] == sealed


def test_the_limit_of_data_is_in_bytes_and_may_be_set() -> None:
    small = pusher.PusherClient("4", "k", "s", max_data_bytes=4, encryption_master_key_base64=None)

    assert CLIENT.trigger.make_request("a", "e", "x" * 30_720)
    assert small.trigger.make_request("a", "e", "üü")
    for call in (small.trigger.make_request, small.trigger):
        with pytest.raises(ValueError, match="data must be at most 4 bytes, not 6"):
            call("a", "e", "üüü")
    with pytest.raises(ValueError, match="at most 30720 bytes, not 40087"):
        SEALING.trigger.make_request("private-encrypted-a", "e", "x" * 30_000)


@pytest.mark.parametrize("names", [[], (), set()])
def test_no_channel_at_all(names: Any) -> None:
    with pytest.raises(ValueError, match="channels must be 1 to 100 names, not 0"):
        CLIENT.trigger.make_request(names, "e", "x")


def test_questions() -> None:
    made = {
        CLIENT.channels_info.make_request(): ("/apps/4/channels", {}),
        CLIENT.channels_info.make_request(prefix_filter="test"): (
            "/apps/4/channels",
            {"filter_by_prefix": "test"},
        ),
        CLIENT.channels_info.make_request(b"p", ["a", "b"]): (
            "/apps/4/channels",
            {"filter_by_prefix": "p", "info": "a,b"},
        ),
        CLIENT.channel_info.make_request("c"): ("/apps/4/channels/c", {}),
        CLIENT.channel_info.make_request(b"c", attributes="a"): (
            "/apps/4/channels/c",
            {"info": "a"},
        ),
        CLIENT.users_info.make_request("presence-c"): ("/apps/4/channels/presence-c/users", {}),
        CLIENT.get.make_request("/channels", {"info": ["a", "b"]}): (
            "/apps/4/channels",
            {"info": "a,b"},
        ),
    }
    for request, expected in made.items():
        assert (request.path, request.params) == expected
        assert (request.method, request.body, request.repeatable) == (GET, b"", True)
        assert "Content-Type" not in request.headers


def test_orders() -> None:
    away = CLIENT.terminate_user_connections.make_request("123")
    post = CLIENT.post.make_request("/events", {"name": "e"}, {"a": 1})

    assert (away.method, away.path) == (POST, "/apps/4/users/123/terminate_connections")
    assert (away.params, away.body, away.repeatable) == ({}, b"{}", True)
    assert (post.method, post.path, post.body) == (POST, "/apps/4/events", b'{"name":"e"}')
    assert post.query_params["a"] == "1"
    assert not post.repeatable
    assert not CLIENT.trigger.make_request("a", "e", "x").repeatable


def test_a_prefix_of_paths_is_signed() -> None:
    client = pusher.PusherClient("4", "key", "secret", host="h", path="/behind/")

    request = client.channels_info.make_request()

    assert request.path == "/behind/apps/4/channels"
    assert request.url.startswith("https://h:443/behind/apps/4/channels?auth_key=key&")


def test_a_signed_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000)

    request = Request(CLIENT, "GET", "/some/obscure/api", {"foo": "bar"})

    assert request.query_params == {
        "auth_key": "key",
        "auth_signature": "5c49f04a95eedc9028b1e0e8de7c2c7ad63504a0e3b5c145d2accaef6c14dbac",
        "auth_timestamp": "1000",
        "auth_version": "1.0",
        "body_md5": "d41d8cd98f00b204e9800998ecf8427e",
        "foo": "bar",
    }
    assert request.base_url == "https://somehost:443"
    assert request.signed_path == f"/some/obscure/api?{request.query_string}"
    assert request.url == f"{request.base_url}{request.signed_path}"
    assert request.repeatable


def test_a_signed_post(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000)

    request = Request(CLIENT, "POST", "/some/obscure/api", {"foo": "bar"})

    assert request.body == b'{"foo": "bar"}'
    assert request.body_md5 == "94232c5b8fc9272f6f73a1e36eb68fcf"
    assert request.query_params == {
        "auth_key": "key",
        "auth_signature": "e05fa4cafee86311746ee3981d5581a5e4e87c27bbab0aeb1059e2df5c90258b",
        "auth_timestamp": "1000",
        "auth_version": "1.0",
        "body_md5": request.body_md5,
    }
    assert request.headers == {
        "X-Pusher-Library": f"oyez {oyez.__version__}",
        "Content-Type": "application/json",
    }
    assert not request.repeatable


def test_values_are_signed_as_they_are_and_travel_encoded() -> None:
    request = Request(CLIENT, GET, "/a", {"info": "a,b : c+d"})

    assert request.query_params["info"] == "a,b : c+d"
    assert "info=a%2Cb%20%3A%20c%2Bd" in request.url
    assert make_query_string({"b": "2,3", "a": "1"}) == "a=1&b=2,3"


@pytest.mark.parametrize("method", [PUT, DELETE, "PATCH"])
def test_other_methods_are_unknown(method: str) -> None:
    with pytest.raises(NotImplementedError):
        Request(CLIENT, method, "/")


@pytest.mark.parametrize("vector", QUERIES, ids=lambda vector: vector["id"])
def test_a_signed_query_for_other_means(vector: dict[str, Any]) -> None:
    client = pusher.Pusher("4", vector["key"], vector["secret"])
    body, query = vector.get("body") or "", vector["query"]
    ours = {"auth_key", "auth_timestamp", "auth_version"} | ({"body_md5"} if body else set())

    found = client.create_signed_query_string(
        vector["method"],
        vector["signed_path"],
        {name: query[name] for name in query if name not in ours},
        body,
        timestamp=int(query["auth_timestamp"]),
    )

    assert found.endswith(f"&auth_signature={vector['auth_signature']}")


class Money(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return str(o) if isinstance(o, Decimal) else super().default(o)


def test_a_json_encoder_of_the_users() -> None:
    client = pusher.Pusher(
        "4", "key", "secret", json_encoder=Money, encryption_master_key_base64=MASTER_KEY
    )
    data, channel = {"money": Decimal("1.32")}, "private-encrypted-a"

    request = client._pusher_client.trigger.make_request("a", "e", data)

    assert request.params["data"] == '{"money": "1.32"}'
    assert client.decrypt(channel, client.encrypt(channel, data)) == '{"money": "1.32"}'
    assert client.authenticate("presence-c1", "1.1", data) == {
        "channel_data": '{"money": "1.32"}',
        "auth": "key:7f2ae5922800a20b9615543ce7c8e7d1c97115d108939410825ea690f308a05f",
    }


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError):
        CLIENT.trigger.make_request("a", "e", Decimal("1.32"))


ANSWERS: list[tuple[int, type[Exception], type[Exception], str]] = [
    (400, errors.PusherBadRequest, oyez.BadRequest, "why"),
    (401, errors.PusherBadAuth, oyez.Unauthorized, "why"),
    (403, errors.PusherForbidden, oyez.Forbidden, "why"),
    (404, errors.PusherNotFound, oyez.NotFound, "404: why"),
    (413, errors.PusherPayloadTooLarge, oyez.PayloadTooLarge, "413: why"),
    (429, errors.PusherRateLimited, oyez.RateLimited, "429: why"),
    (500, errors.PusherServerError, oyez.ServerError, "500: why"),
    (503, errors.PusherServerError, oyez.ServerError, "503: why"),
    (302, errors.PusherBadStatus, oyez.ApiError, "302: why"),
    (201, errors.PusherBadStatus, oyez.ApiError, "201: why"),
]


@pytest.mark.parametrize("body", ["why", b"why"])
@pytest.mark.parametrize(("status", "kind", "ours", "text"), ANSWERS)
def test_a_refusal(
    status: int, kind: type[Exception], ours: type[Exception], text: str, body: Any
) -> None:
    with pytest.raises(errors.PusherError) as caught:
        process_response(status, body)

    error = caught.value
    assert type(error) is kind
    assert isinstance(error, ours)
    assert text.startswith("why") or isinstance(error, errors.PusherBadStatus)
    assert (str(error), error.args) == (text, (text,))
    assert isinstance(error, oyez.ApiError)
    assert (error.status, error.body) == (status, "why")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.status) == (kind, text, status)


def test_a_success() -> None:
    assert process_response(200, '{"a": 1}') == process_response(202, b'{"a": 1}') == {"a": 1}
    assert process_response(202, "") == {}
    for nonsense in ("<html>", "[]"):
        with pytest.raises(errors.PusherResponseError, match="not a JSON object") as caught:
            process_response(200, nonsense)
        assert isinstance(caught.value, oyez.BadResponse)


def test_errors_can_be_made_as_before() -> None:
    assert str(errors.PusherBadRequest("why")) == "why"
    assert str(errors.PusherBadStatus()) == ""
    assert errors.PusherForbidden().status == 403
    assert issubclass(errors.PusherTimeout, errors.PusherConnectionError)
    assert issubclass(errors.PusherError, oyez.OyezError)


def test_only_what_has_a_counterpart_is_translated() -> None:
    limited = errors.translated(refusal(429, "slowly", "POST", "/x", 1.5))
    assert isinstance(limited, errors.PusherRateLimited)
    assert (limited.retry_after, limited.method, limited.path) == (1.5, "POST", "/x")
    assert errors.translated(limited) is limited
    failed = oyez.DecryptionFailed("x")
    assert errors.translated(failed) is failed
