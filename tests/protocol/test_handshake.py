"""The URL of a connection."""

import pytest

from oyez.protocol.errors import ConnectionClosed
from oyez.protocol.handshake import Hello, read_hello, subprotocol


@pytest.mark.parametrize(
    ("path", "query", "hello"),
    [
        (
            "/app/key",
            "protocol=7&client=js&version=8.6.0&flash=false",
            Hello("key", 7, "js 8.6.0"),
        ),
        ("/app/key", "client=java-client&protocol=5&version=V", Hello("key", 5, "java-client V")),
        ("/app/key", "", Hello("key", None, "")),
        ("/app/k%20y", "protocol=4", Hello("k y", 4, "")),
    ],
)
def test_a_client_says_what_it_wants(path: str, query: str, hello: Hello) -> None:
    assert read_hello(path, query) == hello


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/", "protocol=7", 4005),
        ("/app", "protocol=7", 4005),
        ("/app/", "protocol=7", 4005),
        ("/app/key/x", "protocol=7", 4005),
        ("/apps/key", "protocol=abc", 4005),
        ("/app/key", "protocol=", 4006),
        ("/app/key", "protocol=abc", 4006),
        ("/app/key", "protocol=7.0", 4006),
        ("/app/key", "protocol=٧", 4006),
        ("/app/key", "protocol=3", 4007),
        ("/app/key", "protocol=8", 4007),
        ("/app/key", "protocol=-7", 4007),
    ],
)
def test_a_client_that_cannot_be_served_is_told_why(path: str, query: str, code: int) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        read_hello(path, query)

    assert caught.value.code == code


def test_the_first_subprotocol_of_ours_is_chosen() -> None:
    assert subprotocol("") is None
    assert subprotocol("graphql-ws") is None
    assert subprotocol("x, pusher-channels-protocol-7,pusher-channels-protocol-6") == (
        "pusher-channels-protocol-7"
    )
