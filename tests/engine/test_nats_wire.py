"""What nodes and the keeper say to each other, byte by byte: a change is a new version."""

import msgspec
import pytest

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import Cached, EngineUnavailable, Joined, Left, Occupancy
from oyez.server.engine.backplane import Beat, Change, Held, Roll, Standing
from oyez.server.engine.messages import Refused
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.deputy import Snapshot
from oyez.server.engine.nats.store import Store
from oyez.server.engine.nats.subjects import Subjects

ADA = Member("ada", b"{}")

REQUESTS: list[tuple[wire.Request | wire.Deputize, object]] = [
    (wire.Beat("1", "x", True), ["beat", "1", "x", True]),
    (
        wire.Join("1", "x", "a", ADA, 9, 5),
        ["join", "1", "x", "a", {"user_id": "ada", "user_info": b"{}"}, 9, 5],
    ),
    (wire.Leave("1", "x", "a", None, 5), ["leave", "1", "x", "a", None, 5]),
    (wire.HeldBy("1", "x"), ["heldby", "1", "x"]),
    (
        wire.Restate("1", "x", {"a": Held(2, {"ada": (ADA, 2)})}, 5),
        [
            "restate",
            "1",
            "x",
            {
                "a": {
                    "subscriptions": 2,
                    "members": {"ada": [{"user_id": "ada", "user_info": b"{}"}, 2]},
                }
            },
            5,
        ],
    ),
    (wire.Sweep("1", "x", False, 5), ["sweep", "1", "x", False, 5]),
    (wire.Occupancy("1", "a"), ["occupancy", "1", "a"]),
    (wire.Channels("1", ""), ["channels", "1", ""]),
    (wire.Roll("1", "a"), ["roll", "1", "a"]),
    (wire.Meter(1, {"1": 5}, 5), ["meter", 1, {"1": 5}, 5]),
    (
        wire.Publish("1", [Event("e", "cache-a", "d", "1.2")], 60),
        [
            "publish",
            "1",
            [
                {
                    "name": "e",
                    "channel": "cache-a",
                    "data": "d",
                    "socket_id": "1.2",
                    "user_id": None,
                    "sequence": 0,
                }
            ],
            60,
        ],
    ),
    (wire.Cached("1", "cache-a"), ["cached", "1", "cache-a"]),
    (wire.Deputize("x", -1), ["deputize", "x", -1]),
]
MEMBER = {"user_id": "ada", "user_info": b"{}"}
ANSWERS: list[tuple[object, object]] = [
    (Beat(Standing.NEW, ("x",)), {"standing": "new", "lapsed": ["x"]}),
    (
        Joined(True, 1, True, (ADA,), None, 7),
        {
            "occupied": True,
            "subscriptions": 1,
            "added": True,
            "members": [MEMBER],
            "cached": None,
            "revision": 7,
            "told": 0,
        },
    ),
    (
        Left(True, 0, True, 7),
        {"vacated": True, "subscriptions": 0, "removed": True, "revision": 7},
    ),
    (
        Change("a", 1, True, False, ("x",), (), 7),
        {
            "channel": "a",
            "subscriptions": 1,
            "occupied": True,
            "vacated": False,
            "added": ["x"],
            "removed": [],
            "revision": 7,
        },
    ),
    (Occupancy(2, 1), {"subscriptions": 2, "users": 1}),
    (
        Roll(1.5, 1, (ADA,), 7),
        {"age": 1.5, "subscriptions": 1, "members": [MEMBER], "revision": 7},
    ),
    (Cached("e", "d", 1.5, 7), {"name": "e", "data": "d", "seconds": 1.5, "sequence": 7}),
    (wire.Entry(2, "x", 9, 1, 5), [2, "x", 9, 1, 5]),
    (wire.Kept("e", "d", 7, 1.5), ["e", "d", 7, 1.5]),
    (wire.Used({1: {"1": 5}}), [{1: {"1": 5}}]),
    (wire.Logged(3, 1.5, [wire.HeldBy("1", "x")]), [3, 1.5, [["heldby", "1", "x"]]]),
]


@pytest.mark.parametrize(("request_", "plain"), REQUESTS, ids=lambda each: type(each).__name__)
def test_requests_are_these_values(
    request_: wire.Request | wire.Deputize, plain: list[object]
) -> None:
    message = wire.write([request_])

    assert message[0] == wire.VERSION == 1
    assert msgspec.msgpack.decode(message[1:]) == [plain]
    assert wire.read_requests(message) == [request_]


@pytest.mark.parametrize(("value", "plain"), ANSWERS, ids=lambda each: type(each).__name__)
def test_answers_and_what_is_kept_are_these_values(value: object, plain: object) -> None:
    encoded = msgspec.msgpack.encode(value)

    assert msgspec.msgpack.decode(encoded, strict=False) == plain
    assert wire.value(msgspec.Raw(encoded), type(value)) == value


def test_a_snapshot_is_these_values() -> None:
    store = Store(10.0, iter(range(1, 99)).__next__, lambda *_: None)
    store.do(wire.Beat("1", "x", True), 100.0)
    store.do(wire.Join("1", "x", "presence-a", ADA, 9), 100.0)
    store.do(wire.Meter(1, {"1": 5}), 100.0)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Snapshot(3, 100.0, store.state()))) == [
        3,
        100.0,
        [
            {
                "1": [
                    100.0,
                    {"x": 110.0},
                    {},
                    {"presence-a": [1, {"ada": [1, MEMBER]}]},
                    {"x": {"presence-a": [1, {"ada": 1}]}},
                ]
            },
            {1: {"1": 5}},
        ],
    ]


@pytest.mark.parametrize("message", [b"", b"\x02\x90", b"\x01", b"\x01\xc1", b"\x01\x91\x91\xa1x"])
def test_what_is_not_known_is_refused(message: bytes) -> None:
    with pytest.raises(Refused):
        wire.read_requests(message)


def test_an_answer_of_another_kind_is_refused() -> None:
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        wire.value(msgspec.Raw(msgspec.msgpack.encode("no")), Joined)


def test_answers_are_cut_where_they_are_too_large() -> None:
    answers = [wire.Answer("done", msgspec.Raw(msgspec.msgpack.encode("x" * 5000)))] * 3
    pieces = list(wire.pieces(answers, 1024))
    received = bytearray()

    assert max(map(len, pieces)) <= 1024
    found = [wire.join_pieces(received, piece) for piece in pieces]

    assert found[:-1] == [None] * (len(pieces) - 1)
    assert found[-1] == answers


@pytest.mark.parametrize("piece", [b"", b"\x01", b"\x02\x00\x90", b"\x01\x00\xc1"])
def test_pieces_of_another_version_are_refused(piece: bytes) -> None:
    with pytest.raises(Refused):
        wire.join_pieces(bytearray(), piece)


def test_names_of_channels_fit_into_subjects_and_stay_apart() -> None:
    subjects = Subjects("oyez")
    names = ["a", "a.b", "a.*", "a.>", "ä b", "#server-to-user-1", "A", "a=", "a,b;c@d"]
    found = {subjects.event(app_id, name) for name in names for app_id in ("1", "1.2")}

    assert len(found) == 2 * len(names)
    for subject in found:
        assert subject.isascii()
        assert len(subject.split(".")) == 4
        assert not set(subject) & set(" *>\r\n")


def test_deployments_have_streams_of_their_own() -> None:
    prefixes = ["a.b", "a:b", "a_b", "a_db", "a_cb", "a__b"]
    assert len({Subjects(prefix).stream for prefix in prefixes}) == len(prefixes)
    for prefix in (".a", "a.", "a..b"):
        with pytest.raises(ValueError, match="dot"):
            Subjects(prefix)
