"""How fast do large files and many files go into review, and in how much memory?

The file's way is measured beside `cp` and `sha256sum` of it. Malware is not looked for here: its
scanner is a program of its own.
"""

import itertools
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._rows import promise
from carrel.airlock.ports import Ground, Policies
from carrel.airlock.rules import Direction, Status
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

GIB = 2**30
MANY = 10_000
SMALL_BYTES = 10_000
LARGE_BYTES = 10 * GIB
_LINE = b"12345,67890,abcdefg,1.25\n"
_BLOCK = _LINE * 40_000


class _Open:
    """Workspaces whose airlock is open."""

    airlock_enabled = True

    def policy(self, _workspace_id: str) -> "_Open":
        return self

    def is_deployed(self, _workspace_id: str) -> bool:
        return True


class _Door:
    """An airlock over SQLite and a folder, and a worker that does its work."""

    def __init__(self, folder: Path) -> None:
        limits: dict[str, Any] = {"request_file_limit": 2 * MANY, "request_bytes_limit": 2**40}
        database, clock = Database(f"sqlite:///{folder / 'carrel.db'}"), SystemClock()
        metadata.create_all(database.engine)
        self._queue = Queue(database, clock, lease_seconds=3600)
        workspaces: Any = _Open()
        policies: Policies = workspaces
        ground = Ground(
            database=database,
            audit=Audit(clock),
            clock=clock,
            events=Events(),
            queue=self._queue,
            settings=load(folder, **limits),
            store=FolderStore(folder / "store", clock),
            boxes=MemoryRuntime(),
            policies=policies,
            desks=workspaces,
            keys=KeyRing(folder),
        )
        self.airlock = Airlock(ground)
        self._work = AirlockWork(ground, standard_scanners())
        workspace = new_id()
        roles = {workspace: frozenset({WorkspaceRole.RESEARCHER})}
        self.author = Actor(id=new_id(), name="Author", workspace_roles=roles)
        made = self.airlock.create(
            self.author, workspace, type=Direction.IMPORT, title="t", justification="j"
        )
        self.request = made.id

    def add(self, name: str, content: Iterator[bytes]) -> None:
        """Take one file into the draft."""
        self.airlock.add_file(self.author, self.request, name, content)

    def review(self) -> float:
        """Submit; returns the seconds until reviewers can look."""
        began = time.perf_counter()
        self.airlock.submit(self.author, self.request)
        while item := self._queue.claim("benchmark"):
            self._work.takers()[item.kind](item, self._queue)
        seconds = time.perf_counter() - began
        request = self.airlock.get(self.author, self.request)
        if request.status is not Status.IN_REVIEW:
            raise RuntimeError(f"{request.status}: {request.status_message}")
        return seconds


def run() -> list[dict[str, Any]]:
    """Return the promises about the speed and the memory of the airlock."""
    with tempfile.TemporaryDirectory(prefix="carrel-airlock-") as name:
        large, floor = _large(Path(name))
    with tempfile.TemporaryDirectory(prefix="carrel-airlock-") as name:
        many, plain = _many(Path(name))
    words = [sys.executable, "-m", "benchmarks.airlock_speed"]
    memory, idle = (
        float(subprocess.run([*words, size], check=True, capture_output=True, text=True).stdout)
        for size in (str(LARGE_BYTES), str(SMALL_BYTES))
    )
    return [
        promise("1 GiB CSV, submit to review", large, "s", floor, ratio_at_most=2),
        promise("10,000 files of 10 kB into review", many, "s", plain, at_most=60),
        promise("memory for a file of 10 GiB", memory, "MiB", idle, at_most=300),
    ]


def _large(folder: Path) -> tuple[float, float]:
    source, copy = folder / "table.csv", folder / "copy.csv"
    with source.open("wb") as file:
        for _ in range(GIB // len(_BLOCK) + 1):
            file.write(_BLOCK)
    began = time.perf_counter()
    subprocess.run(["cp", source, copy], check=True)
    subprocess.run(["sha256sum", copy], check=True, capture_output=True)
    floor = time.perf_counter() - began
    copy.unlink()
    door = _Door(folder)
    with source.open("rb") as file:
        door.add(source.name, iter(lambda: file.read(2**20), b""))
    return door.review(), floor


def _many(folder: Path) -> tuple[float, float]:
    content = _BLOCK[: SMALL_BYTES - SMALL_BYTES % len(_LINE)]
    plain = folder / "plain"
    plain.mkdir()
    began = time.perf_counter()
    for number in range(MANY):
        (plain / str(number)).write_bytes(content)
    subprocess.run(["cp", "-r", plain, folder / "copy"], check=True)
    reference = time.perf_counter() - began
    door = _Door(folder)
    began = time.perf_counter()
    for number in range(MANY):
        door.add(f"table-{number}.csv", iter([content]))
    door.review()
    return time.perf_counter() - began, reference


def _peak_mib(size_bytes: int) -> float:
    """Return the peak memory of this process after a file of this size is in review."""
    with tempfile.TemporaryDirectory(prefix="carrel-airlock-") as name:
        door = _Door(Path(name))
        blocks = max(size_bytes // len(_BLOCK), 1)
        door.add("table.csv", iter(itertools.repeat(_BLOCK, blocks)))
        door.review()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(_peak_mib(int(sys.argv[1])))
