"""Who uses the deployment: users with some clients each, application servers; and the channels."""

import random

from tests.chaos.clients import Client, Habits, Surroundings
from tests.chaos.deployment import Deployment
from tests.chaos.publishers import Publisher

__all__ = ["CHANNELS", "clients_of", "publishers_of"]

_BUSY = (
    "news",
    "scores",
    "private-desk",
    "private-floor",
    "presence-lobby",
    "presence-office",
    "cache-ticker",
    "private-cache-board",
)
_QUIET = tuple(
    f"{kind}{n}" for n in range(4) for kind in ("rare-", "private-rare-", "presence-rare-")
)
CHANNELS = _BUSY + _QUIET
"""All that anybody uses; the quiet ones are occupied and vacated all the time."""

_CONNECTIONS_PER_USER = 3
_PUBLISHERS = 3


def clients_of(seed: int, count: int, around: Surroundings) -> list[Client]:
    """The clients, every user having some, of which some sign in."""
    users = [f"u{number}" for number in range(-(-count // _CONNECTIONS_PER_USER))]
    found = []
    for number in range(count):
        chance = random.Random(f"{seed}/client/{number}")
        channels = (*chance.sample(_BUSY, k=4), *chance.sample(_QUIET, k=2))
        watchlist = tuple(chance.sample(users, k=min(4, len(users))))
        habits = Habits(channels, watchlist if chance.random() < 0.4 else None, pause=3.0)
        name = f"{users[number % len(users)]}/{number // len(users)}"
        found.append(Client(name, habits, around, chance))
    return found


def publishers_of(seed: int, deployment: Deployment, around: Surroundings) -> list[Publisher]:
    """The application servers, which publish all the time."""
    return [
        Publisher(
            f"p{number}",
            CHANNELS,
            deployment.apis,
            around,
            random.Random(f"{seed}/publisher/{number}"),
            pause=0.15,
        )
        for number in range(_PUBLISHERS)
    ]
