"""How does Carrel fit together? It chooses every implementation; read it first.

`build` makes the use cases of every room over one database and one runtime; each `run_…` is the
process of one role, which `carrel up` (or systemd, or a pod) starts. The few choices that quick
commands need without the rest are in `choices`.
"""

import asyncio
import signal
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from carrel.airlock import pages as airlock_pages
from carrel.airlock import routes as airlock_routes
from carrel.airlock.desks import WorkspaceDesks
from carrel.airlock.ports import Ground
from carrel.airlock.scanners import guarded_scanners
from carrel.airlock.service import Airlock
from carrel.airlock.work import AirlockWork
from carrel.api.assembly import create_app
from carrel.choices import database_of, runtime_of
from carrel.core import certificates
from carrel.core.audit import Audit
from carrel.core.clock import Clock, SystemClock
from carrel.core.database import Database
from carrel.core.errors import Unavailable
from carrel.core.events import Events
from carrel.core.processes.roles import announce_ready
from carrel.core.queue import Queue
from carrel.core.roles import BEAT_SECONDS, Role, Roles
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.core.web import Services
from carrel.costs import routes as costs_routes
from carrel.costs.service import Costs
from carrel.evidence import pages as evidence_pages
from carrel.evidence import routes as evidence_routes
from carrel.evidence.service import Proofs
from carrel.gateway import pages as gateway_pages
from carrel.gateway import routes as gateway_routes
from carrel.gateway.access import Access
from carrel.gateway.counters import Counters, door_totals
from carrel.gateway.epochs import make_epochs
from carrel.gateway.server import Gateway
from carrel.gateway.service import Entrance
from carrel.packages import pages as packages_pages
from carrel.packages import routes as packages_routes
from carrel.packages.records import traffic
from carrel.packages.server import PackageGateway
from carrel.packages.software import Software
from carrel.people import pages as people_pages
from carrel.people import routes as people_routes
from carrel.people.authenticator import RequestAuthenticator
from carrel.people.issuer import pages as issuer_pages
from carrel.people.issuer.keys import SigningKeys
from carrel.people.issuer.ports import Ground as IssuerGround
from carrel.people.issuer.service import Issuer
from carrel.people.proofs import local_proofs
from carrel.people.service import People
from carrel.people.tokens.bearer import access_tokens
from carrel.people.tokens.identity import tre_identity
from carrel.people.tokens.refusals import Refusals
from carrel.portal import pages as portal_pages
from carrel.portal.health import Health
from carrel.portal.trail import AuditTrail
from carrel.storage import store_of
from carrel.workspaces import pages as workspace_pages
from carrel.workspaces import routes as workspace_routes
from carrel.workspaces.meters import Meters
from carrel.workspaces.ports import WorkspaceRuntime
from carrel.workspaces.service import Workspaces
from carrel.workspaces.store import is_workspace
from carrel.workspaces.worker import Worker

log = structlog.get_logger()
BACKLOG = 512
SWEEP_SECONDS = 60.0
"""Pause between two looks for expired sessions and for requests whose work got lost."""

PAGES = [
    portal_pages.router,
    people_pages.router,
    issuer_pages.router,
    workspace_pages.router,
    airlock_pages.router,
    packages_pages.router,
    gateway_pages.router,
    evidence_pages.router,
    airlock_routes.blobs.router,
]
"""What people see, room by room."""
APIS = [
    people_routes.router,
    workspace_routes.router,
    airlock_routes.router,
    packages_routes.router,
    gateway_routes.router,
    evidence_routes.router,
    costs_routes.router,
]
"""What programs use, room by room."""


@dataclass(frozen=True, kw_only=True)
class Carrel:
    """The use cases of one TRE, over one database and one runtime."""

    settings: Settings
    clock: Clock
    database: Database
    audit: Audit
    keys: KeyRing
    runtime: WorkspaceRuntime
    people: People
    workspaces: Workspaces
    airlock: Airlock
    airlock_work: AirlockWork
    entrance: Entrance
    roles: Roles
    services: Services
    """The same use cases by type, as routes and pages ask for them."""


def build(
    settings: Settings, *, runtime: WorkspaceRuntime | None = None, clock: Clock | None = None
) -> Carrel:
    """Choose an implementation for every port; tests give their own runtime and clock."""
    clock = clock or SystemClock()
    runtime = runtime or runtime_of(settings)
    database = database_of(settings)
    audit, events, keys = Audit(clock), Events(), KeyRing(settings.home)
    queue = Queue(database, clock, lease_seconds=settings.lease_seconds)
    people = People(
        database=database,
        audit=audit,
        events=events,
        clock=clock,
        settings=settings,
        proofs=local_proofs(database, keys),
        is_workspace=is_workspace,
    )
    workspaces = Workspaces(
        database=database,
        audit=audit,
        events=events,
        clock=clock,
        settings=settings,
        queue=queue,
        runtime=runtime,
        people=people,
        keys=keys,
    )
    ground = Ground(
        database=database,
        audit=audit,
        clock=clock,
        events=events,
        queue=queue,
        settings=settings,
        store=store_of(settings),
        boxes=runtime,
        policies=workspaces,
        desks=WorkspaceDesks(workspaces),
        keys=keys,
    )
    airlock = Airlock(ground)
    entrance = Entrance(
        database=database, audit=audit, clock=clock, settings=settings, endpoints=workspaces
    )
    roles = Roles(database, clock)
    identity = tre_identity(settings, keys)
    issuer_ground = IssuerGround(
        database=database,
        audit=audit,
        clock=clock,
        settings=settings,
        identity=identity,
        accounts=people,
        is_workspace=is_workspace,
    )
    services = Services()
    services.add(
        identity,
        Issuer(issuer_ground, SigningKeys(settings.home, clock)),
        database,
        people,
        workspaces,
        airlock,
        entrance,
        Health(database, queue, roles, runtime.self_test),
        Proofs(database=database, audit=audit, clock=clock),
        AuditTrail(database),
        Software(database, workspaces),
        Costs(database, clock, settings),
    )
    return Carrel(
        settings=settings,
        clock=clock,
        database=database,
        audit=audit,
        keys=keys,
        runtime=runtime,
        people=people,
        workspaces=workspaces,
        airlock=airlock,
        airlock_work=AirlockWork(ground, guarded_scanners()),
        entrance=entrance,
        roles=roles,
        services=services,
    )


def make_web(carrel: Carrel) -> FastAPI:
    """Return the HTTP application: API and portal."""
    settings, clock = carrel.settings, carrel.clock
    own_keys = carrel.services.get(Issuer).keys
    authenticator = RequestAuthenticator(
        people=carrel.people,
        keys=carrel.keys,
        settings=settings,
        tokens=access_tokens(carrel.people, settings, carrel.keys, clock, own_keys),
        refusals=Refusals(carrel.database, carrel.audit),
    )
    app = create_app(carrel.services, settings, authenticator, PAGES, APIS)
    app.state.denied = authenticator.note_denied
    return app


def make_worker(carrel: Carrel, *, sweep_seconds: float = SWEEP_SECONDS) -> Worker:
    """Return a worker that knows every kind of work, and the chores of the house."""
    meters = Meters(
        database=carrel.database,
        clock=carrel.clock,
        runtime=carrel.runtime,
        door_bytes=lambda resource_id=None: _door_bytes(carrel.database, resource_id),
    )
    return Worker(
        carrel.workspaces,
        meters,
        takers=carrel.airlock_work.takers(),
        chores=[
            (sweep_seconds, carrel.people.end_expired_sessions),
            (sweep_seconds, carrel.airlock_work.recover),
            (sweep_seconds, carrel.airlock.end_expired_uploads),
        ],
    )


def make_gateway(carrel: Carrel) -> Gateway:
    """Return the gateway, the only way in for people."""
    access = Access(
        sessions=carrel.people,
        endpoints=carrel.workspaces,
        epochs=make_epochs(carrel.database),
        keys=carrel.keys,
    )
    return Gateway(
        settings=carrel.settings,
        doors=carrel.runtime,
        access=access,
        entrance=carrel.entrance,
        counters=Counters(carrel.database, carrel.clock),
    )


def openapi_document(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document of the API; needs no running TRE."""
    return make_web(build(settings)).openapi()


# The processes of the roles ---------------------------------------------------------------------


def run_serve(settings: Settings) -> None:
    """Serve the portal and the API until told to stop."""
    carrel = build(settings)
    tls = certificates.ensure(settings, carrel.clock.now())
    config = uvicorn.Config(
        make_web(carrel),
        host=settings.bind_address,
        port=settings.portal_port,
        ssl_certfile=str(tls.certificate),
        ssl_keyfile=str(tls.key),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever connects could write them, and choose whom we throttle
        backlog=BACKLOG,
        timeout_graceful_shutdown=3,
    )
    with _alive(carrel, Role.SERVE):
        uvicorn.Server(config).run()


def run_work(settings: Settings) -> None:
    """Take the steps of operations, and everything else that is queued, until told to stop."""
    carrel = build(settings)
    with carrel.database.write() as connection:
        carrel.workspaces.sync_shipped(connection)
        carrel.workspaces.name_resources(connection)
    carrel.airlock_work.recover()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _alive(carrel, Role.WORK):
        make_worker(carrel).run(stop)


def run_gateway(settings: Settings) -> None:
    """Let people through to their tools until told to stop."""
    carrel = build(settings)
    files = certificates.ensure(settings, carrel.clock.now())
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    gateway = make_gateway(carrel)
    with _alive(carrel, Role.GATEWAY):
        _run_async(lambda stop: gateway.run(stop, tls=tls))


def run_packages(settings: Settings) -> None:
    """Let software into workspaces until told to stop."""
    carrel = build(settings)
    packages = PackageGateway(
        settings=settings,
        database=carrel.database,
        audit=carrel.audit,
        clock=carrel.clock,
        doors=carrel.runtime,
        workspaces=carrel.workspaces,
    )
    with _alive(carrel, Role.PACKAGES):
        _run_async(packages.run)


def _run_async(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run until SIGTERM or SIGINT, on uvloop."""
    import uvloop  # noqa: PLC0415 - only the two doors need it

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextmanager
def _alive(carrel: Carrel, role: Role) -> Iterator[None]:
    """Say every few seconds, while the block runs, that this process is alive in `role`."""
    ended = threading.Event()

    def beat() -> None:
        is_announced = False
        while True:
            try:
                if not is_announced:
                    announce_ready(carrel.settings, role.value)
                    is_announced = True
                carrel.roles.beat(role)
            except Unavailable as error:
                log.warning("database_away", detail=error.log_detail)
            except OSError as error:  # a full disk: said again at the next beat
                log.warning("not_announced", detail=str(error))
            if ended.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    log.info("role_started", role=role.value, host=socket.gethostname())
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=2)
        try:
            carrel.roles.leave(role)
        except Unavailable as error:
            log.warning("database_away", detail=error.log_detail)


def _door_bytes(database: Database, resource_id: str | None) -> Mapping[str, int]:
    """Return the bytes through both doors since ever, by resource or workspace id."""
    with database.read() as connection:
        packages = {
            space: moved.received_bytes + moved.sent_bytes
            for space, moved in traffic(connection, resource_id).items()
        }
        return {**packages, **door_totals(connection, resource_id)}
