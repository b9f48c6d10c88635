"""FastAPI: who may subscribe, who is who, publishing, webhooks.

pip install 'oyez[encryption]' fastapi python-multipart uvicorn
PUSHER_URL=http://app-key:app-secret@127.0.0.1:6001/apps/1001 uvicorn fastapi_app:app
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import zip_longest
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Form, Header, HTTPException, Request
from fastapi.responses import JSONResponse

import oyez

logging.basicConfig(level=logging.INFO)
realtime = oyez.AsyncClient.from_env(encryption_master_key=os.environ.get("ENCRYPTION_MASTER_KEY"))
users = {"token-of-ada": "ada", "token-of-bob": "bob"}  # yours: sessions and a database
seen: set[str | None] = set()  # yours: a store that all processes share, where entries expire


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    async with realtime:
        yield


app = FastAPI(lifespan=lifespan)


def current_user(authorization: Annotated[str, Header()] = "") -> str:
    if authorization not in users:
        raise HTTPException(401)
    return users[authorization]


User = Annotated[str, Depends(current_user)]
SocketId = Annotated[str, Form()]


def may_have(user: str, channel: str) -> bool:
    return not channel.startswith("private-user-") or channel == f"private-user-{user}"


def allow(user: str, socket_id: str, channels: list[str]) -> dict[str, Any]:
    allowed = [each for each in channels if may_have(user, each)]
    member = {"user_id": user, "user_info": {"name": user.title()}}
    return dict(realtime.authorize_channels(allowed, socket_id, member))


@app.post("/pusher/auth")
def authorize(user: User, socket_id: SocketId, channel_name: Annotated[str, Form()]) -> Any:
    allowed = allow(user, socket_id, [channel_name])
    if not allowed:
        raise HTTPException(403)
    return allowed[channel_name]


@app.post("/pusher/auth-batch")  # for batch_auth.mjs, which takes a missing channel for a refusal
def authorize_batch(
    user: User, socket_id: SocketId, channel_name: Annotated[list[str], Form()]
) -> Any:
    return allow(user, socket_id, channel_name)


@app.post("/pusher/user-auth")
def authenticate(user: User, socket_id: SocketId) -> Any:
    return realtime.authenticate_user(socket_id, {"id": user, "user_info": {"name": user.title()}})


@app.post("/messages")
async def send(
    user: User, text: Annotated[str, Form()], x_socket_id: Annotated[str | None, Header()] = None
) -> None:
    message = {"from": user, "text": text}
    await realtime.trigger("presence-chat", "message", message, socket_id=x_socket_id)


@app.post("/webhooks")
async def webhooks(request: Request) -> None:
    webhook = realtime.webhook(request.headers, await request.body())
    for event, event_id in zip_longest(webhook, webhook.ids):
        if event_id is None or event_id not in seen:  # they come at least once
            logging.info("webhook: %s on %s", event["name"], event["channel"])
            seen.add(event_id)


@app.exception_handler(oyez.WebhookError)
def distrust(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 401)


@app.exception_handler(ValueError)  # a socket id or channel name that is none
def refuse(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)
