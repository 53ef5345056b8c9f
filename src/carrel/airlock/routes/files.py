"""How do programs put files into requests, read them in a review, and take releases out?"""

import base64
from typing import Any, BinaryIO
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from carrel.airlock.binding import AirlockDep, BoundDep, pulled
from carrel.airlock.routes.bodies import CollectBody, ContextBody, SessionBody
from carrel.airlock.routes.shapes import file_out, request_for
from carrel.airlock.rules import RequestFile
from carrel.airlock.rules.formats import IMAGES, suffix
from carrel.airlock.service import OpenRelease
from carrel.core.errors import InvalidRequest
from carrel.core.web import ActorDep, accepts_uploads, answers_once

router = APIRouter(tags=["airlock"])

VIEW_BYTES = 2**20
"""So much of a file's text is shown to a reviewer at once."""
IMAGE_BYTES = 16 * 2**20
_WORKSPACE = "/workspaces/{workspace_id}"
_REQUEST = f"{_WORKSPACE}/requests/{{request_id}}"
_FILE = f"{_REQUEST}/files/{{name:path}}"


# Files ----------------------------------------------------------------------------------------


@router.get(f"{_WORKSPACE}/outbox")
def list_outbox(workspace_id: UUID, actor: ActorDep, airlock: AirlockDep) -> dict[str, Any]:
    """List the files of the outbox, with the reason where one cannot be collected."""
    found = airlock.list_outbox(actor, str(workspace_id))
    files = [{"path": f.path, "size": f.size_bytes, "refused": f.refused} for f in found]
    return {"files": files}


@router.post(f"{_REQUEST}/collect")
def collect_files(body: CollectBody, bound: BoundDep) -> dict[str, Any]:
    """Copy files out of the outbox into an export draft."""
    bound.airlock.add_from_outbox(bound.actor, bound.id, body.paths)
    return request_for(bound.actor, bound.airlock.get(bound.actor, bound.id))


@router.post(f"{_REQUEST}/adopt-session")
def adopt_session(body: SessionBody, bound: BoundDep) -> dict[str, Any]:
    """Turn an ACRO session that lies in a draft into its outputs, with its claims."""
    bound.airlock.adopt_session(bound.actor, bound.id, body.folder)
    return request_for(bound.actor, bound.airlock.get(bound.actor, bound.id))


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
    file = bound.airlock.describe_file(
        bound.actor, bound.id, name, body.model_dump(exclude_none=True)
    )
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
@answers_once
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
