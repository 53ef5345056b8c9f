"""Where can people try the API out? Swagger UI, for the TRE and for each workspace.

These routes are open, and answer the same whether a workspace exists or not.
"""

from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from carrel.api.document import workspace_document
from carrel.core.errors import Denied
from carrel.core.settings import Settings
from carrel.people.tokens.identity import USER_SCOPE, TreIdentity, workspace_scope

POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Swagger UI's style names pictures that lie in the style itself (`data:`)."""


def check_offered(request: Request) -> None:
    """Raise `Denied` if the site offers no Swagger UI."""
    settings: Settings = request.app.state.settings
    if not settings.swagger:
        raise Denied(
            "Swagger is disabled. An administrator can turn it on with the setting swagger; "
            "`carrel openapi` prints the document."
        )


router = APIRouter(include_in_schema=False)
pages = APIRouter(include_in_schema=False, dependencies=[Depends(check_offered)])


@router.get("/openapi.json")
def show_document(request: Request) -> Response:
    """Return the OpenAPI document of the whole API."""
    return JSONResponse(request.app.openapi())


@router.get("/workspaces/{workspace_id}/openapi.json")
def show_workspace_document(request: Request, workspace_id: UUID) -> Response:
    """Return the OpenAPI document of what lies in one workspace."""
    return JSONResponse(workspace_document(request.app.openapi(), str(workspace_id)))


@pages.get("/docs")
async def show_docs(request: Request) -> Response:
    """Show Swagger UI, ready to sign in for a core token."""
    return _page(request, "/api/openapi.json", _identity(request).api_root_scope)


@pages.get("/workspaces/{workspace_id}/docs")
async def show_workspace_docs(request: Request, workspace_id: UUID) -> Response:
    """Show Swagger UI, ready to sign in for a token of one workspace."""
    scope = f"{workspace_scope(str(workspace_id))}/{USER_SCOPE}"
    return _page(request, f"/api/workspaces/{workspace_id}/openapi.json", scope)


@pages.get("/docs/oauth2-redirect")
async def finish_sign_in(request: Request) -> Response:
    """Hand the code of a sign-in to the page that began it."""
    return _rendered(request, "portal/swagger_redirect.html")


def _identity(request: Request) -> TreIdentity:
    services = request.app.state.services
    found: TreIdentity = services.get(TreIdentity)
    return found


def _page(request: Request, document: str, scope: str) -> Response:
    settings: Settings = request.app.state.settings
    return _rendered(
        request,
        "portal/swagger.html",
        document=document,
        scope=scope,
        client_id=_identity(request).api_client_id,
        redirect=f"{settings.portal_url}/api/docs/oauth2-redirect",
        tre_name=settings.tre_name,
    )


def _rendered(request: Request, template: str, **values: str) -> Response:
    text = request.app.state.pages.get_template(template).render(values)
    headers = {"Content-Security-Policy": POLICY}
    return Response(text, media_type="text/html", headers=headers)
