"""Who answers at the gateway's address? The only way in for people (design section 3)."""

import asyncio
import contextlib
import socket
import ssl
from urllib.parse import parse_qs

import structlog
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, web

from carrel.core.clock import monotonic
from carrel.core.errors import (
    CarrelError,
    Denied,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    OutsideFailure,
    Unavailable,
)
from carrel.core.settings import Settings
from carrel.gateway import downloads, http, sockets
from carrel.gateway.access import NO_TOOL, SIGNED_OUT, Access, Credential
from carrel.gateway.answers import Answers, plain, redirect
from carrel.gateway.counters import Counters
from carrel.gateway.doors import DIAL_SECONDS, Dialler, DoorConnector
from carrel.gateway.passages import Origins, Passage, Passages
from carrel.gateway.rules import (
    COOKIE,
    METHODS,
    Target,
    check_target,
    find_cookie,
    is_from_elsewhere,
    parse_target,
    tool_prefix,
)
from carrel.gateway.service import Entrance
from carrel.gateway.upstream import SILENT_SECONDS, Upstream
from carrel.gateway.volumes import Volumes
from carrel.runtime.ports import Doors

log = structlog.get_logger(__name__)

IDLE_SECONDS = 75.0
FLUSH_SECONDS = 5.0
REMARK_SECONDS = 60.0
_CROSS_SITE = "This request came from a page of another place, so it was not let through."


class Gateway:
    """Lets people through to their own tools; runs in a process of its own."""

    def __init__(
        self,
        *,
        settings: Settings,
        doors: Doors,
        access: Access,
        entrance: Entrance,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._dialler = Dialler(doors)
        self._upstream = Upstream(self._dialler)
        self._access = access
        self._entrance = entrance
        self._counters = counters
        self._origins = Origins(settings)
        self._volumes = Volumes()
        self._passages = Passages(self._origins, counters, self._volumes)
        self._answers = Answers(settings.portal_url, settings.tre_name)
        self._remarked: dict[tuple[str, str], float] = {}
        self._client: ClientSession | None = None

    async def run(
        self,
        stop: asyncio.Event,
        *,
        tls: ssl.SSLContext | None,
        listener: socket.socket | None = None,
    ) -> None:
        """Serve until `stop` is set; on `listener`, or on the address of the settings."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._dialler.close)
            stack.callback(self._upstream.close)
            connector = DoorConnector(self._dialler)
            self._client = await stack.enter_async_context(_client(connector))
            server = web.Server(
                self.answer,
                handler_cancellation=True,
                access_log=None,
                auto_decompress=False,
                keepalive_timeout=IDLE_SECONDS,
                lingering_time=2.0,
            )
            runner = web.ServerRunner(server)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(self._access.close)
            site = self._site(runner, tls, listener)
            await site.start()
            tasks = [asyncio.create_task(self._access.watch()), asyncio.create_task(self._flush())]
            log.info("gateway ready", address=site.name)
            await stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._counters.write(self._counters.take())
            self.tell_volumes()

    def _site(
        self, runner: web.ServerRunner, tls: ssl.SSLContext | None, listener: socket.socket | None
    ) -> web.BaseSite:
        if listener is not None:
            return web.SockSite(runner, listener, ssl_context=tls)
        host, port = self._settings.bind_address, self._settings.gateway_port
        return web.TCPSite(runner, host, port, ssl_context=tls)

    # One request ---------------------------------------------------------------------------

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever happens."""
        try:
            return await self._route(request)
        except CarrelError as error:
            log.info(
                "refused",
                status=error.status,
                code=error.code,
                reason=str(error),
                detail=error.log_detail,
            )
            return self._answers.refusal(request, error)
        except ConnectionResetError:
            raise  # the browser went away
        except Exception:  # the top of a request: a bug in one must not end the process
            log.exception("request failed")
            broken = OutsideFailure("Something went wrong in the gateway; it was written down.")
            return self._answers.refusal(request, broken)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in METHODS:
            raise InvalidRequest("The gateway does not know this method.")
        target = parse_target(request.raw_path)
        if target is None:
            return await self._own_page(request)
        if not target.path:
            return redirect(target.prefix + target.query, status=308)
        if request.headers.get("Host") != self._origins.host_of(target.workspace_id):
            raise NotFound(NO_TOOL)
        credential = self._credential(request, target.workspace_id)
        grant = await self._access.grant(credential, target.workspace_id, target.resource_id)
        passage = self._passages.of(grant)
        self._access.begin(grant)
        try:
            return await self._forward(request, passage, target)
        finally:
            self._access.end(grant)

    async def _forward(
        self, request: web.BaseRequest, passage: Passage, target: Target
    ) -> web.StreamResponse:
        assert self._client is not None
        headers = request.headers
        if "Service-Worker" in headers:
            raise Denied("Tools cannot install service workers here.")
        try:
            if passage.is_restricted and passage.is_program:
                downloads.check_program(target.path)
            if "Upgrade" in headers and headers["Upgrade"].lower() == "websocket":
                return await sockets.forward(request, passage, target, self._client)
            return await http.forward(request, passage, target, self._upstream)
        except (Denied, http.CutOff):
            await self._remark(passage, target)
            raise

    def _credential(self, request: web.BaseRequest, workspace_id: str) -> Credential:
        """Return with what the request proves itself. Raises `NotAuthenticated`, `Denied`."""
        headers = request.headers
        given = headers.get("Authorization", "")
        if given[:7].lower() == "bearer ":
            return Credential("bearer", given[7:].strip(), "*")
        own = self._origins.of(workspace_id)
        # A websocket is not bound by the same-origin rule, so its Origin must be there and ours.
        origin = headers.get("Origin", "none" if "Upgrade" in headers else None)
        if is_from_elsewhere(
            request.method,
            origin=origin,
            site=headers.get("Sec-Fetch-Site", ""),
            mode=headers.get("Sec-Fetch-Mode", ""),
            own=own,
        ):
            raise Denied(_CROSS_SITE)
        cookie = find_cookie("; ".join(headers.getall("Cookie", ())), COOKIE)
        if not cookie:
            raise NotAuthenticated(SIGNED_OUT)
        return Credential("cookie", cookie, self._origins.scope_of(workspace_id))

    # The gateway's own addresses -----------------------------------------------------------

    async def _own_page(self, request: web.BaseRequest) -> web.Response:
        path, _, query = request.raw_path.partition("?")
        check_target(request.raw_path)
        if path == "/healthz":
            return plain("ok")
        if path != "/enter" or request.method != "GET":
            raise NotFound(NO_TOOL)
        ticket = parse_qs(query).get("ticket", [""])[0]
        loop = asyncio.get_running_loop()
        entry = await loop.run_in_executor(None, self._entrance.redeem, ticket)
        if request.headers.get("Host") != self._origins.host_of(entry.workspace_id):
            raise NotAuthenticated(SIGNED_OUT)
        scope = self._origins.scope_of(entry.workspace_id)
        value = self._access.cookie_for(entry.session_id, scope)
        seconds = self._settings.session_hours * 3600
        cookie = f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}"
        return redirect(tool_prefix(entry.workspace_id, entry.resource_id), cookie=cookie)

    # Bookkeeping ---------------------------------------------------------------------------

    async def _remark(self, passage: Passage, target: Target) -> None:
        """Write a refused transfer into the audit trail, at most once a minute per tool."""
        grant = passage.grant
        key, now = (grant.key, target.path.split("/")[1]), monotonic()
        if now - self._remarked.get(key, -REMARK_SECONDS) < REMARK_SECONDS:
            return
        self._remarked = {k: at for k, at in self._remarked.items() if now - at < REMARK_SECONDS}
        self._remarked[key] = now
        loop = asyncio.get_running_loop()
        with contextlib.suppress(Unavailable):  # refused in any case
            await loop.run_in_executor(None, self._record, passage, key[1])

    def _record(self, passage: Passage, route: str) -> None:
        grant = passage.grant
        self._entrance.record_refusal(
            grant.actor, grant.workspace_id, grant.resource_id, path=f"/{route}"[:64]
        )

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._upstream.sweep()
            rows = self._counters.take()
            try:
                await loop.run_in_executor(None, self._counters.write, rows)
            except Unavailable:
                self._counters.put_back(rows)
            await loop.run_in_executor(None, self.tell_volumes)

    def tell_volumes(self) -> None:
        """Write into the audit trail which sessions received much from a restricted tool."""
        much = self._volumes.take()
        try:
            self._entrance.record_volumes(much)
        except Unavailable:
            self._volumes.put_back(much)


def _client(connector: DoorConnector) -> ClientSession:
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=ClientTimeout(total=None, sock_connect=DIAL_SECONDS, sock_read=SILENT_SECONDS),
        trust_env=False,
    )
