"""Webhooks on the operator's port: what waits, what died, what to do about it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oyez.server.webhooks import Webhooks
from oyez.server.webhooks.ledger import Letter, OutboxUnavailable
from oyez.server.webhooks.letters import MOST_DEAD

__all__ = ["webhook_pages"]

_LISTED = 1000
_AT_ONCE = 500  # letters in one transaction


class _Chosen(msgspec.Struct):
    """Which letters: by id, or all dead ones."""

    ids: list[str] = []
    all_dead: bool = False


def webhook_pages(webhooks: Webhooks) -> list[BaseRoute]:
    """Routes to list, retry and drop letters; JSON in and out."""

    async def listing(_: Request) -> Response:
        dead = await webhooks.ledger.dead(_LISTED)
        pending = await webhooks.ledger.pending(_LISTED)
        return JSONResponse(
            {
                "endpoints": webhooks.report(),
                "letters": [shown(x, "pending") for x in pending]
                + [shown(x, "dead") for x in dead],
            }
        )

    def shown(letter: Letter, state: str) -> dict[str, Any]:
        return {
            "id": letter.id,
            "state": state,
            "app_id": letter.app_id,
            "target": webhooks.shown(letter.app_id, letter.target),
            "age_seconds": round(time.time() - letter.created_ms / 1000, 1),
            "attempts": letter.attempts,
            "error": letter.error,
            "event": msgspec.json.decode(letter.body),
        }

    async def retry(request: Request) -> Response:
        ids = await _ids(request)
        return JSONResponse({"retried": await _in_steps(webhooks.ledger.revive, ids)})

    async def drop(request: Request) -> Response:
        ids = await _ids(request)
        return JSONResponse({"dropped": await _in_steps(webhooks.ledger.drop, ids)})

    async def _ids(request: Request) -> list[str]:
        chosen = msgspec.json.decode(await request.body(), type=_Chosen)
        if not chosen.all_dead:
            return chosen.ids
        dead = await webhooks.ledger.dead(MOST_DEAD)
        return [letter.id for letter in reversed(dead)]  # in the order in which it happened

    def guarded(handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            # A form of another site cannot send this type without being asked for leave first.
            if request.method == "POST" and not _is_json(request):
                return JSONResponse({"error": "Expected application/json", "code": 415}, 415)
            try:
                response: Response = await handler(request)
            except (ValueError, RecursionError) as error:
                return JSONResponse({"error": f"Invalid body: {error}", "code": 400}, 400)
            except OutboxUnavailable as error:
                return JSONResponse({"error": str(error), "code": 503}, 503)
            return response

        return answer

    return [
        Route("/webhooks", guarded(listing)),
        Route("/webhooks/retry", guarded(retry), methods=["POST"]),
        Route("/webhooks/drop", guarded(drop), methods=["POST"]),
    ]


async def _in_steps(do: Callable[[Sequence[str]], Awaitable[int]], ids: Sequence[str]) -> int:
    """Do it to a few letters at a time, and return to how many it was done."""
    done = 0
    for at in range(0, len(ids), _AT_ONCE):
        done += await do(ids[at : at + _AT_ONCE])
    return done


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0] == "application/json"
