"""Which isolation does this host really enforce? Found by doing each thing once per boot."""

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from carrel.runtime.launcher import doors, linux, sandbox, weaken, workspaces
from carrel.runtime.launcher.plans import Sandbox, Workspace
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

WORKSPACE = "00000000-0000-4000-8000-000000000000"
INSPECT = "00000000-0000-4000-8000-000000000001"
EXHAUST = "00000000-0000-4000-8000-000000000002"
DISK_BYTES = 32 * 2**20
MEMORY_BYTES = 96 * 2**20
PROCESSES = 40
CPUS = 0.2
PORT = 8007
"""Where the first sandbox listens (inside.py)."""
SECONDS = 20.0
APPARMOR = (
    "ordinary users may not make user namespaces here (see kernel.apparmor_restrict_unprivileged_"
    "userns, user.max_user_namespaces); run the launcher as root, or give bwrap a profile"
)


@dataclass(frozen=True)
class Seen:
    """What the sandboxes reported, and what the host saw of them."""

    tre: Tre
    inside: Mapping[str, Any]
    status: Mapping[str, str]
    """/proc/<pid>/status of the command, from the host."""
    own_network: bool
    reached: str
    spared: str
    """What dialling the same port for another member came to."""
    spent: Mapping[str, Any]
    exit_code: int | None
    oom_kills: int
    throttled: int


def outcome(tre: Tre, *, retry: bool = False) -> list[dict[str, Any]]:
    """Return the checks, run now or remembered since the last boot.

    They are of the host and the launcher's code, so all TREs of root share them. With `retry`,
    what failed before is done again: somebody may have fixed the host.
    """
    with tre.lock("self-test"):
        file = (tre.run.parent if tre.as_root else tre.state) / f"self-test-{_key(tre)}.json"
        if file.exists():
            remembered = list(json.loads(file.read_text(encoding="utf-8")))
            if not retry or all(check["passed"] for check in remembered):
                return remembered
        checks = run(tre)
        temporary = file.with_suffix(f".{tre.id}")
        temporary.write_text(json.dumps(checks), encoding="utf-8")
        temporary.rename(file)
        return checks


def run(tre: Tre) -> list[dict[str, Any]]:
    """Do everything once, for real, in a workspace that is removed again."""
    try:
        workspaces.remove(tre, WORKSPACE)
        seen = _look(tre)
    except (Refused, OSError, TimeoutError) as error:
        hint = APPARMOR if "uid map" in str(error) or "unshare" in str(error) else ""
        text = f"no sandbox could be started: {error} {hint}".strip()
        return [{"enforces": word, "passed": False, "evidence": text} for word in CHECKS]
    finally:
        workspaces.remove(tre, WORKSPACE)
    return [_check(seen, word, judge) for word, judge in CHECKS.items()]


def user_namespaces_work(tre: Tre) -> bool:
    """Say whether an ordinary user may make a sandbox with a user namespace."""
    command = ["/usr/bin/bwrap", "--unshare-user", "--ro-bind", "/", "/", "/usr/bin/true"]
    who = {"user": tre.last_uid, "group": tre.last_uid, "extra_groups": []} if tre.as_root else {}
    done = subprocess.run(command, capture_output=True, check=False, cwd="/", **who)  # type: ignore[call-overload]  # the keywords of `who`
    return bool(done.returncode == 0)


def _look(tre: Tre) -> Seen:
    workspaces.prepare(tre, Workspace(WORKSPACE, tre.last_uid, DISK_BYTES))
    for sandbox_id, what in ((INSPECT, "inspect"), (EXHAUST, "exhaust")):
        workspaces.start(tre, _plan(tre, sandbox_id, what))
    inside = _report(tre, INSPECT)
    known = sandbox.find(tre, WORKSPACE, INSPECT)
    pid = sandbox.first_process(known) if known else None
    if pid is None:
        raise Refused("outside_failure", "The first process of the test sandbox was not found")
    spent = _report(tre, EXHAUST)
    cgroup = sandbox.group(tre, WORKSPACE, EXHAUST)
    return Seen(
        tre=tre,
        inside=inside,
        status=_status(pid),
        own_network=os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino,
        reached=_dial(tre, tre.last_uid),
        spared=_dial(tre, tre.last_uid - 1),
        spent=spent,
        exit_code=_await_exit(tre),
        oom_kills=cgroup.oom_kills(),
        throttled=cgroup.throttled(),
    )


@cache
def _key(tre: Tre) -> str:
    """Return what is another one after a reboot, with other code, and in another mode."""
    sources = [*sorted(Path(__file__).parent.glob("*.py")), sandbox.FILTER]
    code = b"".join(source.read_bytes() for source in sources if source.exists())
    flags = (tre.as_root, tre.user_namespaces, tre.disk_images)
    mode = f"{linux.boot_id()} {tre.weaken} {flags}"
    return hashlib.sha256(mode.encode() + code).hexdigest()[:16]


def _plan(tre: Tre, sandbox_id: str, what: str) -> Sandbox:
    text = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
    return Sandbox(
        id=sandbox_id,
        workspace_id=WORKSPACE,
        uid=tre.last_uid if what == "inspect" else tre.last_uid - 1,
        name="selftest",
        command=("/usr/bin/python3", "-I", "-S", "-c", text, what),
        environment=(),
        image="",
        mounts=(),
        memory_bytes=MEMORY_BYTES,
        cpus=CPUS if what == "exhaust" else 2.0,
        processes=PROCESSES,
    )


def _report(tre: Tre, sandbox_id: str) -> dict[str, Any]:
    """Return what a test sandbox printed first; wait for it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        said = sandbox.output(tre, WORKSPACE, sandbox_id, 65536)
        line, ended, _ = said.partition("\n")
        if ended and line.startswith("{"):
            return dict(json.loads(line))
        if sandbox.state(tre, WORKSPACE, sandbox_id) != "running" and not said.startswith("{"):
            raise Refused("outside_failure", f"The test sandbox failed: {said.strip()[-500:]}")
        time.sleep(0.01)
    raise Refused("outside_failure", f"The test sandbox said nothing for {SECONDS:.0f} s")


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _dial(tre: Tre, uid: int) -> str:
    try:
        with socket.socket(fileno=doors.dial(tre, WORKSPACE, PORT, uid)) as door:
            door.settimeout(5)
            return door.recv(16).decode(errors="replace")
    except (Refused, OSError) as error:
        return f"not reached: {error}"


def _await_exit(tre: Tre) -> int | None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        known = sandbox.find(tre, WORKSPACE, EXHAUST)
        if known is None or known.exit_code is not None:
            return known.exit_code if known else None
        time.sleep(0.01)
    return None


def _check(seen: Seen, word: str, judge: Callable[[Seen], tuple[bool, str]]) -> dict[str, Any]:
    passed, evidence = judge(seen)
    if seen.tre.weaken and weaken.BREAKS[seen.tre.weaken] == word:
        passed, evidence = False, f"{weaken.evidence(seen.tre.weaken)}. Seen: {evidence}"
    return {"enforces": word, "passed": passed, "evidence": evidence}


def _network(seen: Seen) -> tuple[bool, str]:
    lone = seen.inside["interfaces"] == ["lo"] and seen.inside["route"] == "ENETUNREACH"
    closed = seen.inside["low_port"] == "EACCES"
    evidence = (
        f"interfaces {seen.inside['interfaces']}, a route out: {seen.inside['route']}, own "
        f"namespace: {seen.own_network}, dialled from outside: {seen.reached}, a member on "
        f"the port of a door: {seen.inside['low_port']}"
    )
    return lone and closed and seen.own_network and seen.reached == "reached", evidence


def _seccomp(seen: Seen) -> tuple[bool, str]:
    names = ("vsock", "alg", "unshare", "ptrace")
    closed = all(seen.inside[name] != "open" for name in names)
    tiny = seen.inside["thirty_two_bit"]
    killed = tiny == "signal 31" or tiny.startswith("not tried")
    tried = ", ".join(f"{name} {seen.inside[name]}" for name in names)
    evidence = f"Seccomp mode {seen.status['Seccomp']}; {tried}; 32-bit call: {tiny}"
    return closed and killed and seen.status["Seccomp"] == "2", evidence


def _privileges(seen: Seen) -> tuple[bool, str]:
    status = seen.status
    uids, groups = status["Uid"].split(), [*status["Gid"].split(), *status["Groups"].split()]
    harmless = all(int(status[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"))
    good = "0" not in uids and status["NoNewPrivs"] == "1" and harmless and seen.inside["fds"] == [
        0, 1, 2, 3,
    ]  # fmt: skip
    if seen.tre.as_root:
        good = good and "0" not in groups
    return good, (
        f"seen from the host: Uid {uids[0]}, Gid {groups[0]}, NoNewPrivs {status['NoNewPrivs']}, "
        f"CapEff {status['CapEff']}, CapBnd {status['CapBnd']}; open fds {seen.inside['fds']}; "
        + ("user namespace" if seen.tre.user_namespaces else f"no user namespace: {APPARMOR}")
    )


def _masked(seen: Seen) -> tuple[bool, str]:
    inside = seen.inside
    good = inside["proc_sys_read_only"] and inside["core_pattern"] != "open"
    return good and not inside["sys"] and not inside["kallsyms_bytes"], (
        f"/proc/sys read-only: {inside['proc_sys_read_only']}, core_pattern: "
        f"{inside['core_pattern']}, /sys holds {len(inside['sys'])} entries, kallsyms "
        f"{inside['kallsyms_bytes']} bytes"
    )


def _member(seen: Seen) -> tuple[bool, str]:
    uid, wanted = seen.status["Uid"].split()[0], str(seen.tre.last_uid)
    evidence = (
        f"the member's host uid is {uid}; homes inside: {seen.inside['homes']}; the same port "
        f"dialled for another member: {seen.spared}"
    )
    if not seen.tre.as_root:
        return False, (
            f"{evidence}; one uid for all members, so a member may listen where another's tool "
            "should and answer in its name: run the launcher as root to fix it"
        )
    spared = seen.spared.startswith("not reached")
    return uid == wanted and seen.inside["homes"] == ["selftest"] and spared, evidence


def _limits(seen: Seen) -> tuple[bool, str]:
    spent, allowed = seen.spent, CPUS * 0.4
    good = spent["forks"] < PROCESSES and spent["cpu_seconds"] < 2 * allowed and seen.throttled > 0
    killed = seen.exit_code == 137 and seen.oom_kills > 0
    evidence = (
        f"{spent['forks']} forks of {PROCESSES} allowed, {spent['cpu_seconds']:.2f} CPU seconds "
        f"where {allowed:.2f} are allowed ({seen.throttled} times throttled), a "
        f"512 MiB bomb under {MEMORY_BYTES // 2**20} MiB ended with {seen.exit_code} and "
        f"{seen.oom_kills} kills for want of memory"
    )
    if good and killed:
        return True, evidence
    return False, f"{evidence}; run as root, or delegate memory, cpu and pids cgroups to this user"


def _disk(seen: Seen) -> tuple[bool, str]:
    evidence = f"64 MiB into a disk of 32 MiB: {seen.spent['fill']}"
    if seen.spent["fill"] == "ENOSPC":
        return True, evidence
    return False, f"{evidence}; run the launcher as root, with loop devices, to limit disks"


CHECKS: dict[str, Callable[[Seen], tuple[bool, str]]] = {
    "network:none": _network,
    "syscalls:filtered": _seccomp,
    "privileges:none": _privileges,
    "kernel:masked": _masked,
    "member:uid": _member,
    "limits:enforced": _limits,
    "disk:quota": _disk,
}
