"""What happens to every request before and after its route? Frame, headers, and body limits."""

import json
import re
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi.routing import iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carrel.api.errors import UNEXPECTED, TooLarge, answer, is_for_people, problem
from carrel.core.errors import BadRequest, CarrelError, InvalidRequest
from carrel.core.ids import new_id

log = structlog.get_logger(__name__)

BODY_LIMIT_BYTES = 2**20
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_SLASHES = re.compile(r"/{2,}")

SECURITY_HEADERS = {
    # OWASP Secure Headers Project; no inline script or style anywhere in the portal
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'{gateways}; "
        "frame-ancestors 'none'"
    ),
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: that makes browsers send `Origin: null` with forms (Fetch standard), and
    # the origin is what tells our own forms from foreign ones
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class RequestFrame:
    """Gives each request its number, tidies its path, survives any bug below."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        _tidy(scope)
        started = False

        async def send_framed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_framed)
            except Exception:  # the top of a request: a bug in one must not end the process
                log.exception("request failed", method=scope["method"], path=scope["path"])
                if started:
                    raise
                await _unexpected(Request(scope), request_id)(scope, receive, send_framed)


def _tidy(scope: Scope) -> None:
    """AzureTRE's clients join a base address and a path with two slashes."""
    if "//" in scope["path"]:
        scope["path"] = _SLASHES.sub("/", scope["path"])
        scope["raw_path"] = _SLASHES.sub("/", scope.get("raw_path", b"").decode("latin-1")).encode(
            "latin-1"
        )


def _unexpected(request: Request, request_id: str) -> Response:
    if is_for_people(request):
        return PlainTextResponse(f"{UNEXPECTED}\n\nRequest number {request_id}\n", status_code=500)
    return JSONResponse(
        problem(CarrelError(UNEXPECTED), request_id),
        status_code=500,
        media_type="application/problem+json",
    )


class SecurityHeaders:
    """Adds the strict headers to every answer that does not bring stricter ones of its own."""

    def __init__(self, app: ASGIApp, *, form_targets: Sequence[str] = ()) -> None:
        self._app = app
        gateways = "".join(f" {target}" for target in form_targets)
        self._headers = {
            name: value.format(gateways=gateways) for name, value in SECURITY_HEADERS.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if not is_static:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BodyGuard:
    """Refuses bodies that are too large, and JSON that two readers could understand differently.

    A route marked with `core.web.accepts_uploads` streams and keeps its own limit.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes
        self._uploads: list[tuple[frozenset[str], re.Pattern[str]]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_json = headers.get("content-type", "").partition(";")[0].strip().endswith("json")
        if self._streams(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive, headers)
            if is_json and body.strip():
                check_json(body)
        except CarrelError as error:
            response = await run_in_threadpool(answer, Request(scope), error)
            await response(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _streams(self, scope: Scope) -> bool:
        if self._uploads is None:  # not earlier: routers are included before the first request
            self._uploads = _upload_paths(self._routes)
        return any(
            scope["method"] in methods and path.match(scope["path"])
            for methods, path in self._uploads
        )


def _upload_paths(routes: Sequence[BaseRoute]) -> list[tuple[frozenset[str], re.Pattern[str]]]:
    """Return methods and path of the routes that stream, those of included routers too."""
    return [
        (frozenset(route.methods or ()), compile_path(route.path or "")[0])
        for route in iter_route_contexts(routes)
        if getattr(route.endpoint, "accepts_uploads", False)
    ]


async def _read(receive: Receive, headers: Headers) -> bytes:
    claimed = headers.get("content-length", "0")
    if not claimed.isdigit() or int(claimed) > BODY_LIMIT_BYTES:
        raise _too_large()
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The connection ended before the whole request had arrived.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge("A request may hold 1 MiB. Files go through the airlock, one request each.")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def check_json(body: bytes) -> None:
    """Raise `InvalidRequest` for a duplicate key, NaN, infinity or absurd nesting.

    RFC 8259 section 4 leaves duplicate names to the reader; two readers that differ are a hole.
    """
    try:
        json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON. Send one JSON document.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"The key {twice!r} appears twice. Send each key once.", field=twice)
    return found


def _no_constant(name: str) -> None:
    raise InvalidRequest(f"{name} is not a number in JSON. Send a finite number or null.")
