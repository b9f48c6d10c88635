"""``webhooks``: what a running server has not delivered, asked at its admin port."""

from typing import Annotated, Any

import httpx2
import msgspec
import typer

from oyez.cli.output import USAGE, fail, on_terminal, record, rows

__all__ = ["webhooks"]

webhooks = typer.Typer(no_args_is_help=True, help="Webhooks of a running server.")

AdminUrl = Annotated[
    str, typer.Option("--admin-url", help="The admin port.", envvar="OYEZ_ADMIN_URL")
]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as listed.")]
_ADMIN = "http://127.0.0.1:9601"


@webhooks.command("list")
def list_webhooks(admin_url: AdminUrl = _ADMIN, dead: bool = False) -> None:
    """Show what waits and what died."""
    found = _admin("GET", admin_url, "/webhooks")
    letters = [each for each in found["letters"] if not dead or each["state"] == "dead"]
    if not on_terminal():
        return rows(letters)
    for number, endpoint in enumerate(found["endpoints"]):
        record(endpoint, title="" if number else "endpoints")
    return rows(
        [
            {
                "id": each["id"],
                "event": " ".join((each["event"]["name"], each["event"]["channel"])),
                "state": each["state"],
                "tries": each["attempts"],
                "error": each["error"],
            }
            for each in letters
        ],
        title="events",
        empty="no event waits",
        whole=("id",),
    )


@webhooks.command("show")
def show_webhook(letter_id: str, admin_url: AdminUrl = _ADMIN) -> None:
    """Everything about one event."""
    for letter in _admin("GET", admin_url, "/webhooks")["letters"]:
        if letter["id"] == letter_id:
            typer.echo(msgspec.json.format(msgspec.json.encode(letter), indent=2))
            return
    fail(f"no event {letter_id}; it may have been delivered")


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
        fail("name ids, or --all-dead", code=USAGE)
    chosen = list(dict.fromkeys(ids or []))
    body = {"ids": chosen, "all_dead": all_dead}
    ((done, count),) = _admin("POST", admin_url, f"/webhooks/{action}", body).items()
    typer.echo(f"{done}: {count}")
    if not all_dead and count < len(chosen):
        kind = "a dead event" if action == "retry" else "an event"
        fail(f"{len(chosen) - count} of {len(chosen)} ids do not name {kind} (any more)")


def _admin(method: str, url: str, path: str, body: object = None) -> Any:
    try:
        answer = httpx2.request(method, f"{url}{path}", json=body, timeout=10, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        fail(f"no answer from {url}: {error}; is that the admin port? name it: --admin-url")
    if answer.status_code == httpx2.codes.NOT_FOUND:
        fail(f"the server at {url} has no webhooks configured")
    if answer.status_code != httpx2.codes.OK:
        fail(f"{url} answered {answer.status_code}: {answer.text}")
    return answer.json()
