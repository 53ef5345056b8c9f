"""What does it cost to take a step of an operation durably?

Beside it, in the same run and in turns: a bare loop over one table, with sqlite3 alone on the
same settings and the same disk, which claims an item and completes it, one transaction each.
Carrel's step does more: fencing, the operation's and the step's record, a look for a cancel.
What the steps themselves do is left out; one operation has as many steps as creating a
workspace with an owner.
"""

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from benchmarks._rows import promise
from carrel.core.actors import Actor, WorkspaceRole, system
from carrel.core.audit import Audit
from carrel.core.clock import SystemClock
from carrel.core.database import Database, metadata
from carrel.core.events import Events
from carrel.core.ids import new_id
from carrel.core.queue import Queue
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.runtime.memory import MemoryRuntime
from carrel.workspaces.meters import Meters
from carrel.workspaces.operations import Engine
from carrel.workspaces.plans import PlannedStep
from carrel.workspaces.ports import MemberRecord
from carrel.workspaces.rules import Resource
from carrel.workspaces.service import Workspaces
from carrel.workspaces.service.base import OPERATION
from carrel.workspaces.steps import StepKind

STEPS = 4
ROUNDS, OPERATIONS = 8, 12
GOAL = 0.4


def run() -> list[dict[str, Any]]:
    """Return the promise of the operations engine."""
    with tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as name:
        folder = Path(name)
        carrel, bare = _Carrel(folder), _bare(folder / "bare.db")
        seconds = {"carrel": 0.0, "bare": 0.0}
        for _ in range(ROUNDS):
            carrel.ask(OPERATIONS)
            seconds["carrel"] += _timed(carrel.work)
            _fill(bare, OPERATIONS * STEPS)
            seconds["bare"] += _timed(lambda: _claim_and_complete(bare))
        bare.close()
        carrel.close()
    done = ROUNDS * OPERATIONS * STEPS
    return [
        promise(
            "durable steps",
            done / seconds["carrel"],
            "steps/s",
            done / seconds["bare"],
            ratio_at_least=GOAL,
        )
    ]


def _timed(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class _Nobody:
    """A TRE without members."""

    def members_for_system(self, workspace_id: str) -> Sequence[MemberRecord]:
        del workspace_id
        return []

    def assign_role(
        self, actor: Actor, workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> None:
        del actor, workspace_id, account_id, role

    def drop_workspace(self, connection: Connection, workspace_id: str) -> None:
        del connection, workspace_id

    def bump_access_epoch(self, connection: Connection) -> None:
        del connection


class _Carrel:
    """The engine over a real database, with steps that do nothing on the host."""

    def __init__(self, folder: Path) -> None:
        clock, database = SystemClock(), Database(f"sqlite:///{folder / 'carrel.db'}")
        metadata.create_all(database.engine)
        self._queue = Queue(database, clock)
        runtime = MemoryRuntime()
        self._room = Workspaces(
            database=database,
            audit=Audit(clock),
            events=Events(),
            clock=clock,
            settings=load(folder),
            queue=self._queue,
            runtime=runtime,
            people=_Nobody(),
            keys=KeyRing(folder),
        )
        meters = Meters(database=database, clock=clock, runtime=runtime)
        self._engine = Engine(self._room, meters, steps={"nothing": StepKind()})
        with database.write() as connection:
            self._room.sync_shipped(connection)

    def ask(self, count: int) -> None:
        """Ask for `count` operations, each on a workspace of its own."""
        for workspace in [self._workspace() for _ in range(count)]:
            steps = [PlannedStep("nothing", "Do nothing", workspace.id)] * STEPS
            with self._room.changing() as connection:
                self._room.begin(connection, system("benchmark"), workspace, "repair", steps)

    def _workspace(self) -> Resource:
        made, operation = self._room.create_workspace(
            system("benchmark"), "restricted", {"display_name": new_id()}
        )
        self._room.cancel_operation(system("benchmark"), operation.id)
        self.work()
        return made

    def work(self) -> None:
        """Take every step there is."""
        while item := self._queue.claim("benchmark", frozenset({OPERATION})):
            self._engine.take(item, self._queue)

    def close(self) -> None:
        """Give the database back."""
        self._room.database.close()


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, state TEXT, owner TEXT)")
    connection.execute("CREATE INDEX waiting ON items (state, id)")
    return connection


def _fill(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO items (state) VALUES (?)", [("waiting",) for _ in range(count)]
    )
    connection.execute("COMMIT")


_CLAIM = """UPDATE items SET state = 'claimed', owner = 'bare' WHERE id = (
    SELECT id FROM items WHERE state = 'waiting' ORDER BY id LIMIT 1) RETURNING id"""
_COMPLETE = "UPDATE items SET state = 'done' WHERE id = ? AND owner = 'bare'"


def _claim_and_complete(connection: sqlite3.Connection) -> None:
    while True:
        connection.execute("BEGIN IMMEDIATE")
        with closing(connection.execute(_CLAIM)) as cursor:
            row = cursor.fetchone()
        connection.execute("COMMIT")
        if row is None:
            return
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_COMPLETE, row)
        connection.execute("COMMIT")
