"""The oracle finds what is wrong in histories made by hand, and nothing in those that are right."""

import pytest

from tests.chaos import oracle
from tests.chaos.history import (
    Delivery,
    History,
    Link,
    Outage,
    Outcome,
    Publish,
    Subscription,
    Webhook,
)

ACCEPTED, REFUSED, UNKNOWN = Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNKNOWN


def publish(
    number: int, outcome: Outcome = ACCEPTED, *, at: float = 0.0, channel: str = "c"
) -> Publish:
    at = at or 10.0 + number
    return Publish("p", channel, number, node=0, started=at, ended=at + 0.1, outcome=outcome)


def link(*numbers: int, channel: str = "c", ended: float | None = None) -> Link:
    """A connection that got these events of ``p``."""
    deliveries = [Delivery(11 + at, "p", number) for at, number in enumerate(numbers)]
    subscription = Subscription(channel, 1, 2, ended, deliveries)
    return Link(1, "u/0", 1, 1, "1.1", subscriptions=[subscription])


def history(*links: Link, publishes: list[Publish] | None = None) -> History:
    return History(publishes or [publish(n) for n in (1, 2, 3)], list(links))


def one(found: list[str], *words: str) -> None:
    """Exactly one complaint, with these words."""
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found


class TestOrder:
    def test_in_order(self) -> None:
        assert oracle.repeated_or_reordered(history(link(1, 2, 3), link(2))) == []

    def test_twice(self) -> None:
        one(oracle.repeated_or_reordered(history(link(1, 2, 2, 3))), "twice", "p #2 on c")

    def test_twice_with_something_between(self) -> None:
        found = oracle.repeated_or_reordered(history(link(1, 2, 1)))
        assert any("twice" in text and "#1" in text for text in found)

    def test_twice_over_two_subscriptions_of_a_connection(self) -> None:
        link_ = link(1, 2)
        link_.subscriptions.append(Subscription("c", 5, 6, None, [Delivery(7, "p", 2)]))
        one(oracle.repeated_or_reordered(history(link_)), "twice", "p #2 on c")

    def test_a_cache_channel_replays(self) -> None:
        link_ = link(1, 2, channel="cache-c")
        link_.subscriptions.append(Subscription("cache-c", 5, 6, None, [Delivery(7, "p", 2)]))
        assert oracle.repeated_or_reordered(history(link_)) == []

    def test_a_cache_channel_does_not_repeat(self) -> None:
        one(oracle.repeated_or_reordered(history(link(1, 2, 2, channel="cache-c"))), "twice")

    def test_overtaken(self) -> None:
        one(oracle.repeated_or_reordered(history(link(1, 3, 2))), "overtaken by #3", "p #2")

    def test_late_because_nobody_knows_when_it_was_accepted(self) -> None:
        published = [publish(1), publish(2, UNKNOWN), publish(3)]
        assert oracle.repeated_or_reordered(history(link(1, 3, 2), publishes=published)) == []


class TestRefused:
    def test_unknown_may_arrive(self) -> None:
        published = [publish(1, UNKNOWN)]
        assert oracle.refused_but_delivered(history(link(1), publishes=published)) == []

    def test_refused_may_not(self) -> None:
        found = oracle.refused_but_delivered(history(link(1), publishes=[publish(1, REFUSED)]))
        one(found, "refused by node 0", "p #1 on c")

    def test_what_nobody_published(self) -> None:
        one(oracle.refused_but_delivered(history(link(9))), "never published", "p #9 on c")

    def test_on_another_channel(self) -> None:
        one(oracle.refused_but_delivered(history(link(1, channel="d"))), "never published", "on d")

    def test_each_event_is_told_once(self) -> None:
        one(oracle.refused_but_delivered(history(link(9), link(9))))


class TestMissing:
    def test_all_there(self) -> None:
        assert oracle.missing(history(link(1, 2, 3))) == []

    def test_one_is_missing(self) -> None:
        one(oracle.missing(history(link(1, 3))), "missing: p #2 on c", "u/0")

    def test_one_was_not_accepted(self) -> None:
        published = [publish(1), publish(2, UNKNOWN), publish(3, REFUSED)]
        assert oracle.missing(history(link(1), publishes=published)) == []

    def test_subscribed_too_late(self) -> None:
        published = [publish(1, at=1.9)]
        assert oracle.missing(history(link(), publishes=published)) == []

    def test_gone_too_early(self) -> None:
        published = [publish(1, at=10)]
        assert oracle.missing(history(link(ended=11), publishes=published)) == []
        one(oracle.missing(history(link(ended=12), publishes=published)))

    def test_the_sender_does_not_get_its_own(self) -> None:
        published = [publish(1)]
        published[0].link = 1
        assert oracle.missing(history(link(), publishes=published)) == []

    @pytest.mark.parametrize("node", [1, None])
    def test_an_outage_excuses(self, node: int | None) -> None:
        judged = history(link(1, 3))
        judged.outages = [Outage(node, 13, 14)]
        assert oracle.missing(judged) == []

    def test_an_outage_that_only_delays_excuses_nothing_to_those_who_stay(self) -> None:
        judged = history(link(1, 3, ended=15))
        judged.outages = [Outage(1, 12, 14, lossless=True)]
        assert oracle.missing(judged) == []
        judged.links[0].subscriptions[0].ended = 16
        one(oracle.missing(judged), "p #2")

    def test_an_outage_of_another_node_or_time_does_not(self) -> None:
        judged = history(link(1, 3))
        judged.outages = [Outage(0, 0, 100), Outage(1, 0, 9), Outage(1, 20, 30)]
        one(oracle.missing(judged), "p #2")

    def test_it_has_to_arrive_on_the_same_connection(self) -> None:
        one(oracle.missing(history(link(1, 2, 3), link(1, 2))), "p #3")


def test_contradictions_are_passed_on() -> None:
    link_ = link()
    link_.strays.append("an event for d")
    link_.subscriptions[0].contradictions.append("ada added twice")
    assert len(oracle.contradictions(history(link_))) == 2


def webhooks(*events: str, channel: str = "c", user: str = "") -> History:
    """Webhooks by what their names end in, with ids of their own or after a colon."""
    begins = "member_" if user else "channel_"
    seen = []
    for at, each in enumerate(events):
        name, _, id_ = each.partition(":")
        seen.append(Webhook(at, id_ or str(at), begins + name, channel, user))
    return History(webhooks=seen)


class TestPresenceWebhooks:
    def test_alternating(self) -> None:
        judged = webhooks("occupied", "vacated", "occupied")
        assert oracle.webhooks_of_presences(judged, {"c"}, set()) == []

    def test_repeated_with_the_same_id(self) -> None:
        judged = webhooks("occupied:a", "vacated:b", "occupied:a", "vacated:b")
        assert oracle.webhooks_of_presences(judged, set(), set()) == []

    def test_repeated_with_another_id(self) -> None:
        judged = webhooks("occupied", "occupied")
        one(oracle.webhooks_of_presences(judged, {"c"}, set()), "alternate", "c")

    def test_an_end_without_a_beginning(self) -> None:
        one(oracle.webhooks_of_presences(webhooks("vacated"), set(), set()), "alternate")

    def test_an_end_is_lost(self) -> None:
        one(oracle.webhooks_of_presences(webhooks("occupied"), set(), set()), "truth (gone)")

    def test_a_beginning_is_lost(self) -> None:
        one(oracle.webhooks_of_presences(History(), {"c"}, set()), "truth (there)", "nothing")

    def test_members(self) -> None:
        judged = webhooks("added", "removed", channel="presence-c", user="ada")
        assert oracle.webhooks_of_presences(judged, set(), set()) == []
        found = oracle.webhooks_of_presences(judged, set(), {("presence-c", "ada")})
        one(found, "truth (there)", "member ada")

    def test_members_are_apart(self) -> None:
        judged = webhooks("added", channel="presence-c", user="ada")
        judged.webhooks += webhooks("added:x", channel="presence-c", user="bob").webhooks
        both = {("presence-c", "ada"), ("presence-c", "bob")}
        assert oracle.webhooks_of_presences(judged, set(), both) == []


class TestClientEventWebhooks:
    @staticmethod
    def judged(*ids: str, outcome: Outcome = ACCEPTED) -> list[str]:
        event = Publish("u/0", "private-c", 1, 0, 1.0, 1.1, outcome, link=1)
        seen = [Webhook(2, each, "client_event", "private-c", data="u/0 #1") for each in ids]
        return oracle.webhooks_of_client_events(History([event], webhooks=seen))

    def test_told(self) -> None:
        assert self.judged("a") == []
        assert self.judged("a", "a") == []

    def test_not_told(self) -> None:
        one(self.judged(), "not told", "u/0 #1")
        assert self.judged(outcome=UNKNOWN) == []

    def test_told_twice(self) -> None:
        one(self.judged("a", "b"), "told 2 times")


def test_everything_is_judged() -> None:
    judged = history(link(1, 1, 9))
    judged.oddities.append("node 1 died")
    found = "\n".join(oracle.judge(judged))
    for word in ("node 1 died", "twice", "never published", "missing"):
        assert word in found
    judged.publishes.append(Publish("u/0", "private-c", 1, 0, 1.0, 1.1, ACCEPTED, link=1))
    found = "\n".join(oracle.judge_webhooks(judged, {"c"}, set()))
    for word in ("truth (there)", "not told"):
        assert word in found
