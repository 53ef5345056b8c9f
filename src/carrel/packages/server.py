"""Does every open workspace reach its software? The process behind `carrel packages`.

It serves with aiohttp rather than Starlette, because its sockets come and go while it runs.
"""

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog
from aiohttp import web

from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import CarrelError
from carrel.core.settings import Settings
from carrel.packages.doors import CHECK_SECONDS, Door, HeldDoors
from carrel.packages.egress import EgressProxy
from carrel.packages.front import Front
from carrel.packages.indexes import Indexes
from carrel.packages.ports import OpenWorkspaces
from carrel.packages.pypi import PyPI
from carrel.packages.records import Records
from carrel.packages.rules import Policy
from carrel.packages.service import Ecosystem, Packages
from carrel.packages.sources import find_source
from carrel.packages.store import RESERVE_BYTES, Store
from carrel.packages.upstream import WebUpstream
from carrel.runtime.ports import Doors
from carrel.workspaces.rules import PACKAGE_PORT, PROXY_PORT

ROUND_SECONDS = 0.5
FLUSH_ROUNDS = 10
CONNECTIONS = 128
"""Connections of one workspace; more are closed at once, so that others keep theirs."""
BACKLOG = 512
THREADS = 24
"""More than the fetches at once, each of which may wait for the disk."""
KEEPALIVE_SECONDS = 15.0
SHUTDOWN_SECONDS = 1.0
log = structlog.get_logger()
_SILENT = logging.getLogger("carrel.packages.requests")
_SILENT.setLevel(logging.CRITICAL)  # a workspace could fill the log with malformed requests


class PackageGateway:
    """Package gateway and egress proxies of a TRE, in one event loop."""

    reserve_bytes = RESERVE_BYTES
    """Disk space that the package store leaves free. Set before `run`, as the next."""
    check_seconds = CHECK_SECONDS
    """How often each listener is dialled from inside."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        audit: Audit,
        clock: Clock,
        doors: Doors,
        workspaces: OpenWorkspaces,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._doors = doors
        self._workspaces = workspaces
        self._records = Records(database, audit, clock)
        self._packages: Packages | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the doors of all open workspaces until `stop` is set.

        Raises `InvalidRequest` if the upstream's settings cannot be used.
        """
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="packages")
        asyncio.get_running_loop().set_default_executor(threads)
        async with AsyncExitStack() as stack:
            self._packages = await self._open_packages(stack)
            openers = {PACKAGE_PORT: self._open_front, PROXY_PORT: self._open_egress}
            held = HeldDoors(self._doors, self._records, openers, check_seconds=self.check_seconds)
            stack.push_async_callback(held.close)
            rounds = 0
            while not stop.is_set():
                await self._converge(held)
                rounds += 1
                if rounds % FLUSH_ROUNDS == 0:
                    await self._flush()
                await _pause(stop, ROUND_SECONDS)
        await self._flush(at_end=True)

    async def _open_packages(self, stack: AsyncExitStack) -> Packages:
        source = find_source(self._settings)
        upstream = WebUpstream(source)
        stack.push_async_callback(upstream.close)
        root = self._settings.home / "packages"
        store = Store(root, reserve_bytes=self.reserve_bytes)
        stack.push_async_callback(store.close)
        adapter = PyPI(source.index_url)
        indexes = Indexes(adapter, upstream, root / "index", self._clock)
        stack.push_async_callback(indexes.close)
        return Packages(
            {adapter.ecosystem: Ecosystem(adapter, indexes)},
            upstream,
            store,
            self._records,
            Policy(minimum_age=timedelta(days=self._settings.package_age_days)),
        )

    async def _converge(self, held: HeldDoors) -> None:
        try:
            spaces = await asyncio.to_thread(self._workspaces.open_workspaces)
        except CarrelError as error:
            log.warning("packages.workspaces_unknown", error=str(error))
            return
        await held.converge(spaces)

    async def _flush(self, *, at_end: bool = False) -> None:
        try:
            await asyncio.to_thread(self._records.flush_bytes)
            await asyncio.to_thread(self._records.flush_refusals, now=at_end)
        except CarrelError as error:
            log.warning("packages.unrecorded", error=str(error))

    async def _open_front(self, workspace_id: str, listener: socket.socket) -> Door:
        assert self._packages is not None
        front = Front(workspace_id, self._packages, self._records)
        return await serve(front, listener)

    async def _open_egress(self, workspace_id: str, listener: socket.socket) -> Door:
        allowed = frozenset(self._settings.egress_allow_private)
        proxy = EgressProxy(workspace_id, self._records, allowed_private=allowed)
        await proxy.open(listener)
        return proxy


class _WebDoor:
    """An aiohttp server on one socket."""

    def __init__(self, server: web.Server, listener: asyncio.Server) -> None:
        self._server = server
        self._listener = listener

    async def close(self) -> None:
        """Stop listening; requests under way get a moment to end."""
        self._listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(SHUTDOWN_SECONDS)


class _Closed(asyncio.Protocol):
    """Refuses a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


async def serve(front: Front, listener: socket.socket) -> Door:
    """Serve `front` on a listening socket; returns what closes it."""
    server = web.Server(
        front.answer,
        logger=_SILENT,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=0,
        auto_decompress=False,
    )

    def connect() -> asyncio.BaseProtocol:
        return _Closed() if len(server.connections) >= CONNECTIONS else server()

    loop = asyncio.get_running_loop()
    return _WebDoor(server, await loop.create_server(connect, sock=listener, backlog=BACKLOG))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
