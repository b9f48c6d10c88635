"""What follows when a member comes or goes: the others are told.

The one place that reacts to the outcome of a join or a leave, whichever way it came about.
"""

from oyez.protocol.messages import Member, member_added, member_removed
from oyez.server.engine import Engine, Joined, Left

__all__ = ["after_join", "after_leave"]


async def after_join(
    engine: Engine, app_id: str, channel: str, joined: Joined, member: Member | None, socket_id: str
) -> None:
    """Announce a user's first connection to everybody but that connection.

    Raises:
        EngineUnavailable: the announcement was not accepted.
    """
    if joined.added and member is not None:
        await engine.publish(app_id, (member_added(channel, member, socket_id),))


async def after_leave(
    engine: Engine, app_id: str, channel: str, left: Left, user_id: str | None
) -> None:
    """Announce that a user's last connection is gone.

    Raises:
        EngineUnavailable: the announcement was not accepted.
    """
    if left.removed and user_id is not None and not left.vacated:
        await engine.publish(app_id, (member_removed(channel, user_id),))
