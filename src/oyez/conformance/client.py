"""A client of the protocol for one check: says anything, and tells what it got and what is missing.

It takes nothing for granted: a message that is no JSON object, a connection that breaks and an
answer that does not come all end as `Failed`, never as an exception of a library.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from oyez.conformance.expectations import Failed, Silence, shown
from oyez.conformance.signed import compact
from oyez.conformance.target import Credentials, Target
from oyez.protocol.signing import channel_string, user_string

__all__ = ["PONG", "SUCCEEDED", "Client", "Closed", "Message"]

PONG = "pusher:pong"
SUCCEEDED = "pusher_internal:subscription_succeeded"
_MOST = 2000  # messages read while waiting for one


@dataclass(frozen=True, slots=True)
class Message:
    """One text message of the server."""

    text: str
    value: dict[str, Any]

    @property
    def event(self) -> str:
        """The name; empty if it is no string."""
        event = self.value.get("event")
        return event if isinstance(event, str) else ""

    @property
    def channel(self) -> Any:
        """The channel; None if there is none."""
        return self.value.get("channel")

    @property
    def data(self) -> Any:
        """The data as it came, nearly always a string."""
        return self.value.get("data")

    def json(self) -> Any:
        """What is encoded in the data, which has to be a string of JSON."""
        if not isinstance(self.data, str):
            raise Failed(f"a string as data of {self.event}", shown(self.text))
        try:
            return json.loads(self.data)
        except ValueError:
            raise Failed(f"JSON in the data of {self.event}", shown(self.text)) from None

    def error_text(self) -> str:
        """The sentence of a `pusher:error`."""
        data = self.data if isinstance(self.data, dict) else {}
        return str(data.get("message", ""))


class Closed(Failed):
    """The server closed the connection; ``code`` is None without a close frame."""

    def __init__(self, code: int | None, reason: str, seen: list[Message]) -> None:
        last = f" after {shown(seen[-1].text)}" if seen else ""
        super().__init__("an open connection", f"closed with {code} {shown(reason)}{last}")
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class Client:
    """One WebSocket to the server.

    Attributes:
        app: whose key it connected with; signs authorizations.
        socket_id: what the server calls it; empty before `established`.
        seen: all messages so far.
    """

    socket: ClientConnection
    app: Credentials
    patience: float
    socket_id: str = ""
    seen: list[Message] = field(default_factory=list)

    @classmethod
    async def open(
        cls,
        target: Target,
        path: str,
        app: Credentials,
        *,
        origin: str | None = None,
        subprotocols: tuple[str, ...] = (),
        url: str | None = None,
    ) -> Self:
        """Upgrade at ``path``, or at a ``url`` elsewhere; nothing has been read yet."""
        headers = {"Origin": origin} if origin else {}
        try:
            async with asyncio.timeout(target.patience * 2):
                socket = await connect(
                    url or target.socket_url(path),
                    compression=None,
                    subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                    additional_headers=headers,
                    ping_interval=None,
                    open_timeout=None,
                    close_timeout=target.patience,
                    max_size=None,
                    max_queue=None,
                    proxy=None,
                )
        except TimeoutError:
            raise Failed("a WebSocket handshake", "no answer to it") from None
        except (InvalidHandshake, InvalidMessage, OSError, EOFError, ValueError) as error:
            raise Failed("a WebSocket handshake", f"{type(error).__name__}: {error}") from None
        return cls(socket, app, target.patience)

    async def close(self) -> None:
        """Leave, with a close frame if there is time for it."""
        await self.socket.close()

    async def established(self) -> dict[str, Any]:
        """Read the greeting, which has to come first, and take the socket id from it."""
        message = await self.receive()
        if message.event != "pusher:connection_established":
            raise Failed("pusher:connection_established first", shown(message.text))
        data = message.json()
        if not isinstance(data, dict) or not isinstance(data.get("socket_id"), str):
            raise Failed("a socket_id in pusher:connection_established", shown(message.text))
        self.socket_id = data["socket_id"]
        return data

    async def send(self, event: str, data: object = ..., **rest: object) -> None:
        """Send one event; ``data`` may be left out."""
        value: dict[str, object] = {"event": event}
        if data is not ...:
            value["data"] = data
        await self.send_text(compact({**value, **rest}).decode())

    async def send_text(self, text: str | bytes, *, binary: bool = False) -> None:
        """Send one message as it stands; bytes need not be UTF-8."""
        try:
            await self.socket.send(text, text=not binary)
        except ConnectionClosed as error:
            raise self._closed(error) from None

    async def receive(self, seconds: float | None = None) -> Message:
        """The next message.

        Raises:
            Closed: the connection has ended.
            Failed: nothing comes in time, or something that is no JSON object.
        """
        limit = self.patience if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                text = await self.socket.recv()
        except TimeoutError:
            raise Silence("a message", f"none within {limit:g} s") from None
        except ConnectionClosed as error:
            raise self._closed(error) from None
        if not isinstance(text, str):
            raise Failed("a text message", f"a binary one: {shown(text)}")
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Failed("a JSON object", shown(text))
        message = Message(text, value)
        self.seen.append(message)
        return message

    async def wait_for(self, event: str, channel: str | None = None, **options: float) -> Message:
        """The next message with this event, of this channel if one is given; others are passed."""

        def wanted(message: Message) -> bool:
            return message.event == event and channel in (None, message.channel)

        what = f"{event} on {channel}" if channel else event
        return (await self.read_until(wanted, what, **options))[-1]

    async def read_until(
        self, wanted: Callable[[Message], bool], what: str, seconds: float | None = None
    ) -> list[Message]:
        """All messages up to the one that is ``wanted``, with that one."""
        limit = self.patience if seconds is None else seconds
        found: list[Message] = []
        deadline = asyncio.get_running_loop().time() + limit
        while len(found) < _MOST:
            left = deadline - asyncio.get_running_loop().time()
            try:
                found.append(await self.receive(max(left, 0.001)))
            except Silence:
                raise Failed(what, _instead(found, limit)) from None
            if wanted(found[-1]):
                return found
        raise Failed(what, f"{_MOST} other messages")

    async def read_until_pong(self) -> list[Message]:
        """Ping, and return what comes before the pong: the server has then read all before it."""
        await self.send("pusher:ping", {})
        return (await self.read_until(lambda message: message.event == PONG, PONG))[:-1]

    async def until_closed(self, seconds: float | None = None) -> tuple[Closed, list[Message]]:
        """How the server closes the connection, and what it said before."""
        limit = self.patience if seconds is None else seconds
        start = len(self.seen)
        try:
            await self.read_until(lambda _: False, "the connection to be closed", limit)
        except Closed as closed:
            return closed, self.seen[start:]
        raise AssertionError("read_until returned")

    async def ping_frame(self) -> None:
        """Send a ping frame and wait for its pong frame."""
        try:
            waiter = await self.socket.ping()
            async with asyncio.timeout(self.patience):
                await waiter
        except TimeoutError:
            raise Failed("a pong frame", f"none within {self.patience:g} s") from None
        except ConnectionClosed as error:
            raise self._closed(error) from None

    def auth(self, channel: str, channel_data: str | None = None) -> str:
        """What the app's backend would answer for this connection."""
        signed = channel_string(self.socket_id, channel, channel_data)
        return f"{self.app.key}:{self.app.token.sign(signed.encode())}"

    def user_auth(self, user_data: str) -> str:
        """What the app's backend would answer for this user on this connection."""
        return (
            f"{self.app.key}:{self.app.token.sign(user_string(self.socket_id, user_data).encode())}"
        )

    async def ask(self, channel: str, member: str | None = None, /, **changes: object) -> None:
        """Ask for a subscription, authorized if the name calls for it.

        Args:
            member: the ``channel_data`` of a presence channel.
            changes: other values for parts of the data, ``...`` to leave one out.
        """
        data: dict[str, object] = {"channel": channel, "auth": ""}
        if channel.startswith(("private-", "presence-")):
            data["auth"] = self.auth(channel, member)
        if member is not None:
            data["channel_data"] = member
        data.update(changes)
        await self.send(
            "pusher:subscribe", {name: value for name, value in data.items() if value is not ...}
        )

    async def subscribe(
        self, channel: str, user_id: object = None, user_info: object = None
    ) -> Message:
        """Subscribe, as this member of a presence channel, and return the acknowledgement."""
        channel_data = None
        if user_id is not None:
            member = {"user_id": user_id}
            if user_info is not None:
                member["user_info"] = user_info
            channel_data = compact(member).decode()
        await self.ask(channel, channel_data)

        def answered(message: Message) -> bool:
            succeeded = message.event == SUCCEEDED and message.channel == channel
            return succeeded or message.event == "pusher:error"

        message = (await self.read_until(answered, f"{SUCCEEDED} on {channel}"))[-1]
        if message.event != SUCCEEDED:
            raise Failed(f"a subscription to {channel}", shown(message.text))
        return message

    async def unsubscribe(self, channel: str) -> None:
        """End a subscription; nothing acknowledges it."""
        await self.send("pusher:unsubscribe", {"channel": channel})

    async def sign_in(self, user_id: str, **more: object) -> Message:
        """Sign in and return `pusher:signin_success`."""
        return await self.sign_in_with(compact({"id": user_id, **more}).decode())

    async def sign_in_with(self, user_data: str, **changes: object) -> Message:
        """Sign in with user data exactly as it stands."""
        data: dict[str, object] = {"auth": self.user_auth(user_data), "user_data": user_data}
        await self.send("pusher:signin", {**data, **changes})
        answers = ("pusher:signin_success", "pusher:error")
        found = await self.read_until(lambda m: m.event in answers, "pusher:signin_success")
        if found[-1].event != answers[0]:
            raise Failed(answers[0], shown(found[-1].text))
        return found[-1]

    def _closed(self, error: ConnectionClosed) -> Closed:
        frame = error.rcvd
        return Closed(frame.code if frame else None, frame.reason if frame else "", self.seen)


def _instead(found: list[Message], limit: float) -> str:
    if not found:
        return f"nothing within {limit:g} s"
    return f"only {', '.join(shown(message.event) for message in found[-5:])} within {limit:g} s"
