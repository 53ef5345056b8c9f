"""How does the rest of Carrel behave when the runtime only remembers what it was told?

The test double of the runtime: the same contract as the local driver, no process, no root.
Doors are real loopback sockets; boxes are dictionaries; faults come on demand.
"""

import io
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from carrel.core.errors import CarrelError, Conflict, InvalidRequest, NotFound, Unavailable
from carrel.core.ids import new_id
from carrel.runtime.paths import check_box_path
from carrel.runtime.ports import (
    Capacity,
    Check,
    Leftover,
    OutboxFile,
    SandboxPlan,
    SelfTest,
    State,
    Usage,
    WorkspacePlan,
)
from carrel.runtime.rules import EVERY_WORD, check_enforced, level_of

FIRST_UID, LAST_UID = 200_000, 209_999


@dataclass
class _Sandbox:
    plan: SandboxPlan
    state: State = State.RUNNING
    output: str = ""
    epoch: str = field(default_factory=new_id)
    cpu_seconds: float = 0.0


@dataclass
class _Workspace:
    plan: WorkspacePlan
    epoch: str = field(default_factory=new_id)
    spent_cpu_seconds: float = 0.0
    """Of sandboxes that are gone: a workspace's counters never run backwards."""
    sandboxes: dict[str, _Sandbox] = field(default_factory=dict)
    listeners: dict[int, socket.socket] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    """Whose program listens, by port; the platform's own listeners are of nobody."""
    outbox: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    private: dict[str, int | None] = field(default_factory=dict)
    """The uid that alone may read an outbox file, by path."""
    inbox: dict[str, bytes] = field(default_factory=dict)

    def refusal(self, path: str, uid: int | None) -> str:
        """Say why a member cannot collect an outbox file; empty if they can."""
        if uid is not None and self.private.get(path) not in {None, uid}:
            return "it is private to another member"
        return self.refused[path]


class MemoryRuntime:
    """A `Runtime` that starts nothing. Thread-safe."""

    def __init__(self, enforces: frozenset[str] = EVERY_WORD) -> None:
        self._enforces = enforces
        self._workspaces: dict[str, _Workspace] = {}
        self._faults: dict[str, list[CarrelError]] = {}
        self._lock = threading.RLock()
        self.host = Capacity(memory_bytes=2**40, cpus=64)
        """What `capacity` says."""

    # What tests do to it -------------------------------------------------------------------

    def fail_next(self, method: str, error: CarrelError) -> None:
        """Make the next call of `method` raise `error` before it changes anything."""
        with self._lock:
            self._faults.setdefault(method, []).append(error)

    def end_sandbox(self, workspace_id: str, sandbox_id: str) -> None:
        """Let the first process of a sandbox end by itself."""
        self._workspaces[workspace_id].sandboxes[sandbox_id].state = State.EXITED

    def plan_of(self, workspace_id: str, sandbox_id: str) -> SandboxPlan:
        """Return the plan with which a sandbox was started."""
        return self._workspaces[workspace_id].sandboxes[sandbox_id].plan

    def workspace_plan(self, workspace_id: str) -> WorkspacePlan:
        """Return the plan with which a workspace was last prepared."""
        return self._workspaces[workspace_id].plan

    def use_cpu(self, workspace_id: str, sandbox_id: str, seconds: float) -> None:
        """Let a sandbox have used `seconds` more of CPU time."""
        self._workspaces[workspace_id].sandboxes[sandbox_id].cpu_seconds += seconds

    def print_output(self, workspace_id: str, sandbox_id: str, text: str) -> None:
        """Let a sandbox print `text`."""
        self._workspaces[workspace_id].sandboxes[sandbox_id].output += text

    def put_outbox(
        self, workspace_id: str, path: str, content: bytes = b"", *, refused: str = "",
        private_to: int | None = None,
    ) -> None:  # fmt: skip
        """Let a member write a file to the outbox; `refused` says why it cannot be collected.

        With `private_to`, nobody but the member of that uid may read it.
        """
        space = self._workspaces[workspace_id]
        space.outbox[path] = content
        space.refused[path] = refused
        space.private[path] = private_to

    def take_from_outbox(self, workspace_id: str, path: str) -> None:
        """Let a member remove a file from the outbox."""
        del self._workspaces[workspace_id].outbox[path]

    def listen_as(self, workspace_id: str, port: int, uid: int) -> socket.socket:
        """Let a member's program listen on a port."""
        with self._lock:
            listener = self.listen(workspace_id, port)
            self._workspaces[workspace_id].owners[port] = uid
            return listener

    def inbox(self, workspace_id: str) -> Mapping[str, bytes]:
        """Return what was delivered, by path."""
        return dict(self._workspaces[workspace_id].inbox)

    # The contract --------------------------------------------------------------------------

    def uid_range(self) -> tuple[int, int]:
        """Return the first and the last host id reserved for this TRE's members and groups."""
        return FIRST_UID, LAST_UID

    def capacity(self) -> Capacity:
        """Return what this host is said to have."""
        return self.host

    def self_test(self) -> SelfTest:
        """Return what this double was told to enforce."""
        with self._entering("self_test"):
            checks = [
                Check(word, passed=word in self._enforces, evidence="a test double said so")
                for word in sorted(EVERY_WORD)
            ]
            return SelfTest(level_of(self._enforces), checks)

    def prepare(self, plan: WorkspacePlan) -> None:
        """Remember the workspace; what it holds stays."""
        with self._entering("prepare"):
            check_enforced(plan.isolation, self.self_test())
            if (space := self._workspaces.get(plan.id)) is None:
                self._workspaces[plan.id] = _Workspace(plan)
            else:
                space.plan = plan

    def remove(self, workspace_id: str) -> None:
        """Forget the workspace and everything in it."""
        with self._entering("remove"):
            space = self._workspaces.pop(workspace_id, None)
            for listener in space.listeners.values() if space else ():
                listener.close()

    def start(self, plan: SandboxPlan) -> None:
        """Remember the sandbox as running."""
        with self._entering("start"):
            check_enforced(plan.isolation, self.self_test())
            sandboxes = self._space(plan.workspace_id).sandboxes
            known = sandboxes.get(plan.id)
            if known is None or known.state is not State.RUNNING:
                self._forget(plan.workspace_id, plan.id)
                sandboxes[plan.id] = _Sandbox(plan)

    def state(self, workspace_id: str, sandbox_id: str) -> State:
        """Say whether the sandbox is remembered as running."""
        with self._entering("state"):
            sandbox = self._find(workspace_id, sandbox_id)
            return sandbox.state if sandbox else State.ABSENT

    def stop(self, workspace_id: str, sandbox_id: str, *, grace_seconds: float = 3.0) -> None:
        """Forget the sandbox; `grace_seconds` only has to make sense."""
        with self._entering("stop"):
            if grace_seconds < 0:
                raise InvalidRequest("A grace time cannot be negative.", field="grace_seconds")
            self._forget(workspace_id, sandbox_id)

    def running(self) -> Mapping[str, Sequence[str]]:
        """Return the remembered running sandboxes by workspace."""
        with self._entering("running"):
            return {
                workspace_id: sorted(
                    name for name, box in space.sandboxes.items() if box.state is State.RUNNING
                )
                for workspace_id, space in self._workspaces.items()
            }

    def usage(self, workspace_id: str, sandbox_id: str | None = None) -> Usage | None:
        """Return the counters that `use_cpu` moved."""
        with self._entering("usage"):
            space = self._workspaces.get(workspace_id)
            if space is None:
                return None
            if sandbox_id is None:
                disk = sum(map(len, [*space.outbox.values(), *space.inbox.values()]))
                boxes = list(space.sandboxes.values())
                usage = _usage(space.epoch, boxes)
                cpu = usage.cpu_seconds + space.spent_cpu_seconds
                return replace(usage, cpu_seconds=cpu, disk_bytes=disk)
            box = space.sandboxes.get(sandbox_id)
            return _usage(box.epoch, [box]) if box else None

    def output(self, workspace_id: str, sandbox_id: str, *, tail_bytes: int = 8192) -> str:
        """Return the end of what `print_output` was told."""
        with self._entering("output"):
            box = self._find(workspace_id, sandbox_id)
            return box.output.encode()[-tail_bytes:].decode(errors="replace") if box else ""

    def leftovers(self) -> Sequence[Leftover]:
        """List a folder for each remembered workspace and a process for each sandbox."""
        with self._entering("leftovers"):
            return [
                leftover
                for workspace_id, space in self._workspaces.items()
                for leftover in (
                    Leftover("folder", workspace_id, workspace_id),
                    *(Leftover("process", name, workspace_id) for name in space.sandboxes),
                )
            ]

    def dial(self, workspace_id: str, port: int, *, uid: int | None = None) -> socket.socket:
        """Connect to whatever `listen` or `listen_as` returned for this port."""
        with self._entering("dial"):
            space = self._space(workspace_id)
            listener = space.listeners.get(port)
            if listener is None or listener.fileno() == -1:
                raise Unavailable(f"Nothing listens on port {port} of this workspace yet.")
            if uid is not None and space.owners.get(port) != uid:
                raise Unavailable(f"Nobody of this member listens on port {port} (yet).")
            return socket.create_connection(listener.getsockname(), timeout=None)

    def listen(self, workspace_id: str, port: int) -> socket.socket:
        """Listen on a free loopback port that stands for `port` of the workspace."""
        with self._entering("listen"):
            space = self._space(workspace_id)
            listeners = space.listeners
            if port in listeners and listeners[port].fileno() != -1:
                raise Conflict(f"Port {port} of this workspace is taken; close its listener first.")
            listeners[port] = socket.create_server(("127.0.0.1", 0))
            space.owners.pop(port, None)
            return listeners[port]

    def list_outbox(self, workspace_id: str, *, uid: int | None = None) -> Sequence[OutboxFile]:
        """List what `put_outbox` wrote."""
        with self._entering("list_outbox"):
            space = self._space(workspace_id)
            return [
                OutboxFile(path, len(content), space.refusal(path, uid))
                for path, content in sorted(space.outbox.items())
            ]

    def open_outbox(self, workspace_id: str, path: str, *, uid: int | None = None) -> BinaryIO:
        """Open what `put_outbox` wrote."""
        with self._entering("open_outbox"):
            space = self._space(workspace_id)
            check_box_path(path)
            if path not in space.outbox:
                raise NotFound(f"There is no file {path!r} in the outbox.")
            if reason := space.refusal(path, uid):
                raise InvalidRequest(f"{path!r} cannot be collected: {reason}.", field="path")
            return io.BytesIO(space.outbox[path])

    def deliver_inbox(self, workspace_id: str, path: str, content: BinaryIO) -> None:
        """Remember the content under its path."""
        with self._entering("deliver_inbox"):
            check_box_path(path)
            inbox = self._space(workspace_id).inbox
            content.seek(0)
            inbox[path] = content.read()

    def remove_inbox(self, workspace_id: str, path: str) -> None:
        """Forget a file, or all files of a folder."""
        with self._entering("remove_inbox"):
            check_box_path(path)
            if space := self._workspaces.get(workspace_id):
                for name in [n for n in space.inbox if n == path or n.startswith(f"{path}/")]:
                    del space.inbox[name]

    # ---------------------------------------------------------------------------------------

    @contextmanager
    def _entering(self, method: str) -> Iterator[None]:
        with self._lock:
            if faults := self._faults.get(method):
                raise faults.pop(0)
            yield

    def _space(self, workspace_id: str) -> _Workspace:
        if (space := self._workspaces.get(workspace_id)) is None:
            raise NotFound("This workspace is not prepared on this host; prepare it first.")
        return space

    def _forget(self, workspace_id: str, sandbox_id: str) -> None:
        space = self._workspaces.get(workspace_id)
        if space and (box := space.sandboxes.pop(sandbox_id, None)):
            space.spent_cpu_seconds += box.cpu_seconds

    def _find(self, workspace_id: str, sandbox_id: str) -> _Sandbox | None:
        space = self._workspaces.get(workspace_id)
        return space.sandboxes.get(sandbox_id) if space else None


def _usage(epoch: str, boxes: Sequence[_Sandbox]) -> Usage:
    live = sum(box.state is State.RUNNING for box in boxes)
    return Usage(
        epoch=epoch,
        cpu_seconds=sum(box.cpu_seconds for box in boxes),
        memory_bytes=live * 2**20,
        memory_peak_bytes=len(boxes) * 2**20,
        disk_bytes=0,
        processes=live,
        source="memory",
    )
