"""How do programs that speak Azure's Blob protocol put files in and take releases out by a link?

A small part of the Blob service's REST API (2021-12-02): Put Blob, Put Block, Put Block List, Get
Blob with ranges, its properties, List Blobs, Delete. The container is the request; `sig` of the
query is the ticket and alone says who asks. Outside `/api`, as Azure's clients build addresses.
"""

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from email.utils import format_datetime
from typing import Annotated, Any, BinaryIO, TypeVar
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Query, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from carrel.airlock.binding import AirlockDep, pulled
from carrel.airlock.rules import UNDER_REVIEW, RequestFile
from carrel.airlock.rules.links import Permission
from carrel.airlock.service.linking import LinkUse
from carrel.core.errors import CarrelError, Conflict, InvalidRequest, NotFound
from carrel.core.ids import new_id
from carrel.core.web import accepts_uploads

router = APIRouter(include_in_schema=False)

_CONTAINER = "/blob/{request_id}"
_BLOB = f"{_CONTAINER}/{{name:path}}"
LIST_BYTES = 2 * 2**20
"""A list of blocks may be so long."""
CHUNK_BYTES = 2**20
_CODES = {
    400: "InvalidInput",
    401: "AuthenticationFailed",
    403: "AuthorizationPermissionMismatch",
    404: "BlobNotFound",
    409: "BlobAlreadyExists",
    422: "InvalidInput",
    503: "ServerBusy",
}
_STATUS = {401: 403, 422: 400}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_BLOCKS = re.compile(rb"<(Latest|Uncommitted|Committed)>\s*([A-Za-z0-9+/=]+)\s*</\1>")
Text = Annotated[str, Query()]
F = TypeVar("F", bound=Callable[..., Any])


class _NoContainer(CarrelError):
    status = 404
    code = "ContainerNotFound"


class _BadRange(CarrelError):
    status = 416
    code = "InvalidRange"


def _refusal(error: CarrelError, method: str) -> Response:
    """Return an error as Azure's clients expect it."""
    is_ours = isinstance(error, _NoContainer | _BadRange)
    code = error.code if is_ours else _CODES.get(error.status, "InternalError")
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
    body += f"<Message>{escape(str(error))}</Message></Error>"
    return Response(
        b"" if method == "HEAD" else body.encode(),
        _STATUS.get(error.status, error.status),
        headers=_headers() | {"x-ms-error-code": code},
        media_type="application/xml",
    )


def _answered(endpoint: F) -> F:
    """Answer errors of an endpoint in Azure's way, and never with a page."""

    @functools.wraps(endpoint)
    def answer(*given: Any, request: Request, **more: Any) -> Any:
        try:
            return endpoint(*given, request=request, **more)
        except CarrelError as error:
            return _refusal(error, request.method)

    return answer  # type: ignore[return-value]  # the same signature


@router.api_route(_CONTAINER, methods=["GET", "HEAD"])
@_answered
def show_container(
    *, request: Request, request_id: str, airlock: AirlockDep, sig: Text = "", comp: Text = "",
    prefix: Text = "",
) -> Response:  # fmt: skip
    """List Blobs, or answer that the container is there."""
    use = _use(airlock, sig, request_id)
    use.check(Permission.LIST)
    if comp != "list":
        return Response(headers=_headers(use.request.updated_at, use.request.etag))
    blobs = "".join(_entry(file) for file in use.request.files if file.name.startswith(prefix))
    address = str(request.url.replace(path="/blob/", query=""))
    body = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint='
    body += f"{quoteattr(address)} ContainerName={quoteattr(request_id)}>"
    body += f"<Prefix>{escape(prefix)}</Prefix><Blobs>{blobs}</Blobs><NextMarker />"
    body += "</EnumerationResults>"
    return Response(body, media_type="application/xml", headers=_headers())


@router.api_route(_BLOB, methods=["GET", "HEAD"])
@_answered
def get_blob(
    *, request: Request, request_id: str, name: str, airlock: AirlockDep, sig: Text = ""
) -> Response:
    """Get Blob, whole or a range, or Get Blob Properties."""
    use = _use(airlock, sig, request_id)
    if request.method == "HEAD":
        use.check(Permission.LIST)
        file = use.request.file(name)
        if file is None:
            raise NotFound("This request has no file of that name.")
        return Response(headers=_blob_headers(file) | {"Content-Length": str(file.size_bytes)})
    use.check(Permission.READ)
    if use.request.status in UNDER_REVIEW:
        file, content = airlock.open_content(use.actor, use.request.id, name)
    else:
        file, content = airlock.open_linked(use, name)
    try:
        wanted = request.headers.get("x-ms-range") or request.headers.get("range", "")
        first, last = _span(wanted, file.size_bytes)
    except BaseException:
        content.close()
        raise
    headers = _blob_headers(file) | {"Content-Length": str(last - first + 1)}
    if wanted:
        headers["Content-Range"] = f"bytes {first}-{last}/{file.size_bytes}"
    return StreamingResponse(
        _part(content, first, last - first + 1),
        206 if wanted else 200,
        headers=headers,
        media_type="application/octet-stream",
        background=BackgroundTask(content.close),
    )


@router.put(_BLOB)
@accepts_uploads
async def put_blob(  # noqa: PLR0913 - each is a part of the protocol
    *, request: Request, request_id: str, name: str, airlock: AirlockDep, sig: Text = "",
    comp: Text = "", blockid: Text = "",
) -> Response:  # fmt: skip
    """Put Blob, Put Block, or Put Block List."""
    arriving = _checked(pulled(request.stream()), request.headers.get("content-md5", ""))

    def put() -> Response:
        use = _use(airlock, sig, request_id)
        use.check(Permission.WRITE)
        if comp == "block":
            airlock.add_block(use, name, blockid, arriving)
            return Response(status_code=201, headers=_headers())
        if comp not in {"", "blocklist"}:
            raise InvalidRequest("Blobs take no such part here.", field="comp")
        _check_overwrite(request, use, name)
        if comp == "blocklist":
            file = airlock.join_blocks(use, name, _block_ids(arriving))
        else:
            file = airlock.add_file(use.actor, use.request.id, name, arriving)
        return Response(status_code=201, headers=_headers(file.added_at, file.sha256))

    try:
        return await run_in_threadpool(put)
    except CarrelError as error:
        return _refusal(error, request.method)


@router.delete(_BLOB)
@_answered
def delete_blob(
    *, request: Request, request_id: str, name: str, airlock: AirlockDep, sig: Text = ""
) -> Response:
    """Delete Blob."""
    del request
    use = _use(airlock, sig, request_id)
    use.check(Permission.DELETE)
    airlock.remove_file(use.actor, use.request.id, name)
    return Response(status_code=202, headers=_headers())


def _use(airlock: AirlockDep, sig: str, request_id: str) -> LinkUse:
    try:
        return airlock.follow_link(sig, request_id)
    except CarrelError as error:
        if error.status == 404:
            raise _NoContainer(str(error)) from error
        raise


def _check_overwrite(request: Request, use: LinkUse, name: str) -> None:
    """Refuse to replace a file for a client that asked not to."""
    kind = request.headers.get("x-ms-blob-type", "BlockBlob")
    if kind != "BlockBlob":
        raise InvalidRequest("Only block blobs are taken.", field="x-ms-blob-type")
    if request.headers.get("if-none-match") == "*" and use.request.file(name) is not None:
        raise Conflict("There is a file of this name already. Delete it first, or overwrite it.")


def _checked(content: Iterator[bytes], md5: str) -> Iterator[bytes]:
    """Yield what arrives. Raises `InvalidRequest` at its end if it is not what was announced."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in content:
        digest.update(piece)
        yield piece
    if md5 and base64.b64encode(digest.digest()).decode() != md5:
        raise InvalidRequest("What arrived does not fit Content-MD5. Send it again.", field="file")


def _block_ids(content: Iterator[bytes]) -> list[str]:
    body = b""
    for piece in content:
        body += piece
        if len(body) > LIST_BYTES:
            raise InvalidRequest("This list of blocks is too long.", field="blockid")
    found = _BLOCKS.findall(body)
    if any(kind == b"Committed" for kind, _ in found):
        raise InvalidRequest("Blocks of a finished file are not kept; upload them again.")
    try:
        for _, each in found:
            base64.b64decode(each, validate=True)
    except binascii.Error as error:
        raise InvalidRequest("A block id is not base64.", field="blockid") from error
    return [each.decode() for _, each in found]


def _span(wanted: str, size_bytes: int) -> tuple[int, int]:
    """Return the first and the last byte that are asked for."""
    if not wanted:
        return 0, size_bytes - 1
    match = _RANGE.fullmatch(wanted)
    first = int(match[1]) if match else size_bytes
    last = min(int(match[2]) if match and match[2] else size_bytes - 1, size_bytes - 1)
    if first > last:
        raise _BadRange(f"The file has {size_bytes} bytes; ask for a range inside it.")
    return first, last


def _part(content: BinaryIO, first: int, size_bytes: int) -> Iterator[bytes]:
    with closing(content):
        content.seek(first)
        left = size_bytes
        while left and (piece := content.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece


def _entry(file: RequestFile) -> str:
    return (
        f"<Blob><Name>{escape(file.name)}</Name><Properties>"
        f"<Last-Modified>{_date(file.added_at)}</Last-Modified><Etag>{_etag(file.sha256)}</Etag>"
        f"<Content-Length>{file.size_bytes}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
    )


def _blob_headers(file: RequestFile) -> dict[str, str]:
    """Return headers under which no browser runs anything of the file."""
    return _headers(file.added_at, file.sha256) | {
        "Accept-Ranges": "bytes",
        "Content-Disposition": "attachment",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
        "x-ms-blob-type": "BlockBlob",
    }


def _headers(at: datetime | None = None, tag: str = "") -> dict[str, str]:
    found = {"x-ms-version": "2021-12-02", "x-ms-request-id": new_id()}
    if at is not None:
        found |= {"Last-Modified": _date(at), "ETag": _etag(tag)}
    return found


def _etag(tag: str) -> str:
    return f'"0x{tag[:16].upper()}"'


def _date(at: datetime) -> str:
    return format_datetime(at, usegmt=True)
