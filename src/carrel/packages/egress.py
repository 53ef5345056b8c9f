"""How does an unrestricted workspace reach the open internet? Through one logged proxy.

The proxy resolves names itself and connects to the address that it has checked, so a name
cannot be public for the check and private for the connection.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import structlog

from carrel.core.errors import CarrelError
from carrel.packages.egress_rules import (
    EGRESS_STATUS,
    EgressReason,
    EgressRefusal,
    ProxyAsk,
    check_port,
    is_allowed_private,
    is_public,
    read_proxy_request,
)
from carrel.packages.records import Records

HEAD_LIMIT_BYTES = 16 * 1024
HEAD_SECONDS = 15
CONNECT_SECONDS = 15
RESOLVE_SECONDS = 15
RESOLVERS = 4
IDLE_SECONDS = 900
CONNECTIONS = 256
CHUNK_BYTES = 128 * 1024
log = structlog.get_logger()

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host name; may block. Raises `OSError` if there is none."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the machine's resolver for TCP addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_of_this_host(address: str) -> bool:
    """Whether the address is one of this machine's own, public or not."""
    version = ipaddress.ip_address(address.partition("%")[0]).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True


@dataclass
class _Counted:
    sent: int = 0
    received: int = 0


class EgressProxy:
    """The proxy of one workspace: CONNECT, and GET or HEAD of http URLs."""

    def __init__(
        self,
        workspace_id: str,
        records: Records,
        *,
        allowed_private: frozenset[str] = frozenset(),
        resolver: Resolver = resolve,
    ) -> None:
        self._workspace_id = workspace_id
        self._records = records
        self._allowed = frozenset(entry.lower() for entry in allowed_private)
        self._resolver = resolver
        self._server: asyncio.Server | None = None
        # Its own threads: a slow name server must not keep other workspaces waiting.
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, listener: socket.socket) -> None:
        """Serve on a listening socket; it belongs to the proxy from now on."""
        self._server = await asyncio.start_server(
            self._accept, sock=listener, limit=HEAD_LIMIT_BYTES, backlog=CONNECTIONS
        )

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError) as error:  # the peer went, or `close` was called
            log.debug("egress.ended", error=repr(error))
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._check_busy()
            if not (head := await _read_head(reader)):
                return
            ask = read_proxy_request(head)
            address = await self._choose(ask)
            await self._connect(ask, address, reader, writer)
        except EgressRefusal as refusal:
            await self._refuse(writer, refusal)
        except CarrelError as error:
            log.warning("egress.failed", error=str(error), detail=error.log_detail)
            await _answer(writer, EgressRefusal(EgressReason.RECORD_AWAY, str(error)))

    def _check_busy(self) -> None:
        if len(self._tasks) > CONNECTIONS:
            raise EgressRefusal(EgressReason.BUSY, "Too many connections at once; try later.")

    async def _choose(self, ask: ProxyAsk) -> str:
        """Return the checked address to connect to; log what is refused."""
        try:
            check_port(ask, self._allowed)
            return await self._resolve(ask)
        except EgressRefusal as refusal:
            await asyncio.to_thread(
                self._records.refuse_connection, self._workspace_id, ask, refusal.reason.value
            )
            raise

    async def _resolve(self, ask: ProxyAsk) -> str:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                addresses = await loop.run_in_executor(
                    self._threads, self._resolver, ask.host, ask.port
                )
        except (OSError, UnicodeError, TimeoutError) as error:
            raise EgressRefusal(
                EgressReason.NO_ADDRESS, f"There is no host {ask.host}; check the name."
            ) from error
        if is_allowed_private(ask, self._allowed):
            return addresses[0]
        for address in addresses:
            if is_public(address) and not is_of_this_host(address):
                return address
        raise EgressRefusal(
            EgressReason.ADDRESS,
            f"{ask.host} is no address of the open internet; a TRE administrator may allow it.",
        )

    async def _connect(
        self,
        ask: ProxyAsk,
        address: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        row = await asyncio.to_thread(self._records.open_connection, self._workspace_id, ask)
        counted = _Counted()
        outcome = "closed"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(address, ask.port)
        except (OSError, TimeoutError) as error:
            outcome = EgressReason.UNREACHABLE.value
            raise EgressRefusal(
                EgressReason.UNREACHABLE, f"{ask.host} does not answer on port {ask.port}."
            ) from error
        else:
            try:
                await _relay(ask, (reader, writer), (far_reader, far_writer), counted)
            finally:
                far_writer.close()
        finally:
            await asyncio.shield(asyncio.to_thread(self._complete, row, outcome, counted))

    def _complete(self, row: str, outcome: str, counted: _Counted) -> None:
        try:
            self._records.close_connection(
                row, outcome, sent_bytes=counted.sent, received_bytes=counted.received
            )
        except CarrelError as error:  # its row stays "open", which is true enough
            log.warning("egress.unrecorded", error=str(error))

    async def _refuse(self, writer: asyncio.StreamWriter, refusal: EgressRefusal) -> None:
        try:
            await asyncio.to_thread(
                self._records.add_refusal,
                self._workspace_id,
                "egress.refused",
                refusal.reason.value,
            )
        except CarrelError as error:  # the refusal stands; the sum is written later
            log.warning("egress.unrecorded", error=str(error))
        await _answer(writer, refusal)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Read up to the empty line; nothing if the client only looked whether somebody listens."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
        if isinstance(error, asyncio.IncompleteReadError) and not error.partial:
            return b""
        raise EgressRefusal(
            EgressReason.BAD_REQUEST, "This is no HTTP request to a proxy."
        ) from error


async def _answer(writer: asyncio.StreamWriter, refusal: EgressRefusal) -> None:
    body = f"{refusal}\n".encode()
    head = (
        f"HTTP/1.1 {EGRESS_STATUS[refusal.reason]} Refused\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nServer: Carrel\r\n\r\n"
    )
    with suppress(OSError):
        writer.write(head.encode() + body)
        await writer.drain()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _relay(ask: ProxyAsk, near: Stream, far: Stream, counted: _Counted) -> None:
    """Carry bytes until both sides are done, one breaks off, or nothing moves for long."""

    def sent(count: int) -> None:
        counted.sent += count

    def received(count: int) -> None:
        counted.received += count

    if ask.head is not None:  # one answer, and nothing more of what the client may send
        far[1].write(ask.head)
        sent(len(ask.head))
        await _carry(far[0], near[1], received)
        return
    near[1].write(b"HTTP/1.1 200 Connected\r\n\r\n")
    carriers = [
        asyncio.create_task(_carry(near[0], far[1], sent)),
        asyncio.create_task(_carry(far[0], near[1], received)),
    ]
    try:
        await asyncio.wait(carriers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]
) -> None:
    """Carry one direction to its end. Raises `OSError` (also for silence) if it breaks."""
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            chunk = await reader.read(CHUNK_BYTES)
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
        count(len(chunk))
    if writer.can_write_eof():
        writer.write_eof()
