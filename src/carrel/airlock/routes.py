"""How do programs reach the airlock over HTTP? AzureTRE's shapes, and what it lacks."""

import base64
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from carrel.airlock.binding import AirlockDep, BoundDep, pulled
from carrel.airlock.rules import AirlockRequest, Finding, RequestFile, allowed_user_actions
from carrel.airlock.rules.formats import IMAGES, suffix
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service import OpenRelease
from carrel.core.actors import Actor
from carrel.core.errors import InvalidRequest
from carrel.core.web import ActorDep, accepts_uploads

router = APIRouter(tags=["airlock"])

VIEW_BYTES = 2**20
"""So much of a file's text is shown to a reviewer at once."""
IMAGE_BYTES = 16 * 2**20
_WORKSPACE = "/workspaces/{workspace_id}"
_REQUEST = f"{_WORKSPACE}/requests/{{request_id}}"
_FILE = f"{_REQUEST}/files/{{name:path}}"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewRequest(BaseModel):
    """A draft; AzureTRE's shape, whose other fields are ignored.

    Without a justification it is a draft all the same, and cannot be submitted.
    """

    type: str
    title: str = "Airlock Request"
    businessJustification: str = ""  # noqa: N815 AzureTRE's word


class AmendBody(_Body):
    """A draft's title and justification, written anew."""

    title: str
    businessJustification: str  # noqa: N815 AzureTRE's word


class CollectBody(_Body):
    """Which files of the outbox to take."""

    paths: list[str] = Field(min_length=1, max_length=10_000)


class ContextBody(_Body):
    """What the author declares about a file."""

    columns: dict[str, str] = {}
    text: str = ""


class ReviewBody(BaseModel):
    """A decision; AzureTRE's shape and the manifest that was seen."""

    approval: bool
    decisionExplanation: str  # noqa: N815 AzureTRE's word
    manifestSha256: str  # noqa: N815 in AzureTRE's style


class ReturnBody(_Body):
    """What the author should change."""

    explanation: str


class RevokeBody(BaseModel):
    """Why an approval is withdrawn; AzureTRE's shape."""

    reason: str


# Requests -------------------------------------------------------------------------------------


@router.post(f"{_WORKSPACE}/requests", status_code=201)
def create_request(
    workspace_id: str, body: NewRequest, actor: ActorDep, airlock: AirlockDep
) -> dict[str, Any]:
    """Open a draft of an import or export."""
    request = airlock.create(
        actor,
        workspace_id,
        type=body.type,
        title=body.title,
        justification=body.businessJustification,
    )
    return _out(actor, request)


@router.get(f"{_WORKSPACE}/requests")
def list_requests(
    workspace_id: str,
    actor: ActorDep,
    airlock: AirlockDep,
    creator_user_id: str | None = None,
    kind: Annotated[str | None, Query(alias="type")] = None,
    status: str | None = None,
) -> dict[str, Any]:
    """List the requests of a workspace, newest first."""
    wanted = {"author_id": creator_user_id, "type": kind, "status": status}
    found = [
        request
        for request in airlock.list(actor, workspace_id)
        if all(value is None or getattr(request, key) == value for key, value in wanted.items())
    ]
    return {"airlockRequests": [_out(actor, request) for request in found]}


@router.get("/requests")
def list_my_requests(actor: ActorDep, airlock: AirlockDep) -> list[dict[str, Any]]:
    """List the requests of every workspace you are a member of, newest first."""
    return [request_out(request) for request in airlock.list_mine(actor)]


@router.get(_REQUEST)
def show_request(bound: BoundDep) -> dict[str, Any]:
    """Return a request, its files with their hashes, and what you may do now."""
    return _out(bound.actor, bound.request)


@router.patch(_REQUEST)
def amend_request(body: AmendBody, bound: BoundDep) -> dict[str, Any]:
    """Write a draft's title and justification anew."""
    request = bound.airlock.amend(
        bound.actor, bound.id, title=body.title, justification=body.businessJustification
    )
    return _out(bound.actor, request)


@router.post(f"{_REQUEST}/submit")
def submit_request(bound: BoundDep) -> dict[str, Any]:
    """Seal the files and start the scanners. Only its author may do this."""
    return _out(bound.actor, bound.airlock.submit(bound.actor, bound.id))


@router.post(f"{_REQUEST}/cancel")
def cancel_request(bound: BoundDep) -> dict[str, Any]:
    """Withdraw a request before a decision; its files are deleted."""
    return _out(bound.actor, bound.airlock.cancel(bound.actor, bound.id))


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
    return _out(bound.actor, request)


@router.post(f"{_REQUEST}/return")
def return_request(body: ReturnBody, bound: BoundDep) -> dict[str, Any]:
    """Give a request back to its author, saying what to change."""
    request = bound.airlock.return_to_author(bound.actor, bound.id, body.explanation)
    return _out(bound.actor, request)


@router.post(f"{_REQUEST}/revoke")
def revoke_request(body: RevokeBody, bound: BoundDep) -> dict[str, Any]:
    """Withdraw an approval; tickets end at once, an import leaves the inbox."""
    return _out(bound.actor, bound.airlock.revoke(bound.actor, bound.id, body.reason))


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


# Files ----------------------------------------------------------------------------------------


@router.get(f"{_WORKSPACE}/outbox")
def list_outbox(workspace_id: str, actor: ActorDep, airlock: AirlockDep) -> dict[str, Any]:
    """List the files of the outbox, with the reason where one cannot be collected."""
    found = airlock.list_outbox(actor, workspace_id)
    files = [{"path": f.path, "size": f.size_bytes, "refused": f.refused} for f in found]
    return {"files": files}


@router.post(f"{_REQUEST}/collect")
def collect_files(body: CollectBody, bound: BoundDep) -> dict[str, Any]:
    """Copy files out of the outbox into an export draft."""
    bound.airlock.add_from_outbox(bound.actor, bound.id, body.paths)
    return _out(bound.actor, bound.airlock.get(bound.actor, bound.id))


@router.get(f"{_FILE}/content")
def show_content(name: str, bound: BoundDep) -> Response:
    """Return a sealed file to its reviewer: an image, or the beginning of its text."""
    file, content = bound.airlock.open_content(bound.actor, bound.id, name)
    with content:
        return _shown(file, content)


@router.put(_FILE, status_code=201)
@accepts_uploads
async def upload_file(name: str, request: Request, bound: BoundDep) -> dict[str, Any]:
    """Put a file into an import draft; the body is the file."""
    arriving = pulled(request.stream())
    file = await run_in_threadpool(bound.airlock.add_file, bound.actor, bound.id, name, arriving)
    return {"file": file_out(file)}


@router.patch(_FILE)
def describe_file(name: str, body: ContextBody, bound: BoundDep) -> dict[str, Any]:
    """Declare what a file shows: for each header the statistic, and words for the reviewer."""
    file = bound.airlock.describe_file(bound.actor, bound.id, name, body.model_dump())
    return {"file": file_out(file)}


@router.delete(_FILE, status_code=204)
def remove_file(name: str, bound: BoundDep) -> Response:
    """Take a file out of a draft."""
    bound.airlock.remove_file(bound.actor, bound.id, name)
    return Response(status_code=204)


# Releases -------------------------------------------------------------------------------------


@router.post(f"{_REQUEST}/release")
def make_ticket(bound: BoundDep) -> dict[str, Any]:
    """Make a single-use address for downloading an approved export, for you alone."""
    ticket = bound.airlock.release_ticket(bound.actor, bound.id)
    return {
        "url": f"/api/releases/{ticket.token}",
        "expiresAt": ticket.expires_at.timestamp(),
        "manifestSha256": bound.request.manifest_sha256,
    }


@router.get("/releases/{ticket}")
def download_release(
    ticket: str, actor: ActorDep, airlock: AirlockDep, *, archive: bool = True
) -> Response:
    """Download a release once. `archive=false` gives a single file as it is."""
    return download_answer(airlock.open_release(actor, ticket, as_archive=archive))


def download_answer(opened: OpenRelease) -> Response:
    """Stream a release whose every byte was verified, and close it when the last is sent."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(opened.filename, safe='')}",
        "X-Carrel-Manifest-SHA256": opened.release.manifest_sha256,
        "X-Carrel-Policy-SHA256": opened.release.policy_sha256,
    }
    if opened.sha256:
        digest = base64.b64encode(bytes.fromhex(opened.sha256)).decode()
        headers["Repr-Digest"] = f"sha-256=:{digest}:"  # RFC 9530
    if opened.size_bytes is not None:
        headers["Content-Length"] = str(opened.size_bytes)
    return StreamingResponse(
        opened.content,
        media_type=opened.media_type,
        headers=headers,
        background=BackgroundTask(opened.close),
    )


# Shapes ---------------------------------------------------------------------------------------


def _shown(file: RequestFile, content: BinaryIO) -> Response:
    """Show a file so that no browser runs, frames or guesses anything of it."""
    headers = {
        "Content-Security-Policy": "sandbox; default-src 'none'; img-src 'self'",
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": "inline",
    }
    image = IMAGES.get(suffix(file.name))
    if image is not None:
        if file.size_bytes > IMAGE_BYTES:
            raise InvalidRequest("This image is too large to be shown here.")
        return Response(content.read(), media_type=image, headers=headers)
    if file.size_bytes > VIEW_BYTES:
        headers["X-Carrel-Truncated"] = str(VIEW_BYTES)
    text = content.read(VIEW_BYTES).decode(errors="replace")
    return Response(text, media_type="text/plain", headers=headers)


def _out(actor: Actor, request: AirlockRequest) -> dict[str, Any]:
    actions = allowed_user_actions(request.status, part_of(actor, request))
    return {"airlockRequest": request_out(request), "allowedUserActions": list(actions)}


def request_out(request: AirlockRequest) -> dict[str, Any]:
    """Return AzureTRE's shape of a request, with its seal."""
    return {
        "id": request.id,
        "resourceVersion": request.version,
        "workspaceId": request.workspace_id,
        "type": request.type,
        "title": request.title,
        "businessJustification": request.justification,
        "status": request.status,
        "statusMessage": request.status_message,
        "createdBy": {"id": request.author_id, "name": request.author_name},
        "createdWhen": request.created_at.timestamp(),
        "updatedBy": {"id": request.updated_by_id, "name": request.updated_by_name},
        "updatedWhen": request.updated_at.timestamp(),
        "files": [file_out(file) for file in request.files],
        "reviews": [
            {
                "id": review.id,
                "reviewer": {"id": review.reviewer_id, "name": review.reviewer_name},
                "dateCreated": review.at.timestamp(),
                "reviewDecision": review.decision,
                "decisionExplanation": review.explanation,
                "manifestSha256": review.manifest_sha256,
            }
            for review in request.reviews
        ],
        "history": [
            {
                "resourceVersion": entry.version,
                "updatedWhen": entry.at.timestamp(),
                "updatedBy": {"id": entry.actor_id, "name": entry.actor_name},
                "properties": {"previousStatus": entry.old, "status": entry.new},
                "manifestSha256": entry.manifest_sha256,
            }
            for entry in request.history
        ],
        "reviewUserResources": {},
        "seal": request.seal,
        "manifestSha256": request.manifest_sha256,
        "policySha256": request.policy_sha256,
        "_etag": request.etag,
    }


def file_out(file: RequestFile) -> dict[str, Any]:
    """Return AzureTRE's shape of a file, with its hash."""
    return {
        "name": file.name,
        "size": file.size_bytes,
        "sha256": file.sha256,
        "addedWhen": file.added_at.timestamp(),
        "context": dict(file.context),
    }


def finding_out(finding: Finding) -> dict[str, Any]:
    """Return one finding: the sentence, the place, and what it is bound to."""
    return {
        "file": finding.file,
        "sha256": finding.sha256,
        "scanner": finding.scanner,
        "scannerVersion": finding.scanner_version,
        "rule": finding.rule,
        "severity": finding.severity,
        "sentence": finding.sentence,
        "row": finding.row,
        "column": finding.column,
    }
