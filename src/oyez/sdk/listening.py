"""Subscribing in one line."""

from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Self

from oyez.protocol.channels import kind_of
from oyez.sdk.conversation import Event
from oyez.sdk.subscriber import AsyncSubscriber

__all__ = ["Listening", "subscribe"]


class Listening:
    """The events of some channels; made by `subscribe`.

    ``async for event in listening`` connects, and disconnects when the loop is left. With ``async
    with`` around it both happen at known places, and the ``subscriber`` can be used meanwhile.

    Attributes:
        subscriber: what does the work.
    """

    def __init__(
        self,
        subscriber: AsyncSubscriber,
        channels: tuple[str, ...],
        member: Mapping[str, Any] | None,
        *,
        system_events: bool,
    ) -> None:
        self.subscriber = subscriber
        self._channels = channels
        self._member = member
        self._system_events = system_events
        self._entered = False

    async def __aenter__(self) -> Self:
        self._entered = True
        await self.subscriber.open()
        try:
            for channel in self._channels:
                member = self._member if kind_of(channel).presence else None
                await self.subscriber.subscribe(channel, member)
        except BaseException:
            await self.subscriber.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.subscriber.close()

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        if self._entered:
            async for event in self._events():
                yield event
        else:
            async with self:
                async for event in self._events():
                    yield event

    async def _events(self) -> AsyncGenerator[Event, None]:
        async for event in self.subscriber:
            if self._system_events or not event.system:
                yield event


def subscribe(
    url_or_key: str,
    *channels: str,
    member: Mapping[str, Any] | None = None,
    system_events: bool = False,
    **options: Any,
) -> Listening:
    """The events of some channels.

    ::

        async for event in oyez.subscribe("http://KEY:SECRET@HOST:6001/apps/ID", "my-channel"):
            print(event.name, event.data)

    Args:
        url_or_key: a URL with key and secret, which authorizes itself, or a key.
        channels: their names.
        member: who joins presence channels: ``user_id`` and perhaps ``user_info``.
        system_events: whether to give what the protocol reports as well.
        options: of `AsyncSubscriber`, such as ``host`` and ``authorize`` beside a key, or
            ``encryption_master_key`` beside a URL.

    Raises:
        ModuleNotFoundError: the extra is not installed: ``pip install 'oyez[subscriber]'``.
        ValueError: an argument that cannot be, or no channel.

    Iterating raises what `AsyncSubscriber.open` and `AsyncSubscriber.subscribe` raise.
    """
    if not channels:
        raise ValueError("channels must be at least one name")
    make = AsyncSubscriber.from_url if "://" in url_or_key else AsyncSubscriber
    return Listening(make(url_or_key, **options), channels, member, system_events=system_events)
