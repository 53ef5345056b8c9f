"""What does the gateway cost, beside nginx with auth_request and beside no gateway at all?

Everything runs on loopback without TLS. The tool is a small aiohttp application (1 KiB answers and
a websocket echo), as tools are Python programs; nginx has one worker and asks the cheapest server
that can be for leave at each request; the gateway has its real access checks on a real database
and all its rules for a restricted workspace. Load comes from wrk, in turns, from one thread.
"""

import asyncio
import contextlib
import multiprocessing
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop
from aiohttp import ClientSession, WSMsgType, web

from benchmarks._rows import promise
from benchmarks._servers import free_ports, wait_for
from carrel.core import logs
from carrel.core.actors import Actor, TreRole, system
from carrel.core.audit import Audit
from carrel.core.clock import SystemClock
from carrel.core.database import Database, metadata
from carrel.core.events import Events
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings, load
from carrel.gateway.access import Access
from carrel.gateway.counters import Counters
from carrel.gateway.epochs import make_epochs
from carrel.gateway.server import Gateway
from carrel.gateway.service import Entrance
from carrel.people.proofs import local_proofs
from carrel.people.service import People
from carrel.workspaces.rules import Endpoint
from carrel.workspaces.store import is_workspace

CONNECTIONS, ROUNDS, ROUND_SECONDS = 32, 4, 2
ECHOES, ECHO_ROUNDS, ECHO_BYTES = 400, 5, 200
BODY = b"x" * 1024
WORKSPACE = "0d7c1f9a-6f3e-4a49-8f70-2d2f0a9b7c11"
RESOURCE = "5f0c5a0e-3f2b-4b6a-9a5e-0b8f3a1c2d4e"
PASSWORD = "correct horse battery"
LEAVE = b"HTTP/1.1 204 No Content\r\n\r\n"


def run() -> list[dict[str, Any]]:
    """Return the two promises of the gateway."""
    with (
        tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as folder,
        _place(Path(folder)) as place,
    ):
        gateway, nginx = _requests(place)
        through, direct = asyncio.run(_echoes(place))
    return [
        promise(
            f"gateway requests (1 KiB, {CONNECTIONS} connections) beside nginx with auth_request",
            gateway,
            "requests/s",
            nginx,
            ratio_at_least=0.4,
        ),
        _added(through, direct),
    ]


def _added(through: float, direct: float) -> dict[str, Any]:
    """Return the promise on the time that the gateway adds to one websocket echo (median)."""
    row = promise("websocket echo through the gateway beside direct", through, "µs", direct)
    goal = "measured <= reference + 100 µs"
    return row | {"goal": goal, "met": through <= direct + 100}


@dataclass(frozen=True)
class _Place:
    """Where everything listens, and what a request must carry."""

    tool_port: int
    gateway_port: int
    nginx_port: int
    host: str
    authorization: str


# Requests per second ---------------------------------------------------------------------------


def _requests(place: _Place) -> tuple[float, float]:
    path = f"/ws/{WORKSPACE}/{RESOURCE}/x"
    found: dict[int, list[float]] = {place.gateway_port: [], place.nginx_port: []}
    for port in (place.gateway_port, place.nginx_port):
        _wrk(place, port, path, seconds=1)  # warm
    for _ in range(ROUNDS):
        for port, rates in found.items():
            rates.append(_wrk(place, port, path, seconds=ROUND_SECONDS))
    gateway, nginx = (max(rates) for rates in found.values())  # the least disturbed round of each
    return gateway, nginx


def _wrk(place: _Place, port: int, path: str, *, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["-H", f"Host: {place.host}", "-H", f"Authorization: {place.authorization}"]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"port {port} answered with errors:\n{done.stdout}")
    match = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if match is None:
        raise RuntimeError(done.stdout)
    return float(match[1])


# Websocket echo --------------------------------------------------------------------------------


async def _echoes(place: _Place) -> tuple[float, float]:
    url = f"/ws/{WORKSPACE}/{RESOURCE}/echo"
    headers = {"Host": place.host, "Authorization": place.authorization}
    medians: dict[int, list[float]] = {place.gateway_port: [], place.tool_port: []}
    async with ClientSession() as client, contextlib.AsyncExitStack() as stack:
        open_ones = {
            port: await stack.enter_async_context(
                client.ws_connect(f"http://127.0.0.1:{port}{url}", headers=headers)
            )
            for port in medians
        }
        message = "x" * ECHO_BYTES
        for _ in range(ECHO_ROUNDS):
            for port, ws in open_ones.items():
                seconds = []
                for _ in range(ECHOES):
                    began = time.perf_counter()
                    await ws.send_str(message)
                    await ws.receive_str()
                    seconds.append(time.perf_counter() - began)
                medians[port].append(statistics.median(seconds) * 1e6)
    through, direct = (min(values) for values in medians.values())
    return through, direct


# The place -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[_Place]:
    ports = free_ports(4)
    tool, gateway, nginx, leave = ports
    settings = load(folder / "home", gateway_port=gateway)
    token = _people(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process(_serve_tool, tool))
        stack.enter_context(_process(_serve_leave, leave))
        stack.enter_context(_process(_serve_gateway, settings, gateway, tool))
        stack.enter_context(_nginx(folder, nginx, tool, leave))
        for port in ports:
            wait_for(port, seconds=20)
        host = f"w-{WORKSPACE}.carrel.localhost:{gateway}"
        yield _Place(tool, gateway, nginx, host, f"Bearer {token}")


def _people(settings: Settings) -> str:
    database = Database(settings.database)
    metadata.create_all(database.engine)
    people = _make_people(database, settings)
    people.create_account(
        system("benchmark"),
        username="rosa",
        display_name="Rosa",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.USER}),
    )
    token = people.sign_in("rosa", PASSWORD, kind="api", client="benchmark").token
    database.close()
    return token


def _make_people(database: Database, settings: Settings) -> People:
    clock = SystemClock()
    return People(
        database=database,
        audit=Audit(clock),
        events=Events(),
        clock=clock,
        settings=settings,
        proofs=local_proofs(database, KeyRing(settings.home)),
        is_workspace=is_workspace,
    )


class _Endpoints:
    """Says that the tool runs."""

    def __init__(self, port: int) -> None:
        self._port = port

    def endpoint_for(self, actor: Actor, resource_id: str) -> Endpoint:
        return Endpoint(
            resource_id=resource_id,
            workspace_id=WORKSPACE,
            owner_id=actor.id,
            uid=1,
            port=self._port,
            prefix_style="keep",
            token="token",
            downloads_allowed=True,
            clipboard_allowed=False,
            title="tool",
        )


class _Doors:
    """Dials on loopback, as `setns` would inside the workspace."""

    def dial(self, workspace_id: str, port: int, *, uid: int | None = None) -> socket.socket:
        del workspace_id, uid
        return socket.create_connection(("127.0.0.1", port))

    def listen(self, workspace_id: str, port: int) -> socket.socket:
        raise NotImplementedError


def _serve_gateway(settings: Settings, port: int, tool_port: int) -> None:
    logs.configure("gateway")

    async def main() -> None:
        database, clock = Database(settings.database), SystemClock()
        people, keys = _make_people(database, settings), KeyRing(settings.home)
        endpoints = _Endpoints(tool_port)
        gateway = Gateway(
            settings=settings,
            doors=_Doors(),
            access=Access(
                sessions=people, endpoints=endpoints, epochs=make_epochs(database), keys=keys
            ),
            entrance=Entrance(
                database=database,
                audit=Audit(clock),
                clock=clock,
                settings=settings,
                endpoints=endpoints,
            ),
            counters=Counters(database, clock),
        )
        await gateway.run(asyncio.Event(), tls=None, listener=_listener(port))

    uvloop.run(main())


class _Bare(asyncio.Protocol):
    """Answers every request with the same bytes; the cheapest server there can be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(LEAVE * data.count(b"\r\n\r\n"))


def _serve_leave(port: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Bare, sock=_listener(port))
        await server.serve_forever()

    uvloop.run(main())


def _serve_tool(port: int) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="text/plain")

    async def echo(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
        return ws

    async def main() -> None:
        app = web.Application()
        prefix = f"/ws/{WORKSPACE}/{RESOURCE}"
        app.add_routes([web.get(f"{prefix}/x", page), web.get(f"{prefix}/echo", echo)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, _listener(port)).start()
        await asyncio.Event().wait()

    uvloop.run(main())


@contextlib.contextmanager
def _process(target: Callable[..., None], *args: Any) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(5)


@contextlib.contextmanager
def _nginx(folder: Path, port: int, tool: int, leave: int) -> Iterator[None]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port, tool=tool, leave=leave))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])
    try:
        yield
    finally:
        process.terminate()
        process.wait(5)


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log error;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream tool {{ server 127.0.0.1:{tool}; keepalive 64; keepalive_requests 1000000; }}
  upstream leave {{ server 127.0.0.1:{leave}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      auth_request /leave; proxy_pass http://tool;
      proxy_http_version 1.1; proxy_set_header Connection "";
    }}
    location = /leave {{
      internal; proxy_pass http://leave; proxy_pass_request_body off;
      proxy_set_header Content-Length ""; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


def _listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))
