"""What does a gateway need around it in a test? People, tools on loopback, and itself."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from argon2 import PasswordHasher

from carrel.core.actors import Actor, TreRole, system
from carrel.core.audit import Audit, list_events
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.errors import NotFound, Unavailable
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.gateway.access import Access
from carrel.gateway.counters import Counters
from carrel.gateway.epochs import make_epochs
from carrel.gateway.rules import COOKIE
from carrel.gateway.server import Gateway
from carrel.gateway.service import Entrance
from carrel.people.passwords import Passwords
from carrel.people.proofs import local_proofs
from carrel.people.service import People
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import WorkspacePlan
from tests.factories import any_workspace, make_database

PASSWORD = "correct horse battery"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Tool:
    """A fake `workspaces.rules.Endpoint`."""

    resource_id: str
    workspace_id: str
    owner_id: str
    uid: int = 200_011
    port: int = 20000
    prefix_style: str = "keep"
    token: str = "tool-token"
    downloads_allowed: bool = True
    clipboard_allowed: bool = True
    title: str = "JupyterLab"

    @property
    def path(self) -> str:
        return f"/ws/{self.workspace_id}/{self.resource_id}/"


@dataclass
class MemoryEndpoints:
    """The gateway's port `Endpoints`, by dictionary."""

    tools: dict[str, Tool] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    asked: int = 0

    def endpoint_for(self, actor: Actor, resource_id: str) -> Tool:
        self.asked += 1
        tool = self.tools.get(resource_id)
        if tool is None or tool.owner_id != actor.id:
            raise NotFound("There is no such tool.")
        if resource_id in self.starting:
            raise Unavailable("The tool is starting.")
        return tool


@dataclass
class World:
    """A gateway that serves on loopback, without TLS."""

    database: Database
    people: People
    endpoints: MemoryEndpoints
    runtime: MemoryRuntime
    entrance: Entrance
    access: Access
    gateway: Gateway
    clock: ManualClock
    port: int
    client: ClientSession
    servers: list[web.AppRunner] = field(default_factory=list)

    def account(self, name: str) -> str:
        found = self.people.find_account_by_name(name)
        if found is None:
            found = self.people.create_account(
                system("test"),
                username=name,
                display_name=name.title(),
                password=PASSWORD,
                tre_roles=frozenset({TreRole.USER}),
            )
        return found.id

    def sign_in(self, name: str, *, kind: str = "browser") -> tuple[Actor, str]:
        self.account(name)
        token = self.people.sign_in(name, PASSWORD, kind=kind, client="test").token
        actor = self.people.actor_for_token(token)
        assert actor is not None
        return actor, token

    async def tool(self, owner: str, handler: Handler, **given) -> Tool:
        """Run a tool inside a workspace of its own (or a given one)."""
        given.setdefault("workspace_id", new_id())
        tool = Tool(resource_id=new_id(), owner_id=self.account(owner), **given)
        self.runtime.prepare(WorkspacePlan(tool.workspace_id, gid=1, disk_bytes=1))
        app = web.Application(client_max_size=2**30)

        async def answer(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
        await runner.setup()
        listener = self.runtime.listen_as(tool.workspace_id, tool.port, tool.uid)
        await web.SockSite(runner, listener).start()
        self.servers.append(runner)
        self.endpoints.tools[tool.resource_id] = tool
        return tool

    def change(self, tool: Tool, **changes) -> Tool:
        """Change what the endpoint says, and tell the world that access may have changed."""
        changed = self.endpoints.tools[tool.resource_id] = replace(tool, **changes)
        self.bump()
        return changed

    def bump(self) -> None:
        with self.database.write() as connection:
            self.people.bump_access_epoch(connection)

    def origin(self, tool: Tool) -> str:
        return f"https://{self.host(tool)}"

    def host(self, tool: Tool) -> str:
        return f"w-{tool.workspace_id}.carrel.localhost:8444"

    def cookie(self, actor: Actor, tool: Tool) -> str:
        assert actor.session_id
        return f"{COOKIE}={self.access.cookie_for(actor.session_id, tool.workspace_id)}"

    def headers(self, tool: Tool, actor: Actor | None = None, **more: str) -> dict[str, str]:
        """Return a browser's headers for a request to `tool`."""
        headers = {"Host": self.host(tool), "Sec-Fetch-Site": "same-origin"}
        if actor is not None:
            headers["Cookie"] = self.cookie(actor, tool)
        return headers | {name.replace("_", "-"): value for name, value in more.items()}

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def audited(self) -> list[str]:
        with self.database.read() as connection:
            return [event.action for event in list_events(connection, limit=100)]

    async def raw(self, data: bytes) -> bytes:
        """Send bytes to the gateway and return everything it answers before it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


@asynccontextmanager
async def make_world(home: Path, **settings) -> AsyncIterator[World]:
    """Start a gateway; stop it and its tools afterwards."""
    clock = ManualClock()
    database = make_database(home)
    audit, keys, given = Audit(clock), KeyRing(home), load(home, **settings)
    hashing = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    people = People(
        database=database,
        audit=audit,
        events=Events(),
        clock=clock,
        settings=given,
        proofs=local_proofs(database, keys, hashing),
        is_workspace=any_workspace,
    )
    endpoints, runtime = MemoryEndpoints(), MemoryRuntime()
    entrance = Entrance(
        database=database, audit=audit, clock=clock, settings=given, endpoints=endpoints
    )
    access = Access(sessions=people, endpoints=endpoints, epochs=make_epochs(database), keys=keys)
    gateway = Gateway(
        settings=given,
        doors=runtime,
        access=access,
        entrance=entrance,
        counters=Counters(database, clock),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    stop = asyncio.Event()
    running = asyncio.create_task(gateway.run(stop, tls=None, listener=listener))
    client = ClientSession(
        connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(), auto_decompress=False
    )
    world = World(
        database=database,
        people=people,
        endpoints=endpoints,
        runtime=runtime,
        entrance=entrance,
        access=access,
        gateway=gateway,
        clock=clock,
        port=listener.getsockname()[1],
        client=client,
    )
    try:
        yield world
    finally:
        await client.close()
        stop.set()
        await running
        for server in world.servers:
            await server.cleanup()
        for tool in endpoints.tools.values():
            runtime.remove(tool.workspace_id)
        database.close()


def in_world(test=None, **settings):
    """Make a test of an async function that takes a `World`; `settings` are the TRE's."""
    if test is None:
        return functools.partial(in_world, **settings)

    def run(tmp_path: Path) -> None:
        async def inside() -> None:
            async with make_world(tmp_path, **settings) as world:
                await asyncio.wait_for(test(world), 30)

        asyncio.run(inside())

    run.__name__ = test.__name__
    return run
