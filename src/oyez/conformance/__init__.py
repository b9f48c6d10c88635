"""A black-box suite against any server that speaks the Pusher Channels protocol.

One named check per rule. It knows the server only through its port: what it sends is what official
clients and libraries send, and what they must never meet in return.
"""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from oyez.conformance.catalogue import ALL
from oyez.conformance.report import Report
from oyez.conformance.runner import AT_ONCE, run_checks, selected
from oyez.conformance.target import Credentials, SecondApps, Target

__all__ = ["Credentials", "Report", "SecondApps", "Target", "main", "run"]


async def run(
    target: Target, *, only: str | None = None, server: str = "server", at_once: int = AT_ONCE
) -> Report:
    """Check one server.

    Args:
        target: where it is, and with whose credentials.
        only: beginning of the ids to run, or a shell pattern for them; by default all.
        server: its name in the report.
        at_once: how many checks run at the same time.
    """
    return await run_checks(target, selected(ALL, only), server, at_once=at_once)


def main(
    url: str,
    app_id: str,
    key: str,
    secret: str,
    *,
    server: str = "server",
    json_output: Path | None = None,
    slow: bool = False,
    only: str | None = None,
    second_apps: SecondApps | None = None,
    crowded_url: str | None = None,
    stop_command: str | None = None,
    at_once: int = AT_ONCE,
) -> int:
    """Check one server, print a table, and write JSON if asked to.

    Returns:
        The exit code: 0 if no required check failed, 1 if one did, 2 if there is none to run.
    """
    if not selected(ALL, only):
        Console(stderr=True).print(f"no check is called {only}", markup=False)
        return 2
    target = Target(
        url,
        Credentials(app_id, key, secret),
        second_apps or SecondApps(),
        crowded_url,
        stop_command,
        slow,
    )
    report = asyncio.run(run(target, only=only, server=server, at_once=at_once))
    console = Console() if sys.stdout.isatty() else Console(width=160)
    report.print(console)
    if json_output is not None:
        json_output.write_text(report.json(), encoding="utf-8")
    return 0 if report.conforms else 1
