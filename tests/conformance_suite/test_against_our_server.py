"""The suite against the real server: every rule is kept, and nothing is skipped by accident."""

from collections.abc import Callable

from oyez.conformance import Credentials, Report, SecondApps, Target, run
from oyez.conformance.catalogue import ALL
from oyez.conformance.runner import run_checks
from tests.conftest import RunningServer

# Rules that the server does not keep yet. Only ever make this shorter.
NOT_YET: frozenset[str] = frozenset()

OPTIONS = {*SecondApps.__slots__, "crowded", "stop"}
OPTIONAL = {"http.users.with_user_info"}
PAUSES = {"ws.server_ping", "ws.close.4201", "ws.close.4201.text"}
PAUSES |= {"ws.close_old_protocol", "ws.activity_counts"}

CONFIG = """
[[apps]]
id = "1001"
client_events = true
tokens = [{ key = "app-key", secret = "app-secret" }, { key = "second", secret = "s1" }]
[[apps]]
id = "1002"
key = "other"
secret = "s2"
[[apps]]
id = "1003"
key = "disabled"
secret = "s3"
enabled = false
[[apps]]
id = "1004"
key = "quota"
secret = "s4"
limits = { connections_per_app = 5 }
[[apps]]
id = "1005"
key = "message-quota"
secret = "s5"
limits = { messages_per_day = 5 }
[[apps]]
id = "1006"
key = "authorized"
secret = "s6"
authorized_connections = true
limits = { authorized_connections_timeout = 1 }
[[apps]]
id = "1007"
key = "origin"
secret = "s7"
allowed_origins = ["https://allowed.example"]
[[apps]]
id = "1008"
key = "tls-only"
secret = "s8"
force_tls = true
[[apps]]
id = "1009"
key = "impatient"
secret = "s9"
limits = { activity_timeout = 1, pong_wait = 1, inactivity_timeout = 3 }
[[apps]]
id = "1010"
key = "featureless"
secret = "s10"
client_events = false
subscription_count = false
user_authentication = false
watchlist_events = false
[[apps]]
id = "1011"
key = "lenient"
secret = "s11"
lenient = true
"""
SECOND_APPS = SecondApps.parse(
    token="1001:second:s1",
    other="1002:other:s2",
    disabled="1003:disabled:s3",
    quota="1004:quota:s4",
    message_quota="1005:message-quota:s5",
    authorized="1006:authorized:s6",
    origin="1007:origin:s7",
    tls_only="1008:tls-only:s8",
    impatient="1009:impatient:s9",
    featureless="1010:featureless:s10",
    lenient="1011:lenient:s11",
)


def failures(report: Report) -> dict[str, str]:
    """What failed, and how."""
    return {each.id: each.detail for each in report.results if each.outcome == "fail"}


def skipped(report: Report) -> set[str]:
    """The ids of what was skipped."""
    return {each.id for each in report.results if each.outcome == "skipped"}


def target_of(server: RunningServer) -> Target:
    app = Credentials(server.app_id, server.key, server.secret)
    return Target(f"http://{server.host}:{server.port}", app, patience=30)


async def test_the_server_keeps_every_rule(server: RunningServer) -> None:
    report = await run(target_of(server))

    found = failures(report)
    assert {id: detail for id, detail in found.items() if id not in NOT_YET} == {}
    assert set(found) == NOT_YET, "these pass now: take them off the list"
    with_options = {check.id for check in ALL if OPTIONS & set(check.needs)}
    assert skipped(report) - NOT_YET == with_options | OPTIONAL | PAUSES


async def test_the_settings_of_an_app_take_effect(
    start_server: Callable[..., RunningServer],
) -> None:
    main = start_server(CONFIG)
    small = start_server("limits = { connections = 5 }")
    app = Credentials("1001", "app-key", "app-secret")
    target = Target(
        f"http://{main.host}:{main.port}",
        app,
        SECOND_APPS,
        crowded_url=f"http://{small.host}:{small.port}",
        stop_command=f"kill -TERM {main.pid}",
        patience=30,
    )
    wanted = [check for check in ALL if OPTIONS & set(check.needs) or check.id in PAUSES]

    report = await run_checks(target, wanted, "ours")

    assert failures(report) == {}
    assert skipped(report) == set()
    assert main.process.wait(20) == 0
