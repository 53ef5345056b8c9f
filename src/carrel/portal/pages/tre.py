"""Which pages are about the TRE as a whole: its record, its health, its API, itself?"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from carrel.core.web import ActorDep, provide, render
from carrel.portal.health import Health
from carrel.portal.trail import AuditTrail
from carrel.workspaces.pages.views import isolation_title

router = APIRouter()
HealthDep = Annotated[Health, Depends(provide(Health))]
TrailDep = Annotated[AuditTrail, Depends(provide(AuditTrail))]

_METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/audit")
def show_audit(
    request: Request,
    actor: ActorDep,
    trail: TrailDep,
    *,
    subject: str = "",
    before: int | None = None,
) -> Response:
    """Show the whole record, newest first; for administrators."""
    page = trail.list_for(actor, subject=subject.strip() or None, before=before)
    return render(
        request,
        "portal/audit.html",
        trail_page=page,
        before=before,
        subject=subject,
        base="/audit",
        verification=None,
    )


@router.post("/audit/verify")
def verify_audit(request: Request, actor: ActorDep, trail: TrailDep) -> Response:
    """Check the hash chain from its first event to its last."""
    verification = trail.verify(actor)
    return render(
        request,
        "portal/audit.html",
        trail_page=trail.list_for(actor),
        before=None,
        subject="",
        base="/audit",
        verification=verification,
    )


@router.get("/health")
def show_health(request: Request, actor: ActorDep, health: HealthDep) -> Response:
    """Show whether the TRE is well, and what isolation this host gives, with the evidence."""
    del actor
    return render(
        request, "portal/health.html", report=health.report(), isolation_title=isolation_title
    )


@router.get("/about")
def show_about(request: Request) -> Response:
    """Say what Carrel is, for people who are not signed in too."""
    return render(request, "portal/about.html")


@router.get("/about/api")
def show_api(request: Request) -> Response:
    """List the routes of the API, from its own OpenAPI document."""
    document: dict[str, Any] = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if route := item.get(method):
                group = (route.get("tags") or ["Other"])[0]
                groups.setdefault(group, []).append(
                    {
                        "method": method.upper(),
                        "path": path,
                        "text": route.get("description") or route.get("summary", ""),
                    }
                )
    return render(request, "portal/api_docs.html", groups=groups, document=document)
