"""How does every error become one answer: problem+json for programs, a page for people?

RFC 9457 (Problem Details for HTTP APIs); the sentence alone for clients that want plain text, as
AzureTRE answers. This is the only place that maps errors to HTTP.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from carrel.api.accepts import is_named, quality
from carrel.api.statuses import phrase
from carrel.api.table import RouteTable, is_for_programs
from carrel.core.errors import (
    BadRequest,
    CarrelError,
    Denied,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from carrel.core.web import render

log = structlog.get_logger(__name__)

UNEXPECTED = (
    "Something went wrong inside Carrel, and it was written to the log. Nothing else was changed. "
    "Try again; if it happens twice, give your TRE administrator the request number."
)


class MethodNotAllowed(CarrelError):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


class TooLarge(CarrelError):
    """The body is larger than this route takes."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(CarrelError):
    """The body is of a kind that this route does not read."""

    status = 415
    code = "unsupported_media_type"


class NotAcceptable(CarrelError):
    """The client wants to read nothing of what this route can answer."""

    status = 406
    code = "not_acceptable"


PROBLEM_TYPE = "application/problem+json"


def answer_errors(app: FastAPI) -> None:
    """Answer every kind of error in one shape.

    The answers are not async: a page asks the database who is signed in, in a thread.
    """
    app.add_exception_handler(CarrelError, _carrel_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def _carrel_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CarrelError)
    return answer(request, error)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(request, invalid_field(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        table: RouteTable = request.app.state.table
        headers["Allow"] = ", ".join(table.methods(request.url.path))
    return answer(request, _translated(error), headers=headers)


def invalid_field(error: RequestValidationError) -> InvalidRequest:
    """Return the first problem of a request that does not fit its route, naming the field."""
    first = error.errors()[0]
    where, *path = first["loc"]
    if first["type"] == "json_invalid":
        return InvalidRequest("The body is not valid JSON. Send one JSON document.")
    name = ".".join(str(part) for part in path) or str(where)
    reason = str(first["msg"]).rstrip(".")
    place = "" if where == "body" else f" (in the {where})"
    return InvalidRequest(f"Field {name}{place}: {reason}.", field=name)


def _translated(error: HTTPException) -> CarrelError:
    if error.status_code == 404:
        return NotFound("There is nothing at this address. Check it for a typing mistake.")
    if error.status_code == 405:
        return MethodNotAllowed("This address does not take that method. Look at /api/docs.")
    return BadRequest(f"The request could not be read: {str(error.detail).rstrip('.')}.")


def problem(error: CarrelError, request_id: str) -> dict[str, Any]:
    """Return the problem document of an error."""
    body: dict[str, Any] = {
        "type": f"urn:carrel:problem:{error.code}",
        "title": phrase(error.status),
        "status": error.status,
        "code": error.code,
        "detail": str(error),
        "request_id": request_id,
    }
    if error.field:
        body["field"] = error.field
    return body


def answer(
    request: Request, error: CarrelError, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Turn any deliberate error into the answer for whoever asked, and log it once."""
    request_id = getattr(request.state, "request_id", "")
    write = log.error if error.status >= 500 else log.info
    write(
        "request refused",
        method=request.method,
        path=request.url.path,
        status=error.status,
        code=error.code,
        reason=str(error),
        detail=error.log_detail,
    )
    if is_for_people(request):
        response = _page(request, error, request_id)
    else:
        response = answer_program(request, error, request_id)
    response.headers.update(headers or {})
    response.headers["Cache-Control"] = "no-store"
    if isinstance(error, Unavailable):
        response.headers.setdefault("Retry-After", "2")
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Denied):
        _note_denied(request, error)
    if isinstance(error, NotAuthenticated) and not is_for_people(request):
        response.headers.setdefault("WWW-Authenticate", "Bearer")
    return response


def _note_denied(request: Request, error: Denied) -> None:
    note: Callable[[Request, Denied], None] | None = getattr(request.app.state, "denied", None)
    if note is not None:
        note(request, error)


def answer_program(request: Request, error: CarrelError, request_id: str) -> Response:
    """Return the problem document of an error, or its sentence to who wants plain text."""
    if _wants_plain(request):
        return PlainTextResponse(str(error), status_code=error.status)
    return JSONResponse(
        problem(error, request_id), status_code=error.status, media_type=PROBLEM_TYPE
    )


def _wants_plain(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    named = [each for each in (PROBLEM_TYPE, "application/json") if is_named(accept, each)]
    if is_named(accept, "text/plain"):
        best = max((quality(accept, each) for each in named), default=0.0)
        return quality(accept, "text/plain") > best
    return bool(request.app.state.settings.plain_errors) and not named


def is_for_people(request: Request) -> bool:
    """Whether the answer goes to a browser's page and not to a program."""
    return not is_for_programs(request.scope["path"])


def _page(request: Request, error: CarrelError, request_id: str) -> Response:
    if isinstance(error, NotAuthenticated) and request.method in ("GET", "HEAD"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", status_code=303)
    try:
        return render(
            request, "error.html", status=error.status, error=error, request_id=request_id
        )
    except CarrelError as second:  # who asks cannot be found out: the database is away, say
        request.state.actor = None
        log.info("error page without an actor", reason=str(second))
        return render(
            request, "error.html", status=error.status, error=error, request_id=request_id
        )
