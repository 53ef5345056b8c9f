"""How do programs raise, follow and decide requests? AzureTRE's shapes, and what it lacks."""

from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from carrel.airlock.binding import AirlockDep, Bound, BoundDep
from carrel.airlock.routes.bodies import (
    AmendBody,
    NewRequest,
    ReturnBody,
    ReviewBody,
    RevokeBody,
)
from carrel.airlock.routes.shapes import finding_out, request_for, request_out
from carrel.airlock.rules import Direction, Status
from carrel.airlock.rules.links import Permission
from carrel.airlock.service.linking import Link
from carrel.airlock.service.records import RequestOrder
from carrel.core.actors import WorkspaceRole
from carrel.core.paging import Wanted, listed, wanted
from carrel.core.settings import Settings
from carrel.core.web import ActorDep, Audience, for_audience
from carrel.workspaces.routes.shapes import accepted, answer, operation_json

router = APIRouter(tags=["airlock"])

_WORKSPACE = "/workspaces/{workspace_id}"
_REQUEST = f"{_WORKSPACE}/requests/{{request_id}}"

PartDep = Annotated[
    Wanted[RequestOrder],
    Depends(wanted(RequestOrder, RequestOrder.CREATED, is_ascending=False)),
]
KindQuery = Annotated[Direction | None, Query(alias="type")]


# Requests -------------------------------------------------------------------------------------


@router.post(f"{_WORKSPACE}/requests", status_code=201)
def create_request(
    workspace_id: UUID, body: NewRequest, actor: ActorDep, airlock: AirlockDep
) -> dict[str, Any]:
    """Open a draft of an import or export."""
    request = airlock.create(
        actor,
        str(workspace_id),
        type=body.type,
        title=body.title,
        justification=body.businessJustification,
    )
    return request_for(actor, request)


@router.get(f"{_WORKSPACE}/requests")
def list_requests(  # noqa: PLR0913, PLR0917 - AzureTRE's filters
    workspace_id: UUID,
    actor: ActorDep,
    airlock: AirlockDep,
    part: PartDep,
    creator_user_id: str | None = None,
    kind: KindQuery = None,
    status: Status | None = None,
) -> Response:
    """List the requests of a workspace, newest first."""
    page = airlock.page(
        actor,
        part,
        workspace_id=str(workspace_id),
        author_id=creator_user_id,
        type=kind,
        status=status,
    )
    return listed(part, "airlockRequests", page.map(lambda request: request_for(actor, request)))


@router.get("/requests")
@for_audience(Audience.CORE, with_memberships=True)
def list_my_requests(
    actor: ActorDep,
    airlock: AirlockDep,
    part: PartDep,
    kind: KindQuery = None,
    status: Status | None = None,
    *,
    airlock_manager: bool = False,
) -> Response:
    """List your own requests, or with `airlock_manager` those of the workspaces you review in."""
    role = WorkspaceRole.AIRLOCK_MANAGER if airlock_manager else None
    author = None if airlock_manager else actor.id
    page = airlock.page(actor, part, role=role, author_id=author, type=kind, status=status)
    return listed(part, "", page.map(request_out))


@router.get(_REQUEST)
def show_request(bound: BoundDep) -> dict[str, Any]:
    """Return a request, its files with their hashes, and what you may do now."""
    return request_for(bound.actor, bound.request)


@router.patch(_REQUEST)
def amend_request(body: AmendBody, bound: BoundDep) -> dict[str, Any]:
    """Write a draft's title and justification anew."""
    request = bound.airlock.amend(
        bound.actor, bound.id, title=body.title, justification=body.businessJustification
    )
    return request_for(bound.actor, request)


@router.post(f"{_REQUEST}/submit")
def submit_request(bound: BoundDep) -> dict[str, Any]:
    """Seal the files and start the scanners. Only its author may do this."""
    return request_for(bound.actor, bound.airlock.submit(bound.actor, bound.id))


@router.post(f"{_REQUEST}/cancel")
def cancel_request(bound: BoundDep) -> dict[str, Any]:
    """Withdraw a request before a decision; its files are deleted."""
    return request_for(bound.actor, bound.airlock.cancel(bound.actor, bound.id))


@router.post(f"{_REQUEST}/review")
def review_request(body: ReviewBody, bound: BoundDep) -> dict[str, Any]:
    """Decide about the files whose manifest you saw. Never your own request."""
    request = bound.airlock.review(
        bound.actor,
        bound.id,
        approve=body.approval,
        explanation=body.decisionExplanation,
        seen_manifest_sha256=body.manifestSha256,
    )
    return request_for(bound.actor, request)


@router.post(f"{_REQUEST}/return")
def return_request(body: ReturnBody, bound: BoundDep) -> dict[str, Any]:
    """Give a request back to its author, saying what to change."""
    request = bound.airlock.return_to_author(bound.actor, bound.id, body.explanation)
    return request_for(bound.actor, request)


@router.post(f"{_REQUEST}/revoke")
def revoke_request(body: RevokeBody, bound: BoundDep) -> dict[str, Any]:
    """Withdraw an approval; tickets end at once, an import leaves the inbox."""
    return request_for(bound.actor, bound.airlock.revoke(bound.actor, bound.id, body.reason))


@router.get(f"{_REQUEST}/findings")
def list_findings(bound: BoundDep) -> dict[str, Any]:
    """Return what the scanners found in the sealed files."""
    findings = bound.airlock.list_findings(bound.actor, bound.id)
    return {"findings": [finding_out(finding) for finding in findings]}


@router.get(f"{_REQUEST}/manifest")
def show_manifest(bound: BoundDep) -> Response:
    """Return the sealed manifest, byte for byte: its SHA-256 is `manifestSha256`."""
    manifest = bound.airlock.get_manifest(bound.actor, bound.id)
    return Response(manifest, media_type="application/json")


# Links and review resources -------------------------------------------------------------------


@router.get(f"{_REQUEST}/link")
def make_link(request: Request, bound: BoundDep) -> dict[str, Any]:
    """Return an address for programs that speak Azure's Blob protocol; it is yours alone."""
    return {"containerUrl": _address(request, bound)}


@router.delete(f"{_REQUEST}/link", status_code=204)
def revoke_links(bound: BoundDep) -> Response:
    """End every link that you have to this request."""
    bound.airlock.revoke_links(bound.actor, bound.id)
    return Response(status_code=204)


@router.post(f"{_REQUEST}/review-user-resource", status_code=202)
def make_review_resource(request: Request, bound: BoundDep) -> Response:
    """Begin to make the user resource in which you review, as the workspace configures it."""
    made, operation = bound.airlock.open_desk(
        bound.actor, bound.id, lambda: _address(request, bound)
    )
    body = {"airlockRequest": request_out(made), "operation": operation_json(operation)}
    return answer(body, status=202, headers={"Location": accepted(operation).headers["Location"]})


def _address(request: Request, bound: Bound) -> str:
    """Return a new link as an address."""
    settings: Settings = request.app.state.settings
    link = bound.airlock.make_link(bound.actor, bound.id)
    return f"{settings.portal_url}/blob/{bound.id}?{_signature(link)}"


def _signature(link: Link) -> str:
    """Return the query of a link; `sig` alone counts, Azure's clients look for the rest."""
    expires = link.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    allowed = "".join(each.value for each in Permission if each in link.permissions)
    return f"sv=2021-12-02&sr=c&sp={allowed}&se={expires.replace(':', '%3A')}&sig={link.token}"
