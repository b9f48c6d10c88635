"""What a subscriber belongs to, asked for again on every connection: its channels and its user."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from oyez.protocol.channels import kind_of
from oyez.sdk.arguments import check_channel
from oyez.sdk.conversation import Event, Joined
from oyez.sdk.errors import ConnectionFailed, SigninError, SubscriptionError, TimedOut
from oyez.sdk.identity import OFFLINE, ONLINE, Identity
from oyez.sdk.permission import (
    Authenticate,
    Authorize,
    Grant,
    Proof,
    ask_authenticator,
    ask_authorizer,
)
from oyez.sdk.sealed import require_pynacl
from oyez.sdk.session import Session
from oyez.sdk.stream import Feed
from oyez.sdk.subscription import Membership, Subscription, User
from oyez.sdk.tasks import Tasks

__all__ = ["Roster"]

log = logging.getLogger("oyez.subscriber")

_ASKED_AT_ONCE = 20  # a thousand channels must not mean as many requests in one moment
_SHOWN = 120
_Value = TypeVar("_Value")


class Roster:
    """Keeps channels and user; told by the subscriber when connections come and go.

    Args:
        publish: takes every event of every channel.
        backoff: seconds to wait after so many failures.
        answer_timeout: seconds that a caller waits for an answer.
        size: events that wait for each consumer at most.
    """

    def __init__(
        self,
        authorize: Authorize | None,
        authenticate: Authenticate | None,
        publish: Callable[[Event], None],
        *,
        backoff: Callable[[int], float],
        answer_timeout: float,
        size: int,
        tasks: Tasks,
    ) -> None:
        self._authorize = authorize
        self._authenticate = authenticate
        self._publish = publish
        self._backoff = backoff
        self._answer_timeout = answer_timeout
        self._size = size
        self._tasks = tasks
        self._session: Session | None = None
        self._memberships: dict[str, Membership] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._identity: Identity | None = None
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)

    def subscription(self, channel: str) -> Subscription | None:
        """The one of this channel, if there is one that the server has confirmed."""
        membership = self._memberships.get(channel)
        return self._subscriptions[channel] if membership and membership.was_joined else None

    async def subscribe(
        self, channel: str, member: Mapping[str, Any] | None, *, system_events: bool
    ) -> Subscription:
        """See `AsyncSubscriber.subscribe`."""
        channel = check_channel(channel)
        kind = kind_of(channel)
        if kind.private and self._authorize is None:
            raise ValueError(f"authorize must be given to subscribe to {channel!r}")
        if kind.encrypted:
            require_pynacl()
        if channel not in self._memberships:
            self._begin(channel, member, system_events=system_events)
        membership, subscription = self._memberships[channel], self._subscriptions[channel]
        if member is not None and member != membership.member:
            raise ValueError(f"member of {channel!r} is {membership.member!r} already")
        membership.waiting += 1
        try:
            await self._answered(membership.first, channel)
        finally:
            membership.waiting -= 1
            if not membership.waiting and not membership.was_joined:
                await self.unsubscribe(membership)
        return subscription

    async def unsubscribe(self, membership: Membership) -> None:
        """Leave a channel."""
        channel, session = membership.channel, self._session
        if self._memberships.get(channel) is not membership:
            return
        self._forget(membership, None)
        if session is not None:
            with contextlib.suppress(ConnectionFailed):  # which ends it as well
                await session.leave(channel)

    async def trigger(self, membership: Membership, event: str, data: Any) -> None:
        """Send a client event."""
        if self._session is None or not membership.joined:
            raise ConnectionFailed(f"not subscribed to {membership.channel} at the moment")
        await self._session.trigger(membership.channel, event, data)

    async def sign_in(self, wanted: Any) -> User:
        """See `AsyncSubscriber.signin`."""
        self._authenticator()
        identity = self._identity
        if identity is None:
            feed = Feed(self._size, self._tasks, system_events=False)
            identity = self._identity = Identity(wanted, feed)
            if self._session is not None:
                self._session.tasks.start(self._sign_in_on(self._session, identity))
        elif wanted is not None and wanted != identity.wanted:
            raise ValueError("signed in as somebody already; a connection cannot change its user")
        try:
            await self._answered(identity.first, "signin")
        except TimedOut as error:
            if not identity.first.done():
                self._deny(identity, error)
            raise
        return identity.signed_in

    def connected(self, session: Session) -> None:
        """A connection is there: ask for everything that was wanted."""
        self._session = session
        if self._identity is not None:
            self._identity.settled.clear()
            session.tasks.start(self._sign_in_on(session, self._identity))
        for membership in self._memberships.values():
            self._start(session, membership)

    def disconnected(self) -> None:
        """It is gone, and with it everything that hung on it."""
        self._session = None
        for membership in self._memberships.values():
            membership.joined = False

    def joined(self, joined: Joined) -> None:
        """A subscription is confirmed."""
        membership = self._memberships.get(joined.channel)
        if membership is not None:
            membership.confirmed(joined.members)

    def received(self, event: Event) -> None:
        """An event has come; what was asked for no more is passed over (spec 15)."""
        identity = self._identity
        if event.channel is None:
            if identity is not None and event.name in (ONLINE, OFFLINE):
                identity.watched(event)
            if event.name == "pusher:error":
                # The rest may repeat what an application has signed.
                log.warning("the server says: %s", event.text[:_SHOWN])
            self._publish(event)
        elif event.channel in self._memberships:
            self._memberships[event.channel].receive(event)
        elif identity is not None and event.channel == identity.channel and not event.system:
            identity.feed.publish(event)
            self._publish(event)

    def end(self, error: Exception | None) -> None:
        """Nothing will come any more."""
        for membership in list(self._memberships.values()):
            self._forget(membership, error)
        if self._identity is not None:
            self._deny(self._identity, error)

    def _begin(
        self, channel: str, member: Mapping[str, Any] | None, *, system_events: bool
    ) -> None:
        feed = Feed(self._size, self._tasks, system_events=system_events)
        membership = Membership(channel, member, feed, self._publish)
        if membership.kind.encrypted:
            membership.open_with(lambda: self._new_secret(membership), self._size, self._tasks)
        self._memberships[channel] = membership
        self._subscriptions[channel] = Subscription(membership, self)
        if self._session is not None:
            self._start(self._session, membership)

    def _start(self, session: Session, membership: Membership) -> None:
        membership.work = session.tasks.start(self._join_on(session, membership))

    async def _join_on(self, session: Session, membership: Membership) -> None:
        """Subscribe one connection to one channel; whatever goes wrong is told to who waits."""
        channel, identity = membership.channel, self._identity
        if membership.kind.presence and identity is not None:
            await identity.settled.wait()
        try:
            grant = await self._patiently(
                lambda: self._leave_for(session, membership),
                lambda text: SubscriptionError(channel, f"authorize failed: {text}"),
                repeat=membership.was_joined,
            )
            user = self._identity.user if self._identity else None
            membership.granted(grant, user.id if user else None)
            await session.join(channel, grant)
        except ConnectionFailed:
            return  # the next connection tries again
        except SubscriptionError as error:
            self._forget(membership, error)
        except Exception as error:  # the application's own
            refused = SubscriptionError(channel, f"authorize failed: {_sentence(error)}")
            refused.__cause__ = error.__cause__ or error
            self._forget(membership, refused)
        else:
            _settle(membership.first)

    async def _sign_in_on(self, session: Session, identity: Identity) -> None:
        """Sign one connection in."""
        try:
            proof = await self._patiently(
                lambda: self._proof_for(session, identity),
                lambda text: SigninError(f"authenticate failed: {text}"),
                repeat=identity.user is not None,
            )
            user_data = await session.sign_in(proof)
            user = identity.confirmed(user_data)
            identity.settled.set()
            await session.follow_user(user.id)
        except ConnectionFailed:
            return
        except (SigninError, SubscriptionError) as error:
            self._deny(identity, error)
        except Exception as error:  # the application's own
            refused = SigninError(f"authenticate failed: {_sentence(error)}")
            refused.__cause__ = error.__cause__ or error
            self._deny(identity, refused)
        else:
            _settle(identity.first)
            event = Event("pusher:signin_success", None, user.data, user_data, system=True)
            identity.feed.publish(event)
            self._publish(event)

    async def _patiently(
        self,
        ask: Callable[[], Awaitable[_Value]],
        refuse: Callable[[str], Exception],
        *,
        repeat: bool,
    ) -> _Value:
        """Ask the application; once it has said yes, a failure that is no refusal may pass."""
        failures = 0
        while True:
            try:
                async with self._asking:
                    return await ask()
            except (SubscriptionError, SigninError):
                raise
            except Exception as error:  # the application's own
                text = str(error) or type(error).__name__
                if not repeat:
                    raise refuse(text) from error
                failures += 1
                log.warning("the application could not be asked: %s", text)
            await asyncio.sleep(self._backoff(failures))

    async def _leave_for(self, session: Session, membership: Membership) -> Grant:
        if not membership.kind.private or self._authorize is None:
            return Grant()
        channel, member = membership.channel, membership.member
        return await ask_authorizer(self._authorize, channel, session.socket_id, member)

    async def _proof_for(self, session: Session, identity: Identity) -> Proof:
        return await ask_authenticator(self._authenticator(), session.socket_id, identity.wanted)

    def _authenticator(self) -> Authenticate:
        if self._authenticate is None:
            raise ValueError("authenticate must be given to sign in")
        return self._authenticate

    async def _new_secret(self, membership: Membership) -> bytes:
        if self._session is None:
            raise ConnectionFailed("not connected at the moment")
        async with self._asking:
            grant = await self._leave_for(self._session, membership)
        return grant.shared_secret or b""

    async def _answered(self, answer: "asyncio.Future[None]", what: str) -> None:
        try:
            async with asyncio.timeout(self._answer_timeout):
                await asyncio.shield(answer)
        except TimeoutError:
            raise TimedOut(f"{what}: no answer within {self._answer_timeout:g} s") from None

    def _forget(self, membership: Membership, error: Exception | None) -> None:
        """A subscription has ended, by an error if there is one."""
        self._memberships.pop(membership.channel, None)
        self._subscriptions.pop(membership.channel, None)
        membership.joined = False
        if membership.work is not None and membership.work is not asyncio.current_task():
            membership.work.cancel()
        membership.feed.end(error)
        _settle(membership.first, error or ConnectionFailed("unsubscribed meanwhile"))

    def _deny(self, identity: Identity, error: Exception | None) -> None:
        """A sign-in has ended, by an error if there is one."""
        self._identity = None
        identity.settled.set()
        identity.feed.end(error)
        _settle(identity.first, error or ConnectionFailed("the subscriber is closed"))


class _NotAsked(Exception):
    """The application could not be asked; whatever it raised is the cause."""


def _sentence(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, _NotAsked) else error
    return str(cause) or type(cause).__name__


def _settle(answer: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
        answer.exception()  # nobody may be waiting, which is no mistake
