"""How is the HTTP application of the role `serve` put together?"""

import re
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from carrel import __version__
from carrel.api import audit, errors, health
from carrel.api.middleware import BodyGuard, RequestFrame, SecurityHeaders
from carrel.core.settings import Settings
from carrel.core.web import Authenticator, Services
from carrel.portal.frame import make_environment
from carrel.portal.static_files import static_mount

DESCRIPTION = """
Everything that the portal and the command line do. The shapes are AzureTRE's where AzureTRE has
the thing, so its clients work here. Errors are problem documents (RFC 9457) whose `detail` says
what to do. Sign in with `POST /api/sign-in`, then send `Authorization: Bearer …`.
"""


def create_app(
    services: Services,
    settings: Settings,
    authenticator: Authenticator,
    pages: Sequence[APIRouter],
    apis: Sequence[APIRouter],
) -> FastAPI:
    """Return the application: `apis` below `/api`, `pages` at the root, one answer to errors."""
    app = FastAPI(
        title="Carrel",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.settings = settings
    app.state.authenticator = authenticator
    app.state.pages = make_environment()
    errors.answer_errors(app)
    for router in (health.router, audit.router, *apis):
        app.include_router(router, prefix="/api")
    app.include_router(health.root_router)
    for router in pages:
        app.include_router(router, include_in_schema=False)
    app.router.routes.append(static_mount())
    app.user_middleware = _middleware(app, settings)
    return app


def _middleware(app: FastAPI, settings: Settings) -> list[Middleware]:
    """Return the layers around every route, the outermost first."""
    return [
        Middleware(SecurityHeaders, form_targets=[gateway_source(settings)]),
        Middleware(RequestFrame),
        Middleware(BodyGuard, routes=app.router.routes),
    ]


def gateway_source(settings: Settings) -> str:
    """Return the gateway's origins as a CSP source: forms that open a tool are sent on there.

    CSP level 3 knows `*` only as the whole first label.
    """
    return re.sub(r"//[^/]*\*[^./:]*", "//*", settings.gateway_url("*"))
