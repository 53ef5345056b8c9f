"""How is the system call filter made? `python -m carrel.runtime.seccomp.build` writes it anew.

From the profile of containers-common (Debian: golang-github-containers-common) with pyseccomp;
both are needed only here. Stricter than that profile: no call that needs a capability, only four
socket families, no ptrace, no keyrings, no namespaces, no io_uring; other ABIs are killed.
"""

import errno
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyseccomp as sc  # type: ignore[import-untyped]  # ships no types

PROFILE = Path("/usr/share/containers/seccomp.json")
HERE = Path(__file__).parent
ARCHITECTURES = {"x86_64": ("amd64", sc.Arch.X86_64), "aarch64": ("arm64", sc.Arch.AARCH64)}
"""Name of the machine: its names in the profile and in libseccomp."""

DENIED = frozenset(
    {
        "add_key", "bpf", "clone", "clone3", "io_uring_enter", "io_uring_register",
        "io_uring_setup", "kcmp", "keyctl", "mount", "perf_event_open", "pidfd_getfd",
        "process_vm_readv", "process_vm_writev", "ptrace", "request_key", "setns", "socket",
        "unshare", "userfaultfd",
    }
)  # fmt: skip
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
CLONE_NEW_ANY = 0x7E020000
"""Every CLONE_NEW… flag but CLONE_NEWTIME, which shares a bit with the exit signal."""

_COMPARE = {
    "SCMP_CMP_NE": sc.NE, "SCMP_CMP_LT": sc.LT, "SCMP_CMP_LE": sc.LE, "SCMP_CMP_EQ": sc.EQ,
    "SCMP_CMP_GE": sc.GE, "SCMP_CMP_GT": sc.GT, "SCMP_CMP_MASKED_EQ": sc.MASKED_EQ,
}  # fmt: skip


def build(machine: str) -> tuple[Any, list[str]]:
    """Return the filter for a machine and the calls that this libseccomp does not know."""
    name, architecture = ARCHITECTURES[machine]
    chosen = sc.SyscallFilter(sc.ERRNO(errno.ENOSYS))
    if architecture != sc.system_arch():
        chosen.add_arch(architecture)
        chosen.remove_arch(sc.system_arch())
    chosen.set_attr(sc.Attr.ACT_BADARCH, sc.KILL_PROCESS)
    unknown = []
    for rule in _rules(name):
        action = sc.ALLOW
        if rule["action"] != "SCMP_ACT_ALLOW":
            action = sc.ERRNO(rule.get("errnoRet", errno.EPERM))
        for call in sorted(set(rule["names"]) - DENIED):
            try:
                chosen.add_rule(action, call, *map(_argument, rule.get("args") or ()))
            except (OSError, RuntimeError, ValueError):
                unknown.append(call)
    for family in FAMILIES.values():
        chosen.add_rule(sc.ALLOW, "socket", sc.Arg(0, sc.EQ, family))
    chosen.add_rule(sc.ALLOW, "clone", sc.Arg(0, sc.MASKED_EQ, CLONE_NEW_ANY, 0))
    return chosen, unknown


def _rules(architecture: str) -> Iterator[Mapping[str, Any]]:
    """Yield the profile's rules that hold for a process without any capability."""
    for rule in json.loads(PROFILE.read_text(encoding="utf-8"))["syscalls"]:
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        if wanted.get("caps") or (wanted.get("arches") and architecture not in wanted["arches"]):
            continue
        if architecture not in (unwanted.get("arches") or ()):
            yield rule


def _argument(condition: Mapping[str, Any]) -> Any:
    values = [condition["value"]]
    if condition["op"] == "SCMP_CMP_MASKED_EQ":
        values.append(condition.get("valueTwo", 0))
    return sc.Arg(condition["index"], _COMPARE[condition["op"]], *values)


def main() -> int:
    """Write the filter of every architecture beside this file."""
    for machine in ARCHITECTURES:
        chosen, unknown = build(machine)
        with (HERE / f"{machine}.bpf").open("wb") as file:
            chosen.export_bpf(file)
        size = (HERE / f"{machine}.bpf").stat().st_size
        sys.stderr.write(f"{machine}: {size} bytes; unknown here: {' '.join(unknown) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
