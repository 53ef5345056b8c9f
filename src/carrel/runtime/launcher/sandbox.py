"""How does one sandbox start, stay known, and end?

What is known of a sandbox lies in its folder: `record.json`, written by the new process itself
before it becomes bubblewrap, and `status`, written by bubblewrap. So a launcher that was killed at
any point finds everything that it, or another before it, started.
"""

import contextlib
import json
import os
import platform
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carrel.runtime.launcher import disks, linux, namespaces, recipe
from carrel.runtime.launcher.cgroups import Group
from carrel.runtime.launcher.detach import detach
from carrel.runtime.launcher.plans import Sandbox
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

FILTER = Path(__file__).parent.parent / "seccomp" / f"{platform.machine()}.bpf"
UMASK = 0o007
START_SECONDS = 10.0
OPEN_FILES = 65536
SHARE_OF_MEMORY = 0.85
PROCESSES_FOR_ALL = 16384
FEWEST_PROCESSORS = 2
"""What a template may ask for by default, also on a host with one."""


@dataclass(frozen=True)
class Known:
    """What the host remembers of a sandbox that was started in this boot."""

    pid: int
    started: int
    child: int
    """Its first process as the host sees it (pid 1 inside); 0 if it did not get that far."""
    pid_namespace: int
    exit_code: int | None

    def outer_lives(self) -> bool:
        """Say whether bubblewrap's outer process still is there."""
        return linux.start_time(self.pid) == self.started

    def child_lives(self) -> bool:
        """Say whether pid 1 of the sandbox still is there, and still is that one."""
        # Never one of the host's own, whatever the file says.
        own = os.stat("/proc/self/ns/pid").st_ino
        return self.pid_namespace != own and in_pid_namespace(self.child, self.pid_namespace)

    def lives(self) -> bool:
        """Say whether anything of it runs."""
        return self.child_lives() or (not self.child and self.outer_lives())


def group(tre: Tre, *parts: str) -> Group:
    """Return the cgroup of this TRE, of one of its workspaces, or of one sandbox."""
    return Group("/".join((f"carrel-{tre.id}", *parts)))


def limit_all(tre: Tre) -> None:
    """Keep a part of the host for the host: all sandboxes of a TRE together get no more."""
    cgroup = group(tre)
    cgroup.create()
    cgroup.limit(memory_bytes=_memory_for_all(), cpus=_processors(), processes=PROCESSES_FOR_ALL)


def check_host_has(plan: Sandbox) -> None:
    """Raise `Refused` if a sandbox asks for more than this host gives to all of them."""
    if plan.memory_bytes > _memory_for_all():
        have, asked = _memory_for_all() / 2**30, plan.memory_bytes / 2**30
        text = f"It asks for {asked:.1f} GiB of memory, and this host has {have:.1f} GiB to give."
        raise Refused("conflict", f"{text} Lower memory_gib and start it again.")
    if plan.cpus > max(_processors(), FEWEST_PROCESSORS):
        text = f"It asks for {plan.cpus:g} processors, and this host has {_processors()}."
        raise Refused("conflict", f"{text} Lower cpus and start it again.")


def capacity() -> dict[str, int]:
    """Return the most that one sandbox may ask for."""
    cpus = max(_processors(), FEWEST_PROCESSORS)
    return {"memory_bytes": _memory_for_all(), "cpus": cpus}


def _memory_for_all() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * SHARE_OF_MEMORY
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _processors() -> int:
    return os.cpu_count() or 1


def start(tre: Tre, plan: Sandbox, gid: int) -> None:
    """Start the sandbox; do nothing if it runs. Raises `Refused`."""
    if state(tre, plan.workspace_id, plan.id) == "running":
        return
    stop(tre, plan.workspace_id, plan.id, grace_seconds=0)
    check_host_has(plan)
    if tre.weaken != "no-seccomp" and not FILTER.exists():
        raise Refused("isolation_not_enforced", f"There is no system call filter {FILTER.name}.")
    folder = tre.sandbox(plan.workspace_id, plan.id)
    _make_folders(tre, plan, gid, folder)
    cgroup = group(tre, plan.workspace_id, plan.id)
    cgroup.create()
    cgroup.limit(memory_bytes=plan.memory_bytes, cpus=plan.cpus, processes=plan.processes)
    command = recipe.command(plan, gid, user_namespaces=tre.user_namespaces)
    bwrap = [recipe.BWRAP, "--args", str(_ARGUMENTS_FD), "--", *command]
    detach(_Becoming(tre, plan, gid, cgroup), bwrap)
    _await_start(tre, plan)


_ARGUMENTS_FD = 200


@dataclass(frozen=True)
class _Becoming:
    """What the new process does to itself before it becomes bubblewrap."""

    tre: Tre
    plan: Sandbox
    gid: int
    cgroup: Group

    def __call__(self) -> list[int]:
        tre, plan = self.tre, self.plan
        folder = tre.sandbox(plan.workspace_id, plan.id)
        _remember(folder)
        self.cgroup.join()
        log = os.open(tre.log(plan.workspace_id, plan.id), _LOG_FLAGS, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = os.open(folder / "status", _LOG_FLAGS, 0o600)
        view = recipe.View(
            files=tre.files(plan.workspace_id),
            etc=folder / "etc",
            gid=self.gid,
            seccomp_fd=None if tre.weaken == "no-seccomp" else os.open(FILTER, os.O_RDONLY),
            status_fd=status,
            user_namespaces=tre.user_namespaces,
            proc_sys_read_only=tre.weaken != "proc-sys-writable",
        )
        words = recipe.arguments(plan, view)  # not in argv, which every user of the host may read
        os.dup2(_in_memory("".join(f"{word}\0" for word in words).encode()), _ARGUMENTS_FD)
        namespaces.enter(tre, plan.workspace_id)
        self._drop()
        filters = () if view.seccomp_fd is None else (view.seccomp_fd,)
        return [_ARGUMENTS_FD, status, *filters]

    def _drop(self) -> None:
        """Become the member, for good."""
        os.umask(UMASK)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = min(OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        os.chdir("/")
        if self.tre.as_root and self.tre.user_namespaces and self.tre.weaken != "bwrap-as-root":
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.plan.uid, self.plan.uid, self.plan.uid)
            if 0 in (*os.getresuid(), *os.getresgid()):
                raise PermissionError("The sandbox would still be root.")
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def state(tre: Tre, workspace_id: str, sandbox_id: str) -> str:
    """Return `running`, `exited` or `absent`."""
    known = find(tre, workspace_id, sandbox_id)
    if known is None:
        return "absent"
    return "running" if known.lives() else "exited"


def find(tre: Tre, workspace_id: str, sandbox_id: str) -> Known | None:
    """Return what is known of a sandbox; None if it was not started since the last boot."""
    folder = tre.sandbox(workspace_id, sandbox_id)
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if record["boot"] != linux.boot_id():
        return None
    status: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / "status").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a line that is being written
                status |= json.loads(line)
    return Known(
        pid=record["pid"],
        started=record["started"],
        child=status.get("child-pid", 0),
        pid_namespace=status.get("pid-namespace", 0),
        exit_code=status.get("exit-code"),
    )


def stop(tre: Tre, workspace_id: str, sandbox_id: str, *, grace_seconds: float) -> None:
    """Ask it to end, then kill it; return when nothing of it is left."""
    known = find(tre, workspace_id, sandbox_id)
    cgroup = group(tre, workspace_id, sandbox_id)
    if known and known.lives() and grace_seconds > 0:
        _ask(known, grace_seconds)
    if known:
        _kill(known)
    cgroup.remove()
    with contextlib.suppress(FileNotFoundError):
        tre.log(workspace_id, sandbox_id).unlink()
    disks.delete_folder(tre.sandbox(workspace_id, sandbox_id))


def first_process(known: Known) -> int | None:
    """Return the host's pid of the command itself; None if it is not there (any more)."""
    return next(iter(linux.children(known.child)), None) if known.child_lives() else None


def list_sandboxes(tre: Tre, workspace_id: str) -> list[str]:
    """Return every sandbox of which anything is there: a folder or a cgroup."""
    folder = tre.workspace(workspace_id) / "sandboxes"
    folders = set(os.listdir(folder)) if folder.is_dir() else set()
    return sorted(folders | group(tre, workspace_id).children())


def output(tre: Tre, workspace_id: str, sandbox_id: str, tail_bytes: int) -> str:
    """Return the end of what it printed; empty if it is not there."""
    try:
        fd = os.open(tre.log(workspace_id, sandbox_id), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - tail_bytes))
        return log.read(tail_bytes).decode(errors="replace")


def _make_folders(tre: Tre, plan: Sandbox, gid: int, folder: Path) -> None:
    for part in (folder.parent, folder, folder / "etc"):
        part.mkdir(exist_ok=True)
        part.chmod(0o711)
    texts = recipe.etc_files(plan, gid, user_namespaces=tre.user_namespaces)
    for name, text in texts.items():
        file = folder / "etc" / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)
    home = tre.files(plan.workspace_id) / "home" / str(plan.uid)
    owner = 0 if tre.weaken == "bwrap-as-root" else plan.uid  # or it could not enter its home
    disks.make_folder(tre, home, 0o700, owner=owner, group=gid)
    if plan.uid not in members(tre, plan.workspace_id):
        raise Refused("outside_failure", f"The home of {plan.uid} could not be made.")


def members(tre: Tre, workspace_id: str) -> set[int]:
    """Return the host uids of everybody who has a home in the workspace."""
    home = tre.files(workspace_id) / "home"
    return {int(name) for name in os.listdir(home)} if home.is_dir() else set()


def _remember(folder: Path) -> None:
    pid = os.getpid()
    record = {"pid": pid, "started": linux.start_time(pid), "boot": linux.boot_id()}
    temporary = folder / "record.new"
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.rename(folder / "record.json")


def _in_memory(content: bytes) -> int:
    fd = os.memfd_create("carrel")
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _await_start(tre: Tre, plan: Sandbox) -> None:
    """Return once the command runs, or ran; raise `Refused` with what bubblewrap said."""
    deadline = time.monotonic() + START_SECONDS
    is_over = False
    for known in _watch(tre, plan):
        if known.exit_code is not None or first_process(known) is not None:
            return
        if is_over or time.monotonic() > deadline:
            break
        is_over = not known.outer_lives()  # its last word is read once more after its end
    said = output(tre, plan.workspace_id, plan.id, 65536)[:500].strip() or "it said nothing"
    stop(tre, plan.workspace_id, plan.id, grace_seconds=0)
    raise Refused("outside_failure", f"The sandbox did not start: {said}.")


def _watch(tre: Tre, plan: Sandbox) -> Iterator[Known]:
    while (known := find(tre, plan.workspace_id, plan.id)) is not None:
        yield known
        time.sleep(0.002)


def _ask(known: Known, grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    for pid in linux.children(known.child):
        if (started := linux.start_time(pid)) is not None:
            linux.kill(pid, started, signal.SIGTERM)
    while known.lives() and time.monotonic() < deadline:
        time.sleep(0.005)


def _kill(known: Known) -> None:
    """Kill pid 1 inside, with which the kernel kills all its namespace, and bubblewrap."""
    deadline = time.monotonic() + 10
    while known.child_lives() or known.outer_lives():
        if time.monotonic() > deadline:
            raise Refused("outside_failure", f"Process {known.pid} does not die.")
        if known.child_lives() and (started := linux.start_time(known.child)) is not None:
            linux.kill(known.child, started, signal.SIGKILL)
        linux.kill(known.pid, known.started, signal.SIGKILL)
        time.sleep(0.002)


def in_pid_namespace(pid: int, namespace: int) -> bool:
    """Say whether a living process is in the pid namespace with this inode number."""
    if not pid or linux.start_time(pid) is None:
        return False
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace
    except OSError:
        return False
