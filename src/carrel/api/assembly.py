"""How is the HTTP application of the role `serve` put together?"""

import re
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from carrel import __version__
from carrel.api import audit, errors, health, migrations, swagger
from carrel.api.access_log import AccessLog
from carrel.api.bodies import BodyGuard
from carrel.api.conditional import ConditionalGet
from carrel.api.document import TITLE, make_document
from carrel.api.limits import account_limits
from carrel.api.middleware import RequestFrame, SecurityHeaders
from carrel.api.strictness import check_fit
from carrel.api.table import RouteTable
from carrel.core.settings import Settings
from carrel.core.web import Authenticator, Services
from carrel.people.tokens.identity import TreIdentity
from carrel.portal.frame import make_environment
from carrel.portal.static_files import static_mount


def create_app(
    services: Services,
    settings: Settings,
    authenticator: Authenticator,
    pages: Sequence[APIRouter],
    apis: Sequence[APIRouter],
) -> FastAPI:
    """Return the application: `apis` below `/api`, `pages` at the root, one answer to errors."""
    app = _Application(
        title=TITLE,
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.settings = settings
    app.state.authenticator = authenticator
    app.state.limit = account_limits(settings)
    app.state.pages = make_environment()
    app.state.table = RouteTable(app.router.routes)
    errors.answer_errors(app)
    for router in (
        health.router,
        audit.router,
        migrations.router,
        swagger.router,
        swagger.pages,
        *apis,
    ):
        app.include_router(router, prefix="/api", dependencies=[Depends(check_fit)])
    app.include_router(health.root_router)
    for router in pages:
        app.include_router(router, include_in_schema=False)
    app.router.routes.append(static_mount())
    app.user_middleware = _middleware(app, settings)
    return app


class _Application(FastAPI):
    """The application with its document: made at the first question, then kept."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            identity = self.state.services.get(TreIdentity)
            self.openapi_schema = make_document(self.routes, identity)
        return self.openapi_schema


def _middleware(app: FastAPI, settings: Settings) -> list[Middleware]:
    """Return the layers around every route, the outermost first."""
    table: RouteTable = app.state.table
    layers = [
        Middleware(
            SecurityHeaders,
            form_targets=[gateway_source(settings)],
            is_loopback=settings.portal_host == "localhost",
        ),
        Middleware(RequestFrame, table=table),
        Middleware(AccessLog),
        Middleware(ConditionalGet),
        Middleware(BodyGuard, table=table),
    ]
    if settings.cors_origins:
        layers.insert(1, Middleware(CORSMiddleware, **_cors(settings)))
    return layers


def _cors(settings: Settings) -> dict[str, Any]:
    """Return who else's scripts may call: with tokens, never with our cookies."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
        "allow_headers": ["Authorization", "Content-Type", "etag", "If-Match", "Idempotency-Key"],
        "allow_credentials": False,
        "expose_headers": ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"],
        "max_age": 600,
    }


def gateway_source(settings: Settings) -> str:
    """Return the gateway's origins as a CSP source: forms that open a tool are sent on there.

    CSP level 3 knows `*` only as the whole first label.
    """
    return re.sub(r"//[^/]*\*[^./:]*", "//*", settings.gateway_url("*"))
