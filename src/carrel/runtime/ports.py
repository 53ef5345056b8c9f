"""What must a runtime be able to do, and what does it promise before it starts anything?"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, Protocol


class Level(StrEnum):
    """How much of the isolation the host can enforce (docs/security/threat-model.md)."""

    A = "A"
    """Isolated: everything is enforced. The only level that may hold sensitive data."""
    B = "B"
    """Isolated, but limits (cgroups, disk, one uid per member) are not all enforced."""
    C = "C"
    """Process only: no network or user namespace. Synthetic data, nothing else."""


class State(StrEnum):
    """What is true of a sandbox now."""

    ABSENT = "absent"
    """Nothing of it is there: never started, or stopped and cleaned."""
    RUNNING = "running"
    EXITED = "exited"
    """Its first process ended by itself; `stop` cleans up."""


PROOF_IDS = 8
"""Host ids at the end of a TRE's range that are kept for the throw-away workspaces of proofs."""

# What a template may ask for in `isolation`, and a driver may enforce.
NETWORK_NONE = "network:none"
"""No interface but `lo`; the doors listen and dial inside the namespace."""
SECCOMP = "syscalls:filtered"
USER_NAMESPACE = "privileges:none"
"""No capability, no new privileges, never host root."""
MEMBER_UID = "member:uid"
"""One host uid per member and workspace."""
LIMITS = "limits:enforced"
"""Memory, CPU and process-count limits are enforced by the kernel."""
DISK_QUOTA = "disk:quota"
KERNEL_MASKED = "kernel:masked"
"""/proc and /sys are masked or read-only."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the start-up self-test: what was done, and what was seen."""

    enforces: str
    """The isolation word it proves, for instance `network:none`."""
    passed: bool
    evidence: str
    """What was seen, and for a failure how to fix it."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Outcome of doing each isolation step once, for real."""

    level: Level
    checks: Sequence[Check]

    @property
    def enforces(self) -> frozenset[str]:
        """The isolation words this host really enforces."""
        return frozenset(check.enforces for check in self.checks if check.passed)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most that one sandbox can be given."""

    memory_bytes: int
    cpus: int


@dataclass(frozen=True, slots=True)
class Member:
    """A person in a workspace, as the host knows them."""

    uid: int
    """Host uid, one per member and workspace, never reused while files remain."""
    name: str
    """User name shown inside the sandbox: `[a-z][a-z0-9_-]{0,31}`."""


@dataclass(frozen=True, slots=True)
class WorkspacePlan:
    """What the host must hold ready for one workspace."""

    id: str
    gid: int
    """Host group of all members of this workspace."""
    disk_bytes: int
    isolation: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Limits:
    """Kernel-enforced limits of one sandbox."""

    memory_bytes: int = 4 * 2**30
    cpus: float = 2.0
    processes: int = 512


@dataclass(frozen=True, slots=True)
class Mount:
    """A read-only host folder inside a sandbox."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """One sandbox to run inside a prepared workspace.

    Inside, the member is uid 1000; `/home/<name>` is private to the member, `/shared` is the
    workspace's, `/inbox` is read-only, `/outbox` is where exports are collected from.
    """

    id: str
    workspace_id: str
    member: Member
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Never a secret of the platform: everything here is readable inside."""
    image: str | None = None
    """Name of an environment image (runtime.environments), mounted read-only."""
    mounts: Sequence[Mount] = ()
    limits: Limits = field(default_factory=Limits)
    isolation: frozenset[str] = frozenset()
    """What the template needs; `start` refuses if the driver does not enforce all of it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Raw, monotonic counters of a sandbox or workspace, safe across restarts.

    `epoch` changes whenever the counters start again at zero (new cgroup, reboot).
    """

    epoch: str
    cpu_seconds: float
    memory_bytes: int
    """Memory in use now."""
    memory_peak_bytes: int
    disk_bytes: int
    """Disk in use now, of the whole workspace; 0 for a sandbox."""
    processes: int
    source: str
    """Where the numbers come from: `cgroup2`, `cgroup1` or `proc`."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something on the host that belongs to this TRE."""

    kind: str
    """namespace, cgroup, mount, loop, process or folder."""
    name: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class OutboxFile:
    """A regular file in the outbox, as listed without following any link."""

    path: str
    """Relative, `/`-separated, below the outbox."""
    size_bytes: int
    refused: str = ""
    """Why it cannot be collected (link, FIFO, device, hard link, bad name); empty if it can."""


class RuntimeDriver(Protocol):
    """Runs isolated sandboxes somewhere: a local host, Kubernetes, a cloud.

    Every method may be called twice. An unknown id is ABSENT or a no-op, not an error.
    Sandboxes survive the restart of the driver and of every Carrel process.

    Raises `Unavailable` if a later retry may succeed, `OutsideFailure` if it will not,
    `IsolationNotEnforced` if a workload would run with less isolation than asked.
    """

    def self_test(self) -> SelfTest:
        """Return the outcome of the self-test, run once and remembered per boot."""
        ...

    def capacity(self) -> Capacity:
        """Return the most that this host can give to one sandbox."""
        ...

    def prepare(self, plan: WorkspacePlan) -> None:
        """Make namespace, cgroup, disk and folders of a workspace; repair what is missing."""

    def remove(self, workspace_id: str) -> None:
        """Stop every sandbox of the workspace and leave nothing of it, files included."""

    def start(self, plan: SandboxPlan) -> None:
        """Start `plan`; do nothing if it already runs. The workspace must be prepared."""

    def state(self, workspace_id: str, sandbox_id: str) -> State:
        """Say what is true now, also for sandboxes started before a restart."""
        ...

    def stop(self, workspace_id: str, sandbox_id: str, *, grace_seconds: float = 3.0) -> None:
        """Ask the first process to end, then kill the cgroup; return when nothing runs."""

    def running(self) -> Mapping[str, Sequence[str]]:
        """Return the sandbox ids that run now, by workspace id (also workspaces with none)."""
        ...

    def usage(self, workspace_id: str, sandbox_id: str | None = None) -> Usage | None:
        """Return the counters of one sandbox, or of the whole workspace; None if absent."""
        ...

    def output(self, workspace_id: str, sandbox_id: str, *, tail_bytes: int = 8192) -> str:
        """Return the end of what the sandbox printed, for the person who owns it."""
        ...

    def leftovers(self) -> Sequence[Leftover]:
        """List everything on the host that belongs to this TRE's workspaces."""
        ...


class Doors(Protocol):
    """Sockets inside a workspace's network namespace, for the gateway and the package gateway."""

    def dial(self, workspace_id: str, port: int, *, uid: int | None = None) -> socket.socket:
        """Connect to 127.0.0.1:`port` inside; returns a connected, blocking socket.

        Members share that address. With `uid`, the listener is that member's own, before and
        after connecting: nobody else is shown a token. A host without one uid per member
        (`member:uid`) cannot tell them apart.

        Raises `Unavailable` if nobody (of this member) listens yet, `NotFound` if there is no
        such workspace.
        """
        ...

    def listen(self, workspace_id: str, port: int) -> socket.socket:
        """Return a listening socket on 127.0.0.1:`port` inside. Raises `NotFound`, `Conflict`."""
        ...


class Boxes(Protocol):
    """The airlock's two folders in a workspace. Nothing here ever follows a link."""

    def list_outbox(self, workspace_id: str, *, uid: int | None = None) -> Sequence[OutboxFile]:
        """List every entry below `/outbox`, with the reason where it cannot be collected.

        With `uid`, by that member: see `open_outbox`.
        """
        ...

    def open_outbox(self, workspace_id: str, path: str, *, uid: int | None = None) -> BinaryIO:
        """Open one file for reading with `openat2(BENEATH, NO_SYMLINKS, NO_MAGICLINKS, NO_XDEV)`.

        With `uid`, the file must be that member's own, or open to the workspace's group. A host
        without one uid per member (`member:uid`) cannot tell them apart.

        Raises `InvalidRequest` for a link, FIFO, device, hard link, foreign owner or bad name,
        `NotFound` if it is not there.
        """
        ...

    def deliver_inbox(self, workspace_id: str, path: str, content: BinaryIO) -> None:
        """Put `content` (a real file) read-only at `/inbox/<path>`; replaces a partial delivery.

        The file appears whole or not at all. Raises `InvalidRequest` for a bad path,
        `Unavailable` if the workspace's disk is full.
        """

    def remove_inbox(self, workspace_id: str, path: str) -> None:
        """Take `/inbox/<path>` (file or folder) away; nothing happens if it is not there."""


class Runtime(RuntimeDriver, Doors, Boxes, Protocol):
    """What the local driver offers all in one: sandboxes, doors and boxes."""
