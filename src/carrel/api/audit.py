"""Which routes give the audit record to programs?"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from carrel.core.audit import AuditOrder
from carrel.core.paging import Wanted, listed, wanted
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.portal.trail import PAGE_SIZE, AuditTrail, TrailPage

router = APIRouter(tags=["Audit"])
TrailDep = Annotated[AuditTrail, Depends(provide(AuditTrail))]
PartDep = Annotated[
    Wanted[AuditOrder],
    Depends(wanted(AuditOrder, AuditOrder.SEQ, is_ascending=False, default_limit=PAGE_SIZE)),
]
BeforeDep = Annotated[int | None, Query(ge=0, lt=2**63, description="Only events before this.")]


@router.get("/audit")
def list_audit(
    actor: ActorDep,
    trail: TrailDep,
    part: PartDep,
    subject: str | None = None,
    before: BeforeDep = None,
) -> Response:
    """List the events of the whole TRE, newest first; for administrators.

    `next_before` of the answer, given as `before`, gets the next older page too.
    """
    return _out(part, trail.list_for(actor, subject=subject, before=before, part=part))


@router.get("/audit/verification")
def verify_audit(actor: ActorDep, trail: TrailDep) -> dict[str, Any]:
    """Check the hash chain from its first event to its last; for administrators."""
    found = trail.verify(actor)
    return {**asdict(found), "intact": found.intact}


@router.get("/workspaces/{workspace_id}/audit")
@for_audience(Audience.EITHER)
def list_workspace_audit(
    actor: ActorDep,
    trail: TrailDep,
    workspace_id: str,
    part: PartDep,
    before: BeforeDep = None,
) -> Response:
    """List what was done in one workspace, newest first; for its members."""
    page = trail.list_for(actor, workspace_id=workspace_id, before=before, part=part)
    return _out(part, page)


def _out(part: Wanted[AuditOrder], page: TrailPage) -> Response:
    return listed(part, "events", page.events.map(asdict), next_before=page.next_before)
