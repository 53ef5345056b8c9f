"""How does each workspace get a network with nothing in it but `lo`?

Root mode pins the namespace to a file. An ordinary user cannot: there a process that sleeps
holds a user namespace and the network namespace that belongs to it.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from carrel.runtime.launcher import linux
from carrel.runtime.launcher.detach import detach
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre


def create(tre: Tre, workspace_id: str) -> None:
    """Make the namespace unless it is there."""
    if exists(tre, workspace_id):
        return
    if tre.as_root:
        pin(tre.network(workspace_id))
    else:
        _hold(tre, workspace_id)


def exists(tre: Tre, workspace_id: str) -> bool:
    """Say whether the namespace is there."""
    if tre.as_root:
        return is_pinned(tre.network(workspace_id))
    return holder(tre, workspace_id) is not None


def remove(tre: Tre, workspace_id: str) -> None:
    """Let go of the namespace; nothing happens if it is not there."""
    if tre.as_root:
        unpin(tre.network(workspace_id))
    elif (held := holder(tre, workspace_id)) is not None:
        pid, started = held
        linux.kill(pid, started, signal.SIGKILL)
        while linux.start_time(pid) == started:
            time.sleep(0.002)
    with contextlib.suppress(FileNotFoundError):
        _holder_file(tre, workspace_id).unlink()


def inside(tre: Tre, workspace_id: str, work: Callable[[], int]) -> int:
    """Return the file descriptor that `work` makes inside the namespace."""
    if not exists(tre, workspace_id):
        raise Refused("not_found", "This workspace is not prepared on this host.")
    if tre.as_root:
        return linux.in_network(str(tre.network(workspace_id)), work)

    def enter_and_work() -> int:
        enter(tre, workspace_id)
        return work()

    fd = linux.in_child(enter_and_work)
    if fd is None:
        raise Refused("unavailable", "The socket did not come back; try again.")
    return fd


def enter(tre: Tre, workspace_id: str) -> None:
    """Move the calling process into the namespace, for good."""
    if tre.as_root:
        _enter(str(tre.network(workspace_id)), linux.CLONE_NEWNET)
        return
    held = holder(tre, workspace_id)
    if held is None:
        raise Refused("not_found", "This workspace is not prepared on this host.")
    network = os.open(f"/proc/{held[0]}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _enter(f"/proc/{held[0]}/ns/user", linux.CLONE_NEWUSER)
    linux.setns(network, linux.CLONE_NEWNET)
    os.close(network)


def is_pinned(path: Path) -> bool:
    """Say whether a namespace is mounted at `path`."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def unpin(path: Path) -> None:
    """Take the file of a namespace away, however often it was mounted."""
    while is_pinned(path):
        linux.unmount(str(path), linux.MNT_DETACH)
    path.unlink(missing_ok=True)


def pin(path: Path) -> None:
    """Make a namespace with `lo` up and mount it at `path`."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    path.touch(mode=0o600)

    def work() -> None:
        linux.unshare(linux.CLONE_NEWNET)
        linux.loopback_up()
        linux.bind_mount("/proc/self/ns/net", str(path))

    linux.in_child(work)


def _enter(path: str, kind: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(fd, kind)
    finally:
        os.close(fd)


def _holder_file(tre: Tre, workspace_id: str) -> Path:
    return tre.workspace(workspace_id) / "network.json"


def holder(tre: Tre, workspace_id: str) -> tuple[int, int] | None:
    """Return the pid and start time of the process that holds the namespace, if it lives."""
    try:
        seen = json.loads(_holder_file(tre, workspace_id).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if seen["boot"] != linux.boot_id() or linux.start_time(seen["pid"]) != seen["started"]:
        return None
    return seen["pid"], seen["started"]


def _hold(tre: Tre, workspace_id: str) -> None:
    uid, gid = os.geteuid(), os.getegid()
    file = _holder_file(tre, workspace_id)

    def become_holder() -> tuple[int, ...]:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNET)
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")
        ):  # fmt: skip
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
        linux.loopback_up()
        pid = os.getpid()
        seen = {"pid": pid, "started": linux.start_time(pid), "boot": linux.boot_id()}
        file.write_text(json.dumps(seen), encoding="utf-8")
        return ()

    detach(become_holder, ["/bin/sleep", "infinity"])
