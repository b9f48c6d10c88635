"""The configuration, and apps for it."""

import json
import tomllib
from pathlib import Path

from oyez.cli import app
from oyez.protocol.webhooks import EVENT_TYPES
from oyez.server.config import load
from tests.cli.command import oyez, oyez_on_terminal

BAD = """prot = 6001
port = "x"
drain_seconds = -1

[webhooks]
outbx = "x"
[[apps]]
id = "5"
key = "k"
secret = "s"
[[apps]]
id = "6"
key = "k2"
secret = "s"
allowed_origins = ["https://a.example/path"]

[apps.limits]
user_idd = 0

[[apps.webhooks]]
url = "https://a.example"
events = ["channel_ocupied"]
"""
SECRETS = """engine = "redis://user:MARK@127.0.0.1:1/0?password=MARK"
[webhooks]
outbox = "postgresql+psycopg://u:MARK@127.0.0.1:1/db?application_name=MARK"
[cluster]
timeout = 0.5
[cluster.options]
sentinel_password = "MARK"
[[apps]]
id = "5"
tokens = [{ key = "k", secret = "MARK1" }]
[[apps.webhooks]]
url = "https://u:MARK@a.example/x?token=MARK"
events = ["cache_miss"]
headers = { Authorization = "Bearer MARK" }
"""


def test_the_effective_configuration_is_toml_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text('port = 7001\n[[apps]]\nid="5"\nkey="k"\nsecret="hidden"\n')

    shown = oyez("config", cwd=tmp_path, OYEZ_LOG_LEVEL="debug")

    assert shown.returncode == 0
    assert "port = 7001" in shown.stdout
    assert 'log_level = "debug"' in shown.stdout
    assert 'key = "k"' in shown.stdout
    assert "hidden" not in shown.stdout


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    good, bad, broken = (tmp_path / name for name in ("good.toml", "bad.toml", "broken.toml"))
    good.write_text('[[apps]]\nid="5"\nkey="k"\nsecret="s"\n')
    bad.write_text(BAD)
    broken.write_text("port = \n")

    assert (oyez("config", "--check", str(good)).stdout) == f"{good}: good, 1 app(s)\n"
    wrong = oyez("config", "--check", str(bad))
    assert wrong.returncode == 1
    first, *lines = wrong.stderr.splitlines()
    assert first == "oyez: configuration is not valid:"
    assert sorted(line.removeprefix(f"  {bad}, ") for line in lines) == sorted(
        [
            "line 1: prot: there is no such setting; did you mean port?",
            "line 2: port: expected a whole number, not 'x'",
            "line 3: drain_seconds: must be at least 0, not -1",
            "line 6: webhooks.outbx: there is no such setting; did you mean outbox?",
            "line 15: apps[1].allowed_origins[0]: no origin is like 'https://a.example/path': "
            "expected an origin such as https://a.example, without a path",
            "line 18: apps[1].limits.user_idd: there is no such setting; did you mean user_id?",
            "line 22: apps[1].webhooks[0].events[0]: unknown event type 'channel_ocupied', known: "
            + ", ".join(EVENT_TYPES),
        ]
    )
    unreadable = oyez("config", "--check", str(broken))
    assert "line 1" in unreadable.stderr
    assert oyez("config", "--check", str(tmp_path / "none.toml")).returncode == 1


def test_a_bad_value_is_blamed_on_where_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text("port = 7001\n")

    flag = oyez("serve", "--port", "99999", cwd=tmp_path)
    assert (flag.returncode, flag.stderr) == (
        2,
        "oyez: configuration is not valid:\n  --port: must be at most 65535, not 99999\n",
    )
    variable = oyez("serve", cwd=tmp_path, OYEZ_LIMITS__CONNECTIONS="-5")
    assert variable.returncode == 1
    assert "OYEZ_LIMITS__CONNECTIONS: limits.connections: must be at least 0" in variable.stderr


def test_nothing_that_may_be_a_secret_is_shown_unless_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "oyez.toml"
    file.write_text(SECRETS)

    for command in (("config",), ("doctor",), ("serve",), ("serve", "--log-format", "json")):
        done = oyez(*command, cwd=tmp_path, OYEZ_PORT="0", OYEZ_ADMIN_PORT="0", OYEZ_URL="")
        assert "MARK" not in done.stdout + done.stderr, command
    shown = oyez("config", "--show-secrets", cwd=tmp_path).stdout
    assert shown.count("MARK") == SECRETS.count("MARK")
    assert tomllib.loads(shown)["apps"][0]["tokens"] == [{"key": "k", "secret": "MARK1"}]


def test_every_help_can_be_read() -> None:
    """Rich makes pictures of some words between colons."""
    names = [getattr(each.callback, "__name__", "") for each in app.registered_commands]
    for name in ("", *names, "apps", "webhooks"):
        shown = oyez(*([name] if name else []), "--help", COLUMNS="300")
        assert shown.returncode == 0, name
        assert all(ord(each) < 0x2600 for each in shown.stdout), name


def test_new_apps_are_made_for_the_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "oyez.toml"

    one = oyez("apps", "new", "--name", 'a "shop"', "--client-events").stdout
    file.write_text(one + oyez("apps", "new").stdout)

    first, second = load(file).apps
    assert first.id.isdecimal()
    assert (first.name, first.client_events) == ('a "shop"', True)
    token = first.tokens[0]
    assert len(bytes.fromhex(token.key)) == 10
    assert len(token.secret.get_secret_value()) >= 40
    assert {first.id, token.key, token.secret} & {
        second.id,
        second.tokens[0].key,
        second.tokens[0].secret,
    } == set()


def test_new_apps_can_be_json() -> None:
    app = json.loads(oyez("apps", "new", "--json").stdout)

    assert set(app) == {"id", "key", "secret"}


def test_what_a_person_reads_of_a_new_app_is_still_toml() -> None:
    shown = oyez_on_terminal("apps", "new").output()

    assert set(tomllib.loads(shown)["apps"][0]) == {"id", "key", "secret"}
    assert "oyez apps new >> oyez.toml" in shown


def test_a_wrong_value_in_a_free_table_is_told_once_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text('[cluster.options]\npassword = ["hunter2"]\n')
    done = oyez("config", "--check", "oyez.toml", cwd=tmp_path)

    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    assert done.stderr.count("cluster.options.password: expected a text, a number, true or") == 1


def test_a_number_may_be_a_password(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text("[cluster.options]\npassword = 123456\nssl = true\n")
    done = oyez("config", cwd=tmp_path)

    assert "123456" not in done.stdout
    assert "ssl = true" in done.stdout


def test_a_setting_with_letters_that_none_has_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "oyez.toml").write_text('"größe" = 1\n')
    done = oyez("config", "--check", "oyez.toml", cwd=tmp_path)

    assert done.returncode == 1
    assert "größe: there is no such setting" in done.stderr
