"""How a subscriber is connected."""

from dataclasses import dataclass
from enum import StrEnum

from oyez.sdk.errors import OyezError

__all__ = ["State", "StateChange"]


class State(StrEnum):
    """How a subscriber is connected."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # and will try again
    FAILED = "failed"  # the server does not want it back
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a subscriber was and what it is.

    Attributes:
        error: why it is not connected any more; None where that was wanted.
        retry_in: seconds to the next attempt; None if there is none.
    """

    previous: State
    state: State
    error: OyezError | None = None
    retry_in: float | None = None
