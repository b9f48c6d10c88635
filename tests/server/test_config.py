"""Where settings come from, and what is said about wrong ones."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from oyez.protocol.app import Limits
from oyez.server.config import Settings, load
from oyez.server.redaction import SHOWN, URLS, redacted, shown_url

OWN = '[[apps]]\nid = "7"\nkey = "k"\nsecret = "s"\n'


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "oyez.toml"
        path.write_text(text)
        return path

    return write


def test_without_anything_there_is_one_development_app() -> None:
    settings = load(None)
    app = settings.apps[0].app()

    assert (settings.host, settings.port) == ("127.0.0.1", 6001)
    assert (settings.admin_host, settings.admin_port) == ("127.0.0.1", 9601)
    assert (app.id, app.tokens[0].key, app.tokens[0].secret) == ("1001", "app-key", "app-secret")
    assert app.client_events
    assert app.limits == Limits()


def test_later_sources_win(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write('port = 1\nadmin_port = 1\nhost = "localhost"\nadmin_host = "localhost"')
    monkeypatch.setenv("OYEZ_PORT", "2")
    monkeypatch.setenv("OYEZ_ADMIN_PORT", "2")
    monkeypatch.setenv("OYEZ_LIMITS__CONNECTIONS", "9")

    settings = load(file, port=3, host=None)

    assert (settings.port, settings.admin_port, settings.host) == (3, 2, "localhost")
    assert settings.limits.connections == 9


WEBHOOK = OWN + "[[apps.webhooks]]\n"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('url = "ftp://a.example/"', "expected a URL like"),
        ('url = "https://a..invalid/"', "no host and port can be read"),
        ('url = "https:///path"', "without a host"),
        ('url = "https://[::1/"', "no host and port|Invalid IPv6"),
        ('url = "https://a.example:99999/"', "no host and port"),
        ('url = "https://a.example/#x"', "with a fragment"),
        ('url = "https://bücher.example/"', "printable ASCII"),
        ('url = "https://a.example/ b"', "printable ASCII"),
        ('url = "https://a.example"\nheaders = { "X-T" = "été" }', "header X-T may have printable"),
        ('url = "https://a.example"\nheaders = { "X-T" = "a\\nb" }', "header X-T may have"),
        ('url = "https://a.example"\nheaders = { "X T" = "a" }', "'X T' cannot be the name"),
        ('url = "https://a.example"\nname = "a b"', "name"),
        ('url = "https://a.example"\nname = "2"', "name"),  # the mark of the second without
    ],
)
def test_an_endpoint_that_can_never_be_asked_is_refused(write: Any, lines: str, said: str) -> None:
    file = write(f'{WEBHOOK}events = ["channel_occupied"]\n{lines}')
    with pytest.raises(ValueError, match=said):
        load(file)


def test_the_same_endpoint_twice_is_refused(write: Any) -> None:
    one = '[[apps.webhooks]]\nurl = "https://a.example"\nevents = ["channel_occupied"]\n'
    with pytest.raises(ValueError, match="webhooks 1 and 2 are the same"):
        load(write(OWN + one + one))
    named = one + 'name = "x"\n'
    with pytest.raises(ValueError, match="webhooks 1 and 2 have the same URL and name 'x'"):
        load(write(OWN + named + named + "batching = false"))
    several = load(write(OWN + one + named + one + "batching = false\n"))
    targets = [each.target for each in several.apps[0].endpoints()]
    assert targets == ["https://a.example", "https://a.example#x", "https://a.example#2"]


@pytest.mark.parametrize("engine", ["redis://127.0.0.1", "nats://127.0.0.1"])
def test_an_outbox_of_each_node_is_refused_where_there_are_many(write: Any, engine: str) -> None:
    text = f'engine = "{engine}"\n{{}}\n{WEBHOOK}url = "https://a.example"\nevents = ["cache_miss"]'
    for outbox in ("", 'webhooks = { outbox = "sqlite:////var/lib/oyez/outbox.db" }'):
        with pytest.raises(ValueError, match="need one database for all of them"):
            load(write(text.format(outbox)))
    load(write(text.format("webhooks = { one_machine = true }")))
    load(write(text.format('webhooks = { outbox = "postgresql+psycopg://db/oyez" }')))
    load(write(f'engine = "{engine}"\n{OWN}'))  # nobody is told anything


def test_apps_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OYEZ_APPS", '[{"id": "5", "key": "k", "secret": "s"}]')

    assert [app.id for app in load(None).apps] == ["5"]


def test_an_app_has_settings_limits_and_several_tokens(write: Any) -> None:
    settings = load(
        write(
            """
            [[apps]]
            id = "7"
            name = "shop"
            subscription_count = false
            tokens = [{ key = "old", secret = "a" }, { key = "new", secret = "b" }]
            [apps.limits]
            event_data = 20480
            channel_name = 200
            """
        )
    )
    app = settings.apps[0].app()

    assert [token.key for token in app.tokens] == ["old", "new"]
    assert (app.name, app.client_events, app.subscription_count) == ("shop", False, False)
    assert app.limits == Limits(event_data=20480, channel_name=200)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("prot = 1", "prot", "Extra inputs"),
        ("port = 99999", "port", "65535"),
        ('port = "x"', "port", "integer"),
        ("apps = []", "apps", "at least 1"),
        ('[[apps]]\nid = "seven"\nkey = "k"\nsecret = "s"', "apps.0.id", "pattern"),
        ('[[apps]]\nid = "7"', "apps.0.tokens", "required"),
        ('[[apps]]\nid = "7"\nkey = "k"', "apps.0.tokens.0.secret", "required"),
        ('[[apps]]\nid = "7"\nkey = "a:b"\nsecret = "s"', "apps.0.tokens.0.key", "pattern"),
        (OWN + "tokens = []", "apps.0", "not both"),
        (OWN + "colour = 1", "apps.0.colour", "Extra inputs"),
        (OWN + "[apps.limits]\nevent_dat = 1", "apps.0.limits.event_dat", "nexpected"),
        (OWN + "[apps.limits]\nevent_data = 0", "apps.0.limits", "event_data must be at least 1"),
        (OWN + "[apps.limits]\nchannel_name = 201", "apps.0.limits", "at most 200, not 201"),
        (OWN + OWN, "", "two apps have the id '7'"),
        (OWN + OWN.replace('"7"', '"8"'), "", "two apps have the key 'k'"),
        ('path_prefix = "x"', "path_prefix", "pattern"),
        ('path_prefix = "/it\'s"', "path_prefix", "pattern"),
        ('path_prefix = "/b\u00fccher"', "path_prefix", "pattern"),
        ('path_prefix = "/x/"', "path_prefix", "pattern"),
        ('engine = "kafka://localhost"', "engine", "expected memory, or an address"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(
    write: Any, text: str, where: str, what: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        load(write(text))

    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == where
    assert what in error["msg"]


def test_what_is_no_toml_is_named_with_its_line(write: Any) -> None:
    with pytest.raises(ValueError, match="line 2"):
        load(write("port = 1\nhost = \n"))


def test_a_misspelt_variable_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OYEZ_PROT", "1")

    with pytest.raises(ValueError, match="unknown setting OYEZ_PROT"):
        load(None)


@pytest.mark.parametrize("given", [{"host": "0.0.0.0"}, {"host": "::"}, {"admin_host": "10.0.0.1"}])
def test_the_sample_secret_is_refused_on_a_public_address(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="the sample secret must not be reachable"):
        load(None, **given)

    assert load(None, **given, allow_sample_secret=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_the_sample_secret_is_fine_on_this_machine(host: str) -> None:
    assert load(None, host=host).host == host


def test_an_app_of_ones_own_may_be_public(write: Any) -> None:
    assert load(write(OWN), host="0.0.0.0").host == "0.0.0.0"


def test_secrets_are_not_shown(write: Any) -> None:
    settings = load(write(OWN.replace('"s"', '"hidden"')))

    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings.model_dump(mode="json"))
    assert "hidden" not in repr(settings.apps[0].app())


@pytest.mark.parametrize(
    "address",
    [
        "memory",
        "redis://h",
        "rediss+sentinel://h/s",
        "unix:///s",
        "nats://h,i:4222",
        "tls://ada:word@h",
    ],
)
def test_engines_have_addresses(address: str) -> None:
    assert load(None, engine=address).engine == address


@pytest.mark.parametrize("address", ["nats", "nats+cluster://h", "unix+cluster:///s", "http://h"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="expected memory"):
        load(None, engine=address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("nats://ada:word@h:1,bob:word@i:2", "nats://***@i:2"),
        ("redis://:se,cret@h", "redis://***@h"),
        ("postgresql://u:pa?ss#word@db/o?a=b", "postgresql://***@db/o?a=***"),
        ("nats://token@h:1", "nats://***@h:1"),
        ("nats://h:1", "nats://h:1"),
        ("redis://:word@h/0", "redis://***@h/0"),
        ("redis://h/0?password=word&db=1", "redis://h/0?password=***&db=***"),
        ("postgresql+psycopg://ada:wo/rd@h/oyez", "postgresql+psycopg://***@h/oyez"),
        ("https://h/hook?word", "https://h/hook?***"),
        ("https://h/hook#2", "https://h/hook#2"),
        ("memory", "memory"),
    ],
)
def test_addresses_are_shown_without_what_is_secret(address: str, shown: str) -> None:
    assert shown_url(address) == shown


def test_a_text_is_hidden_unless_it_is_known_to_be_harmless() -> None:
    """Whatever is added to the settings is hidden until it is listed."""
    schema = Settings.model_json_schema()
    places = set(_texts(schema, schema, ""))
    assert {"webhooks.outbox", "cluster.options", "apps.webhooks.headers"} <= places
    assert places >= SHOWN - {"tls_certificate", "tls_key", "workers", "apps.allowed_origins"} - {
        "transport",
        "broadcast",
        "log_format",
        "log_level",
        "data_directory",
    }
    for place in places:
        plain = redacted("https://MARK@host/?token=MARK", place)
        assert ("MARK" in plain) == (place in SHOWN), place
        assert place not in SHOWN or place not in URLS


def _texts(schema: Any, whole: Any, place: str) -> list[str]:
    """The places of all texts of the settings, without numbers."""
    if "$ref" in schema:
        return _texts(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole, place)
    found = [place] if schema.get("type") == "string" and "enum" not in schema else []
    for name, each in schema.get("properties", {}).items():
        found += _texts(each, whole, f"{place}.{name}".removeprefix("."))
    more = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    return found + [
        x for each in more if isinstance(each, dict) for x in _texts(each, whole, place)
    ]


def test_an_engine_keeps_its_password_where_it_is_used() -> None:
    address = "redis://:word@h/0"
    assert load(None, engine=address).model_dump()["engine"] == address
