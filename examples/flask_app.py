"""Flask: who may subscribe, who is who, publishing, webhooks.

pip install 'oyez[encryption]' flask
PUSHER_URL=http://app-key:app-secret@127.0.0.1:6001/apps/1001 flask --app flask_app run
"""

import logging
import os
from itertools import zip_longest
from typing import Any

from flask import Flask, abort, request

import oyez

logging.basicConfig(level=logging.INFO)
realtime = oyez.Client.from_env(encryption_master_key=os.environ.get("ENCRYPTION_MASTER_KEY"))
users = {"token-of-ada": "ada", "token-of-bob": "bob"}  # yours: sessions and a database
seen: set[str | None] = set()  # yours: a store that all processes share, where entries expire
app = Flask(__name__)


def current_user() -> str:
    return users.get(request.headers.get("Authorization", "")) or abort(401)


def may_have(user: str, channel: str) -> bool:
    return not channel.startswith("private-user-") or channel == f"private-user-{user}"


def allow(channels: list[str]) -> dict[str, Any]:
    user = current_user()
    allowed = [each for each in channels if may_have(user, each)]
    member = {"user_id": user, "user_info": {"name": user.title()}}
    return dict(realtime.authorize_channels(allowed, request.form["socket_id"], member))


@app.post("/pusher/auth")
def authorize() -> Any:
    channel = request.form["channel_name"]
    return allow([channel]).get(channel) or abort(403)


@app.post("/pusher/auth-batch")  # for batch_auth.mjs, which takes a missing channel for a refusal
def authorize_batch() -> Any:
    return allow(request.form.getlist("channel_name"))


@app.post("/pusher/user-auth")
def authenticate() -> Any:
    user = current_user()
    data = {"id": user, "user_info": {"name": user.title()}}
    return dict(realtime.authenticate_user(request.form["socket_id"], data))


@app.post("/messages")
def send() -> Any:
    message = {"from": current_user(), "text": request.form["text"]}
    socket_id = request.headers.get("X-Socket-ID")
    realtime.trigger("presence-chat", "message", message, socket_id=socket_id)
    return {}


@app.post("/webhooks")
def webhooks() -> Any:
    webhook = realtime.webhook(dict(request.headers), request.get_data())
    for event, event_id in zip_longest(webhook, webhook.ids):
        if event_id is None or event_id not in seen:  # they come at least once
            logging.info("webhook: %s on %s", event["name"], event["channel"])
            seen.add(event_id)
    return {}


@app.errorhandler(oyez.WebhookError)
def distrust(error: oyez.WebhookError) -> Any:
    return {"error": str(error)}, 401


@app.errorhandler(ValueError)  # a socket id or channel name that is none
def refuse(error: ValueError) -> Any:
    return {"error": str(error)}, 400
