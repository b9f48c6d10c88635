"""Judges a history: what every client, publisher and receiver may rely on, whatever went wrong.

Each function returns sentences, none if all is well, and checks one promise:

- `repeated_or_reordered`: no event twice on one connection, and of two events of one publisher on
  one channel, of which the first was accepted before the second was sent, none overtakes. (An event
  whose publisher got no answer may arrive late. A cache channel may replay its last event at the
  beginning of each subscription.)
- `refused_but_delivered`: what was definitely refused, or never sent, reaches nobody.
- `missing`: delivery is at most once. But an accepted event does reach a subscription that was
  acknowledged before it was sent and lasted for a while after, if neither the engine nor the way
  between it and the subscriber's node failed around that time.
- `contradictions`: nobody is told of a member who is there already or of one who has gone already,
  and nothing arrives for a channel that is not subscribed.
- `webhooks_of_presences`: beginnings and ends alternate for every channel and member.
- `webhooks_of_client_events`: an accepted client event is told exactly once, less repetitions that
  the receiver recognizes by their id.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from tests.chaos.history import Delivery, History, Link, Outage, Outcome, Publish, Subscription

__all__ = [
    "LONGEST_WAY",
    "contradictions",
    "distinct_webhooks",
    "judge",
    "judge_webhooks",
    "missing",
    "refused_but_delivered",
    "repeated_or_reordered",
    "webhooks_of_client_events",
    "webhooks_of_presences",
]

LONGEST_WAY = 1.5
"""Seconds in which an event is with its subscribers if nothing is wrong, on a busy machine."""

_Key = tuple[str, str, int]  # publisher, channel, number
_ENDS = {"channel_occupied": "channel_vacated", "member_added": "member_removed"}


def judge(history: History) -> list[str]:
    """Every check of this file, less webhooks."""
    return [
        *history.oddities,
        *repeated_or_reordered(history),
        *refused_but_delivered(history),
        *missing(history),
        *contradictions(history),
    ]


def judge_webhooks(
    history: History, occupied: set[str], present: set[tuple[str, str]]
) -> list[str]:
    """Every check of webhooks.

    Args:
        occupied: the channels that are occupied in truth, now that all is quiet.
        present: channel and user of every member.
    """
    return [
        *webhooks_of_presences(history, occupied, present),
        *webhooks_of_client_events(history),
    ]


def _published(history: History) -> dict[_Key, Publish]:
    return {(each.publisher, each.channel, each.number): each for each in history.publishes}


def is_cache(channel: str) -> bool:
    """Whether a channel replays its last event."""
    return channel.startswith(("cache-", "private-cache-", "presence-cache-"))


def _strands(link: Link) -> Iterator[tuple[str, list[Delivery]]]:
    """What has to be in order: all of a channel on one connection, or of one subscription."""
    joined: dict[str, list[Delivery]] = defaultdict(list)
    for subscription in link.subscriptions:
        if is_cache(subscription.channel):
            yield subscription.channel, subscription.deliveries
        else:
            joined[subscription.channel] += subscription.deliveries
    yield from joined.items()


def repeated_or_reordered(history: History) -> list[str]:
    """See the module."""
    published, found = _published(history), []
    for link in history.links:
        for channel, deliveries in _strands(link):
            newest: dict[str, int] = {}
            seen: set[tuple[str, int]] = set()
            for each in deliveries:
                what = f"{each.publisher} #{each.number} on {channel} at {each.at:.3f}: {link}"
                if (each.publisher, each.number) in seen:
                    found.append(f"delivered twice: {what}")
                seen.add((each.publisher, each.number))
                last = newest.get(each.publisher, 0)
                publish = published.get((each.publisher, channel, each.number))
                newest[each.publisher] = max(last, each.number)
                certain = publish is not None and publish.outcome is Outcome.ACCEPTED
                if each.number < last and certain:
                    found.append(f"overtaken by #{last}: {what}")
    return found


def refused_but_delivered(history: History) -> list[str]:
    """See the module."""
    published, found = _published(history), []
    complained: set[_Key] = set()
    for link in history.links:
        for subscription in link.subscriptions:
            for each in subscription.deliveries:
                key = (each.publisher, subscription.channel, each.number)
                publish = published.get(key)
                if publish is not None and publish.outcome is not Outcome.REFUSED:
                    continue
                if key in complained:
                    continue
                complained.add(key)
                what = f"{each.publisher} #{each.number} on {subscription.channel}"
                if publish is None:
                    found.append(f"delivered but never published: {what}: {link}")
                else:
                    found.append(
                        f"refused by node {publish.node} at {publish.started:.3f} after "
                        f"{publish.ended - publish.started:.3f} s but delivered at {each.at:.3f}: "
                        f"{what}: {link}"
                    )
    return found


def missing(history: History) -> list[str]:
    """See the module."""
    by_channel: dict[str, list[tuple[Link, Subscription]]] = defaultdict(list)
    for link in history.links:
        for subscription in link.subscriptions:
            by_channel[subscription.channel].append((link, subscription))
    had = {
        (id(subscription), each.publisher, each.number)
        for link in history.links
        for subscription in link.subscriptions
        for each in subscription.deliveries
    }
    found = []
    for publish in history.publishes:
        if publish.outcome is not Outcome.ACCEPTED:
            continue
        for link, subscription in by_channel[publish.channel]:
            if (id(subscription), publish.publisher, publish.number) in had:
                continue
            if _has_a_right_to(publish, link, subscription, history.outages):
                found.append(
                    f"missing: {publish.publisher} #{publish.number} on {publish.channel}, "
                    f"accepted by node {publish.node} at {publish.ended:.3f}: {link}, "
                    f"subscribed since {subscription.acknowledged:.3f}"
                )
    return found


def _has_a_right_to(
    publish: Publish, link: Link, subscription: Subscription, outages: Iterable[Outage]
) -> bool:
    """Whether the event must have reached the subscription."""
    if publish.link == link.number or subscription.acknowledged is None:
        return False
    if subscription.acknowledged > publish.started:
        return False
    if subscription.ended is not None and subscription.ended < publish.ended + LONGEST_WAY:
        return False
    return not any(
        outage.node in (None, link.node) and _excuses(outage, publish, subscription)
        for outage in outages
    )


def _excuses(outage: Outage, publish: Publish, subscription: Subscription) -> bool:
    if publish.ended + LONGEST_WAY < outage.since or outage.until < publish.started - LONGEST_WAY:
        return False
    ended = subscription.ended
    return not outage.lossless or (ended is not None and ended < outage.until + LONGEST_WAY)


def contradictions(history: History) -> list[str]:
    """See the module."""
    found = []
    for link in history.links:
        found += [f"{text}: {link}" for text in link.strays]
        for subscription in link.subscriptions:
            found += [f"{text}: {link}" for text in subscription.contradictions]
    return found


def distinct_webhooks(history: History) -> Iterator[tuple[str, str, str, float, str]]:
    """Name, channel, user, time and data of each event, at its first arrival."""
    seen: set[str] = set()
    for each in history.webhooks:
        if each.id not in seen:
            seen.add(each.id)
            yield each.name, each.channel, each.user_id, each.at, each.data


def webhooks_of_presences(
    history: History, occupied: set[str], present: set[tuple[str, str]]
) -> list[str]:
    """See the module; the last event of each has to agree with the truth."""
    told: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for name, channel, user, at, _ in distinct_webhooks(history):
        if name in _ENDS or name in _ENDS.values():
            told[channel, user].append((name, at))
    true = {(channel, "") for channel in occupied} | present
    found = []
    for key in sorted(told.keys() | true):
        channel, user = key
        what = f"{channel}" + (f", member {user}" if user else "")
        begins = "member_added" if user else "channel_occupied"
        events = told[key]
        story = ", ".join(f"{name} at {at:.2f}" for name, at in events) or "nothing"
        expected = [begins if at % 2 == 0 else _ENDS[begins] for at in range(len(events))]
        if [name for name, _ in events] != expected:
            found.append(f"webhooks do not alternate: {what}: {story}")
        elif bool(len(events) % 2) != (key in true):
            truth = "there" if key in true else "gone"
            found.append(f"webhooks disagree with the truth ({truth}): {what}: {story}")
    return found


def webhooks_of_client_events(history: History) -> list[str]:
    """See the module."""
    told = Counter(
        (channel, data)
        for name, channel, _, _, data in distinct_webhooks(history)
        if name == "client_event"
    )
    found = []
    for publish in history.publishes:
        if publish.link is None:
            continue
        times = told[publish.channel, f"{publish.publisher} #{publish.number}"]
        what = f"{publish.publisher} #{publish.number} on {publish.channel}"
        if times > 1:
            found.append(f"client event told {times} times: {what}")
        elif not times and publish.outcome is Outcome.ACCEPTED:
            found.append(
                f"client event not told: {what}, accepted by node {publish.node} "
                f"at {publish.ended:.3f}"
            )
    return found
