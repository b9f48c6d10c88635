"""Beliefs that are right and wrong, made by hand."""

from collections import Counter

from tests.chaos.history import History, Link, Subscription
from tests.chaos.states import Answers, Truth, believed, compare, truth_of


def link(client: str, *channels: str, view: set[str] | None = None, user: str = "") -> Link:
    subscriptions = [
        Subscription(name, 1, 2, view=set(view or ()) if name.startswith("presence-") else None)
        for name in channels
    ]
    return Link(1, client, 0, 1, "1.1", user, subscriptions=subscriptions)


def right_answers() -> Answers:
    return Answers(
        0,
        channels={"c", "presence-c"},
        counts={"c": 1, "presence-c": 3, "d": 0},
        user_counts={"presence-c": 2},
        users={"presence-c": ["ada", "bob"]},
    )


TRUTH = Truth(Counter({"c": 1, "presence-c": 3}), {"presence-c": {"ada", "bob"}}, {"ada"})


def test_the_truth_is_what_open_connections_hold() -> None:
    gone = link("cid/0", "presence-c")
    gone.closed = 5.0
    left = link("dora/0", "presence-c", "c")
    left.subscriptions[0].ended = 5.0
    asked = link("eve/0", "presence-c")
    asked.subscriptions[0].acknowledged = None
    links = [link("ada/0", "presence-c", user="ada"), link("ada/1", "presence-c")]
    links += [link("bob/0", "presence-c"), gone, left, asked]
    assert truth_of(History(links=links)) == TRUTH


def test_a_node_that_is_right() -> None:
    assert compare(TRUTH, right_answers()) == []


def test_everything_a_node_can_get_wrong() -> None:
    answers = right_answers()
    answers.channels ^= {"c", "ghost"}
    answers.counts["c"] = 2
    answers.user_counts["presence-c"] = 3
    answers.users["presence-c"] = ["ada", "ada", "zoe"]
    found = "\n".join(compare(TRUTH, answers))
    for text in (
        "node 0 does not list c",
        "node 0 lists ghost",
        "counts 2 subscriptions of c, it has 1",
        "counts 3 users of presence-c, it has 2",
        "ghosts zoe",
        "missing bob",
        "twice ada",
    ):
        assert text in found


def test_an_empty_channel_with_a_ghost() -> None:
    answers = right_answers()
    answers.users["presence-d"] = ["zoe"]
    answers.counts["d"] = 1
    assert len(compare(TRUTH, answers)) == 2


def test_what_clients_believe() -> None:
    right = link("ada/0", "presence-c", view={"ada", "bob"})
    right.watched = {"ada": True, "bob": False, "cid": None}
    assert believed(TRUTH, History(links=[right])) == []
    wrong = link("bob/0", "presence-c", view={"bob", "zoe"})
    wrong.watched = {"ada": False, "bob": True}
    wrong.subscriptions.append(Subscription("c", 1, 2, counted=4))
    found = "\n".join(believed(TRUTH, History(links=[wrong])))
    for text in ("ghosts zoe", "missing ada", "ada is offline", "bob is online", "c has 4: 1"):
        assert text in found


def test_who_is_gone_may_believe_anything() -> None:
    gone = link("bob/0", "presence-c", view={"zoe"})
    gone.closed = 3.0
    assert believed(TRUTH, History(links=[gone])) == []
