"""What does it cost to record every change, and to check the record?

Appending is measured beside bare durable inserts: the same line and hash, one transaction each,
with sqlite3 alone on the same settings and the same disk, in turns, so that both feel the same
noise. Checking is measured beside a bare SHA-256 chain over the same lines: both read from the
same database, and both from memory.
"""

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks._rows import promise
from carrel.core.actors import Actor
from carrel.core.audit import (
    GENESIS,
    Audit,
    Verification,
    audit_events,
    export_lines,
    stored_rows,
    verify,
    verify_chain,
)
from carrel.core.clock import SystemClock
from carrel.core.database import Database

ROUNDS, BATCH = 12, 60
CHECKED_EVENTS, CHECKS = 40_000, 7
ACTOR = Actor("5f0c5a0e-3f2b-4b6a-9a5e-0b8f3a1c2d4e", "Ada Lovelace", request_id="r-1")
WORKSPACE = "0d7c1f9a-6f3e-4a49-8f70-2d2f0a9b7c11"


def run() -> list[dict[str, Any]]:
    """Return the promises of the audit chain."""
    with tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as folder:
        return [_appends(Path(folder)), *_verification(Path(folder))]


def _appends(folder: Path) -> dict[str, Any]:
    database, audit = _database(folder / "appends.db"), Audit(SystemClock())
    bare = _bare(folder / "bare.db")
    line = _sample_line()
    seconds = {"carrel": 0.0, "bare": 0.0}
    for _ in range(ROUNDS):
        seconds["carrel"] += _timed(lambda: _append(database, audit, BATCH))
        seconds["bare"] += _timed(lambda: _insert(bare, line, BATCH))
    database.close()
    bare.close()
    done = ROUNDS * BATCH
    return promise(
        "audit appends",
        done / seconds["carrel"],
        "events/s",
        done / seconds["bare"],
        ratio_at_least=0.6,
    )


def _verification(folder: Path) -> list[dict[str, Any]]:
    path = folder / "verified.db"
    database = _database(path)
    _fill(database, CHECKED_EVENTS)
    with database.read() as connection:
        rows = list(stored_rows(connection))
    lines = [body for _, body, _ in rows]
    stored = _best(lambda: _check(verify(database)), lambda: _chain(_read_bare(path)))
    held = _best(lambda: _check(verify_chain(rows)), lambda: _chain(lines))
    database.close()
    return [
        promise(
            name, CHECKED_EVENTS / carrel, "events/s", CHECKED_EVENTS / bare, ratio_at_least=0.5
        )
        for name, (carrel, bare) in {
            "audit verification, read from the database": stored,
            "audit verification, rows in memory": held,
        }.items()
    ]


def _best(carrel: Callable[[], None], bare: Callable[[], None]) -> tuple[float, float]:
    """Return the least seconds of each, measured in turns."""
    pairs = [(_timed(carrel), _timed(bare)) for _ in range(CHECKS)]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def _database(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    audit_events.create(database.engine)
    return database


def _append(database: Database, audit: Audit, count: int) -> None:
    for number in range(count):
        with database.write() as connection:
            audit.append(
                connection,
                ACTOR,
                "workspace.updated",
                WORKSPACE,
                workspace_id=WORKSPACE,
                number=number,
                reason="because it is measured",
            )


def _fill(database: Database, count: int) -> None:
    """Write many events in few transactions."""
    audit = Audit(SystemClock())
    for _ in range(count // 2000):
        with database.write() as connection:
            for number in range(2000):
                audit.append(
                    connection, ACTOR, "airlock.submitted", WORKSPACE, workspace_id=WORKSPACE,
                    number=number,
                )  # fmt: skip


def _check(found: Verification) -> None:
    assert found.intact
    assert found.events == CHECKED_EVENTS


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE lines (seq INTEGER PRIMARY KEY, body TEXT, hash TEXT)")
    return connection


def _insert(connection: sqlite3.Connection, body: str, count: int) -> None:
    digest = hashlib.sha256(body.encode()).hexdigest()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO lines (body, hash) VALUES (?, ?)", (body, digest))
        connection.execute("COMMIT")


def _sample_line() -> str:
    """Return one line of the size that Carrel writes."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(Path(folder) / "sample.db")
        _append(database, Audit(SystemClock()), 1)
        line = next(iter(export_lines(database)))
        database.close()
    return line


def _read_bare(path: Path) -> Iterator[str]:
    """Read the lines with sqlite3 alone."""
    with closing(sqlite3.connect(path)) as connection:
        for (body,) in connection.execute("SELECT body FROM audit_events ORDER BY seq"):
            yield body


def _chain(lines: Iterable[str]) -> None:
    previous = GENESIS
    for line in lines:
        previous = hashlib.sha256((previous + line).encode()).hexdigest()


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
