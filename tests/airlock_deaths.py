"""How does a worker of the airlock die by `kill -9` at exactly its n-th change?

It runs in a process of its own, forked from a clean one: the parent of a test holds threads of the
object store's library. Every call that changes something outside the process is counted.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrel.airlock.rules import Status
from carrel.airlock.stores import FolderStore
from carrel.core.actors import Actor
from carrel.core.database import Database
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import WorkspacePlan
from tests.airlock import Bench
from tests.object_services import Service

CHANGES = {"rename", "fsync", "unlink", "mkdir", "copy", "delete", "Connection.commit"}


class InboxOnDisk(MemoryRuntime):
    """Remembers in files what was delivered, so that it outlives a killed worker."""

    def __init__(self, root: Path, workspace: str) -> None:
        super().__init__()
        self._root = root
        self.prepare(WorkspacePlan(workspace, gid=200_000, disk_bytes=2**30))

    def deliver_inbox(self, workspace_id, path, content):
        target = self._root / workspace_id / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(content.read())
        partial.rename(target)

    def remove_inbox(self, workspace_id, path):
        raise AssertionError("nothing is taken back in these stories")

    def inbox(self, workspace_id):
        folder = self._root / workspace_id
        files = (path for path in folder.rglob("*") if path.is_file())
        kept = (path for path in files if path.suffix != ".partial")
        return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@dataclass(frozen=True)
class Scene:
    """Everything a new process needs to go on with one request."""

    folder: Path
    workspace: str
    author: Actor
    reviewer: Actor
    service: Service | None
    """None: the files lie in a folder."""

    def store(self) -> Any:
        if self.service is None:
            return FolderStore(self.folder / "store")
        return self.service.store(self.folder / "spool", self.folder.name)

    def bench(self, database: Database) -> Bench:
        runtime = InboxOnDisk(self.folder / "inbox", self.workspace)
        bench = Bench(database, store=self.store(), runtime=runtime, workspace=self.workspace)
        bench.author, bench.reviewer = self.author, self.reviewer
        bench.people = {each.id: each for each in (self.author, self.reviewer)}
        return bench


def go_on(bench: Bench, request_id: str, *, approve: bool) -> None:
    """Do what is left to do with a request: work, review, work."""
    bench.work.recover()
    bench.run_work()
    request = bench.airlock.get(bench.reviewer, request_id)
    if request.status is Status.IN_REVIEW:
        bench.airlock.review(
            bench.reviewer, request_id, approve=approve, explanation="because",
            seen_manifest_sha256=request.manifest_sha256,
        )  # fmt: skip
    bench.run_work()


def died(scene: Scene, database_url: str, request_id: str, *, approve: bool, at: int) -> bool:
    """Go on in a process that is killed at its change number `at`; says whether it was."""
    process = _context().Process(target=_live, args=(scene, database_url, request_id, approve, at))
    process.start()
    process.join(60)
    assert process.exitcode in {0, -signal.SIGKILL}, process.exitcode
    killed = process.exitcode != 0
    process.close()
    return killed


def died_uploading(scene: Scene, request_id: str, file_id: str) -> bool:
    """Put a file of many parts in a process that is killed after most of them."""
    process = _context().Process(target=_upload, args=(scene, request_id, file_id))
    process.start()
    process.join(60)
    return process.exitcode == -signal.SIGKILL


def _upload(scene: Scene, request_id: str, file_id: str) -> None:
    def content() -> Iterator[bytes]:
        yield from [b"x" * 2**20] * 40
        os.kill(os.getpid(), signal.SIGKILL)

    scene.store().put(request_id, file_id, content(), limit_bytes=2**30)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _live(scene: Scene, database_url: str, request_id: str, approve: bool, at: int) -> None:
    bench = scene.bench(Database(database_url))
    sys.setprofile(_killer(at))
    go_on(bench, request_id, approve=approve)
    sys.setprofile(None)


def _killer(at: int) -> Callable[[Any, str, Any], None]:
    left = at

    def profile(_frame: Any, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and getattr(called, "__qualname__", "") in CHANGES:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    return profile
