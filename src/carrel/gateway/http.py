"""How does one HTTP request go to a tool, and its answer back? Streamed, both ways."""

from collections.abc import AsyncIterator

from aiohttp import ClientError, web
from multidict import CIMultiDict

from carrel.core.errors import Denied, Unavailable
from carrel.gateway import downloads
from carrel.gateway.passages import Passage
from carrel.gateway.rules import Target, confined_location, inside_headers, outside_headers
from carrel.gateway.upstream import Failure, Question, Reply, Upstream

WHOLE_BYTES = 64 * 1024
"""Answers up to this size are sent in one piece."""
EMPTY_STATUSES = (204, 304)
_ENCODINGS = "accept-encoding"
NOT_RUNNING = "The tool does not answer yet. It may still be starting; this page tries again."
BROKEN = "The tool ended the connection without an answer. Try again, or restart the tool."


class CutOff(ConnectionResetError):
    """An answer without a length became too large, and was ended where it was."""


async def forward(
    request: web.BaseRequest, passage: Passage, target: Target, upstream: Upstream
) -> web.StreamResponse:
    """Pass the request on and return the tool's answer.

    Raises `Denied` for a closed way in or out, `Unavailable` if nobody listens,
    `OutsideFailure` if the tool answers with something that cannot be passed on.
    """
    question = await _question(request, passage, target)
    try:
        reply = await upstream.ask(passage.address, question)
    except Failure as error:
        raise unreachable(error) from error
    try:
        return await _pass_back(request, passage, target, reply)
    finally:
        reply.finish()


def unreachable(error: Exception) -> Unavailable:
    """Return what to say if a tool cannot be reached."""
    is_dialling = isinstance(error, ConnectionRefusedError) or hasattr(error, "os_error")
    return Unavailable(NOT_RUNNING if is_dialling else BROKEN, log_detail=str(error))


async def _question(request: web.BaseRequest, passage: Passage, target: Target) -> Question:
    query, method = target.query, request.method
    body: bytes | AsyncIterator[bytes] | None = None
    if passage.is_restricted:
        query = downloads.check_download(method, target.path, query)
        if downloads.takes_documents(method, target.path):
            body = await _checked_document(request, passage)
    headers = inside_headers(request.headers.items())
    if passage.is_restricted:  # a limit is on what is read, so nothing comes packed
        headers = [each for each in headers if each[0].lower() != _ENCODINGS]
    headers.extend(passage.added_inside)
    has_length = "Content-Length" in request.headers
    if body is None and request.can_read_body:
        body = _counted(request, passage)
    elif isinstance(body, bytes) and not has_length:
        headers.append(("Content-Length", str(len(body))))
    is_chunked = body is not None and not isinstance(body, bytes) and not has_length
    return Question(method, passage.path(target) + query, headers, body, is_chunked)


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
    request: web.BaseRequest, passage: Passage, target: Target, reply: Reply
) -> web.StreamResponse:
    headers = _headers(passage, target, reply)
    length = headers.get("Content-Length", "")
    is_small = length.isdigit() and int(length) <= WHOLE_BYTES
    if (is_small and request.method != "HEAD") or reply.status in EMPTY_STATUSES:
        try:
            content = await reply.content.read()
        except Failure as error:
            raise unreachable(error) from error
        passage.count_out(len(content), is_code=downloads.may_be_cached(target.path))
        headers.pop("Content-Length", None)
        return web.Response(status=reply.status, headers=headers, body=content or None)
    if passage.is_restricted and length.isdigit() and request.method != "HEAD":
        downloads.check_size(target.path, int(length))
    return await _stream_back(request, passage, target, reply, headers)


def _headers(passage: Passage, target: Target, reply: Reply) -> "CIMultiDict[str]":
    given = reply.headers
    if passage.is_restricted:
        downloads.check_packing(given.get("Content-Encoding", ""))
        downloads.check_answer(
            target.path,
            reply.status,
            given.get("Content-Type", ""),
            given.get("Content-Disposition", ""),
            given.get("Content-Length"),
        )
    headers = CIMultiDict(outside_headers(given.items(), target.prefix))
    if (location := given.get("Location")) is not None:
        headers["Location"] = confined_location(location, target, passage.host, strip=passage.strip)
    if passage.is_restricted and not downloads.may_be_cached(target.path):
        headers["Cache-Control"] = "no-store"
    headers.extend(passage.added_outside)
    return headers


async def _stream_back(
    request: web.BaseRequest,
    passage: Passage,
    target: Target,
    reply: Reply,
    headers: "CIMultiDict[str]",
) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=headers)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    closers, is_code, size = passage.grant.closers, downloads.may_be_cached(target.path), 0
    closers.add(transport.abort)  # a long answer ends with the access to it
    try:
        await response.prepare(request)
        async for part in reply.content.iter_any():
            size += len(part)
            if passage.is_restricted:
                downloads.check_size(target.path, size)
            passage.count_out(len(part), is_code=is_code)
            await response.write(part)
        await response.write_eof()
    except Denied as error:
        transport.abort()
        raise CutOff from error
    except (ClientError, TimeoutError):
        transport.abort()  # the headers are out: only a broken connection tells the truth now
    finally:
        closers.discard(transport.abort)
    return response
