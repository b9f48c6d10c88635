"""An event published with either official server library arrives in every official client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import Application, Driver
from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, Echo, PusherJs, start_echo

ORDER: dict[str, Any] = {"id": 7, "lines": [{"sku": "a", "price": 1.5}], "paid": False, "by": None}
ADA: dict[str, Any] = {"user_id": "ada", "user_info": {"name": "Ada"}}


@pytest.fixture(params=["reverb", "pusher"])
def echo(
    request: pytest.FixtureRequest, driver: Driver, app: Application, signed_by: SignedBy
) -> Iterator[Echo]:
    """Runs the test once with each of Echo's broadcasters that speaks this protocol."""
    client = start_echo(driver, app, signed_by("npm pusher", ADA), request.param)
    client.wait_until("connected")
    yield client
    client.disconnect()


@pytest.mark.parametrize("prefix", ["", "private-", "presence-"])
def test_an_event_reaches_pusher_js(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
    prefix: str,
) -> None:
    channel = prefix + fresh("orders")
    client = connect_pusher_js(signed_by("npm pusher", ADA))
    client.subscribe(channel)

    answer = sdk.trigger(channel, "order-shipped", ORDER)

    assert answer == {}
    event = client.wait_for_event(channel, "order-shipped")
    assert event.data == ORDER
    assert event.user_id is None


def test_an_event_reaches_a_public_channel_of_echo(
    sdk: Sdk, echo: Echo, fresh: Callable[[str], str]
) -> None:
    channel = echo.channel(fresh("orders"), listen=[".order.shipped"])
    channel.wait_for("subscribed")

    sdk.trigger(channel.full_name, "order.shipped", ORDER)

    assert channel.wait_for("listen", ".order.shipped") == ORDER


def test_an_event_reaches_a_private_channel_of_echo(
    sdk: Sdk, echo: Echo, fresh: Callable[[str], str]
) -> None:
    name = fresh("orders")
    channel = echo.private(name, listen=[".order.shipped"])
    channel.wait_for("subscribed")

    sdk.trigger(f"private-{name}", "order.shipped", ORDER)

    assert channel.wait_for("listen", ".order.shipped") == ORDER


def test_an_event_reaches_a_presence_channel_of_echo(
    sdk: Sdk, echo: Echo, fresh: Callable[[str], str]
) -> None:
    name = fresh("orders")
    channel = echo.join(name, listen=[".order.shipped"])
    channel.wait_for("subscribed")

    sdk.trigger(f"presence-{name}", "order.shipped", ORDER)

    assert channel.wait_for("listen", ".order.shipped") == ORDER


def test_echo_hears_a_laravel_event_by_its_class_name(
    sdk: Sdk, connect_echo: Connect[Echo], fresh: Callable[[str], str]
) -> None:
    channel = connect_echo().channel(
        fresh("orders"), listen=["OrderShipped", "Billing.OrderPaid", ".OrderShipped"]
    )
    channel.wait_for("subscribed")

    sdk.trigger(channel.full_name, "App\\Events\\OrderShipped", {"n": 1})
    sdk.trigger(channel.full_name, "App\\Events\\Billing\\OrderPaid", {"n": 2})
    sdk.trigger(channel.full_name, "OrderShipped", {"n": 3})

    assert channel.wait_for("listen", ".OrderShipped") == {"n": 3}
    assert channel.heard("listen", "OrderShipped") == [{"n": 1}]
    assert channel.heard("listen", "Billing.OrderPaid") == [{"n": 2}]
    assert channel.heard("listen", ".OrderShipped") == [{"n": 3}]


def test_one_trigger_reaches_the_subscribers_of_many_channels_once_each(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    red, green, blue = (fresh(colour) for colour in ("red", "green", "blue"))
    of_all, of_blue = connect_pusher_js(), connect_pusher_js()
    for channel in (red, green, blue):
        of_all.subscribe(channel)
    of_blue.subscribe(blue)

    sdk.trigger([red, green, blue], "mixed", {"n": 1})
    sdk.trigger([red, green, blue], "end", {})

    for channel in (red, green, blue):
        of_all.wait_for_event(channel, "end")
        assert [event.name for event in of_all.events(channel)] == ["mixed", "end"]
    of_blue.wait_for_event(blue, "end")
    assert [event.channel for event in of_blue.events(blue)] == [blue, blue]
    assert of_blue.messages(red) == of_blue.messages(green) == []


def test_a_channel_named_twice_in_one_trigger_gets_the_event_once(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("orders")
    client = connect_pusher_js()
    client.subscribe(channel)

    sdk.trigger([channel, channel], "once", {})
    sdk.trigger(channel, "end", {})

    client.wait_for_event(channel, "end")
    assert [event.name for event in client.events(channel)] == ["once", "end"]


def test_every_subscriber_gets_the_events_in_the_order_of_publishing(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("orders")
    clients = [connect_pusher_js() for _ in range(5)]
    for client in clients:
        client.subscribe(channel)

    for number in range(30):
        sdk.trigger(channel, "numbered", number)

    for client in clients:
        client.wait_for_event(channel, "numbered", count=30)
        assert [event.data for event in client.events(channel)] == list(range(30))
