"""What do lists and single resources cost over HTTP, beside the ordinary way to write the route?

Everything is asked over real HTTP on loopback, without TLS, of one uvicorn process that holds the
whole application; the reference routes lie in the same application, behind the same middleware,
on the same database and rows, and know people by the same token check. Each pair is measured in
turns. Lists are asked for again and again, as the portal and programs do, while nothing changes, so
that the server knows what it answered; of the lists the least disturbed round counts, of p99 the
median round. The list after a change of every line is measured too: nothing of it is known then.
"""

import contextlib
import http.client
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import select, update

from benchmarks._rows import promise
from benchmarks._servers import free_ports, wait_for
from carrel.app import Carrel, build, make_web, make_worker
from carrel.core import logs
from carrel.core.actors import TreRole, system
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id
from carrel.core.settings import Settings, load
from carrel.core.web import ActorDep
from carrel.runtime.memory import MemoryRuntime
from carrel.workspaces.routes.bodies import WorkspacesDep
from carrel.workspaces.routes.shapes import resource_json
from carrel.workspaces.tables import resources

PASSWORD = "correct horse battery"
WORKSPACES, FEW, MANY = 1000, 100, 10_000
ROUNDS, LISTS, SINGLE_ROUNDS, CLIENTS, ASKED = 6, 15, 6, 8, 150
PAGE = 50
LIST, ONE = "/api/workspaces", "/reference/one"
REFERENCE = "/reference/workspaces"


def run() -> list[dict[str, Any]]:
    """Return the promises of the API."""
    with _served(WORKSPACES) as place:
        whole, changed = _list_rates(place), _changed_rates(place)
        single = _single_p99(place)
    pages = {}
    for count in (MANY, FEW):
        with _served(count) as place:
            pages[count] = _page_seconds(place, count)
    return [
        promise(
            f"list of {WORKSPACES} workspaces beside FastAPI's response_model",
            *whole,
            ratio_at_least=5,
        ),
        promise(
            f"the same list right after every one of the {WORKSPACES} changed",
            *changed,
            ratio_at_least=1,
        ),
        promise(
            f"p99 of GET one workspace at {CLIENTS} clients beside a bare route, same token check",
            *single,
            ratio_at_most=3,
        ),
        promise(
            f"a page of {PAGE} out of {MANY} workspaces beside one out of {FEW}",
            pages[MANY] * 1e3,
            "ms",
            pages[FEW] * 1e3,
            ratio_at_most=1.3,
        ),
    ]


class _Place:
    """A running server, and a client's token."""

    def __init__(self, port: int, settings: Settings, token: str, some_id: str) -> None:
        self.port, self.some_id = port, some_id
        self._settings = settings
        self._headers = {"Authorization": f"Bearer {token}"}

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept."""
        made = http.client.HTTPConnection("127.0.0.1", self.port)
        made.connect()
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def change_all(self) -> None:
        """Give every workspace a new etag."""
        database = Database(self._settings.database)
        with database.write() as connection:
            connection.execute(update(resources).values(etag=new_id()[:16]))
        database.close()

    def get(self, connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes, Any]:
        """Return the seconds until the whole answer was there, the answer, and its headers."""
        began = time.perf_counter()
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return seconds, body, answer.headers


def _list_rates(place: _Place) -> tuple[float, str, float]:
    """Return lists per second, Carrel's and the reference's; the answers hold the same lines."""
    connection = place.connect()
    seconds: dict[str, list[float]] = {LIST: [], REFERENCE: []}
    answers = {path: place.get(connection, path)[1] for path in seconds}
    if {body.count(b'"_etag"') for body in answers.values()} != {WORKSPACES}:
        raise RuntimeError("The two lists are not the same.")
    for _ in range(ROUNDS):
        for path, found in seconds.items():
            took = [place.get(connection, path)[0] for _ in range(LISTS)]
            found.append(statistics.mean(took))
    connection.close()
    ours, reference = (1 / min(found) for found in seconds.values())  # the least disturbed ones
    return ours, "lists/s", reference


def _changed_rates(place: _Place) -> tuple[float, str, float]:
    """Return lists per second when nothing of a list is known."""
    connection = place.connect()
    seconds: dict[str, list[float]] = {LIST: [], REFERENCE: []}
    for _ in range(LISTS):
        for path, found in seconds.items():
            place.change_all()
            found.append(place.get(connection, path)[0])
    connection.close()
    ours, reference = (1 / statistics.median(found) for found in seconds.values())
    return ours, "lists/s", reference


def _single_p99(place: _Place) -> tuple[float, str, float]:
    """Return the p99 in milliseconds of Carrel's route and of the bare one."""
    paths = (f"{LIST}/{place.some_id}", ONE)
    found: dict[str, list[float]] = {path: [] for path in paths}
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        clients = [stack.enter_context(contextlib.closing(place.connect())) for _ in range(CLIENTS)]

        def ask(client: http.client.HTTPConnection, path: str, count: int) -> list[float]:
            return [place.get(client, path)[0] for _ in range(count)]

        for number in range(1 + SINGLE_ROUNDS):
            for path in paths:
                jobs = [pool.submit(ask, client, path, ASKED) for client in clients]
                seconds = [each for job in jobs for each in job.result()]
                if number:  # the first round warms
                    found[path].append(statistics.quantiles(seconds, n=100)[98] * 1e3)
    ours, bare = (statistics.median(each) for each in found.values())
    return ours, "ms", bare


def _page_seconds(place: _Place, total: int) -> float:
    """Return the median time of a page in the middle of the list."""
    connection = place.connect()
    where = f"{LIST}?limit={total // 2}" if total <= 1000 else f"{LIST}?limit=1000"
    cursor = ""
    for _ in range(max(1, total // 2000)):
        _, body, headers = place.get(connection, where + cursor)
        del body
        cursor = f"&cursor={headers['Link'].split('cursor=')[1].split('>')[0]}"
    path = f"{LIST}?limit={PAGE}{cursor}"
    seconds = [place.get(connection, path)[0] for _ in range(200)]
    connection.close()
    return statistics.median(seconds[50:])


# The server -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _served(count: int) -> Iterator[_Place]:
    with tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as folder:
        settings = load(Path(folder), requests_per_minute=0)
        token, some_id = _fill(settings, count)
        (port,) = free_ports(1)
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(settings, port), daemon=True
        )
        process.start()
        try:
            wait_for(port)
            yield _Place(port, settings, token, some_id)
        finally:
            process.terminate()
            process.join(5)


def _fill(settings: Settings, count: int) -> tuple[str, str]:
    """Make a TRE with `count` workspaces; returns an administrator's token, and an id."""
    carrel = build(settings, runtime=MemoryRuntime())
    metadata.create_all(carrel.database.engine)
    with carrel.database.write() as connection:
        carrel.workspaces.sync_shipped(connection)
    carrel.people.create_account(
        system("benchmark"),
        username="ada",
        display_name="Ada",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.ADMIN, TreRole.USER}),
    )
    token = carrel.people.sign_in("ada", PASSWORD, kind="api", client="benchmark").token
    given = {"display_name": "Study 0", "description": "One of many studies of the benchmark"}
    made, _ = carrel.workspaces.create_workspace(system("benchmark"), "restricted", given)
    make_worker(carrel).run_until_idle()
    _multiply(carrel, made.id, count)
    carrel.database.close()
    return token, made.id


def _multiply(carrel: Carrel, workspace_id: str, count: int) -> None:
    """Write the row of one workspace `count - 1` times again, as other workspaces."""
    columns = [column for column in resources.c if column.computed is None]
    with carrel.database.write() as connection:
        query = select(*columns).where(resources.c.id == workspace_id)
        pattern = dict(connection.execute(query).mappings().one())
        rows = []
        for number in range(1, count):
            fresh = new_id()
            properties = {**pattern["properties"], "display_name": f"Study {number}"}
            at = pattern["created_at"] + timedelta(seconds=number)
            rows.append(
                {
                    **pattern,
                    "id": fresh,
                    "workspace_id": fresh,
                    "properties": properties,
                    "created_at": at,
                    "unique_name": None,
                    "etag": f"{number:016x}",
                }
            )
        connection.execute(resources.insert(), rows)


class _Upgrade(BaseModel):
    version: str
    forceUpdateRequired: bool  # noqa: N815 - AzureTRE's word


class _User(BaseModel):
    id: str
    name: str
    email: str
    roles: list[str]
    roleAssignments: list[str]  # noqa: N815 - AzureTRE's word


class _Workspace(BaseModel, extra="allow"):
    id: str
    templateName: str  # noqa: N815 - AzureTRE's word
    templateVersion: str  # noqa: N815 - AzureTRE's word
    properties: dict[str, Any]
    availableUpgrades: list[_Upgrade]  # noqa: N815 - AzureTRE's word
    isEnabled: bool  # noqa: N815 - AzureTRE's word
    resourceType: str  # noqa: N815 - AzureTRE's word
    deploymentStatus: str | None  # noqa: N815 - AzureTRE's word
    resourcePath: str  # noqa: N815 - AzureTRE's word
    resourceVersion: int  # noqa: N815 - AzureTRE's word
    user: _User
    updatedWhen: float  # noqa: N815 - AzureTRE's word
    workspaceURL: str  # noqa: N815 - AzureTRE's word


class _Workspaces(BaseModel):
    workspaces: list[_Workspace]


def _with_references(app: FastAPI) -> FastAPI:
    """Add the routes as they are ordinarily written."""

    @app.get(REFERENCE, response_model=_Workspaces)
    def reference(actor: ActorDep, workspaces: WorkspacesDep) -> Any:
        found = workspaces.list_workspaces(actor)
        upgrades = workspaces.available_upgrades(found[0])  # all have one template: asked once
        return {"workspaces": [resource_json(each, upgrades) for each in found]}

    @app.get(ONE)
    def bare(actor: ActorDep) -> dict[str, str]:
        return {"id": actor.id}

    return app


def _serve(settings: Settings, port: int) -> None:
    os.dup2(os.open(settings.home / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), 2)
    logs.configure("serve")
    carrel = build(settings, runtime=MemoryRuntime())
    app = _with_references(make_web(carrel))
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)
