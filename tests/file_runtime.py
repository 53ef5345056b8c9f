"""How do kill tests get a runtime that outlives a killed worker? It keeps its world in files."""

import json
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from carrel.core.errors import NotFound, OutsideFailure, Unavailable
from carrel.runtime.memory import FIRST_UID, LAST_UID, MemoryRuntime
from carrel.runtime.ports import SandboxPlan, State, Usage, WorkspacePlan


class FileRuntime(MemoryRuntime):
    """A host made of folders: a workspace is a folder, a running sandbox a file in it.

    `pulse` is called in the middle of every change, where a real host would be half changed.
    A file `broken` in the root makes `prepare` fail for good, after half of its work.
    """

    def __init__(self, root: Path, pulse: Callable[[str], None] = lambda name: None) -> None:
        super().__init__()
        self._root = root
        self._pulse = pulse
        root.mkdir(exist_ok=True)

    def uid_range(self) -> tuple[int, int]:
        return FIRST_UID, LAST_UID

    def prepare(self, plan: WorkspacePlan) -> None:
        folder = self._root / plan.id
        folder.mkdir(exist_ok=True)
        self._pulse("prepare")
        if (self._root / "broken").exists():
            raise OutsideFailure("The disk is broken.")
        (folder / "plan").write_text(
            json.dumps({**asdict(plan), "isolation": sorted(plan.isolation)})
        )

    def remove(self, workspace_id: str) -> None:
        for file in self._boxes(workspace_id):
            file.unlink()
        self._pulse("remove")
        shutil.rmtree(self._root / workspace_id, ignore_errors=True)

    def start(self, plan: SandboxPlan) -> None:
        if not (self._root / plan.workspace_id / "plan").exists():
            raise NotFound("This workspace is not prepared on this host.")
        self._pulse("start")
        (self._root / plan.workspace_id / f"{plan.id}.box").write_text(str(plan.member.uid))

    def state(self, workspace_id: str, sandbox_id: str) -> State:
        runs = (self._root / workspace_id / f"{sandbox_id}.box").exists()
        return State.RUNNING if runs else State.ABSENT

    def stop(self, workspace_id: str, sandbox_id: str, *, grace_seconds: float = 3.0) -> None:
        (self._root / workspace_id / f"{sandbox_id}.box").unlink(missing_ok=True)
        self._pulse("stop")

    def running(self) -> Mapping[str, Sequence[str]]:
        return {
            folder.name: [file.stem for file in self._boxes(folder.name)]
            for folder in self._root.iterdir()
            if folder.is_dir()
        }

    def usage(self, workspace_id: str, sandbox_id: str | None = None) -> Usage | None:
        name = f"{sandbox_id}.box" if sandbox_id else "plan"
        if not (self._root / workspace_id / name).exists():
            return None
        return Usage("epoch", 1.0, 0, 0, 0, 1, "file")

    def dial(self, workspace_id: str, port: int, *, uid: int | None = None) -> socket.socket:
        if not self._boxes(workspace_id):
            raise Unavailable("Nobody listens yet.")
        near, far = socket.socketpair()
        far.close()
        return near

    def _boxes(self, workspace_id: str) -> list[Path]:
        return sorted((self._root / workspace_id).glob("*.box"))
