"""Which routes give the audit record to programs?"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from carrel.core.web import ActorDep, provide
from carrel.portal.trail import PAGE_SIZE, AuditTrail, TrailPage

router = APIRouter(tags=["Audit"])
TrailDep = Annotated[AuditTrail, Depends(provide(AuditTrail))]


@router.get("/audit")
def list_audit(
    actor: ActorDep,
    trail: TrailDep,
    *,
    subject: str | None = None,
    before: int | None = None,
    limit: int = PAGE_SIZE,
) -> dict[str, Any]:
    """List the events of the whole TRE, newest first; for administrators.

    `next_before` of the answer, given as `before`, gets the next older page.
    """
    return _out(trail.list_for(actor, subject=subject, before=before, limit=limit))


@router.get("/audit/verification")
def verify_audit(actor: ActorDep, trail: TrailDep) -> dict[str, Any]:
    """Check the hash chain from its first event to its last; for administrators."""
    found = trail.verify(actor)
    return {**asdict(found), "intact": found.intact}


@router.get("/workspaces/{workspace_id}/audit")
def list_workspace_audit(
    actor: ActorDep,
    trail: TrailDep,
    workspace_id: str,
    *,
    before: int | None = None,
    limit: int = PAGE_SIZE,
) -> dict[str, Any]:
    """List what was done in one workspace, newest first; for its members."""
    page = trail.list_for(actor, workspace_id=workspace_id, before=before, limit=limit)
    return _out(page)


def _out(page: TrailPage) -> dict[str, Any]:
    return {"events": [asdict(event) for event in page.events], "next_before": page.next_before}
