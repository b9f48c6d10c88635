"""The welcome page of the development app: events as they arrive, and a form that publishes one.

``pusher.min.js`` is pusher-js 8.6.0 as published on npm (MIT licence), unchanged: the page is the
first proof that the official client works.
"""

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from oyez.protocol.app import App
from oyez.protocol.errors import RequestError
from oyez.protocol.events import read_publish
from oyez.protocol.messages import compact
from oyez.protocol.requests import Query
from oyez.server.config import Settings
from oyez.server.engine import Engine, EngineUnavailable

__all__ = ["welcome_pages"]

_FILES = {
    "/": ("index.html", "text/html"),
    "/welcome.js": ("welcome.js", "text/javascript"),
    "/welcome.css": ("welcome.css", "text/css"),
    "/pusher.min.js": ("pusher.min.js", "text/javascript"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def welcome_pages(app: App, engine: Engine, settings: Settings, port: int) -> list[BaseRoute]:
    """Routes of the page for ``app``, whose secret is the sample one and no secret at all.

    Args:
        settings: of this node; they say with what options clients connect.
        port: where clients connect; the host is the one the page was opened at.
    """
    token = app.tokens[0]
    about = compact(
        {
            "appId": app.id,
            "key": token.key,
            "secret": token.secret,
            "port": port,
            "tls": settings.secure,
            "path": settings.path_prefix,
        }
    )

    async def config(_: Request) -> Response:
        return Response(about, media_type="application/json", headers=_HEADERS)

    async def publish(request: Request) -> Response:
        if not _is_own_page(request):
            return JSONResponse({"error": "Only the welcome page may do this", "code": 403}, 403)
        try:
            publication = read_publish(await request.body(), Query([]), app.limits)
            await engine.publish(app.id, publication.events)
        except RequestError as error:
            return JSONResponse({"error": str(error), "code": error.status}, error.status)
        except EngineUnavailable:
            return JSONResponse({"error": "Service unavailable", "code": 503}, 503)
        return JSONResponse({})

    return [
        *(_static(path, name, media_type) for path, (name, media_type) in _FILES.items()),
        Route("/welcome/config", config),
        Route("/welcome/events", publish, methods=["POST"]),
    ]


def _static(path: str, name: str, media_type: str) -> Route:
    content = files(__package__).joinpath(name).read_bytes()

    async def page(_: Request) -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return Route(path, page)


def _is_own_page(request: Request) -> bool:
    """No other site may publish through a developer's browser; its ``Host`` is known to be ours."""
    return request.headers.get("origin") == f"http://{request.headers.get('host')}"
