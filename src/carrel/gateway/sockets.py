"""How does a websocket go to a tool? Message by message, for as long as access lasts."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Protocol

from aiohttp import (
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMessage,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from aiohttp.http_websocket import WSMessageTextBytes
from multidict import CIMultiDict
from yarl import URL

from carrel.core.clock import monotonic
from carrel.core.errors import NotFound, OutsideFailure
from carrel.gateway import downloads
from carrel.gateway.http import unreachable
from carrel.gateway.passages import Passage
from carrel.gateway.rules import Target, inside_headers

LONGEST_MESSAGE = 256 * 2**20
IDLE_SECONDS = 1800.0
LOOK_SECONDS = 30.0
CLOSE_SECONDS = 0.5
ACCESS_ENDED = 1008
"""Close code "policy violation" (RFC 6455 7.4.1)."""
TRY_LATER = 1012


_Message = WSMessage | WSMessageTextBytes
_Count = Callable[[int], None]
_BrowserSocket = web.WebSocketResponse[Literal[False]]
_ToolSocket = ClientWebSocketResponse[Literal[False]]


class _Side(Protocol):
    """One end of the pump: the browser's websocket or the tool's."""

    def receive(self, timeout: float | None = None) -> Coroutine[Any, Any, _Message]: ...
    async def send_frame(self, message: bytes, opcode: WSMsgType) -> None: ...
    async def ping(self, message: bytes = b"") -> None: ...
    async def pong(self, message: bytes = b"") -> None: ...
    async def close(self, *, code: int = 1000, message: bytes = b"") -> bool: ...


async def forward(
    request: web.BaseRequest, passage: Passage, target: Target, client: ClientSession
) -> web.StreamResponse:
    """Open a websocket to the tool, then one to the browser, and pump until one of them ends.

    Raises what `http.forward` raises, before the browser's side is opened.
    """
    if passage.is_restricted:
        downloads.check_download(request.method, target.path, target.query)
    tool = await _open(request, passage, target, client)
    chosen = (tool.protocol,) if tool.protocol else ()
    browser: _BrowserSocket = web.WebSocketResponse(
        protocols=chosen,
        timeout=CLOSE_SECONDS,
        autoping=False,
        autoclose=False,
        compress=False,
        max_msg_size=LONGEST_MESSAGE,
        decode_text=False,
    )
    try:
        await browser.prepare(request)
        await _pump_both(passage, browser, tool)
    finally:
        await tool.close()
    return browser


async def _open(
    request: web.BaseRequest, passage: Passage, target: Target, client: ClientSession
) -> _ToolSocket:
    headers = CIMultiDict(inside_headers(request.headers.items()))
    headers.extend(passage.added_inside)
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    try:
        return await client.ws_connect(
            URL(_url(passage, target), encoded=True),
            protocols=[name.strip() for name in offered.split(",") if name.strip()],
            headers=headers,
            timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),
            autoping=False,
            autoclose=False,
            compress=0,
            max_msg_size=LONGEST_MESSAGE,
            decode_text=False,
        )
    except WSServerHandshakeError as error:
        if error.status == 404:
            raise NotFound("The tool has no such channel. Load its page again.") from error
        detail = f"handshake {error.status}"
        raise OutsideFailure("The tool refused the channel.", log_detail=detail) from error
    except (ClientError, TimeoutError, OSError) as error:
        raise unreachable(error) from error


def _url(passage: Passage, target: Target) -> str:
    """Return an address that names no host: the connector dials what it stands for (19)."""
    workspace_id, resource_id, port, uid = passage.address
    return f"http://{workspace_id}.{uid}.{resource_id}:{port}{passage.path(target)}{target.query}"


class _Traffic:
    """Counts what is said on a websocket, and remembers when something was last said."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self.at = monotonic()

    def inwards(self, size_bytes: int) -> None:
        """Count a message to the tool."""
        self._passage.counter.bytes_in += size_bytes
        self.at = monotonic()

    def outwards(self, size_bytes: int) -> None:
        """Count a message to the browser."""
        self._passage.count_out(size_bytes)
        self.at = monotonic()


async def _pump_both(passage: Passage, browser: _BrowserSocket, tool: _ToolSocket) -> None:
    traffic = _Traffic(passage)
    pumps = (
        asyncio.ensure_future(_pump(browser, tool, passage, traffic.inwards)),
        asyncio.ensure_future(_pump(tool, browser, passage, traffic.outwards)),
    )
    closers = passage.grant.closers

    def end() -> None:
        for pump in pumps:
            pump.cancel()

    closers.add(end)
    try:
        if not passage.grant.is_revoked:
            await _until_over(pumps, traffic)
    finally:
        closers.discard(end)
        end()
        await asyncio.gather(*pumps, return_exceptions=True)
        if not browser.closed:
            code = ACCESS_ENDED if passage.grant.is_revoked else TRY_LATER
            await browser.close(code=code)


async def _until_over(pumps: tuple["asyncio.Future[None]", ...], traffic: _Traffic) -> None:
    while True:
        done, _ = await asyncio.wait(
            pumps, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if done or monotonic() - traffic.at > IDLE_SECONDS:
            return


async def _pump(source: _Side, sink: _Side, passage: Passage, count: _Count) -> None:
    grant = passage.grant
    while True:
        message = await source.receive()
        if grant.is_revoked:
            return
        count(len(message.data) if message.type in _CONTENT else 0)
        if not await _pass_on(message, sink):
            return


_CONTENT = (WSMsgType.TEXT, WSMsgType.BINARY)


async def _pass_on(message: _Message, side: _Side) -> bool:
    """Send the message to the other side; whether there may be more."""
    match message.type:
        case WSMsgType.TEXT | WSMsgType.BINARY:
            await side.send_frame(message.data, message.type)
        case WSMsgType.PING:
            await side.ping(message.data)
        case WSMsgType.PONG:
            await side.pong(message.data)
        case WSMsgType.CLOSE:
            await side.close(code=message.data or 1000, message=(message.extra or "").encode())
            return False
        case _:
            return False
    return True
