"""Users and channels whose names look like a way up in a path."""

import asyncio
import json
from collections.abc import Callable

import pytest

import oyez
import oyez.pusher
from oyez.protocol.signing import Token, user_string
from tests.cli.command import url_of
from tests.conftest import RunningServer
from tests.operation.clients import accepted


def own(server: RunningServer, name: str) -> None:
    with oyez.Client.from_url(url_of(server)) as client:
        client.terminate_user_connections(name)


def own_for_asyncio(server: RunningServer, name: str) -> None:
    client = oyez.AsyncClient.from_url(url_of(server))
    asyncio.run(client.terminate_user_connections(name))


def drop_in(server: RunningServer, name: str) -> None:
    with oyez.pusher.Pusher(
        server.app_id, server.key, server.secret, host=server.host, port=server.port, ssl=False
    ) as client:
        client.terminate_user_connections(name)


@pytest.mark.parametrize("terminate", [own, own_for_asyncio, drop_in])
@pytest.mark.parametrize("name", [".", "..", "..."])
def test_a_user_called_dots_can_be_terminated(
    server: RunningServer, terminate: Callable[[RunningServer, str], None], name: str
) -> None:
    data = json.dumps({"id": name})
    with accepted(server) as client:
        signed = Token(server.key, server.secret).sign(user_string(client.socket_id, data).encode())
        client.send("pusher:signin", {"auth": f"{server.key}:{signed}", "user_data": data})
        client.receive("pusher:signin_success")

        terminate(server, name)

        assert client.closed_with()[0] == 4009
