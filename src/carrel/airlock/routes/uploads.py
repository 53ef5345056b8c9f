"""How do programs and browsers send large files in several goes? tus 1.0 (https://tus.io).

The core protocol with creation, creation-with-upload, expiration, checksum and termination.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from carrel.airlock.binding import BoundDep, pulled
from carrel.airlock.service.uploading import Checksum, TooLarge, Upload
from carrel.core.errors import CarrelError, InvalidRequest
from carrel.core.web import accepts_uploads, tells_in_options

router = APIRouter(tags=["airlock"])

VERSION = "1.0.0"
SAID: Mapping[str, str] = {
    "Tus-Resumable": VERSION,
    "Tus-Version": VERSION,
    "Tus-Extension": "creation,creation-with-upload,expiration,checksum,termination",
    "Tus-Checksum-Algorithm": "md5,sha1,sha256",
}
"""What OPTIONS tells."""
MEDIA_TYPE = "application/offset+octet-stream"
_UPLOADS = "/workspaces/{workspace_id}/requests/{request_id}/uploads"
_UPLOAD = f"{_UPLOADS}/{{upload_id}}"


class _OtherVersion(CarrelError):
    status = 412
    code = "tus_version"


@router.post(_UPLOADS, status_code=201)
@accepts_uploads
@tells_in_options(SAID)
async def start_upload(request: Request, bound: BoundDep, response: Response) -> dict[str, Any]:
    """Begin to send a file into an import draft in several goes (tus 1.0, creation).

    `Upload-Length` has its size, `Upload-Metadata` its name: `filename`, then the name in base64.
    """
    _check_version(request)
    name, size = _name(request), _number(request, "upload-length")
    made = await run_in_threadpool(bound.airlock.start_upload, bound.actor, bound.id, name, size)
    if request.headers.get("content-type") == MEDIA_TYPE:
        made = await _append(request, bound, made.id, 0)
    place = f"/api/workspaces/{bound.request.workspace_id}/requests/{bound.id}/uploads/{made.id}"
    response.headers.update(_headers(made) | {"Location": place})
    return _shown(made)


@router.get(_UPLOAD)
def show_upload(upload_id: UUID, bound: BoundDep, response: Response) -> dict[str, Any]:
    """Tell how much of a file is here (tus 1.0); as HEAD in its headers alone."""
    found = bound.airlock.find_upload(bound.actor, bound.id, str(upload_id))
    response.headers.update(_headers(found) | {"Upload-Length": str(found.size_bytes)})
    return _shown(found)


@router.patch(_UPLOAD, status_code=204)
@accepts_uploads
@tells_in_options(SAID)
async def append_to_upload(upload_id: UUID, request: Request, bound: BoundDep) -> Response:
    """Send a file on from `Upload-Offset` (tus 1.0); the last byte makes it a file of the draft."""
    airlock = bound.airlock  # whether there is such an upload comes before what is said of it
    await run_in_threadpool(airlock.find_upload, bound.actor, bound.id, str(upload_id))
    _check_version(request)
    offset = _number(request, "upload-offset")
    return Response(
        status_code=204, headers=_headers(await _append(request, bound, str(upload_id), offset))
    )


@router.delete(_UPLOAD, status_code=204)
def end_upload(upload_id: UUID, bound: BoundDep) -> Response:
    """Give an upload up, and delete what there is of it (tus 1.0, termination)."""
    bound.airlock.end_upload(bound.actor, bound.id, str(upload_id))
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


async def _append(request: Request, bound: BoundDep, upload_id: str, offset: int) -> Upload:
    checksum = _checksum(request.headers.get("upload-checksum", ""))
    arriving = pulled(request.stream())
    if checksum is None:  # else what broke off cannot be checked, and goes
        arriving = _until_broken(arriving)
    return await run_in_threadpool(
        bound.airlock.append_to_upload,
        bound.actor,
        bound.id,
        upload_id,
        offset,
        arriving,
        checksum,
    )


def _until_broken(arriving: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what comes; a connection that breaks ends it, and what came is kept."""
    while True:
        try:
            piece = next(arriving, None)
        except InvalidRequest:
            return
        if piece is None:
            return
        yield piece


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable", VERSION) != VERSION:
        raise _OtherVersion(f"This TRE speaks tus {VERSION}. Send Tus-Resumable: {VERSION}.")


def _number(request: Request, header: str) -> int:
    said = request.headers.get(header, "")
    if not said.isascii() or not said.isdecimal():
        raise InvalidRequest(f"{header.title()} must be a number of bytes.", field=header.title())
    if len(said) > 18:
        raise TooLarge(f"{header.title()} is larger than any file here. Send a smaller file.")
    return int(said)


def _name(request: Request) -> str:
    """Return the name of the file out of `Upload-Metadata`: pairs of a key and base64."""
    pairs = (each.split() for each in request.headers.get("upload-metadata", "").split(","))
    found = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    try:
        return base64.b64decode(found["filename"], validate=True).decode()
    except (KeyError, ValueError) as error:
        raise InvalidRequest(
            "Upload-Metadata must hold `filename`, a space, and the name as UTF-8 in base64.",
            field="Upload-Metadata",
        ) from error


def _checksum(said: str) -> Checksum | None:
    if not said:
        return None
    algorithm, _, encoded = said.partition(" ")
    try:
        return Checksum(algorithm.lower(), base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise InvalidRequest(
            "Upload-Checksum is an algorithm, a space, and the digest in base64.",
            field="Upload-Checksum",
        ) from error


def _headers(upload: Upload) -> dict[str, str]:
    said = {"Tus-Resumable": VERSION, "Upload-Offset": str(upload.offset_bytes)}
    if not upload.is_finished:
        said["Upload-Expires"] = format_datetime(upload.expires_at, usegmt=True)
    return said


def _shown(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "name": upload.name,
        "size": upload.size_bytes,
        "offset": upload.offset_bytes,
        "expiresAt": upload.expires_at.timestamp(),
        "finished": upload.is_finished,
    }
