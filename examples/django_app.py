"""Django: who may subscribe, who is who, publishing, webhooks; a project in one file.

pip install 'oyez[encryption]' django
PUSHER_URL=http://app-key:app-secret@127.0.0.1:6001/apps/1001 python django_app.py runserver
"""

import logging
import os
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from itertools import zip_longest
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import oyez

logging.basicConfig(level=logging.INFO)
realtime = oyez.Client.from_env(encryption_master_key=os.environ.get("ENCRYPTION_MASTER_KEY"))
users = {"token-of-ada": "ada", "token-of-bob": "bob"}  # yours: request.user, and no csrf_exempt


def answer(view: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], JsonResponse]:
    @csrf_exempt  # no browser brings our Authorization header by itself, nor signs a webhook
    @require_POST
    @wraps(view)
    def answered(request: HttpRequest) -> JsonResponse:
        try:
            return JsonResponse(view(request))
        except oyez.WebhookError as error:
            return JsonResponse({"error": str(error)}, status=401)
        except (KeyError, ValueError) as error:  # a socket id or channel name that is none
            return JsonResponse({"error": str(error)}, status=400)

    return answered


def current_user(request: HttpRequest) -> str:
    token = request.headers.get("Authorization", "")
    if token not in users:
        raise PermissionDenied
    return users[token]


def may_have(user: str, channel: str) -> bool:
    return not channel.startswith("private-user-") or channel == f"private-user-{user}"


def allow(request: HttpRequest, channels: list[str]) -> dict[str, Any]:
    user = current_user(request)
    allowed = [each for each in channels if may_have(user, each)]
    member = {"user_id": user, "user_info": {"name": user.title()}}
    return dict(realtime.authorize_channels(allowed, request.POST["socket_id"], member))


@answer
def authorize(request: HttpRequest) -> Any:
    channel = request.POST["channel_name"]
    allowed = allow(request, [channel])
    if not allowed:
        raise PermissionDenied
    return allowed[channel]


@answer
def authorize_batch(request: HttpRequest) -> Any:  # for batch_auth.mjs: missing means refused
    return allow(request, request.POST.getlist("channel_name"))


@answer
def authenticate(request: HttpRequest) -> Any:
    user = current_user(request)
    data = {"id": user, "user_info": {"name": user.title()}}
    return realtime.authenticate_user(request.POST["socket_id"], data)


@answer
def send(request: HttpRequest) -> Any:
    message = {"from": current_user(request), "text": request.POST["text"]}
    socket_id = request.headers.get("X-Socket-ID")
    return realtime.trigger("presence-chat", "message", message, socket_id=socket_id)


@answer
def webhooks(request: HttpRequest) -> Any:
    webhook = realtime.webhook(request.headers, request.body)
    for event, event_id in zip_longest(webhook, webhook.ids):
        if event_id is None or not cache.get(event_id):  # they come at least once
            logging.info("webhook: %s on %s", event["name"], event["channel"])
            cache.set(event_id, True, 3600)
    return {}


urlpatterns = [
    path("pusher/auth", authorize),
    path("pusher/auth-batch", authorize_batch),
    path("pusher/user-auth", authenticate),
    path("messages", send),
    path("webhooks", webhooks),
]

if __name__ == "__main__":
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DEBUG=True,
        ROOT_URLCONF=__name__,
        SECRET_KEY=secrets.token_hex(),
    )
    execute_from_command_line(sys.argv)
