"""What does the gateway say by itself? Plain pages for people, JSON for programs."""

from http import HTTPStatus
from pathlib import Path

import orjson
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from carrel.core.errors import (
    CarrelError,
    Conflict,
    Denied,
    NotAuthenticated,
    NotFound,
    Unavailable,
)

RETRY_SECONDS = 2
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "Carrel",
    "X-Content-Type-Options": "nosniff",
}
_TITLES: tuple[tuple[type[CarrelError], str], ...] = (
    (NotAuthenticated, "Please sign in"),
    (NotFound, "Not found"),
    (Denied, "This is closed"),
    (Unavailable, "One moment"),
    (Conflict, "Not running"),
)


class Answers:
    """Makes the gateway's own answers."""

    def __init__(self, portal_url: str, tre_name: str) -> None:
        folder = Path(__file__).parent / "templates"
        pages = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined
        )
        self._page = pages.get_template("gateway/page.html")
        self._portal_url = portal_url
        self._tre_name = tre_name

    def refusal(self, request: web.BaseRequest, error: CarrelError) -> web.Response:
        """Return the answer to a request that cannot be served."""
        headers = dict(_HEADERS)
        if isinstance(error, Unavailable):
            headers["Retry-After"] = str(RETRY_SECONDS)
        if not _is_for_people(request):
            body = {
                "status": error.status,
                "title": HTTPStatus(error.status).phrase,
                "code": error.code,
                "detail": str(error),
            }
            headers["Content-Type"] = "application/problem+json"
            return web.Response(status=error.status, body=orjson.dumps(body), headers=headers)
        text = self._page.render(
            title=_title(error),
            message=str(error),
            tre_name=self._tre_name,
            portal_url=self._portal_url,
            retry_seconds=RETRY_SECONDS if isinstance(error, Unavailable) else 0,
        )
        headers["Content-Type"] = "text/html; charset=utf-8"
        return web.Response(status=error.status, body=text.encode(), headers=headers)


def redirect(path: str, *, status: int = 303, cookie: str = "") -> web.Response:
    """Return a redirect to a path of this origin."""
    response = web.Response(status=status, headers={**_HEADERS, "Location": path})
    if cookie:
        response.headers.add("Set-Cookie", cookie)
    return response


def plain(text: str) -> web.Response:
    """Return a short text, for health checks."""
    return web.Response(text=text, headers=_HEADERS)


def _is_for_people(request: web.BaseRequest) -> bool:
    wants_page = "text/html" in request.headers.get("Accept", "")
    return request.method in ("GET", "HEAD") and wants_page


def _title(error: CarrelError) -> str:
    for kind, title in _TITLES:
        if isinstance(error, kind):
            return title
    return "That did not work"
