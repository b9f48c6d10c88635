"""Compares what everybody believes, now that all is quiet, with what is true.

The truth is in the hands of the clients: the connections that are open and what they hold. Every
node has to answer every question about it in the same and right way, and every client has to
believe it.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.chaos.history import History

__all__ = ["Answers", "Truth", "believed", "compare", "truth_of"]


@dataclass
class Truth:
    """What is so.

    Attributes:
        subscriptions: how many each occupied channel has.
        members: users of each presence channel.
        online: users who are signed in on any connection.
    """

    subscriptions: Counter[str] = field(default_factory=Counter)
    members: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    online: set[str] = field(default_factory=set)

    def present(self) -> set[tuple[str, str]]:
        """Channel and user of every member."""
        return {(channel, user) for channel, users in self.members.items() for user in users}


@dataclass
class Answers:
    """What the HTTP API of one node says.

    Attributes:
        channels: of ``/channels``.
        counts: subscription counts, for every channel that anybody ever used; 0 if not occupied.
        user_counts: likewise for presence channels.
        users: user ids as listed, in presence channels.
    """

    node: int
    channels: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    user_counts: dict[str, int] = field(default_factory=dict)
    users: dict[str, list[str]] = field(default_factory=dict)


def truth_of(history: History) -> Truth:
    """The truth, as the clients hold it."""
    truth = Truth()
    for link in history.living():
        if link.user:
            truth.online.add(link.user)
        for subscription in link.living():
            truth.subscriptions[subscription.channel] += 1
            if subscription.view is not None:
                truth.members[subscription.channel].add(link.client.partition("/")[0])
    return truth


def compare(truth: Truth, answers: Answers) -> list[str]:
    """What one node gets wrong."""
    found = []
    where = f"node {answers.node}"
    occupied = set(truth.subscriptions)
    for channel in sorted(answers.channels ^ occupied):
        wrong = "lists" if channel in answers.channels else "does not list"
        found.append(f"{where} {wrong} {channel}, which has {truth.subscriptions[channel]}")
    for channel, count in answers.counts.items():
        if count != truth.subscriptions[channel]:
            true = truth.subscriptions[channel]
            found.append(f"{where} counts {count} subscriptions of {channel}, it has {true}")
    for channel, count in answers.user_counts.items():
        true = len(truth.members.get(channel, ()))
        if count != true:
            found.append(f"{where} counts {count} users of {channel}, it has {true}")
    for channel, users in answers.users.items():
        true_users = truth.members.get(channel, set())
        found += _difference(f"{where} lists for {channel}", users, true_users)
    return found


def believed(truth: Truth, history: History) -> list[str]:
    """What clients get wrong."""
    found = []
    for link in history.living():
        for subscription in link.living():
            channel = subscription.channel
            if subscription.view is not None:
                what = f"{link} believes of {channel}"
                found += _difference(what, sorted(subscription.view), truth.members[channel])
            if subscription.counted is not None:
                true = truth.subscriptions[channel]
                if subscription.counted != true:
                    found.append(f"{link} was told {channel} has {subscription.counted}: {true}")
        for user, online in link.watched.items():
            if online is not None and online != (user in truth.online):
                state = "online" if online else "offline"
                found.append(f"{link} believes that {user} is {state}")
    return found


def _difference(what: str, users: list[str], true: set[str]) -> list[str]:
    found = []
    if ghosts := sorted(set(users) - true):
        found.append(f"{what}: ghosts {', '.join(ghosts)}")
    if absent := sorted(true - set(users)):
        found.append(f"{what}: missing {', '.join(absent)}")
    if twice := [user for user, times in Counter(users).items() if times > 1]:
        found.append(f"{what}: twice {', '.join(twice)}")
    return found
