"""Strings that are more than strings, such as those of Django's templates, are data like others."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from django.utils.safestring import mark_safe

import oyez
import oyez.pusher
from oyez.sdk.calls import encode_json
from tests.cli.command import url_of
from tests.conftest import RunningServer
from tests.operation.clients import accepted


class Text(str):
    __slots__ = ()


class Kind(StrEnum):
    NEWS = "news"


class Level(IntEnum):
    HIGH = 3


class Table(dict[Any, Any]):
    pass


class Row(list[Any]):
    pass


class Number(float):
    pass


class Count(int):
    pass


class Shout(str, Enum):  # noqa: UP042, a StrEnum prints as its value
    """Neither formats nor prints as its value."""

    CHANNEL = "private-a"
    SOCKET = "1.2"
    USER = "ada"


@dataclass
class Card:
    title: str
    tags: set[str]


@pytest.mark.parametrize(
    ("data", "json"),
    [
        (mark_safe("<b>"), '"<b>"'),
        ({"html": mark_safe("<b>"), mark_safe("k"): [Text("x")]}, '{"html":"<b>","k":["x"]}'),
        (Table(a=Row([Text("x"), Level.HIGH, True, 1.5, None])), '{"a":["x",3,true,1.5,null]}'),
        ((Text("x"), Kind.NEWS), '["x","news"]'),
        (Card(Text("x"), {Text("y")}), '{"title":"x","tags":["y"]}'),
        (MappingProxyType({"a": Number(1.5), Count(2): Count(3)}), '{"a":1.5,"2":3}'),
        ({"when": date(2026, 11, 28), "html": Text("x")}, '{"when":"2026-11-28","html":"x"}'),
    ],
)
def test_what_is_derived_is_encoded_as_what_it_is(data: Any, json: str) -> None:
    assert encode_json(data) == json


def test_they_may_be_used_everywhere(server: RunningServer) -> None:
    safe = [mark_safe(each) for each in ("derived", "my-event", "<b>", "ada")]
    channel, event, html, user = safe
    drop_in = oyez.pusher.Pusher(
        server.app_id, server.key, server.secret, host=server.host, port=server.port, ssl=False
    )
    with accepted(server) as client, oyez.Client.from_url(url_of(server)) as own, drop_in:
        client.subscribe(channel)
        for publisher in (own, drop_in):
            publisher.trigger(channel, event, html)
            publisher.trigger([channel], event, {"html": html})
            publisher.trigger_batch([{"channel": channel, "name": event, "data": html}])
            for data in ("<b>", '{"html":"<b>"}', "<b>"):
                assert client.receive("my-event")["data"].replace(" ", "") == data
            publisher.terminate_user_connections(user)


def test_what_is_signed_is_the_value() -> None:
    kinds: list[Callable[..., Any]] = [oyez.Client, oyez.pusher.Pusher]
    for kind in kinds:
        client = kind("1", "k", "s", host="h")
        derived = kind(*map(Text, ("1", "k", "s")), host=Text("h"))
        plain = client.authorize_channel("private-a", "1.2")
        assert client.authorize_channel(Shout.CHANNEL, Shout.SOCKET) == plain
        assert derived.authorize_channel(Text("private-a"), Text("1.2")) == plain
        assert client.authenticate_user(Shout.SOCKET, {"id": Text("ada")}) == (
            client.authenticate_user("1.2", {"id": "ada"})
        )
        member = {Text("user_id"): Text("ada"), "user_info": {"name": mark_safe("<Ada>")}}
        authorized = client.authorize_channel("presence-a", "1.2", member)
        assert "<Ada>" in authorized["channel_data"]
        assert type(authorized["channel_data"]) is str


def test_every_argument_of_every_call(server: RunningServer) -> None:
    with accepted(server) as client, oyez.Client.from_url(Text(url_of(server))) as own:
        client.subscribe("derived-all")
        channel, info = Text("derived-all"), Text("subscription_count")
        event = {"channel": channel, "name": Text("e"), "data": Text("x"), "info": info}

        own.trigger(channel, Text("e"), Text("x"), socket_id=Text("1.2"), info=info)
        own.trigger_batch([{**event, "socket_id": Text("1.2")}])
        own.post(Text("/events"), event, {Text("a"): Shout.USER})
        own.send_to_user(Text("ada"), Text("e"), {"a": Count(1)}, socket_id=Text("1.2"))

        assert [client.receive("e")["data"] for _ in range(3)] == ["x"] * 3
        assert own.channel(channel, info)["subscription_count"] == 1
        assert channel in own.channels(Text("derived-"), info)["channels"]
        assert own.get(Text("/channels"), {"filter_by_prefix": Shout.USER}) == {"channels": {}}


async def test_a_subscriber(server: RunningServer) -> None:
    url = Text(url_of(server))
    async with oyez.AsyncSubscriber.from_url(url) as one, oyez.AsyncSubscriber.from_url(url) as two:
        member = {"user_id": Text("ada"), "user_info": {"name": mark_safe("<Ada>")}}
        sending = await one.subscribe(Text("presence-derived"), member)
        receiving = await two.subscribe("presence-derived", {"user_id": "bob"})
        await one.signin({"id": Text("derived-ada")})

        await sending.trigger(Text("client-e"), {Text("html"): mark_safe("<b>")})

        event = await anext(aiter(receiving))
        assert (event.name, event.data) == ("client-e", {"html": "<b>"})
        assert receiving.members["ada"] == {"name": "<Ada>"}
