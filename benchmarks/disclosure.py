"""How fast does the airlock say what tables reveal: as ACRO claims, and with all that left?"""

import csv
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._rows import promise
from carrel.airlock.ports import Ground, Policies
from carrel.airlock.rules import Status
from carrel.airlock.rules.differencing import Released, compare
from carrel.airlock.rules.differencing.bounds import Said, Solver
from carrel.airlock.rules.differencing.equations import build
from carrel.airlock.rules.sidecar import Count, TableMeta, Variable
from carrel.airlock.scanners import standard_scanners
from carrel.airlock.service import Airlock
from carrel.airlock.stores import FolderStore
from carrel.airlock.work import AirlockWork
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.audit import Audit
from carrel.core.clock import SystemClock
from carrel.core.database import Database, metadata
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.queue import Queue
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import Member, WorkspacePlan

THRESHOLD = 10
SHAPE = (20, 10, 5)
RELEASES = 20
OUTPUTS = 100


def run() -> list[dict[str, Any]]:
    """Return the promises about disclosure control."""
    compared, building = _differencing()
    with tempfile.TemporaryDirectory(prefix="carrel-disclosure-") as name:
        session, reading = _session(Path(name))
    return [
        promise("1,000 cells held against 20 releases", compared, "s", building, at_most=2),
        promise("ACRO session of 100 outputs verified", session, "s", reading, at_most=5),
    ]


def _differencing() -> tuple[float, float]:
    """Return the seconds of a comparison, and those of writing its equations down."""
    truth = np.random.default_rng(1).poisson(14, SHAPE)
    variables = [
        Variable(name=name, categories=tuple(f"{name}{at}" for at in range(size)))
        for name, size in zip("abc", SHAPE, strict=True)
    ]
    shapes = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    earlier = [_released(truth, variables, shapes[at % 6], f"r{at}") for at in range(RELEASES)]
    new = _released(truth, variables, (0, 1, 2), "new")
    began = time.perf_counter()
    found = compare(new, earlier, THRESHOLD)
    seconds = time.perf_counter() - began
    if not found:
        raise RuntimeError("nothing was found: the comparison did nothing")
    began = time.perf_counter()
    Solver(Said.by(build([*earlier, new])))
    return seconds, time.perf_counter() - began


def _released(
    truth: np.ndarray[Any, Any], variables: Sequence[Variable], kept: Sequence[int], name: str
) -> Released:
    """Return a table over some of the variables, with its small counts hidden."""
    sums = truth.sum(axis=tuple(at for at in range(truth.ndim) if at not in kept))
    shown = [variables[at] for at in kept]
    counts = []
    for row, where in enumerate(np.ndindex(sums.shape), start=2):
        place = {each.name: each.categories[at] for each, at in zip(shown, where, strict=True)}
        count = int(sums[where])
        low, high = (0, THRESHOLD - 1) if count < THRESHOLD else (count, count)
        counts.append(Count(place, low, high, row=row))
    said = {"carrel": 1, "dataset": "d", "dataset_version": "1", "statistic": "count"}
    return Released(name, TableMeta.model_validate({**said, "rows": shown}), counts)


class _Open:
    """Workspaces whose airlock is open."""

    airlock_enabled = True

    def policy(self, _workspace_id: str) -> "_Open":
        return self

    def is_deployed(self, _workspace_id: str) -> bool:
        return True

    def host_member(self, _workspace_id: str, _account_id: str) -> Member:
        return Member(200_000, "author")


def _session(folder: Path) -> tuple[float, float]:
    """Return the seconds from an ACRO session in a draft to its review, and those to read it."""
    database, clock = Database(f"sqlite:///{folder / 'carrel.db'}"), SystemClock()
    metadata.create_all(database.engine)
    queue, runtime = Queue(database, clock, lease_seconds=3600), MemoryRuntime()
    workspaces: Any = _Open()
    policies: Policies = workspaces
    ground = Ground(
        database=database,
        audit=Audit(clock),
        clock=clock,
        events=Events(),
        queue=queue,
        settings=load(folder, request_file_limit=10 * OUTPUTS),
        keys=KeyRing(folder),
        store=FolderStore(folder / "store", clock),
        boxes=runtime,
        policies=policies,
        desks=workspaces,
    )
    airlock, work = Airlock(ground), AirlockWork(ground, standard_scanners())
    workspace = new_id()
    runtime.prepare(WorkspacePlan(workspace, gid=200_000, disk_bytes=2**30))
    roles = {workspace: frozenset({WorkspaceRole.RESEARCHER})}
    author = Actor(id=new_id(), name="Author", workspace_roles=roles)
    request = airlock.create(author, workspace, type="export", title="t", justification="j").id
    files = _acro_files()
    for name, content in files.items():
        runtime.put_outbox(workspace, name, content)
    airlock.add_from_outbox(author, request, list(files))
    began = time.perf_counter()
    airlock.adopt_session(author, request, "")
    airlock.submit(author, request)
    while item := queue.claim("benchmark"):
        work.takers()[item.kind](item, queue)
    seconds = time.perf_counter() - began
    now = airlock.get(author, request)
    if now.status is not Status.IN_REVIEW or len(now.files) != OUTPUTS:
        raise RuntimeError(f"{now.status}: {now.status_message}, {len(now.files)} files")
    began = time.perf_counter()
    for name, content in files.items():
        hashlib.sha256(content).hexdigest()
        if name.endswith(".csv"):
            list(csv.reader(io.StringIO(content.decode())))
    json.loads(files["results.json"])
    return seconds, time.perf_counter() - began


def _acro_files() -> dict[str, bytes]:
    """Return a session folder as ACRO 1.0.2 writes one, with a hundred tables."""
    rows = "".join(f"r{row},{40 + row},{60 + row}\n" for row in range(30))
    table = f"region,f,m\n{rows}".encode()
    names = [f"output_{number}_0.csv" for number in range(OUTPUTS)]
    outcome = {sex: {f"r{row}": "ok" for row in range(30)} for sex in ("f", "m")}
    results = {
        name: {
            "uid": name,
            "status": "pass",
            "type": "table",
            "properties": {"method": "crosstab"},
            "files": [{"name": name, "sdc": {"summary": {}, "cells": {}}}],
            "outcome": outcome,
            "command": "acro.crosstab(region, sex)",
            "summary": "",
            "timestamp": "2026-11-24T04:54:02.151595",
            "comments": [],
            "exception": "",
            "fair": {"independent": ["region", "sex"]},
        }
        for name in names
    }
    document = {"version": "1.0.2", "tool": {}, "results": results}
    digest = hashlib.sha256(table).hexdigest().encode()
    return {
        "results.json": json.dumps(document).encode(),
        "config.json": b'{"safe_threshold": 10, "zeros_are_disclosive": true}',
        **dict.fromkeys(names, table),
        **{f"checksums/{name}.txt": digest for name in names},
    }
