"""What the server says, byte for byte as the protocol pages print it."""

from oyez.protocol import messages
from oyez.protocol.events import Event
from oyez.protocol.messages import Member


def test_the_greeting() -> None:
    assert messages.connection_established("240621.35780774", 120) == (
        b'{"event":"pusher:connection_established",'
        b'"data":"{\\"socket_id\\":\\"240621.35780774\\",\\"activity_timeout\\":120}"}'
    )


def test_errors_are_the_only_event_with_an_object() -> None:
    assert (
        messages.error(None, "x") == b'{"event":"pusher:error","data":{"code":null,"message":"x"}}'
    )
    assert (
        messages.error(4301, "x") == b'{"event":"pusher:error","data":{"code":4301,"message":"x"}}'
    )


def test_acknowledgements_always_have_data() -> None:
    assert messages.subscription_succeeded("news") == (
        b'{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"}'
    )


def test_members_keep_their_order_and_their_info() -> None:
    found = messages.presence_data([Member("u-8"), Member("u-7", '{"name":"Zoë"}'.encode())])

    assert found == (
        '{"presence":{"count":2,"ids":["u-8","u-7"],"hash":{"u-8":{},"u-7":{"name":"Zoë"}}}}'
    )
    assert messages.presence_data([]) == '{"presence":{"count":0,"ids":[],"hash":{}}}'


def test_member_events() -> None:
    added = messages.member_added("presence-room", Member("u-9", b'{"name":"Ada"}'), -3)

    assert messages.event_text(added) == (
        b'{"event":"pusher_internal:member_added","channel":"presence-room",'
        b'"data":"{\\"user_id\\":\\"u-9\\",\\"user_info\\":{\\"name\\":\\"Ada\\"}}"}'
    )
    assert added.sequence == -3
    assert messages.event_text(messages.member_removed("presence-room", "u-9")) == (
        b'{"event":"pusher_internal:member_removed","channel":"presence-room",'
        b'"data":"{\\"user_id\\":\\"u-9\\"}"}'
    )


def test_events_carry_the_data_they_were_given() -> None:
    event = Event("client-x", "presence-a", '{"on":false}', "1.2", "u-8")

    assert messages.event_text(event) == (
        b'{"event":"client-x","channel":"presence-a","data":"{\\"on\\":false}","user_id":"u-8"}'
    )
    assert messages.event_text(Event("e", "c", "")) == b'{"event":"e","channel":"c","data":""}'


def test_refused_subscriptions_are_told_to_the_channel() -> None:
    assert messages.subscription_error("private-x", "AuthError", "no", 401) == (
        b'{"event":"pusher:subscription_error","channel":"private-x",'
        b'"data":"{\\"type\\":\\"AuthError\\",\\"error\\":\\"no\\",\\"status\\":401}"}'
    )
