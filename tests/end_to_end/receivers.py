"""The receiving libraries as the tests see them: pusher-js and Laravel Echo."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from tests.end_to_end.authorization import Authorization
from tests.end_to_end.driver import (
    Application,
    Driver,
    Event,
    Failure,
    Heard,
    Message,
    Report,
    StateChange,
    UserEvent,
    Watched,
)

Kind = TypeVar("Kind", bound=Report)
Library = TypeVar("Library", covariant=True)


class Connect(Protocol[Library]):
    """Makes a client that is disconnected after the test, and waits until it is connected."""

    def __call__(
        self,
        authorization: Authorization | None = None,
        authentication: Authorization | None = None,
    ) -> Library: ...


class Receiver:
    """One connection of a client library, and all that it has reported so far."""

    def __init__(self, driver: Driver, name: str) -> None:
        self._driver = driver
        self._name = name

    @property
    def state(self) -> str:
        state: str = self.call("status")["state"]
        return state

    @property
    def socket_id(self) -> str:
        socket_id: str = self.call("status")["socket_id"]
        return socket_id

    def state_changes(self) -> list[str]:
        """The states that followed "connecting", in which a client is made."""
        return [change.current for change in self.reports(StateChange)]

    def wait_until(self, state: str) -> None:
        self.wait_for(StateChange, lambda change: change.current == state, f"state {state!r}")

    def errors(self) -> list[Any]:
        return [failure.error for failure in self.reports(Failure)]

    def wait_for_error(self) -> Any:
        return self.wait_for(Failure, lambda _: True, "an error").error

    def messages(self, channel: str) -> list[Message]:
        """The application's events on a channel as the server sent them, bound or not."""
        messages = self.reports(Message)
        return [it for it in messages if it.channel == channel and not is_protocol(it.name)]

    def all_messages(self, channel: str) -> list[str]:
        """The names of all events on a channel as the server sent them, also the system's."""
        return [message.name for message in self.reports(Message) if message.channel == channel]

    @property
    def user_id(self) -> str | None:
        """Whom the library takes the connection for."""
        user_id: str | None = self.call("status").get("user_id")
        return user_id

    def sign_in(self) -> str:
        """Sign in and wait until events to the user come; the user's id."""
        self.start_signing_in()
        success = self.wait_for(
            Message, lambda message: message.name == "pusher:signin_success", "to be signed in"
        )
        user_id: str = json.loads(success.data["user_data"])["id"]
        channel = f"#server-to-user-{user_id}"

        def is_open(message: Message) -> bool:
            succeeded = "pusher_internal:subscription_succeeded"
            return (message.name, message.channel) == (succeeded, channel)

        self.wait_for(Message, is_open, f"the subscription to {channel!r}")
        return user_id

    def start_signing_in(self) -> None:
        self.call("sign_in")

    def user_events(self, name: str | None = None) -> list[UserEvent]:
        """What the bindings of `pusher.user` were given."""
        return [event for event in self.reports(UserEvent) if name in (None, event.name)]

    def wait_for_user_event(self, name: str, *, count: int = 1) -> UserEvent:
        what = f"{name!r} to the user"
        return self.wait_for(UserEvent, lambda event: event.name == name, what, count=count)

    def watched(self) -> list[tuple[str, list[str]]]:
        """What the bindings of `pusher.user.watchlist` were given: state and user ids."""
        return [(report.name, report.user_ids) for report in self.reports(Watched)]

    def wait_for_watched(self, name: str, user_id: str, *, count: int = 1) -> Watched:
        def is_wanted(report: Watched) -> bool:
            return report.name == name and user_id in report.user_ids

        return self.wait_for(Watched, is_wanted, f"{user_id!r} to be {name}", count=count)

    def ping(self) -> None:
        """Wait until the server has dealt with everything that this connection has sent.

        The server reads the messages of one connection in order, so its pong to the last one
        answers for all of them.
        """

        def is_pong(message: Message) -> bool:
            return message.name == "pusher:pong"

        pongs = sum(map(is_pong, self.reports(Message)))
        self.call("ping")
        self.wait_for(Message, is_pong, "a pong", count=pongs + 1)

    def disconnect(self) -> None:
        self.call("disconnect")

    def call(self, operation: str, **arguments: Any) -> Any:
        return self._driver.call(operation, client=self._name, **arguments)

    def reports(self, kind: type[Kind]) -> list[Kind]:
        return [it for it in self._driver.reports(self._name) if isinstance(it, kind)]

    def wait_for(
        self, kind: type[Kind], matches: Callable[[Kind], bool], what: str, *, count: int = 1
    ) -> Kind:
        """Wait until `count` reports match since the connection was made; give back the last."""

        def find() -> Kind | None:
            matching = [report for report in self.reports(kind) if matches(report)]
            return matching[count - 1] if len(matching) >= count else None

        return self._driver.wait(find, f"{what} ({count} in all)", client=self._name)


@dataclass(frozen=True, slots=True)
class Members:
    """The members object that pusher-js keeps for a presence channel."""

    count: int
    infos: dict[str, Any]
    me: dict[str, Any]


class PusherJs(Receiver):
    """A pusher-js client. It reports every event of the channels it has subscribed to."""

    def subscribe(self, channel: str) -> Event:
        """Subscribe and wait for the success, also when it is not the first one on the channel."""
        successes = len(self.events(channel, "pusher:subscription_succeeded"))
        self.start_subscribing(channel)
        return self.wait_for_event(channel, "pusher:subscription_succeeded", count=successes + 1)

    def start_subscribing(self, channel: str) -> None:
        self.call("subscribe", channel=channel)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe and wait until the server has seen it: there is no acknowledgement."""
        self.call("unsubscribe", channel=channel)
        self.ping()

    def trigger(self, channel: str, event: str, data: Any) -> None:
        """Send a client event."""
        assert self.call("trigger", channel=channel, event=event, data=data) is True

    def members(self, channel: str) -> Members:
        members = self.call("members", channel=channel)
        return Members(members["count"], members["members"], members["me"])

    def subscription_count(self, channel: str) -> int:
        """What pusher-js keeps with the channel."""
        count: int = self.call("subscription_count", channel=channel)
        return count

    def events(self, channel: str, name: str | None = None) -> list[Event]:
        """What the bindings of a channel were given; without a name the application's events."""
        return [
            it
            for it in self.reports(Event)
            if it.channel == channel
            and (it.name == name if name is not None else not is_protocol(it.name))
        ]

    def wait_for_event(self, channel: str, name: str, *, count: int = 1) -> Event:
        def is_wanted(event: Event) -> bool:
            return (event.channel, event.name) == (channel, name)

        return self.wait_for(Event, is_wanted, f"{name!r} on {channel!r}", count=count)


class Echo(Receiver):
    """A Laravel Echo client."""

    def channel(self, name: str, **listeners: Sequence[str]) -> "EchoChannel":
        return EchoChannel(self, "public", name, **listeners)

    def private(self, name: str, **listeners: Sequence[str]) -> "EchoChannel":
        return EchoChannel(self, "private", name, **listeners)

    def encrypted(self, name: str, **listeners: Sequence[str]) -> "EchoChannel":
        return EchoChannel(self, "encrypted", name, **listeners)

    def join(self, name: str, **listeners: Sequence[str]) -> "EchoChannel":
        return EchoChannel(self, "presence", name, **listeners)

    def leave(self, name: str) -> None:
        """Leave the channels of this name (without prefix), and wait as `unsubscribe` does."""
        self.call("echo_leave", channel=name)
        self.ping()


class EchoChannel:
    """A channel of Echo. It has all its callbacks before the subscription can succeed."""

    def __init__(
        self,
        echo: Echo,
        kind: Literal["public", "private", "encrypted", "presence"],
        name: str,
        *,
        listen: Sequence[str] = (),
        whispers: Sequence[str] = (),
    ) -> None:
        self._echo = echo
        self._kind = kind
        self._name = name
        presence = ["here", "joining", "leaving"] if kind == "presence" else []
        self.full_name: str = echo.call(
            "echo_subscribe",
            kind=kind,
            channel=name,
            callbacks=["subscribed", "error", *presence],
            listen=listen,
            whispers=whispers,
        )

    def whisper(self, event: str, data: Any) -> None:
        self._echo.call("echo_whisper", kind=self._kind, channel=self._name, event=event, data=data)

    def heard(self, method: str, argument: str | None = None) -> list[Any]:
        """What the callback given to this method (and for this event) was called with."""
        return [it.data for it in self._echo.reports(Heard) if self._is_from(it, method, argument)]

    def wait_for(self, method: str, argument: str | None = None, *, count: int = 1) -> Any:
        def is_wanted(heard: Heard) -> bool:
            return self._is_from(heard, method, argument)

        what = f"{method}({argument or ''}) on {self.full_name!r}"
        return self._echo.wait_for(Heard, is_wanted, what, count=count).data

    def _is_from(self, heard: Heard, method: str, argument: str | None) -> bool:
        source = (heard.channel, heard.method, heard.argument)
        return source == (self.full_name, method, argument)


def start_pusher_js(
    driver: Driver,
    app: Application,
    authorization: Authorization | None = None,
    authentication: Authorization | None = None,
) -> PusherJs:
    client = PusherJs(driver, driver.new_client("pusher-js"))
    client.call(
        "connect_pusher_js",
        app=app.as_json(),
        authorization=_as_json(authorization),
        authentication=_as_json(authentication),
    )
    return client


def start_echo(
    driver: Driver,
    app: Application,
    authorization: Authorization | None = None,
    broadcaster: Literal["reverb", "pusher"] = "reverb",
    authentication: Authorization | None = None,
) -> Echo:
    client = Echo(driver, driver.new_client("echo"))
    client.call(
        "connect_echo",
        app=app.as_json(),
        authorization=_as_json(authorization),
        authentication=_as_json(authentication),
        broadcaster=broadcaster,
    )
    return client


def _as_json(authorization: Authorization | None) -> dict[str, Any] | None:
    return authorization.as_json() if authorization is not None else None


def is_protocol(event: str) -> bool:
    """Whether the event is the system's and not the application's."""
    return event.startswith(("pusher:", "pusher_internal:"))
