"""What each app has used: messages in, messages out, connections at once; and its daily quota."""

from collections import defaultdict
from dataclasses import dataclass

from oyez.protocol.app import App
from oyez.server.engine import Engine

__all__ = ["Metering", "Usage"]

_DAY = 86_400


@dataclass(slots=True)
class Usage:
    """Counts of one app since the start of this node.

    Attributes:
        api_messages: events published through the HTTP API, per channel, and one more for each
            that asks for ``info``, to however many channels it goes.
        client_messages: events accepted from clients.
        deliveries: events written to subscribers.
        peak_connections: most connections at once.
        before_today: all messages up to the last midnight UTC.
        reported: all messages up to the last report to the engine.
        elsewhere_today: what other nodes have counted since midnight, as the engine told.
    """

    api_messages: int = 0
    client_messages: int = 0
    deliveries: int = 0
    peak_connections: int = 0
    before_today: int = 0
    reported: int = 0
    elsewhere_today: int = 0

    @property
    def messages(self) -> int:
        """What hosted plans count: messages in and messages out."""
        return self.api_messages + self.client_messages + self.deliveries

    @property
    def messages_today(self) -> int:
        """Messages since the last midnight UTC, of the whole deployment."""
        return self.messages - self.before_today + self.elsewhere_today


class Metering(defaultdict[str, Usage]):
    """Usage by app id.

    Args:
        unix_time: now, in seconds.
    """

    def __init__(self, unix_time: float = 0) -> None:
        super().__init__(Usage)
        self._day = int(unix_time) // _DAY

    def tick(self, unix_time: float) -> None:
        """Begin a new day if it is one; call it about once a second."""
        day = int(unix_time) // _DAY
        if day != self._day:
            self._day = day
            for usage in self.values():
                usage.before_today = usage.reported = usage.messages
                usage.elsewhere_today = 0

    async def share(self, engine: Engine) -> None:
        """Tell the engine what was counted, and learn what other nodes have; about every second.

        Raises:
            EngineUnavailable: the next report has all of it.
        """
        day, counts = self._day, {app_id: usage.messages for app_id, usage in self.items()}
        used = {app_id: counts[app_id] - self[app_id].reported for app_id in counts}
        totals = await engine.meter(day, used)
        for app_id, total in totals.items():
            usage = self[app_id]
            if day == self._day:  # else it was reported as messages of yesterday
                usage.reported = counts[app_id]
                usage.elsewhere_today = total - (counts[app_id] - usage.before_today)

    def over_quota(self, app: App) -> bool:
        """Whether the app has used up its messages of today."""
        most = app.limits.messages_per_day
        return 0 < most <= self[app.id].messages_today
