"""How long does it take to make a workspace, and to start a sandbox in it?

A sandbox's start is measured beside a bare bubblewrap with the same namespaces and no policy; a
workspace's preparation beside the bare commands for a namespace and a quota disk.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._rows import promise
from carrel.core.ids import new_id
from carrel.evidence.throwaway import throwaway_launcher
from carrel.runtime.local import LocalRuntime
from carrel.runtime.ports import Member, SandboxPlan, WorkspacePlan

ROUNDS = 15
DISK_BYTES = 64 * 2**20
_BARE_SANDBOX = (
    "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev",
    "--tmpfs", "/tmp", "--", "/bin/true",
)  # fmt: skip


def run() -> list[dict[str, Any]]:
    """Return the promises about starts, as medians. Needs root, for the reference."""
    with throwaway_launcher(LocalRuntime) as runtime:
        last = runtime.uid_range()[1]
        prepare, bare_prepare, start, bare_start = [], [], [], []
        for _ in range(ROUNDS):
            workspace_id = new_id()
            workspace = WorkspacePlan(id=workspace_id, gid=last, disk_bytes=DISK_BYTES)
            prepare.append(_timed(partial(runtime.prepare, workspace)))
            start.append(_timed(partial(runtime.start, _sandbox(workspace_id, last - 1))))
            bare_prepare.append(_bare_workspace())
            bare_start.append(_timed(partial(_run, *_BARE_SANDBOX)))
            runtime.remove(workspace_id)
    return [
        promise(
            "prepare a workspace",
            statistics.median(prepare) * 1000,
            "ms",
            statistics.median(bare_prepare) * 1000,
            ratio_at_most=3,
        ),
        promise(
            "start a sandbox",
            statistics.median(start) * 1000,
            "ms",
            statistics.median(bare_start) * 1000,
            ratio_at_most=6,
        ),
    ]


def _sandbox(workspace_id: str, uid: int) -> SandboxPlan:
    """Return a sandbox that runs `true`; `start` returns once it runs or has run."""
    return SandboxPlan(
        id=new_id(),
        workspace_id=workspace_id,
        member=Member(uid=uid, name="ada"),
        command=["/bin/true"],
    )


def _bare_workspace() -> float:
    """Return the seconds that the bare commands take, and undo them."""
    with tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as folder:
        image, point, name = Path(folder, "disk.img"), Path(folder, "disk"), f"carrel-{new_id()}"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        point.mkdir()

        def make() -> None:
            _run("mkfs.ext4", "-q", "-F", str(image))
            _run("mount", "-o", "loop,nosuid,nodev", str(image), str(point))
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")

        try:
            return _timed(make)
        finally:
            subprocess.run(["umount", point], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
