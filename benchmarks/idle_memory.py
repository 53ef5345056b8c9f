"""What does an idle workspace without tools cost in memory?

What the kernel takes is measured on the whole host just before and just after a number of
workspaces are made: all of its slab (reclaimable or not), per-processor memory, page tables and
vmalloc, kernel stacks among it. The page cache is not counted. Programs that hold a workspace
(there are none with root) are added with their proportional share. The reference is what the
kernel takes for the bare things: a network namespace and a loop-mounted file system.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks._rows import promise
from carrel.core.ids import new_id
from carrel.evidence.throwaway import throwaway_launcher
from carrel.runtime.local import LocalRuntime
from carrel.runtime.ports import WorkspacePlan

WORKSPACES, ROUNDS = 16, 3
DISK_BYTES = 64 * 2**20
SETTLE_SECONDS = 1.0
"""The kernel gives memory of dead namespaces back a little later."""
COUNTED = ("Slab", "Percpu", "PageTables", "VmallocUsed")
LIMIT_MIB = 2.0


def run() -> list[dict[str, Any]]:
    """Return the promise about idle workspaces. Needs root, for the reference."""
    with throwaway_launcher(LocalRuntime) as runtime:
        first, _ = runtime.uid_range()
        measured, reference = [], []
        for _ in range(ROUNDS):
            measured.append(_cost(lambda: _workspaces(runtime, first)))
            reference.append(_cost(_bare))
    return [
        promise(
            "idle workspace without tools",
            statistics.median(measured),
            "MiB",
            statistics.median(reference),
            at_most=LIMIT_MIB,
        )
    ]


def _cost(things: Callable[[], AbstractContextManager[float]]) -> float:
    """Return the MiB that one of `WORKSPACES` things takes."""
    time.sleep(SETTLE_SECONDS)
    before = _kernel_mib()
    with things() as programs_mib:
        during = _kernel_mib() + programs_mib
    return (during - before) / WORKSPACES


def _kernel_mib() -> float:
    """Return what the kernel itself uses on the host."""
    fields: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0])
    return sum(fields[name] for name in COUNTED) / 1024


def _share_mib(pid: str) -> float:
    """Return the proportional share of one process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def _workspaces(runtime: LocalRuntime, gid: int) -> Iterator[float]:
    ids = [new_id() for _ in range(WORKSPACES)]
    try:
        for workspace_id in ids:
            runtime.prepare(WorkspacePlan(id=workspace_id, gid=gid, disk_bytes=DISK_BYTES))
        held = [left.name for left in runtime.leftovers() if left.kind == "process"]
        yield sum(_share_mib(pid) for pid in held)
    finally:
        for workspace_id in ids:
            runtime.remove(workspace_id)


@contextmanager
def _bare() -> Iterator[float]:
    with tempfile.TemporaryDirectory(prefix="carrel-benchmark-") as folder:
        names = [f"carrel-bare-{number}" for number in range(WORKSPACES)]
        made = []
        try:
            for name in names:
                made.append(name)
                _make_bare(Path(folder, name), name)
            yield 0.0
        finally:
            for name in made:
                subprocess.run(["umount", Path(folder, name)], check=False, capture_output=True)
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _make_bare(point: Path, name: str) -> None:
    image = point.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    point.mkdir()
    commands: list[list[str]] = [
        ["mkfs.ext4", "-q", "-F", str(image)],
        ["mount", "-o", "loop,nosuid,nodev", str(image), str(point)],
        ["ip", "netns", "add", name],
        ["ip", "-n", name, "link", "set", "lo", "up"],
    ]
    for words in commands:
        subprocess.run(words, check=True, capture_output=True)
