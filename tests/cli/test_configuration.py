"""The configuration, and apps for it."""

import json
import tomllib
from pathlib import Path

from oyez.server.config import load
from tests.cli.command import oyez, oyez_on_terminal


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
    bad.write_text('port = "x"\n[[apps]]\nid="5"\nkey="k"\nsecret="s"\n[apps.limits]\nuser_id=0\n')
    broken.write_text("port = \n")

    assert (oyez("config", "--check", str(good)).stdout) == f"{good}: good, 1 app(s)\n"
    wrong = oyez("config", "--check", str(bad))
    assert wrong.returncode == 1
    assert "port: Input should be a valid integer" in wrong.stderr
    assert "apps[0].limits: user_id must be at least 1, not 0" in wrong.stderr
    unreadable = oyez("config", "--check", str(broken))
    assert "line 1" in unreadable.stderr
    assert oyez("config", "--check", str(tmp_path / "none.toml")).returncode == 1


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
