"""TESTS ONLY: which single protection may be broken on purpose, to see that a proof notices?

The launcher takes `--weaken` only for a home that holds the file `weakened-for-tests`; its
self-test then fails loudly, so that no template that asks for any isolation starts there.
"""

import hashlib
import subprocess
from pathlib import Path

from carrel.runtime.launcher import namespaces
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

MARKER = "weakened-for-tests"
BREAKS = {
    "no-seccomp": "syscalls:filtered",
    "veth-route": "network:none",
    "proc-sys-writable": "kernel:masked",
    "bwrap-as-root": "privileges:none",
}
"""The protection that each weakening breaks."""


def check_allowed(home: Path, weakening: str) -> None:
    """Raise `Refused` unless this home was made to be weakened."""
    if weakening not in BREAKS or not (home / MARKER).is_file():
        raise Refused(
            "invalid_request",
            f"--weaken is for Carrel's own tests: one of {', '.join(BREAKS)}, and only for a "
            f"home that holds the file {MARKER}.",
        )


def evidence(weakening: str) -> str:
    """Return what the self-test says about the broken protection."""
    return f"WEAKENED ON PURPOSE by `--weaken {weakening}`, for tests only: synthetic data only"


def add_route(tre: Tre, workspace_id: str) -> None:
    """Give the namespace a veth with a default route to a second namespace of our own."""
    outside = _outside(tre, workspace_id)
    if namespaces.is_pinned(outside):
        return
    namespaces.pin(outside)
    name = "w" + hashlib.sha256(workspace_id.encode()).hexdigest()[:10]
    inner, outer = f"{name}i", f"{name}o"
    _ip("link", "add", inner, "type", "veth", "peer", "name", outer)
    for link, path in ((inner, tre.network(workspace_id)), (outer, outside)):
        _into(link, path)
    _within(tre.network(workspace_id), inner, "192.0.2.2/30")
    _ip("route", "add", "default", "via", "192.0.2.1", inside=tre.network(workspace_id))
    _within(outside, outer, "192.0.2.1/30")


def remove_route(tre: Tre, workspace_id: str) -> None:
    """Take the second namespace away; the veth goes with it."""
    if tre.as_root:
        namespaces.unpin(_outside(tre, workspace_id))


def _outside(tre: Tre, workspace_id: str) -> Path:
    return tre.network(workspace_id).with_name(f"{workspace_id}.weakened")


def _within(path: Path, link: str, address: str) -> None:
    _ip("address", "add", address, "dev", link, inside=path)
    _ip("link", "set", link, "up", inside=path)


def _into(link: str, path: Path) -> None:
    # `ip link set netns` knows names and pids only; nsenter brings a pid of that namespace.
    with subprocess.Popen(
        ["/usr/bin/nsenter", f"--net={path}", "/bin/sh", "-c", "echo ready; read _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout
        holder.stdout.readline()
        _ip("link", "set", link, "netns", str(holder.pid))
        holder.communicate(b"\n")


def _ip(*words: str, inside: Path | None = None) -> None:
    enter = ("/usr/bin/nsenter", f"--net={inside}") if inside else ()
    command = [*enter, "/usr/sbin/ip", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused("outside_failure", f"{' '.join(command)}: {done.stderr.strip()}")
