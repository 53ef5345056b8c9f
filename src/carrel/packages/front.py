"""How does the package gateway speak HTTP to one workspace?"""

import asyncio
import hashlib
from collections.abc import Mapping

import structlog
from aiohttp import hdrs, web

from carrel.core.errors import CarrelError
from carrel.packages.ports import Page
from carrel.packages.records import Records
from carrel.packages.rules import FileAsk, IndexAsk, Reason, Refusal, check_shape, read_path
from carrel.packages.service import Delivery, Packages

REQUESTS_AT_ONCE = 64
"""Requests of one workspace that are answered at the same time; more wait."""
log = structlog.get_logger()


class Front:
    """Answers one workspace's requests; its workspace id never comes from a request."""

    def __init__(self, workspace_id: str, packages: Packages, records: Records) -> None:
        self._workspace_id = workspace_id
        self._packages = packages
        self._records = records
        self._turns = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; a refusal is a sentence in the status line and the body."""
        async with self._turns:
            try:
                return await self._answer(request)
            except Refusal as refusal:
                return await self._refuse(request, refusal)
            except CarrelError as error:
                log.warning("packages.failed", error=str(error), detail=error.log_detail)
                return _sentence(request, Refusal(Reason.RECORD_AWAY, str(error)))
            except OSError:  # the client went away
                raise
            except Exception:  # the top of a request: aiohttp answers 500, and its log is off
                log.exception("packages.broken", workspace=self._workspace_id)
                raise

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        check_shape(request.method, target, has_body=_has_body(request))
        ask = read_path(target)
        if isinstance(ask, IndexAsk):
            accept = request.headers.get(hdrs.ACCEPT, "")
            page = await self._packages.page(self._workspace_id, ask, accept)
            response = _page(request, page)
            self._count(response.content_length)
            return response
        if request.method == hdrs.METH_HEAD:
            return _head(await self._packages.size(ask))
        return await self._send(request, await self._packages.file(self._workspace_id, ask), ask)

    async def _send(
        self, request: web.BaseRequest, delivery: Delivery, ask: FileAsk
    ) -> web.StreamResponse:
        if delivery.path is not None:
            self._count(delivery.size_bytes)
            return web.FileResponse(delivery.path, headers=_file_headers(ask))
        assert delivery.follower is not None
        try:
            return await self._follow(request, delivery, ask)
        finally:
            delivery.follower.close()

    async def _follow(
        self, request: web.BaseRequest, delivery: Delivery, ask: FileAsk
    ) -> web.StreamResponse:
        """Send a file while it comes in; break the connection if its end turns out wrong."""
        follower = delivery.follower
        assert follower is not None
        await follower.started()
        response = web.StreamResponse(headers=_file_headers(ask))
        response.content_length = follower.size_bytes
        await response.prepare(request)
        try:
            async for chunk in follower.chunks():
                await response.write(chunk)
                self._count(len(chunk), requests=0)
        except Refusal as refusal:
            await self._note(refusal)
            if request.transport is not None:
                request.transport.abort()
            return response
        self._count(0)
        await response.write_eof()
        return response

    async def _refuse(self, request: web.BaseRequest, refusal: Refusal) -> web.StreamResponse:
        await self._note(refusal)
        return _sentence(request, refusal)

    async def _note(self, refusal: Refusal) -> None:
        level = log.info if refusal.log_detail else log.debug  # a workspace could fill the log
        level(
            "packages.refused",
            workspace=self._workspace_id,
            reason=refusal.reason.value,
            detail=refusal.log_detail,
        )
        try:
            await asyncio.to_thread(
                self._records.add_refusal,
                self._workspace_id,
                "package.refused",
                refusal.reason.value,
            )
        except CarrelError as error:  # the refusal stands; the sum is written later
            log.warning("packages.unrecorded", error=str(error))

    def _count(self, size_bytes: int | None, *, requests: int = 1) -> None:
        self._records.count_bytes(self._workspace_id, size_bytes or 0, requests=requests)


def _has_body(request: web.BaseRequest) -> bool:
    length = request.headers.get(hdrs.CONTENT_LENGTH, "0")
    return length.strip("0 ") != "" or hdrs.TRANSFER_ENCODING in request.headers


def _page(request: web.BaseRequest, page: Page) -> web.Response:
    etag = f'"{hashlib.sha256(page.body).hexdigest()[:32]}"'
    headers = {
        hdrs.SERVER: "Carrel",
        hdrs.VARY: hdrs.ACCEPT,
        hdrs.ETAG: etag,
        hdrs.CACHE_CONTROL: "max-age=60",
    }
    if request.headers.get(hdrs.IF_NONE_MATCH) == etag:
        return web.Response(status=304, headers=headers)
    headers[hdrs.CONTENT_TYPE] = page.content_type
    return web.Response(body=page.body, headers=headers)


def _file_headers(ask: FileAsk) -> Mapping[str, str]:
    return {
        hdrs.SERVER: "Carrel",
        hdrs.CONTENT_TYPE: "application/octet-stream",
        hdrs.CACHE_CONTROL: "max-age=31536000, immutable",
        hdrs.ETAG: f'"{ask.digest}"',
    }


def _head(size_bytes: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.SERVER: "Carrel"})
    if size_bytes is not None:
        response.content_length = size_bytes
    return response


def _sentence(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    """Return the refusal; pip prints the status line's reason, people read the body."""
    sentence = (
        str(refusal).encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
    )
    response = web.Response(
        status=refusal.http_status, reason=sentence, text=f"{sentence}\n", content_type="text/plain"
    )
    response.headers[hdrs.SERVER] = "Carrel"
    if refusal.reason is Reason.METHOD:
        response.headers[hdrs.ALLOW] = "GET, HEAD"
    if _has_body(request) or refusal.reason is Reason.METHOD:
        response.force_close()
    return response
