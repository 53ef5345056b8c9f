"""Who asked for what, and how long did it take? One line of the log for each API request."""

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carrel.core.clock import monotonic
from carrel.core.logs import one_request
from carrel.core.web import route_template

log = structlog.get_logger(__name__)


class AccessLog:
    """Writes the line, and lets every other line of the request say who asks.

    The address appears as the route's template: what stands in a path may be somebody's business.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/api"):
            await self._app(scope, receive, send)
            return
        began_at, status = monotonic(), 0

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        with one_request():
            try:
                await self._app(scope, receive, send_noted)
            finally:
                log.info(
                    "request",
                    method=method,
                    route=f"/api{route_template(scope)}",
                    status=status or 500,
                    ms=round((monotonic() - began_at) * 1000, 1),
                )
