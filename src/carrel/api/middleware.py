"""What happens to every request before and after its route? Its number, its address, headers."""

import re
from collections.abc import Sequence

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carrel.api import targets
from carrel.api.errors import UNEXPECTED, answer, answer_program, is_for_people
from carrel.api.table import RouteTable, is_for_programs
from carrel.core.errors import BadRequest, CarrelError
from carrel.core.ids import new_id

log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")

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
    """Gives each request its number, tidies its address, survives any bug below."""

    def __init__(self, app: ASGIApp, *, table: RouteTable) -> None:
        self._app = app
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        started, is_silent = False, scope["method"] == "HEAD"

        async def send_framed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif is_silent:
                message = {**message, "body": b""}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                app = await self._prepared(scope, headers)
                await app(scope, receive, send_framed)
            except Exception:  # the top of a request: a bug in one must not end the process
                log.exception("request failed", method=scope["method"], path=scope["path"])
                if started:
                    raise
                await _unexpected(Request(scope), request_id)(scope, receive, send_framed)

    async def _prepared(self, scope: Scope, headers: Headers) -> ASGIApp:
        """Return what answers the request, whose address is tidied and checked first."""
        targets.tidy(scope)
        try:
            targets.check(scope)
        except BadRequest as error:
            scope["path"] = "/api" if is_for_programs(scope["path"]) else "/"
            return await run_in_threadpool(answer, Request(scope), error)
        targets.send_programs_on(scope, headers.get("accept", ""))
        if is_for_programs(scope["path"]):
            return self._for_programs(scope)
        return self._app

    def _for_programs(self, scope: Scope) -> ASGIApp:
        """Answer OPTIONS here, and HEAD as GET without its body (RFC 9110, 9.3.2 and 9.3.7)."""
        if scope["method"] == "OPTIONS" and (allowed := self._table.methods(scope["path"])):
            said = {"Allow": ", ".join(allowed), **self._table.told(scope["path"])}
            return Response(status_code=204, headers=said)
        if scope["method"] == "HEAD" and "HEAD" in self._table.methods(scope["path"]):
            scope["method"] = "GET"
        return self._app


def _unexpected(request: Request, request_id: str) -> Response:
    if is_for_people(request):
        return PlainTextResponse(f"{UNEXPECTED}\n\nRequest number {request_id}\n", status_code=500)
    return answer_program(request, CarrelError(UNEXPECTED), request_id)


class SecurityHeaders:
    """Adds the strict headers to every answer that does not bring stricter ones of its own."""

    def __init__(
        self, app: ASGIApp, *, form_targets: Sequence[str] = (), is_loopback: bool = False
    ) -> None:
        """`is_loopback`: people call this host `localhost`, as they do their own programs."""
        self._app = app
        gateways = "".join(f" {target}" for target in form_targets)
        self._headers = {
            name: value.format(gateways=gateways) for name, value in SECURITY_HEADERS.items()
        }
        if is_loopback:  # else a program that waits for its code at http://localhost gets none
            del self._headers["Strict-Transport-Security"]

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
