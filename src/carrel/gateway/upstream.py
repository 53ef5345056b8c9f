"""How does the gateway ask a tool? HTTP/1.1, over connections that come from the doors.

The parser and the flow control are aiohttp's (`ResponseHandler`); its `ClientSession` is left out,
because its generality (redirects, cookies, proxies, tracing) costs more than all that the gateway
does by itself, and none of it may happen here.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import ClientError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter
from multidict import CIMultiDictProxy

from carrel.core.clock import monotonic
from carrel.core.errors import InvalidRequest
from carrel.gateway.doors import IDLE_SECONDS, Dialler
from carrel.gateway.rules import Header

SILENT_SECONDS = 600.0
"""A tool that sends nothing for so long has no answer."""
BUFFER_BYTES = 64 * 1024
SPARE = 64
"""Idle connections kept for one tool."""
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})

Failure = (ClientError, TimeoutError, OSError)
"""What asking a tool may raise."""


class Address(NamedTuple):
    """A tool: which resource, in which workspace, on which port inside, and whose."""

    workspace_id: str
    resource_id: str
    port: int
    uid: int


@dataclass(frozen=True, slots=True)
class Question:
    """One request, ready to be written."""

    method: str
    path: str
    headers: Sequence[Header]
    body: bytes | AsyncIterator[bytes] | None = None
    is_chunked: bool = False
    """Whether the length of a streamed body is unknown."""

    def head(self) -> bytes:
        """Return request line and headers. Raises `InvalidRequest` if a line would break."""
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.is_chunked:
            lines.append("Transfer-Encoding: chunked")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
            raise InvalidRequest("This request has a line break in a header.")
        return f"{text}\r\n\r\n".encode("utf-8", "surrogateescape")


class Reply:
    """A tool's answer; call `finish` when done with it, read to the end or not."""

    __slots__ = ("_line", "_sending", "content", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: "CIMultiDictProxy[str]",
        content: StreamReader,
        line: "_Line",
        sending: "asyncio.Task[None] | None",
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._line = line
        self._sending = sending

    def finish(self) -> None:
        """Give the connection back if all of it was read and sent, else close it."""
        is_sent = self._sending is None or self._sending.done()
        if self._sending is not None and not is_sent:
            self._sending.cancel()
        self._line.give_back(is_clean=is_sent and self.content.is_eof())


class _Line:
    """A connection, and the pool it belongs to."""

    __slots__ = ("idle_since", "pool", "protocol")

    def __init__(self, protocol: ResponseHandler, pool: "deque[_Line]") -> None:
        self.protocol = protocol
        self.pool = pool
        self.idle_since = 0.0

    def give_back(self, *, is_clean: bool) -> None:
        """Keep the connection for the next request, or close it."""
        protocol = self.protocol
        if not is_clean or protocol.should_close or len(self.pool) >= SPARE:
            protocol.close()
            return
        self.idle_since = monotonic()
        self.pool.append(self)


class Upstream:
    """Asks tools; keeps connections alive per tool."""

    def __init__(self, dialler: Dialler) -> None:
        self._dialler = dialler
        self._pools: defaultdict[Address, deque[_Line]] = defaultdict(deque)

    async def ask(self, address: Address, question: Question) -> Reply:
        """Return the tool's answer, its head read and its content still to come.

        Asks again on a new connection if an idle one had been closed and nothing is lost by it.
        Raises one of `Failure`; `ConnectionRefusedError` if nobody listens.
        """
        head = question.head()
        line = self._spare(address)
        if line is not None:
            try:
                return await self._exchange(line, question, head)
            except Failure:
                if question.method not in REPEATABLE or question.body is not None:
                    raise
        return await self._exchange(await self._new(address), question, head)

    def sweep(self) -> None:
        """Close what was idle for too long, and forget tools without connections."""
        now = monotonic()
        for address, pool in list(self._pools.items()):
            while pool and now - pool[0].idle_since > IDLE_SECONDS:
                pool.popleft().protocol.close()
            if not pool:
                del self._pools[address]

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            while pool:
                pool.pop().protocol.close()

    def _spare(self, address: Address) -> _Line | None:
        pool = self._pools.get(address)
        while pool:
            line = pool.pop()
            if line.protocol.is_connected() and monotonic() - line.idle_since < IDLE_SECONDS:
                return line
            line.protocol.close()
        return None

    async def _new(self, address: Address) -> _Line:
        protocol = await self._dialler.connect(address.workspace_id, address.port, address.uid)
        return _Line(protocol, self._pools[address])

    async def _exchange(self, line: _Line, question: Question, head: bytes) -> Reply:
        protocol = line.protocol
        sending: asyncio.Task[None] | None = None
        try:
            protocol.set_response_params(
                skip_payload=question.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=SILENT_SECONDS,
                read_bufsize=BUFFER_BYTES,
            )
            sending = _send(protocol, question, head)
            protocol.start_timeout()
            message, content = await protocol.read()
            while 100 <= message.code < 200:
                message, content = await protocol.read()
        except BaseException:
            if sending is not None:
                sending.cancel()
            protocol.close()
            raise
        return Reply(message.code, message.headers, content, line, sending)


def _send(
    protocol: ResponseHandler, question: Question, head: bytes
) -> "asyncio.Task[None] | None":
    """Write the request; a streamed body is written by a task beside the reading."""
    transport = protocol.transport
    if transport is None:
        raise ConnectionResetError("The connection was closed.")
    body = question.body
    if body is None or isinstance(body, bytes):
        transport.write(head + body if body else head)
        return None
    transport.write(head)
    return asyncio.create_task(_send_body(protocol, body, is_chunked=question.is_chunked))


async def _send_body(
    protocol: ResponseHandler, body: AsyncIterator[bytes], *, is_chunked: bool
) -> None:
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    if is_chunked:
        writer.enable_chunking()
    try:
        async for part in body:
            if part:
                await writer.write(part)
        await writer.write_eof()
    except (ClientError, OSError):
        protocol.close()  # half a body is none: the tool must not take it for a whole one
