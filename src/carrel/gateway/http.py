"""How does one HTTP request go to a tool, and its answer back? Streamed, both ways."""

from collections.abc import AsyncIterator

from aiohttp import ClientError, ClientResponse, ClientSession, web
from multidict import CIMultiDict
from yarl import URL

from carrel.core.errors import Denied, OutsideFailure, Unavailable
from carrel.gateway import downloads
from carrel.gateway.passages import Passage
from carrel.gateway.rules import Target, confined_location, inside_headers, outside_headers

WHOLE_BYTES = 128 * 1024
"""Answers up to this size are sent in one piece."""
EMPTY_STATUSES = (204, 304)
NOT_RUNNING = "The tool does not answer yet. It may still be starting; this page tries again."
BROKEN = "The tool ended the connection without an answer. Try again, or restart the tool."


async def forward(
    request: web.BaseRequest, passage: Passage, target: Target, client: ClientSession
) -> web.StreamResponse:
    """Pass the request on and return the tool's answer.

    Raises `Denied` for a closed way in or out, `Unavailable` if nobody listens,
    `OutsideFailure` if the tool answers with something that cannot be passed on.
    """
    query = target.query
    body: bytes | AsyncIterator[bytes] | None = None
    if passage.is_restricted:
        query = downloads.check_download(request.method, target.path, query)
        if downloads.takes_documents(request.method, target.path):
            body = await _checked_document(request, passage)
    if body is None and request.can_read_body:
        body = _counted(request, passage)
    headers = CIMultiDict(inside_headers(request.headers.items()))
    headers.extend(passage.added_inside)
    url = URL(passage.url(target, query), encoded=True)
    try:
        async with client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            return await _pass_back(request, passage, target, answer)
    except ConnectionResetError:
        raise  # the browser went away
    except (ClientError, TimeoutError, OSError) as error:
        raise unreachable(error) from error


def unreachable(error: Exception) -> Unavailable:
    """Return what to say if a tool cannot be reached."""
    is_dialling = hasattr(error, "os_error")  # aiohttp.ClientConnectorError
    return Unavailable(NOT_RUNNING if is_dialling else BROKEN, log_detail=str(error))


async def _checked_document(request: web.BaseRequest, passage: Passage) -> bytes:
    parts = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > downloads.LONGEST_SAVE:
            raise Denied("This document is too large to be saved from here; use the airlock.")
        parts.append(part)
    body = b"".join(parts)
    downloads.check_upload(body)
    passage.counter.bytes_in += size
    return body


async def _counted(request: web.BaseRequest, passage: Passage) -> AsyncIterator[bytes]:
    counter = passage.counter
    async for part in request.content.iter_any():
        counter.bytes_in += len(part)
        yield part


async def _pass_back(
    request: web.BaseRequest, passage: Passage, target: Target, answer: ClientResponse
) -> web.StreamResponse:
    given = answer.headers
    length = given.get("Content-Length")
    if passage.is_restricted:
        kind, disposition = given.get("Content-Type", ""), given.get("Content-Disposition", "")
        downloads.check_answer(answer.status, kind, disposition, length)
    headers = CIMultiDict(outside_headers(given.items(), target.prefix))
    if (location := given.get("Location")) is not None:
        headers["Location"] = confined_location(location, target, passage.host, strip=passage.strip)
    if passage.is_restricted and not downloads.may_be_cached(target.path):
        headers["Cache-Control"] = "no-store"
    headers.extend(passage.added_outside)
    headers["Server"] = "Carrel"
    if answer.status < 200:
        raise OutsideFailure(BROKEN)
    if length is not None and int(length) <= WHOLE_BYTES and request.method != "HEAD":
        content = await answer.read()
        passage.counter.bytes_out += len(content)
        if answer.status not in EMPTY_STATUSES:
            del headers["Content-Length"]
        return web.Response(status=answer.status, headers=headers, body=content)
    return await _stream_back(request, passage, answer, headers)


async def _stream_back(
    request: web.BaseRequest,
    passage: Passage,
    answer: ClientResponse,
    headers: CIMultiDict[str],
) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    counter, closers = passage.counter, passage.grant.closers
    closers.add(transport.abort)  # a long answer ends with the access to it
    try:
        await response.prepare(request)
        async for part in answer.content.iter_any():
            counter.bytes_out += len(part)
            await response.write(part)
        await response.write_eof()
    except ClientError:
        transport.abort()  # the headers are out: only a broken connection tells the truth now
    finally:
        closers.discard(transport.abort)
    return response
