"""A session over HTTP lives on one node; what is done to it may come from any."""

import json
from collections.abc import Callable

from oyez.protocol.signing import Token, user_string
from tests.conftest import RunningServer
from tests.operation.clients import call, publish
from tests.operation.test_fallbacks import Fallback, events, subscribe


def test_events_and_termination_reach_it_from_another_node(
    node: Callable[..., RunningServer],
) -> None:
    home, other = node(), node()
    with Fallback(home, "session1") as client, Fallback(other, "session1") as stray:
        greeting = json.loads(json.loads(client.poll()[1][1:])[0])
        socket_id = json.loads(greeting["data"])["socket_id"]
        data = json.dumps({"id": "ada"})
        signed = Token(home.key, home.secret).sign(user_string(socket_id, data).encode())
        auth = {"auth": f"{home.key}:{signed}", "user_data": data}
        client.send(subscribe("news"), {"event": "pusher:signin", "data": auth})
        heard = ""
        while "pusher:signin_success" not in heard:
            heard += "".join(client.poll())

        stray.send(subscribe("news"), status=404)
        publish(other, "news", "hello")
        assert "e" in [event for line in client.poll() for event in events(line)]
        assert call(other, "POST", "/users/ada/terminate_connections", {}).status_code == 200
        last = client.poll()[-1]
    assert last[0] == "c"
    assert json.loads(last[1:])[0] == 4009
