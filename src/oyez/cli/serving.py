"""``serve``: one process that serves, or several, and what is printed when they do."""

import asyncio
import contextlib
import os
import resource
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oyez import __version__
from oyez.cli.configuration import ConfigFile, load_settings
from oyez.cli.output import fail, netloc
from oyez.cli.target import DEVELOPMENT_SECRET, DEVELOPMENT_URL

if TYPE_CHECKING:
    from oyez.server.config import Settings

__all__ = ["serve"]

_HELLO = '{"message":"hello world"}'


def serve(
    config_file: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address for clients and the API.")] = None,
    port: Annotated[int | None, typer.Option(help="Port for clients and the API.")] = None,
    admin_host: Annotated[str | None, typer.Option(help="Address for operators.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Port for operators.")] = None,
    workers: Annotated[
        str | None, typer.Option(help="Processes on one port, or auto: one per CPU core.")
    ] = None,
    transport: Annotated[str | None, typer.Option(help="uvloop, aiofastnet or asyncio.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run a server. Without arguments: one development app on 127.0.0.1:6001."""
    settings = load_settings(
        config_file,
        host=host,
        port=port,
        admin_host=admin_host,
        admin_port=admin_port,
        workers=workers,
        transport=transport,
        log_format=log_format,
        log_level=log_level,
    )
    from oyez.server import logs
    from oyez.server.workers import how_many

    logs.configure(settings.log_format, settings.log_level)
    _raise_file_limit()
    count = how_many(settings.workers)
    try:
        if count > 1:
            _run_workers(settings, count)
        else:
            _run(settings)
    except OSError as error:
        places = (settings.host, settings.port), (settings.admin_host, settings.admin_port)
        where = " or ".join(netloc(*place) for place in places)
        fail(f"cannot listen at {where}: {error.strerror or error}; see: oyez doctor")
    except ValueError as error:
        fail(str(error))


def _run(settings: "Settings") -> None:
    """Serve in this process until it is told to stop."""
    from oyez.server import node as nodes

    async def run() -> None:
        node = nodes.Node(settings)

        def started() -> None:
            _print_development(settings, node.port, node.admin_port)

        await nodes.serve(node, started=started)

    with asyncio.Runner(loop_factory=_loop_factory(settings.transport)) as runner:
        runner.run(run())


def _run_workers(settings: "Settings", count: int) -> None:
    """Have several processes serve until this one is told to stop."""
    from oyez.server.embedded import EmbeddedBroker
    from oyez.server.workers import Workers

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            given = settings
            if settings.engine == "memory":  # which one process has for itself
                if any(app.endpoints() for app in settings.apps):
                    stack.enter_context(_alone_with_outbox(settings))
                broker = await stack.enter_async_context(EmbeddedBroker())
                given = settings.model_copy(update={"engine": broker.url})
            workers = Workers(given, count, _loop_factory(settings.transport))

            def started() -> None:
                _print_development(settings, workers.port, workers.admin_ports[0])

            await workers.run(started=started)

    asyncio.run(run())


@contextlib.contextmanager
def _alone_with_outbox(settings: "Settings") -> Iterator[None]:
    """Keep other servers from the outbox that all workers of this one share.

    Raises:
        ValueError: another one has it.
    """
    from oyez.server.webhooks.assembly import outbox_url
    from oyez.server.webhooks.file_lock import FileLock
    from oyez.server.webhooks.ledger import OutboxInUse

    lock = FileLock(outbox_url(settings), "workers.lock", shared=False)
    try:
        lock.take()
    except OutboxInUse as error:
        raise ValueError(str(error)) from None
    try:
        yield
    finally:
        lock.release()


def _loop_factory(transport: str) -> Any:
    if transport == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def _print_development(settings: "Settings", port: int, admin_port: int) -> None:
    """Where everything is and a line to try it with, if there is an app that is no secret."""
    from oyez.server.config import connectable

    welcome = netloc(connectable(settings.admin_host), admin_port)
    for each in settings.apps:
        token = each.tokens[0]
        if token.secret.get_secret_value() != DEVELOPMENT_SECRET:
            continue
        place, s = settings.place(port), "s" if settings.secure else ""
        url = f"http{s}://{token.key}:{DEVELOPMENT_SECRET}@{place}/apps/{each.id}"
        option = "" if url == DEVELOPMENT_URL else f" --url {shlex.quote(url)}"
        rows = (
            ("welcome page", f"http://{welcome}/"),
            ("clients", f"ws{s}://{place}/app/{token.key}"),
            ("HTTP API", f"http{s}://{place}/apps/{each.id}"),
            ("app id", each.id),
            ("key", token.key),
            ("secret", DEVELOPMENT_SECRET),
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


def _raise_file_limit() -> None:
    """Use all the open files this process may have; each connection needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
