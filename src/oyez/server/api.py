"""The signed HTTP API: route, verify, validate, hand to the engine, answer.

Order of checks as in spec ``http-api.md`` 5: route, app, authentication, app enabled, body,
parameters, execution. This is one of the two files where protocol errors become bytes.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from oyez.protocol.app import App
from oyez.protocol.channels import is_channel_name, is_internal, kind_of
from oyez.protocol.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NoAnswer,
    NotFound,
    PayloadTooLarge,
    RequestError,
    Unauthorized,
    Unavailable,
)
from oyez.protocol.events import (
    COUNTS,
    Publication,
    check_user_id,
    read_batch,
    read_deprecated_publish,
    read_info,
    read_publish,
    shown,
)
from oyez.protocol.messages import compact, termination
from oyez.protocol.requests import Query, SignedRequest, check_body, key_of, verify
from oyez.server.apps import Apps
from oyez.server.cors import Cors
from oyez.server.engine import Engine, EngineUnavailable, Occupancy, OutcomeUnknown
from oyez.server.http_reader import Request
from oyez.server.http_response import Response
from oyez.server.metering import Metering
from oyez.server.metrics import Ready
from oyez.server.routes import NOT_FOUND, Routes, Target

__all__ = ["Api", "error_response"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.api")

_EMPTY = Response(200, b"{}")
_NO_CONTENT = Response(204)
_ACCEPTED = Response(202)
_HEALTHY = Response(200, b'{"health":"OK"}')


class Call(msgspec.Struct, frozen=True):
    """A request that has been verified: by which app, with which parameters.

    Attributes:
        name: the channel or user in the path.
    """

    app: App
    query: Query
    body: bytes
    name: str = ""


Handler = Callable[[Call], Awaitable[Response]]


class Outside(Protocol):
    """Whoever takes requests that are not signed; see `oyez.server.fallback.Fallbacks`."""

    def handle(self, request: Request) -> Response | Awaitable[Response] | None:
        """Answer what is one of its own."""

    def expects_body(self, request: Request) -> bool:
        """Say whether a request is taken whose body is yet to come."""


def error_response(status: int, message: str) -> Response:
    """Every error of the HTTP API: JSON with the sentence and the status (A-01)."""
    return Response(status, compact({"error": message, "code": status}))


class Api:
    """Answers the requests of one node.

    Args:
        fallbacks: answers what is no API request but may be one of a fallback transport.
        prefix: path before ``/apps/`` to strip, for servers mounted below a path.
        cors_origins: origins that may read answers in a browser; ``*`` for all. Usually none:
            requests come from backends that hold the secret.
    """

    def __init__(
        self,
        apps: Apps,
        engine: Engine,
        metering: Metering,
        node: Ready,
        fallbacks: Outside,
        *,
        prefix: str = "",
        cors_origins: Sequence[str] = (),
    ) -> None:
        self._apps = apps
        self._engine = engine
        self._metering = metering
        self._node = node
        self._fallbacks = fallbacks
        self._prefix = prefix.encode()
        self._cors = Cors(cors_origins) if cors_origins else None
        self._routes = Routes(self._prefix, [app.id for app in apps])
        self._handlers: dict[bytes, Handler] = {
            b"events": self._publish,
            b"batch_events": self._publish_batch,
            b"channels": self._channels,
            b"channels/-": self._channel,
            b"channels/-/users": self._users,
            b"channels/-/events": self._publish_deprecated,
            b"channels/-/stats": self._channel_stats,
            b"users/-/terminate_connections": self._terminate,
        }

    async def handle(self, request: Request) -> Response:
        """Answer any request; never raises."""
        try:
            found = self._find(request)
            response = found if isinstance(found, Response) else await found
        except RequestError as error:
            response = self._refused(request, error)
        except EngineUnavailable as error:
            log.warning("engine away", error=str(error))
            response = self._refused(request, _unavailable(request, error))
        except Exception:
            log.exception("bug in the HTTP API", path=request.path.decode("latin-1"))
            response = error_response(500, "Internal server error")
        return self._cors.of(request, response) if self._cors else response

    def judge(self, request: Request) -> Response | bool:
        """Look at the head of a request whose long body has not arrived; never raises.

        Returns the answer if it is refused whatever the body is, else whether a backend signed it.
        """
        try:
            target = self._routes.find(request.path)
            if target is not None:
                request.verified = self._verify(request, target, None)
            elif not self._fallbacks.expects_body(request):
                raise NotFound(NOT_FOUND)
        except RequestError as error:
            response = self._refused(request, error)
        except Exception:
            log.exception("bug in the HTTP API", path=request.path.decode("latin-1"))
            response = error_response(500, "Internal server error")
        else:
            return target is not None
        return self._cors.of(request, response) if self._cors else response

    def _find(self, request: Request) -> Response | Awaitable[Response]:
        """The answer to a request, or what makes it once the call is verified."""
        if request.method == b"OPTIONS":
            return self._outside(request)
        target = self._routes.find(request.path)
        if target is None:
            return self._outside(request)
        body = request.body
        if isinstance(request.verified, Call):
            call = msgspec.structs.replace(request.verified, body=body)
            check_body(call.query, body)
        else:
            call = self._verify(request, target, body)
        most = call.app.limits.http_request_body
        if len(body) > most:
            raise PayloadTooLarge(f"Request body too large ({len(body)} > {most} bytes)")
        return self._handlers[target.call](call)

    def _verify(self, request: Request, target: Target, body: bytes | None) -> Call:
        """Find out who has signed a request; its body is None as long as it has not arrived."""
        _, method, app_id, name = target
        if request.method != method and not (method == b"GET" and request.method == b"HEAD"):
            raise MethodNotAllowed(method.decode())
        app = self._find_app(app_id, request.query)
        signed = SignedRequest(request.method, request.path, request.query, body, self._prefix)
        query = verify(app, signed, time.time())
        if not app.enabled:
            raise Forbidden("App disabled")
        if app.force_tls and not request.secure:
            raise Forbidden("App only accepts requests over TLS, use https://")
        return Call(app, query, body or b"", name)

    def _find_app(self, app_id: str | None, query: bytes) -> App:
        if app_id is None:
            app = self._apps.by_key(key_of(query))
            if app is None:
                raise Unauthorized("Unknown auth_key")
            return app
        found = self._apps.by_id(app_id)
        if found is None:
            raise NotFound(f"App {app_id[:40]} not found")
        return found

    def _outside(self, request: Request) -> Response | Awaitable[Response]:
        """What is not signed: fallback transports, preflights, health."""
        path = self._routes.bare(request.path)
        if path.startswith((b"/app/", b"/pusher/")):
            response = self._fallbacks.handle(request)
            if response is not None:
                return response
        if request.method == b"OPTIONS":
            return _NO_CONTENT
        if path not in (b"/up", b"/healthz", b"/readyz"):
            raise NotFound(NOT_FOUND)
        if request.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("GET")
        if path == b"/readyz" and not self._node.ready:
            raise Unavailable(self._node.unready)
        return _HEALTHY

    # Publishing.

    async def _publish(self, call: Call) -> Response:
        app = call.app
        publication = read_publish(call.body, call.query, app.limits)
        if self._metering.over_quota(app):
            raise Forbidden("Over quota")
        await self._engine.publish(
            app.id, publication.events, cache_seconds=app.limits.cache_entry_lifetime
        )
        self._count(app, publication)
        if not publication.info[0]:
            return _EMPTY
        return _json({"channels": dict(await self._reported(app, publication))})

    async def _publish_batch(self, call: Call) -> Response:
        publication = read_batch(call.body, call.app.limits)
        await self._accept(call.app, publication)
        if not any(publication.info):
            return _EMPTY
        reported = await self._reported(call.app, publication)
        return _json({"batch": [attributes for _, attributes in reported]})

    async def _publish_deprecated(self, call: Call) -> Response:
        publication = read_deprecated_publish(call.name, call.body, call.query, call.app.limits)
        await self._accept(call.app, publication)
        return _ACCEPTED

    async def _accept(self, app: App, publication: Publication) -> None:
        """What `_publish` does in place, being called more often than all others together."""
        if self._metering.over_quota(app):
            raise Forbidden("Over quota")
        lifetime = app.limits.cache_entry_lifetime
        await self._engine.publish(app.id, publication.events, cache_seconds=lifetime)
        self._count(app, publication)

    def _count(self, app: App, publication: Publication) -> None:
        messages = len(publication.events) + publication.questions
        self._metering[app.id].api_messages += messages

    async def _terminate(self, call: Call) -> Response:
        check_user_id(call.name, call.app.limits)
        await self._engine.publish(call.app.id, (termination(call.name),))
        return _EMPTY

    async def _reported(
        self, app: App, publication: Publication
    ) -> list[tuple[str, dict[str, int]]]:
        """The attributes asked for, less those that do not apply (spec ``http-api.md`` 4)."""
        reported = []
        for event, info in zip(publication.events, publication.info, strict=True):
            attributes = {}
            if info:
                counts = await self._engine.occupancy(app.id, event.channel)
                attributes = _applicable(app, event.channel, counts, info)
            reported.append((event.channel, attributes))
        return reported

    # Asking.

    async def _channels(self, call: Call) -> Response:
        prefix = call.query.text("filter_by_prefix") or ""
        info = read_info(call.query.text("info"), COUNTS)
        if "user_count" in info and not prefix.startswith("presence-"):
            raise BadRequest(
                "user_count may only be requested for presence channels - "
                "please supply filter_by_prefix begining with presence-"
            )
        _check_counting(call.app, info)
        found = await self._engine.channels(call.app.id, prefix)
        return _json(
            {
                "channels": {
                    name: _applicable(call.app, name, counts, info)
                    for name, counts in found.items()
                }
            }
        )

    async def _channel(self, call: Call) -> Response:
        _check_name(call)
        kind = kind_of(call.name)
        info = read_info(call.query.text("info"), COUNTS | {"cache"})
        if "user_count" in info and not kind.presence:
            raise BadRequest(
                "Cannot retrieve the user count unless the channel is a presence channel"
            )
        if "cache" in info and not kind.cache:
            raise BadRequest("Cannot retrieve the cache unless the channel is a cache channel")
        _check_counting(call.app, info)
        counts = await self._engine.occupancy(call.app.id, call.name)
        attributes: dict[str, object] = {"occupied": counts.subscriptions > 0}
        attributes.update(_applicable(call.app, call.name, counts, info))
        if "cache" in info:
            attributes["cache"] = await self._cached(call)
        return _json(attributes)

    async def _cached(self, call: Call) -> dict[str, object] | None:
        cached = await self._engine.cached(call.app.id, call.name)
        if cached is None:
            return None
        return {"data": cached.data, "ttl": max(1, int(cached.seconds))}

    async def _channel_stats(self, call: Call) -> Response:
        _check_name(call)
        counts = await self._engine.occupancy(call.app.id, call.name)
        attributes: dict[str, object] = {
            "occupied": counts.subscriptions > 0,
            "connection_count": counts.subscriptions,
        }
        if kind_of(call.name).presence:
            attributes["user_count"] = counts.users
        return _json(attributes)

    async def _users(self, call: Call) -> Response:
        _check_name(call)
        if not kind_of(call.name).presence:
            raise BadRequest("Users can only be retrieved for presence channels")
        members = await self._engine.members(call.app.id, call.name)
        return _json({"users": [{"id": member.user_id} for member in members]})

    # Refusing.

    def _refused(self, request: Request, error: RequestError) -> Response:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if isinstance(error, MethodNotAllowed):
            headers = ((b"Allow", error.allowed.encode()),)
        elif isinstance(error, Unavailable):
            headers = ((b"Retry-After", str(error.retry_after).encode()),)
        library = request.headers.get(b"x-pusher-library", b"")
        log.info(
            "request refused",
            status=error.status,
            error=str(error),
            method=request.method.decode("latin-1"),
            path=request.path.decode("latin-1")[:200],
            library=library.decode("latin-1")[:100],
        )
        body = compact({"error": str(error), "code": error.status})
        return Response(error.status, body, headers=headers)


def _unavailable(request: Request, error: EngineUnavailable) -> RequestError:
    """Only a 503 says that nothing was published, so that it can be repeated."""
    if request.method == b"POST" and isinstance(error, OutcomeUnknown):
        return NoAnswer("No answer from the engine, which may have done what was asked")
    return Unavailable()


def _json(value: object) -> Response:
    return Response(200, compact(value))


def _check_name(call: Call) -> None:
    limit = call.app.limits.channel_name
    if not is_channel_name(call.name, limit):
        length = len(call.name)
        detail = f" ({length} > {limit} characters)" if length > limit else ""
        raise BadRequest(f"Invalid channel name: {shown(call.name)}{detail}")


def _check_counting(app: App, info: frozenset[str]) -> None:
    if "subscription_count" in info and not app.subscription_count:
        raise BadRequest(
            "Cannot retrieve the subscription count because subscription counting is not enabled"
        )


def _applicable(app: App, channel: str, counts: Occupancy, info: frozenset[str]) -> dict[str, int]:
    attributes: dict[str, int] = {}
    if is_internal(channel):
        return attributes
    if "user_count" in info and kind_of(channel).presence:
        attributes["user_count"] = counts.users
    if "subscription_count" in info and app.subscription_count:
        attributes["subscription_count"] = counts.subscriptions
    return attributes
