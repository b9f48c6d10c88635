"""Webhooks on the operator's port: what waits, what died, what to do about it."""

import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oyez.server.webhooks import Webhooks
from oyez.server.webhooks.ledger import Letter, OutboxUnavailable

__all__ = ["webhook_pages"]

_LISTED = 1000


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
                "letters": [_shown(x, "pending") for x in pending]
                + [_shown(x, "dead") for x in dead],
            }
        )

    async def retry(request: Request) -> Response:
        ids = await _ids(request)
        return JSONResponse({"retried": await webhooks.ledger.revive(ids)})

    async def drop(request: Request) -> Response:
        ids = await _ids(request)
        await webhooks.ledger.drop(ids)
        return JSONResponse({"dropped": len(ids)})

    async def _ids(request: Request) -> list[str]:
        chosen = msgspec.json.decode(await request.body(), type=_Chosen)
        if not chosen.all_dead:
            return chosen.ids
        return [letter.id for letter in await webhooks.ledger.dead(_LISTED)]

    def guarded(handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            # A form of another site cannot send this type without being asked for leave first.
            if request.method == "POST" and not _is_json(request):
                return JSONResponse({"error": "Expected application/json", "code": 415}, 415)
            try:
                response: Response = await handler(request)
            except msgspec.MsgspecError as error:
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


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0] == "application/json"


def _shown(letter: Letter, state: str) -> dict[str, Any]:
    return {
        "id": letter.id,
        "state": state,
        "app_id": letter.app_id,
        "target": letter.target,
        "age_seconds": round(time.time() - letter.created_ms / 1000, 1),
        "attempts": letter.attempts,
        "error": letter.error,
        "event": msgspec.json.decode(letter.body),
    }
