"""The command line: arguments in, exit code out."""

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

import httpx2
import msgspec
import tomli_w
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oyez import __version__
from oyez.protocol.signing import Token, body_digest
from oyez.server import config, logs
from oyez.server.node import Node, raise_file_limit, serve

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A self-hosted realtime server that speaks the Pusher Channels protocol.",
)
errors = Console(stderr=True)

_DEVELOPMENT = f"http://app-key:{config.SAMPLE_SECRET}@127.0.0.1:6001/apps/1001"
_HELLO = '{"message":"hello world"}'

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file; default: oyez.toml here, if there is one."),
]


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Oyez."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command("serve")
def serve_command(
    config_file: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address for clients and the API.")] = None,
    port: Annotated[int | None, typer.Option(help="Port for clients and the API.")] = None,
    admin_host: Annotated[str | None, typer.Option(help="Address for operators.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Port for operators.")] = None,
    transport: Annotated[str | None, typer.Option(help="uvloop, aiofastnet or asyncio.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run a server. Without arguments: one development app on 127.0.0.1:6001."""
    settings = _load(
        config_file,
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        transport=transport,
        log_format=log_format,
        log_level=log_level,
    )
    logs.configure(settings.log_format, settings.log_level)
    raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=_loop_factory(settings.transport)) as runner:
            runner.run(_serve(settings))
    except OSError as error:
        where = f"{settings.host}:{settings.port} or {settings.admin_host}:{settings.admin_port}"
        _fail(f"cannot listen at {where}: {error.strerror or error}")
    except ValueError as error:
        _fail(str(error))


@app.command("config")
def config_command(
    config_file: ConfigFile = None,
    check: Annotated[
        Path | None, typer.Option(help="Say what is wrong with this file, and where.")
    ] = None,
) -> None:
    """Print the effective configuration as TOML, secrets hidden; or check a file."""
    settings = _load(check or config_file)
    if check is not None:
        typer.echo(f"{check}: good, {len(settings.apps)} app(s)")
        return
    typer.echo(tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True)), nl=False)


@app.command("trigger")
def trigger_command(
    channel: str,
    event: str,
    data: str,
    url: Annotated[
        str, typer.Option(help="http://KEY:SECRET@HOST:PORT/apps/APP_ID", envvar="OYEZ_URL")
    ] = _DEVELOPMENT,
) -> None:
    """Publish one event; DATA is sent as it is, JSON by convention."""
    target = urlsplit(url)
    if not (target.username and target.password and target.hostname and target.path):
        _fail("--url must look like http://KEY:SECRET@HOST:PORT/apps/APP_ID")
    body = msgspec.json.encode({"name": event, "channels": [channel], "data": data})
    path = f"{target.path.rstrip('/')}/events"
    token = Token(unquote(target.username), unquote(target.password))
    query = (
        f"auth_key={token.key}&auth_timestamp={int(time.time())}&auth_version=1.0"
        f"&body_md5={body_digest(body)}"
    )
    signature = token.sign(f"POST\n{path}\n{query}".encode())
    host = f"{target.scheme}://{target.netloc.rpartition('@')[2]}"
    try:
        answer = httpx2.post(
            f"{host}{quote(path)}?{query}&auth_signature={signature}", content=body, timeout=10
        )
    except httpx2.HTTPError as error:
        _fail(f"no answer from {host}: {error}")
    if answer.status_code != httpx2.codes.OK:
        _fail(f"{host} answered {answer.status_code}: {answer.text}")
    typer.echo(answer.text)


@app.command("conformance")
def conformance_command(
    url: Annotated[str, typer.Option(help="http://HOST:PORT of any Pusher-compatible server.")],
    app_id: Annotated[str, typer.Option()],
    key: Annotated[str, typer.Option()],
    secret: Annotated[str, typer.Option()],
    server: Annotated[str, typer.Option(help="Its name in the report.")] = "server",
    json_output: Annotated[Path | None, typer.Option("--json", help="Write results here.")] = None,
    only: Annotated[str | None, typer.Option(help="Beginning of the ids to run.")] = None,
    slow: Annotated[bool, typer.Option(help="Also checks that wait for minutes.")] = False,
    second: Annotated[
        list[str] | None,
        typer.Option(
            "--second-app",
            help="NAME=APP_ID:KEY:SECRET, an app with other settings; NAME is one of other, "
            "disabled, quota, message_quota, authorized, origin, tls_only, impatient, "
            "featureless, lenient, token.",
        ),
    ] = None,
    crowded_url: Annotated[
        str | None, typer.Option(help="A server that takes at most 20 connections.")
    ] = None,
    stop_command: Annotated[str | None, typer.Option(help="Stops the server, at the end.")] = None,
) -> None:
    """Check a server against the rules of the protocol; a table, and JSON if asked to."""
    from oyez import conformance

    try:
        given = dict(each.partition("=")[::2] for each in second or ())
        second_apps = conformance.SecondApps.parse(**given)
    except (TypeError, ValueError) as error:
        _fail(f"--second-app: {error}")
    code = conformance.main(
        url,
        app_id,
        key,
        secret,
        server=server,
        json_output=json_output,
        slow=slow,
        only=only,
        second_apps=second_apps,
        crowded_url=crowded_url,
        stop_command=stop_command,
    )
    raise typer.Exit(code)


webhooks = typer.Typer(no_args_is_help=True, help="Webhooks of a running server.")
app.add_typer(webhooks, name="webhooks")

AdminUrl = Annotated[
    str, typer.Option("--admin-url", help="The admin port.", envvar="OYEZ_ADMIN_URL")
]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as listed.")]
_ADMIN = "http://127.0.0.1:9601"


@webhooks.command("list")
def list_webhooks(admin_url: AdminUrl = _ADMIN, dead: bool = False) -> None:
    """What waits and what died; one JSON object per line when piped."""
    found = _admin("GET", admin_url, "/webhooks")
    letters = [x for x in found["letters"] if not dead or x["state"] == "dead"]
    if not sys.stdout.isatty():
        for letter in letters:
            typer.echo(msgspec.json.encode(letter))
        return
    for title, rows in (("endpoints", found["endpoints"]), ("events", letters)):
        table = Table(title=title)
        for name in rows[0] if rows else ():
            table.add_column(name)
        for row in rows:
            table.add_row(*(escape(str(value)) for value in row.values()))
        Console().print(table)


@webhooks.command("show")
def show_webhook(letter_id: str, admin_url: AdminUrl = _ADMIN) -> None:
    """Everything about one event."""
    for letter in _admin("GET", admin_url, "/webhooks")["letters"]:
        if letter["id"] == letter_id:
            typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2))
            return
    _fail(f"no event {letter_id}; it may have been delivered")


@webhooks.command("retry")
def retry_webhooks(ids: Ids = None, all_dead: bool = False, admin_url: AdminUrl = _ADMIN) -> None:
    """Try dead events again."""
    _change("retry", ids, all_dead, admin_url)


@webhooks.command("drop")
def drop_webhooks(ids: Ids = None, all_dead: bool = False, admin_url: AdminUrl = _ADMIN) -> None:
    """Forget events."""
    _change("drop", ids, all_dead, admin_url)


def _change(action: str, ids: list[str] | None, all_dead: bool, admin_url: str) -> None:
    if not ids and not all_dead:
        _fail("name ids, or --all-dead")
    body = {"ids": ids or [], "all_dead": all_dead}
    for name, count in _admin("POST", admin_url, f"/webhooks/{action}", body).items():
        typer.echo(f"{name}: {count}")


def _admin(method: str, url: str, path: str, body: object = None) -> Any:
    try:
        answer = httpx2.request(method, f"{url}{path}", json=body, timeout=10, trust_env=False)
    except httpx2.HTTPError as error:
        _fail(f"no answer from {url}: {error}")
    if answer.status_code == httpx2.codes.NOT_FOUND:
        _fail(f"the server at {url} has no webhooks configured")
    if answer.status_code != httpx2.codes.OK:
        _fail(f"{url} answered {answer.status_code}: {answer.text}")
    return answer.json()


async def _serve(settings: config.Settings) -> None:
    node = Node(settings)
    await serve(node, started=lambda: _print_development(node))


def _print_development(node: Node) -> None:
    """Where everything is and a line to try it with, if there is an app that is no secret."""
    settings = node.settings
    for each in settings.apps:
        token = each.tokens[0]
        if token.secret.get_secret_value() != config.SAMPLE_SECRET:
            continue
        url = (
            f"http://{token.key}:{config.SAMPLE_SECRET}@{settings.host}:{node.port}/apps/{each.id}"
        )
        option = "" if url == _DEVELOPMENT else f" --url {url}"
        rows = (
            ("welcome page", f"http://{settings.admin_host}:{node.admin_port}/"),
            ("clients", f"ws://{settings.host}:{node.port}/app/{token.key}"),
            ("HTTP API", f"http://{settings.host}:{node.port}/apps/{each.id}"),
            ("app id", each.id),
            ("key", token.key),
            ("secret", config.SAMPLE_SECRET),
        )
        typer.echo(f"\nOyez {__version__} is listening, with a development app.\n")
        for name, value in rows:
            typer.echo(f"  {name:<14}{value}")
        typer.echo("\nOpen the welcome page, then publish an event:\n")
        typer.echo(f"  {_command()} trigger{option} my-channel my-event '{_HELLO}'\n")
        return


def _command() -> str:
    """How this very program is called from the shell it was started in."""
    script = Path(sys.executable).with_name("oyez")
    if shutil.which("oyez") == str(script) or not script.exists():
        return "oyez" if script.exists() else "python -m oyez"
    return os.path.relpath(script)


def _loop_factory(transport: str) -> Any:
    if transport == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def _load(file: Path | None, **given: Any) -> config.Settings:
    file = file or config.default_file()
    try:
        return config.load(file, **given)
    except ValidationError as error:
        lines = [
            f"  {_where(each['loc'])}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        _fail("\n".join([f"configuration is not valid ({file or 'no file'}):", *lines]))
    except (OSError, ValueError) as error:
        _fail(f"cannot read configuration ({file or 'no file'}): {error}")


def _where(location: tuple[int | str, ...]) -> str:
    """``apps[0].limits.event_data`` for a place in the configuration."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "settings"


def _fail(message: str) -> NoReturn:
    errors.print(f"[red]oyez:[/red] {escape(message)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)
