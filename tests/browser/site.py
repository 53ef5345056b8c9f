"""How do browser tests get a whole portal: real HTTPS, real database, a worker, no sandboxes?"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import uvicorn

from carrel.app import build, make_gateway, make_web, make_worker
from carrel.core import certificates
from carrel.core.actors import Actor, TreRole, system
from carrel.core.database import metadata
from carrel.core.roles import Role
from carrel.core.settings import load
from carrel.evidence.service import Proofs
from carrel.people.rules import Account
from carrel.runtime.ports import SandboxPlan
from tests.workspaces import AnsweringRuntime

PASSWORD = "a quiet desk by the window"


class _Tool(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"Inside the sandbox at {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class ServingRuntime(AnsweringRuntime):
    """A runtime whose sandboxes answer each request with one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self._serving: list[socket.socket] = []

    def start(self, plan: SandboxPlan) -> None:
        super().start(plan)
        for listener in self._workspaces[plan.workspace_id].listeners.values():
            if listener.fileno() != -1 and listener not in self._serving:
                self._serving.append(listener)
                threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        server = HTTPServer(listener.getsockname(), _Tool, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        try:
            while listener.fileno() != -1:
                server.handle_request()
        except (OSError, ValueError):  # the sandbox was stopped
            return


class Site:
    """A TRE whose runtime only remembers; everything else is what people get."""

    def __init__(self, home: Path, port: int) -> None:
        self.settings = load(
            home,
            portal_port=port,
            gateway_port=free_port(),
            tre_name="Northmoor",
            meter_seconds=0.5,
            reconcile_seconds=1.0,
        )
        self.url = f"https://localhost:{port}"
        self.runtime = ServingRuntime()
        self.carrel = build(self.settings, runtime=self.runtime)
        metadata.create_all(self.carrel.database.engine)
        with self.carrel.database.write() as connection:
            self.carrel.workspaces.sync_shipped(connection)
        for role in Role:
            self.carrel.roles.beat(role)
        self.people, self.workspaces = self.carrel.people, self.carrel.workspaces
        self.airlock = self.carrel.airlock
        self.proofs = self.carrel.services.get(Proofs)
        self.app = make_web(self.carrel)
        self.worker = make_worker(self.carrel)

    def add_person(self, username: str, name: str, *, is_admin: bool = False) -> Account:
        """Make an account with the one password of all tests."""
        roles = {TreRole.USER, TreRole.ADMIN} if is_admin else {TreRole.USER}
        return self.people.create_account(
            system("tests"),
            username=username,
            display_name=name,
            password=PASSWORD,
            tre_roles=frozenset(roles),
        )

    def actor(self, username: str) -> Actor:
        """Return an account as the services see it now, with its present roles."""
        signed_in = self.people.sign_in(username, PASSWORD, kind="api", client="tests")
        actor = self.people.actor_for_token(signed_in.token)
        assert actor is not None
        return actor


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """Serve the site and work for it, until the test is over."""
    files = certificates.ensure(site.settings, site.carrel.clock.now())
    config = uvicorn.Config(
        site.app,
        host="127.0.0.1",
        port=site.settings.portal_port,
        ssl_certfile=str(files.certificate),
        ssl_keyfile=str(files.key),
        log_config=None,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server, stop = uvicorn.Server(config), threading.Event()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    threads = [
        threading.Thread(target=server.run),
        threading.Thread(target=site.worker.run, args=(stop,)),
        threading.Thread(target=asyncio.run, args=(_gateway(site, tls, stop),)),
    ]
    for thread in threads:
        thread.start()
    try:
        while not server.started:
            threads[0].join(0.01)
            assert threads[0].is_alive(), "the portal did not start"
        yield site
    finally:
        server.should_exit = True
        stop.set()
        for thread in threads:
            thread.join(20)
        for workspace_id in list(site.runtime.running()):
            site.runtime.remove(workspace_id)
        site.carrel.database.close()


async def _gateway(site: Site, tls: ssl.SSLContext, ended: threading.Event) -> None:
    stop = asyncio.Event()

    async def watch() -> None:
        await asyncio.to_thread(ended.wait)
        stop.set()

    watcher = asyncio.create_task(watch())
    await make_gateway(site.carrel).run(stop, tls=tls)
    await watcher


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
