"""What does the host hold for a workspace, and how does all of it come and go?"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from carrel.runtime.launcher import disks, linux, namespaces, sandbox, weaken
from carrel.runtime.launcher.names import is_id
from carrel.runtime.launcher.plans import Sandbox, Workspace
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre


def prepare(tre: Tre, plan: Workspace) -> None:
    """Make what is missing of a workspace; may be called twice, and after a reboot."""
    with tre.lock(plan.id):
        folder = tre.workspace(plan.id)
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        for part in (folder.parent, folder):
            part.chmod(0o711)
        disks.create(tre, plan, may_grow=not _is_in_use(tre, plan.id))
        namespaces.create(tre, plan.id)
        sandbox.limit_all(tre)
        sandbox.group(tre, plan.id).create()
        if tre.weaken == "veth-route":
            weaken.add_route(tre, plan.id)
        temporary = folder / "workspace.new"
        temporary.write_text(json.dumps({"gid": plan.gid}), encoding="utf-8")
        temporary.rename(folder / "workspace.json")


def start(tre: Tre, plan: Sandbox) -> None:
    """Start a sandbox in a prepared workspace; do nothing if it runs."""
    with tre.lock(plan.workspace_id, shared=True), tre.lock(plan.id):
        gid = _gid(tre, plan.workspace_id)
        if gid is None or not _is_prepared(tre, plan.workspace_id):
            raise Refused("not_found", "This workspace is not prepared on this host.")
        sandbox.start(tre, plan, gid)


def stop(tre: Tre, workspace_id: str, sandbox_id: str, grace_seconds: float) -> None:
    """Stop a sandbox; nothing happens if nothing of it is there."""
    with tre.lock(workspace_id, shared=True), tre.lock(sandbox_id):
        sandbox.stop(tre, workspace_id, sandbox_id, grace_seconds=grace_seconds)
        _unlock_for_good(tre, sandbox_id)


def remove(tre: Tre, workspace_id: str) -> None:
    """Stop every sandbox and leave nothing; may be called twice."""
    with tre.lock(workspace_id):
        _let_go(tre, workspace_id, grace_seconds=0)
        disks.remove(tre, workspace_id)
        _unlock_for_good(tre, workspace_id)
        sandbox.group(tre).remove_if_empty()


def rest(tre: Tre, workspace_id: str, grace_seconds: float) -> None:
    """Leave nothing of a workspace on the host but its files, as a reboot would.

    May be called twice; `prepare` brings it back.
    """
    with tre.lock(workspace_id):
        _let_go(tre, workspace_id, grace_seconds)
        disks.release(tre, workspace_id)
        sandbox.group(tre).remove_if_empty()


def _let_go(tre: Tre, workspace_id: str, grace_seconds: float) -> None:
    for sandbox_id in sandbox.list_sandboxes(tre, workspace_id):
        sandbox.stop(tre, workspace_id, sandbox_id, grace_seconds=grace_seconds)
        _unlock_for_good(tre, sandbox_id)
    sandbox.group(tre, workspace_id).remove()
    weaken.remove_route(tre, workspace_id)
    namespaces.remove(tre, workspace_id)


def running(tre: Tre) -> dict[str, list[str]]:
    """Return the sandboxes that run, by workspace, also of prepared workspaces with none."""
    return {
        workspace_id: [
            sandbox_id
            for sandbox_id in sandbox.list_sandboxes(tre, workspace_id)
            if sandbox.state(tre, workspace_id, sandbox_id) == "running"
        ]
        for workspace_id in tre.workspace_ids()
        if _is_prepared(tre, workspace_id)
    }


def usage(tre: Tre, workspace_id: str, sandbox_id: str | None) -> dict[str, Any] | None:
    """Return raw counters of a sandbox or of the whole workspace; None if absent."""
    if sandbox_id is None:
        if not _has_disk(tre, workspace_id):
            return None
        counters = sandbox.group(tre, workspace_id).counters() or _count_all(tre, workspace_id)
        disk = disks.used_bytes(tre, workspace_id)
    else:
        known = sandbox.find(tre, workspace_id, sandbox_id)
        if known is None:
            return None
        disk = 0
        counters = sandbox.group(tre, workspace_id, sandbox_id).counters() or _count(known)
    epoch = f"{linux.boot_id()}:{counters['epoch']}"
    return {**counters, "epoch": epoch, "disk_bytes": disk}


def leftovers(tre: Tre) -> list[dict[str, str]]:
    """Return everything on the host that carries this TRE's id or one of its uids."""
    found = [("folder", str(tre.workspace(w)), w) for w in tre.workspace_ids()]
    pinned = tre.run / "netns"
    if pinned.is_dir():
        found += [("namespace", str(pinned / name), name[:36]) for name in os.listdir(pinned)]
    for workspace_id in sorted(sandbox.group(tre).children()):
        found.append(("cgroup", sandbox.group(tre, workspace_id).name, workspace_id))
    found += [("mount", point, _workspace_of(point)) for point in _mounts(tre)]
    found += [("loop", device, _workspace_of(image)) for device, image in _loops(tre)]
    found += [("process", str(pid), workspace_id) for pid, workspace_id in _processes(tre)]
    return [{"kind": kind, "name": name, "workspace_id": w} for kind, name, w in found]


def _is_in_use(tre: Tre, workspace_id: str) -> bool:
    return any(
        sandbox.state(tre, workspace_id, sandbox_id) == "running"
        for sandbox_id in sandbox.list_sandboxes(tre, workspace_id)
    )


def _gid(tre: Tre, workspace_id: str) -> int | None:
    try:
        text = (tre.workspace(workspace_id) / "workspace.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return int(json.loads(text)["gid"])


def _is_prepared(tre: Tre, workspace_id: str) -> bool:
    return namespaces.exists(tre, workspace_id) and _has_disk(tre, workspace_id)


def _has_disk(tre: Tre, workspace_id: str) -> bool:
    files = tre.files(workspace_id)
    return disks.is_mounted(files) if tre.disk_images else files.is_dir()


def _unlock_for_good(tre: Tre, name: str) -> None:
    """Take the lock file away while it is held; who waits for it locks a new one."""
    (tre.state / "locks" / name).unlink(missing_ok=True)


def _count(known: sandbox.Known) -> dict[str, Any]:
    return {**_proc_counters(_same_namespace(known)), "epoch": f"{known.pid}.{known.started}"}


def _count_all(tre: Tre, workspace_id: str) -> dict[str, Any]:
    """Add up what lives now: without cgroups the CPU time of the dead is lost, so a new epoch."""
    pids: list[int] = []
    epochs = []
    for sandbox_id in sandbox.list_sandboxes(tre, workspace_id):
        if (known := sandbox.find(tre, workspace_id, sandbox_id)) and known.lives():
            pids += _same_namespace(known)
            epochs.append(f"{known.pid}.{known.started}")
    return {**_proc_counters(pids), "epoch": "+".join(epochs)}


def _same_namespace(known: sandbox.Known) -> list[int]:
    return [pid for pid in _all_pids() if sandbox.in_pid_namespace(pid, known.pid_namespace)]


def _proc_counters(pids: list[int]) -> dict[str, Any]:
    ticks = memory = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = stat.rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # own and of reaped children
            memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu_seconds": ticks / os.sysconf("SC_CLK_TCK"),
        "memory_bytes": memory,
        "memory_peak_bytes": memory,
        "processes": len(pids),
        "source": "proc",
    }


def _workspace_of(path: str) -> str:
    names = [part for part in path.split("/") if is_id(part[:36])]
    return names[0][:36] if names else ""


def _mounts(tre: Tre) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = [line.split()[4] for line in lines]
    tops = (f"{tre.state}/", f"{tre.run}/")
    return [point for point in points if point.startswith(tops) and _workspace_of(point)]


def _loops(tre: Tre) -> list[tuple[str, str]]:
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            image = file.read_text(encoding="utf-8").strip()
            if image.startswith(f"{tre.state}/"):
                found.append((file.parent.parent.name, image))
    return found


def _processes(tre: Tre) -> list[tuple[int, str]]:
    """Return what runs in this TRE's cgroups, in its namespaces, or as one of its uids."""
    found: dict[int, str] = {}
    for workspace_id in sandbox.group(tre).children() | set(tre.workspace_ids()):
        pids = sandbox.group(tre, workspace_id).processes()
        found |= dict.fromkeys(pids | _recorded(tre, workspace_id), workspace_id)
    for pid in _all_pids() if tre.as_root else ():
        with contextlib.suppress(OSError):
            mine = tre.first_uid <= os.stat(f"/proc/{pid}").st_uid <= tre.last_uid
            if mine and linux.start_time(pid) is not None:  # a zombie holds nothing
                found.setdefault(pid, "")
    return sorted(found.items())


def _recorded(tre: Tre, workspace_id: str) -> set[int]:
    pids = set()
    for sandbox_id in sandbox.list_sandboxes(tre, workspace_id):
        known = sandbox.find(tre, workspace_id, sandbox_id)
        if known and known.outer_lives():
            pids.add(known.pid)
        if known and known.child_lives():
            pids.add(known.child)
    holder = None if tre.as_root else namespaces.holder(tre, workspace_id)
    return pids | ({holder[0]} if holder else set())


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
