"""The checks as a whole: unmistakable ids, real sources, and nothing of the protocol left out."""

import re
from collections import Counter

from oyez.conformance.catalogue import ALL
from oyez.conformance.target import SecondApps

PAGES = ("README.md", "ambiguities.md", "auth.md", "http-api.md", "websocket-protocol.md")
SETTINGS = {"client_events", "subscription_count", "users", "fallbacks"}
OPTIONS = {"crowded", "stop", "plain"}
IDS = [check.id for check in ALL]


def test_ids_are_unique() -> None:
    assert [id for id, count in Counter(IDS).items() if count > 1] == []


def test_every_check_has_an_id_a_rule_and_a_source() -> None:
    for check in ALL:
        assert re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+)+", check.id), check.id
        assert check.rule.endswith("."), (check.id, check.rule)
        assert "\n" not in check.rule
        assert check.section.startswith(PAGES), (check.id, check.section)
        assert check.source.words
        assert check.source.severity in ("required", "recommended")


def test_what_checks_need_is_known() -> None:
    known = SETTINGS | OPTIONS | set(SecondApps.__slots__)
    for check in ALL:
        assert set(check.needs) <= known, check.id


def test_every_close_code_has_a_check() -> None:
    codes = [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4003, 4004, 4005, 4006, 4007, 4008, 4009]
    for code in (*codes, 4100, 4200, 4201, 4202, 4302):
        assert any(re.search(rf"[._]{code}\b", id) for id in IDS), code


def test_every_limit_and_setting_has_a_check() -> None:
    for subject, count in (("limits.", 30), ("settings.", 15), ("channels.", 8)):
        assert sum(id.startswith(subject) for id in IDS) >= count
