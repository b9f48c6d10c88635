"""One connection of a subscriber at work: does what the conversation calls for."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Self

from oyez.protocol.channels import to_user
from oyez.sdk.conversation import (
    Closing,
    Conversation,
    Established,
    Event,
    Happening,
    Joined,
    Received,
    Refused,
    Say,
    SignedIn,
    client_event,
)
from oyez.sdk.errors import SigninError, SubscriptionError, TimedOut
from oyez.sdk.link import Ended, Link, LinkOptions, closed_by_server
from oyez.sdk.permission import Grant, Proof
from oyez.sdk.tasks import Tasks

__all__ = ["Session"]

log = logging.getLogger("oyez.subscriber")

_TURN = 64  # messages that are read before consumers get their turn, however many have come


class Session:
    """An accepted connection.

    Attributes:
        socket_id: what the server calls it.
        tasks: end with the connection.
    """

    def __init__(self, link: Link, conversation: Conversation, greeting: Established) -> None:
        self.socket_id = greeting.socket_id
        self.tasks = Tasks()
        self._link = link
        self._conversation = conversation
        self._activity_timeout = greeting.activity_timeout
        self._answers: dict[str | None, asyncio.Future[str]] = {}
        self._asked: set[str] = set()

    @classmethod
    async def open(cls, url: str, options: LinkOptions) -> Self:
        """Connect and be greeted.

        Raises:
            Ended: it does not work.
        """
        link: Link | None = None
        try:
            async with asyncio.timeout(options.attempt_timeout):
                link = await Link.open(url, options)
                conversation = Conversation()
                return cls(link, conversation, await _greeting(link, conversation))
        except BaseException as error:
            if link is not None:
                await link.close()
            if isinstance(error, TimeoutError):
                text = f"no greeting within {options.attempt_timeout:g} s"
                raise Ended(TimedOut(text)) from None
            raise

    async def run(
        self,
        activity_timeout: float,
        *,
        joined: Callable[[Joined], None],
        received: Callable[[Event], None],
    ) -> Ended:
        """Serve the connection until it ends; nobody else reads it.

        Args:
            activity_timeout: seconds of silence after which to ask for a sign of life; what the
                server says counts if it is less.
            joined: told at once when a subscription is confirmed, before its first event.
            received: told of every event.

        Returns:
            How it ended.
        """
        seconds = min(activity_timeout, self._activity_timeout or activity_timeout)
        self.tasks.start(self._link.watch(seconds, self._conversation.ping))
        try:
            for number in itertools.count(1):
                for happening in self._conversation.receive(await self._link.receive()):
                    self._happened(happening, joined=joined, received=received)
                if number % _TURN == 0:
                    await asyncio.sleep(0)
        except Ended as ended:
            return ended
        raise AssertionError("counting does not end")

    def _happened(
        self,
        happening: Happening,
        *,
        joined: Callable[[Joined], None],
        received: Callable[[Event], None],
    ) -> None:
        match happening:
            case Received(event):
                received(event)
            case Joined(channel):
                joined(happening)
                self._answer(channel, "")
            case SignedIn(user_data):
                self._answer(None, user_data)
            case Refused():
                self._refuse(happening)
            case Say(reply):
                # A server that does not read must not keep us from reading.
                self.tasks.start(self._send_quietly(reply))
            case Closing(code, message):
                raise closed_by_server(code, message)
            case Established():
                pass

    async def join(self, channel: str, grant: Grant) -> None:
        """Subscribe, and wait for the answer as long as the connection lasts.

        Raises:
            SubscriptionError: the server refuses.
            ConnectionFailed: the connection has ended.
        """
        answer = self._expect(channel)
        self._asked.add(channel)
        text = self._conversation.subscribe(channel, grant.auth, grant.channel_data)
        await self._link.send(text)
        await answer

    async def sign_in(self, proof: Proof) -> str:
        """Sign in, and wait for the answer as long as the connection lasts.

        Returns:
            The user data as the server has understood it.

        Raises:
            SigninError: the server refuses.
            ConnectionFailed: the connection has ended.
        """
        answer = self._expect(None)
        await self._link.send(self._conversation.sign_in(proof.auth, proof.user_data))
        return await answer

    async def follow_user(self, user_id: str) -> None:
        """Subscribe to what is sent to the user that has signed in."""
        await self.join(to_user(user_id), Grant())

    async def leave(self, channel: str) -> None:
        """End a subscription, or take back the request; nothing if there was none."""
        if channel not in self._asked:
            return
        self._asked.discard(channel)
        answer = self._answers.pop(channel, None)
        if answer is not None:
            answer.cancel()
        await self._link.send(self._conversation.unsubscribe(channel))

    async def trigger(self, channel: str, event: str, data: object) -> None:
        """Send a client event."""
        await self._link.send(client_event(event, channel, data))

    async def close(self) -> None:
        """Leave, with nothing left behind."""
        await self.tasks.stop()
        for answer in self._answers.values():
            if not answer.done():
                answer.cancel()
        await self._link.close()

    def _expect(self, about: str | None) -> "asyncio.Future[str]":
        answer = self._answers[about] = asyncio.get_running_loop().create_future()
        return answer

    def _answer(self, about: str | None, value: str) -> None:
        answer = self._answers.pop(about, None)
        if answer is not None and not answer.done():
            answer.set_result(value)

    def _refuse(self, refused: Refused) -> None:
        answer = self._answers.pop(refused.channel, None)
        if answer is None or answer.done():
            return
        if refused.channel is None:
            answer.set_exception(SigninError(refused.message))
        else:
            answer.set_exception(
                SubscriptionError(refused.channel, refused.message, refused.status)
            )

    async def _send_quietly(self, text: str) -> None:
        try:
            await self._link.send(text)
        except Exception as error:  # whoever reads learns that it has ended
            log.debug("could not answer: %s", error)


async def _greeting(link: Link, conversation: Conversation) -> Established:
    while True:
        for happening in conversation.receive(await link.receive()):
            match happening:
                case Established():
                    return happening
                case Closing(code, message):
                    raise closed_by_server(code, message)
                case _:
                    pass
