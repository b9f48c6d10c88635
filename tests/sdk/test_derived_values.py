"""Strings that are more than strings, such as those of Django's templates, are data like others."""

from enum import IntEnum, StrEnum
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


@pytest.mark.parametrize(
    ("data", "json"),
    [
        (mark_safe("<b>"), '"<b>"'),
        ({"html": mark_safe("<b>"), mark_safe("k"): [Text("x")]}, '{"html":"<b>","k":["x"]}'),
        (Table(a=Row([Text("x"), Level.HIGH, True, 1.5, None])), '{"a":["x",3,true,1.5,null]}'),
        ((Text("x"), Kind.NEWS), '["x","news"]'),
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
