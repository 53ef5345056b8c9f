"""How do tests get a package gateway with an outside world of their own?

A fake package index on loopback that records everything it receives, and a gateway process's
insides in a thread, listening inside the workspaces of a memory runtime.
"""

import asyncio
import hashlib
import html
import http.client
import io
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop
from aiohttp import web

from carrel.core.audit import Audit, list_events
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.errors import CarrelError
from carrel.core.settings import Settings
from carrel.packages.server import PackageGateway
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import WorkspacePlan
from carrel.workspaces.rules import PACKAGE_PORT, PROXY_PORT
from tests.factories import make_database

JSON = "application/vnd.pypi.simple.v1+json"


def wheel(name: str, version: str = "1.0", payload: bytes = b"") -> tuple[str, bytes]:
    """Return the file name and bytes of a wheel that pip can install."""
    stem = f"{name.replace('-', '_')}-{version}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = f"{stem}.dist-info"
        archive.writestr(f"{name.replace('-', '_')}.py", f"VERSION = {version!r}\n")
        if payload:
            archive.writestr(f"{name.replace('-', '_')}_payload.bin", payload)
        archive.writestr(f"{info}/METADATA", metadata_of(name, version))
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return f"{stem}-py3-none-any.whl", buffer.getvalue()


def metadata_of(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


@dataclass
class FakeFile:
    filename: str
    content: bytes
    uploaded: str = "2020-01-01T00:00:00.000000Z"
    metadata: bytes | None = None
    published_digest: str = ""
    has_size: bool = True

    @property
    def digest(self) -> str:
        return self.published_digest or hashlib.sha256(self.content).hexdigest()


@dataclass
class Received:
    """One request as the outside world saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeIndex:
    """The outside world: an index at /simple/, files at /packages/."""

    projects: dict[str, list[FakeFile]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    speaks_json: bool = True
    status: dict[str, int] = field(default_factory=dict)
    """Answers to give instead, by path."""
    project_status: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    """While this is unset, files stop in the middle."""
    base: str = ""

    def add(self, name: str, *files: FakeFile) -> FakeFile:
        self.projects[name] = list(files)
        return files[0]

    def add_wheel(self, name: str, version: str = "1.0", payload: bytes = b"") -> FakeFile:
        return self.add(name, FakeFile(*wheel(name, version, payload)))

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.received]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.received.append(
            Received(request.method, request.raw_path, dict(request.headers), await request.read())
        )
        if request.path in self.status:
            return web.Response(status=self.status[request.path])
        _, kind, name, *_ = (*request.path.split("/"), "", "")
        if kind == "simple" and name in self.projects:
            return self._page(name)
        return await self._file(request, name)

    def _page(self, name: str) -> web.Response:
        files = self.projects[name]
        if not self.speaks_json:
            return web.Response(body="".join(map(_anchor, files)), content_type="text/html")
        page = {
            "meta": {"api-version": "1.1"},
            "name": name,
            "files": [_entry(file) for file in files],
            "project-status": {"status": self.project_status.get(name, "active")},
        }
        return web.Response(body=orjson.dumps(page), content_type=JSON)

    async def _file(self, request: web.Request, filename: str) -> web.StreamResponse:
        for file in (file for files in self.projects.values() for file in files):
            if filename == f"{file.filename}.metadata" and file.metadata is not None:
                return web.Response(body=file.metadata)
            if filename == file.filename:
                return await self._stream(request, file.content)
        return web.Response(status=404)

    async def _stream(self, request: web.Request, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(content)
        await response.prepare(request)
        middle = len(content) // 2
        await response.write(content[:middle])
        if self.hold is not None:
            await asyncio.to_thread(self.hold.wait, 20)
        await response.write(content[middle:])
        return response


def _entry(file: FakeFile) -> dict:
    entry = {
        "filename": file.filename,
        "url": f"../../packages/{file.filename}",
        "hashes": {"sha256": file.digest},
        "upload-time": file.uploaded,
        "requires-python": ">=3.8",
    }
    if file.has_size:
        entry["size"] = len(file.content)
    if file.metadata is not None:
        entry["core-metadata"] = {"sha256": hashlib.sha256(file.metadata).hexdigest()}
    return entry


def _anchor(file: FakeFile) -> str:
    extra = ""
    if file.metadata is not None:
        digest = hashlib.sha256(file.metadata).hexdigest()
        extra = f' data-core-metadata="sha256={digest}"'
    requires = html.escape(">=3.8")
    href = f"../../packages/{file.filename}#sha256={file.digest}"
    return f'<a href="{href}" data-requires-python="{requires}"{extra}>{file.filename}</a>\n'


@dataclass(frozen=True)
class Space:
    """An open workspace."""

    id: str
    package_gateway: bool = True
    egress_proxy: bool = False


@dataclass
class Spaces:
    """The list that the gateway compares with what it holds."""

    open: list[Space] = field(default_factory=list)
    error: Exception | None = None

    def open_workspaces(self) -> list[Space]:
        if self.error is not None:
            raise self.error
        return list(self.open)


@dataclass
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


@dataclass
class World:
    """Everything one test of the package gateway talks to."""

    index: FakeIndex
    runtime: Any
    spaces: Spaces
    database: Database
    clock: ManualClock
    home: Path
    settings: Settings | None = None
    launcher: Any = None

    def open_workspace(self, space: Space) -> None:
        self.runtime.prepare(WorkspacePlan(space.id, gid=200_000, disk_bytes=2**20))
        self.spaces.open.append(space)
        for wanted, port in (
            (space.package_gateway, PACKAGE_PORT),
            (space.egress_proxy, PROXY_PORT),
        ):
            if wanted:
                wait_until(lambda port=port: self.is_reachable(space.id, port))

    def is_reachable(self, workspace_id: str, port: int = PACKAGE_PORT) -> bool:
        try:
            self.runtime.dial(workspace_id, port).close()
        except (CarrelError, OSError):
            return False
        return True

    def port(self, workspace_id: str = "w1", inside: int = PACKAGE_PORT) -> int:
        with self.runtime.dial(workspace_id, inside) as connected:
            return connected.getpeername()[1]

    def get(self, path: str, *, workspace: str = "w1", method: str = "GET", **headers) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", timeout=20)
        connection.sock = self.runtime.dial(workspace, PACKAGE_PORT)
        connection.sock.settimeout(20)
        try:
            names = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, headers=names)
            response = connection.getresponse()
            return Answer(response.status, response.reason, dict(response.headers), response.read())
        finally:
            connection.close()

    def raw(self, request: bytes, *, workspace: str = "w1", inside: int = PACKAGE_PORT) -> bytes:
        """Send bytes as they are; return everything until the other side closes."""
        with self.runtime.dial(workspace, inside) as connected:
            connected.settimeout(20)
            connected.sendall(request)
            return read_all(connected)

    def file_path(self, file: FakeFile) -> str:
        return f"/pypi/files/{file.digest}/{file.filename}"

    def publish(self, name: str, *, workspace: str = "w1") -> Answer:
        """Let a workspace read a project's page, so that its files are published."""
        answer = self.get(f"/pypi/simple/{name}/", workspace=workspace, Accept=JSON)
        assert answer.status == 200, answer
        return answer

    def events(self, action: str, workspace: str = "w1") -> list:
        with self.database.read() as connection:
            return [
                event
                for event in list_events(connection, workspace_id=workspace)
                if event.action == action
            ]


def read_all(connected: socket.socket) -> bytes:
    received = bytearray()
    while True:
        try:
            chunk = connected.recv(65536)
        except ConnectionResetError:
            break
        if not chunk:
            break
        received += chunk
    return bytes(received)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def running(main: Callable[[asyncio.Event, Callable[[], None]], object]) -> Iterator[None]:
    """Run `main(stop, ready)` in a thread's event loop for as long as the block lasts."""
    is_ready, failures = threading.Event(), []
    stop_it: list[Callable[[], None]] = []

    async def top() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop_it.append(lambda: loop.call_soon_threadsafe(stop.set))
        await main(stop, is_ready.set)

    def body() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in app.py
                runner.run(top())
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            failures.append(error)
            is_ready.set()

    thread = threading.Thread(target=body)
    thread.start()
    assert is_ready.wait(20)
    try:
        yield
    finally:
        if stop_it:
            stop_it[0]()
        thread.join(20)
        assert not thread.is_alive()
        if failures:
            raise failures[0]


@contextmanager
def fake_index() -> Iterator[FakeIndex]:
    """An outside world on loopback."""
    index = FakeIndex()

    async def main(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", index.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        index.base = f"http://127.0.0.1:{runner.addresses[0][1]}/simple/"
        ready()
        await stop.wait()
        await runner.cleanup()

    with running(main):
        try:
            yield index
        finally:
            if index.hold is not None:
                index.hold.set()


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    """An outside world, a database and a runtime without workspaces."""
    database = make_database(folder)
    with fake_index() as index:
        yield World(index, MemoryRuntime(), Spaces(), database, ManualClock(), folder / "home")
    database.close()


@contextmanager
def gateway(
    world: World,
    *,
    reserve_bytes: int = 0,
    check_seconds: float = 15.0,
    **changes: object,
) -> Iterator[None]:
    """A package gateway over the world's database, home and runtime."""
    given = {"home": world.home, "package_index_url": world.index.base, **changes}
    settings = Settings(**given)
    world.settings = settings
    made = PackageGateway(
        settings=settings,
        database=world.database,
        audit=Audit(world.clock),
        clock=world.clock,
        doors=world.runtime,
        workspaces=world.spaces,
    )
    made.reserve_bytes, made.check_seconds = reserve_bytes, check_seconds

    async def main(stop: asyncio.Event, ready: Callable[[], None]) -> None:
        ready()
        await made.run(stop)

    with running(main):
        for space in world.spaces.open:
            if space.package_gateway:
                wait_until(lambda space=space: world.is_reachable(space.id))
        yield
