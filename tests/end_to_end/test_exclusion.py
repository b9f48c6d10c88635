"""`socket_id` keeps an event from the connection that caused it."""

from collections.abc import Callable

from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, Echo, PusherJs


def names(client: PusherJs, channel: str) -> list[str]:
    return [message.name for message in client.messages(channel)]


def test_the_excluded_connection_gets_nothing_and_the_others_get_the_event(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("board")
    author, reader = connect_pusher_js(), connect_pusher_js()
    for client in (author, reader):
        client.subscribe(channel)

    sdk.trigger(channel, "before", {})
    sdk.trigger(channel, "posted", {}, author.socket_id)
    sdk.trigger(channel, "end", {})

    for client in (author, reader):
        client.wait_for_event(channel, "end")
    assert names(author, channel) == ["before", "end"]
    assert names(reader, channel) == ["before", "posted", "end"]


def test_the_exclusion_holds_for_every_channel_of_a_trigger(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    boards = [fresh("board-1"), fresh("board-2")]
    author, reader = connect_pusher_js(), connect_pusher_js()
    for client in (author, reader):
        for channel in boards:
            client.subscribe(channel)

    sdk.trigger(boards, "posted", {}, author.socket_id)
    sdk.trigger(boards, "end", {})

    for channel in boards:
        for client in (author, reader):
            client.wait_for_event(channel, "end")
        assert names(author, channel) == ["end"]
        assert names(reader, channel) == ["posted", "end"]


def test_each_event_of_a_batch_has_its_own_exclusion(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("board")
    first, second = connect_pusher_js(), connect_pusher_js()
    for client in (first, second):
        client.subscribe(channel)

    sdk.trigger_batch(
        [
            {"channel": channel, "name": "by first", "data": {}, "socket_id": first.socket_id},
            {"channel": channel, "name": "by second", "data": {}, "socket_id": second.socket_id},
            {"channel": channel, "name": "end", "data": {}},
        ]
    )

    for client in (first, second):
        client.wait_for_event(channel, "end")
    assert names(first, channel) == ["by second", "end"]
    assert names(second, channel) == ["by first", "end"]


def test_the_id_of_no_connection_excludes_nobody(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("board")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger(channel, "posted", {}, "1.1")

    client.wait_for_event(channel, "posted")


def test_echo_is_excluded_by_its_socket_id(
    sdk: Sdk, connect_echo: Connect[Echo], fresh: Callable[[str], str]
) -> None:
    channel = fresh("board")
    author, reader = connect_echo(), connect_echo()
    seen_by_author, seen_by_reader = (
        echo.channel(channel, listen=["Posted", ".end"]) for echo in (author, reader)
    )
    for seen in (seen_by_author, seen_by_reader):
        seen.wait_for("subscribed")

    sdk.trigger(channel, "App\\Events\\Posted", {"n": 1}, author.socket_id)
    sdk.trigger(channel, "end", {})

    for seen in (seen_by_author, seen_by_reader):
        seen.wait_for("listen", ".end")
    assert seen_by_author.heard("listen", "Posted") == []
    assert seen_by_reader.heard("listen", "Posted") == [{"n": 1}]
