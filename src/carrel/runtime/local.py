"""How does Carrel use the launcher of this machine?"""

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from carrel.core.errors import (
    CarrelError,
    Conflict,
    InvalidRequest,
    IsolationNotEnforced,
    NotFound,
    OutsideFailure,
    Unavailable,
)
from carrel.runtime import environments
from carrel.runtime.launcher import protocol
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
from carrel.runtime.rules import check_enforced, level_of

QUICK_SECONDS = 15.0
SLOW_SECONDS = 120.0
"""For what copies, formats or waits for processes to die."""

ERRORS: Mapping[str, type[CarrelError]] = {
    error.code: error
    for error in (
        InvalidRequest, NotFound, Conflict, OutsideFailure, Unavailable, IsolationNotEnforced,
    )
}  # fmt: skip


class LocalRuntime:
    """The `Runtime` of one machine: every method asks the launcher. Thread-safe, blocking."""

    def __init__(self, socket_path: Path | str, images: Path | None = None) -> None:
        self._path = str(socket_path)
        self._images = images
        self._mine = threading.local()

    def uid_range(self) -> tuple[int, int]:
        """Return the first and the last host id reserved for this TRE's members and groups."""
        first, last = self._ask("hello")["uids"]
        return first, last

    def as_root(self) -> bool:
        """Say whether the launcher has root, which it needs for level A."""
        return bool(self._ask("hello")["as_root"])

    def self_test(self) -> SelfTest:
        """Return what the launcher found when it tried each isolation step."""
        found = [Check(**check) for check in self._ask("self_test", seconds=SLOW_SECONDS)]
        passed = frozenset(check.enforces for check in found if check.passed)
        return SelfTest(level_of(passed), found)

    def capacity(self) -> Capacity:
        """Return the most that this host can give to one sandbox."""
        return Capacity(**self._ask("capacity"))

    def prepare(self, plan: WorkspacePlan) -> None:
        """Make or repair namespace, cgroup, disk and folders of a workspace."""
        self._check(plan.isolation)
        fields = {"id": plan.id, "gid": plan.gid, "disk_bytes": plan.disk_bytes}
        self._ask("prepare", fields, seconds=SLOW_SECONDS)

    def remove(self, workspace_id: str) -> None:
        """Stop every sandbox of the workspace and leave nothing of it."""
        self._ask("remove", {"workspace_id": workspace_id}, seconds=SLOW_SECONDS)

    def start(self, plan: SandboxPlan) -> None:
        """Start a sandbox; do nothing if it already runs."""
        self._check(plan.isolation)
        fields = {
            "id": plan.id,
            "workspace_id": plan.workspace_id,
            "uid": plan.member.uid,
            "name": plan.member.name,
            "command": list(plan.command),
            "environment": dict(plan.environment),
            "image": str(self._image(plan.image)) if plan.image else "",
            "mounts": [[mount.source, mount.target] for mount in plan.mounts],
            "memory_bytes": plan.limits.memory_bytes,
            "cpus": plan.limits.cpus,
            "processes": plan.limits.processes,
        }
        self._ask("start", fields, seconds=SLOW_SECONDS)

    def state(self, workspace_id: str, sandbox_id: str) -> State:
        """Say what is true of a sandbox now."""
        return State(self._ask("state", _names(workspace_id, sandbox_id)))

    def stop(self, workspace_id: str, sandbox_id: str, *, grace_seconds: float = 3.0) -> None:
        """Ask the first process to end, then kill the cgroup; return when nothing runs."""
        fields = {**_names(workspace_id, sandbox_id), "grace_seconds": grace_seconds}
        self._ask("stop", fields, seconds=SLOW_SECONDS + grace_seconds)

    def rest(self, workspace_id: str, *, grace_seconds: float = 3.0) -> None:
        """Leave nothing of a workspace on the host but its files; `prepare` brings it back."""
        fields = {"workspace_id": workspace_id, "grace_seconds": grace_seconds}
        self._ask("rest", fields, seconds=SLOW_SECONDS + grace_seconds)

    def running(self) -> Mapping[str, Sequence[str]]:
        """Return the sandbox ids that run now, by workspace id."""
        found: Mapping[str, Sequence[str]] = self._ask("running")
        return found

    def usage(self, workspace_id: str, sandbox_id: str | None = None) -> Usage | None:
        """Return the counters of one sandbox, or of the whole workspace."""
        found = self._ask("usage", {"workspace_id": workspace_id, "sandbox_id": sandbox_id})
        return Usage(**found) if found else None

    def output(self, workspace_id: str, sandbox_id: str, *, tail_bytes: int = 8192) -> str:
        """Return the end of what the sandbox printed."""
        fields = {**_names(workspace_id, sandbox_id), "tail_bytes": tail_bytes}
        return str(self._ask("output", fields))

    def leftovers(self) -> Sequence[Leftover]:
        """List everything on the host that belongs to this TRE's workspaces."""
        return [Leftover(**leftover) for leftover in self._ask("leftovers")]

    def dial(self, workspace_id: str, port: int, *, uid: int | None = None) -> socket.socket:
        """Connect to 127.0.0.1:`port` inside, and to nobody but the member `uid` if given."""
        return self._socket("dial", {"workspace_id": workspace_id, "port": port, "uid": uid})

    def listen(self, workspace_id: str, port: int) -> socket.socket:
        """Return a listening socket on 127.0.0.1:`port` inside."""
        return self._socket("listen", {"workspace_id": workspace_id, "port": port})

    def list_outbox(self, workspace_id: str, *, uid: int | None = None) -> Sequence[OutboxFile]:
        """List every entry below `/outbox`, with the reason where it cannot be collected."""
        fields = {"workspace_id": workspace_id, "uid": uid}
        found = self._ask("list_outbox", fields, seconds=SLOW_SECONDS)
        return [OutboxFile(**file) for file in found]

    def open_outbox(self, workspace_id: str, path: str, *, uid: int | None = None) -> BinaryIO:
        """Open one file of the outbox for reading, following no link."""
        check_box_path(path)
        fields = {"workspace_id": workspace_id, "path": path, "uid": uid}
        fd = self._descriptor("open_outbox", fields)
        return os.fdopen(fd, "rb")

    def deliver_inbox(self, workspace_id: str, path: str, content: BinaryIO) -> None:
        """Put the whole of a real file read-only at `/inbox/<path>`."""
        check_box_path(path)
        fields = {"workspace_id": workspace_id, "path": path}
        self._ask("deliver_inbox", fields, [content.fileno()], seconds=SLOW_SECONDS)

    def remove_inbox(self, workspace_id: str, path: str) -> None:
        """Take `/inbox/<path>` (file or folder) away."""
        check_box_path(path)
        fields = {"workspace_id": workspace_id, "path": path}
        self._ask("remove_inbox", fields, seconds=SLOW_SECONDS)

    # ---------------------------------------------------------------------------------------

    def _check(self, isolation: frozenset[str]) -> None:
        if isolation:
            check_enforced(isolation, self.self_test())

    def _image(self, name: str) -> Path:
        if (image := environments.find(name, self._images)) is None:
            raise OutsideFailure(
                f"The environment image {name!r} is not built on this host; "
                f"run `scripts/up`, which builds it."
            )
        return image

    def _socket(self, command: str, fields: Mapping[str, Any]) -> socket.socket:
        found = socket.socket(fileno=self._descriptor(command, fields))
        found.setblocking(True)
        return found

    def _descriptor(self, command: str, fields: Mapping[str, Any]) -> int:
        _, fds = self._converse(command, fields, (), QUICK_SECONDS)
        if not fds:
            raise Unavailable("The launcher's answer was incomplete; try again.")
        return fds[0]

    def _ask(
        self,
        command: str,
        fields: Mapping[str, Any] | None = None,
        fds: Sequence[int] = (),
        *,
        seconds: float = QUICK_SECONDS,
    ) -> Any:
        answer, extra = self._converse(command, fields or {}, fds, seconds)
        for fd in extra:
            os.close(fd)
        return answer

    def _converse(
        self, command: str, fields: Mapping[str, Any], fds: Sequence[int], seconds: float
    ) -> tuple[Any, list[int]]:
        with self._connection(seconds) as connection:
            protocol.send(connection, {**fields, "do": command}, fds)
            answer, received = protocol.receive(connection)
        if "error" in answer:
            error = ERRORS.get(answer["error"], OutsideFailure)
            raise error(answer["message"])
        return answer["ok"], received

    @contextlib.contextmanager
    def _connection(self, seconds: float) -> Iterator[socket.socket]:
        """Lend this thread's connection; one that failed is not used again."""
        try:
            connection = self._connected()
            connection.settimeout(seconds)
            yield connection
        except (protocol.Closed, OSError) as error:
            self._hang_up()
            raise Unavailable(
                "The launcher of this host does not answer; start it (`carrel up`) and try again.",
                log_detail=f"{self._path}: {error}",
            ) from error
        except BaseException:
            self._hang_up()
            raise

    def _connected(self) -> socket.socket:
        line: _Line | None = getattr(self._mine, "line", None)
        if line is None or line.is_closed():
            self._hang_up()
            line = self._mine.line = _Line(self._path)
        return line.socket

    def _hang_up(self) -> None:
        self._mine.line = None


class _Line:
    """One thread's connection; it ends with the thread."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._process = os.getpid()
        weakref.finalize(self, self.socket.close)  # before a collector could find it open
        self.socket.settimeout(QUICK_SECONDS)
        self.socket.connect(path)

    def is_closed(self) -> bool:
        """Say whether the launcher hung up, for instance to restart, or this is another process."""
        try:
            self.socket.setblocking(False)
            return self._process != os.getpid() or self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def _names(workspace_id: str, sandbox_id: str) -> dict[str, str]:
    return {"workspace_id": workspace_id, "sandbox_id": sandbox_id}
