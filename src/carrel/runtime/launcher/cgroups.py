"""How are sandboxes limited, counted and killed, on cgroup v1, v2, both or neither?"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CPU_PERIOD_US = 100_000
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer")


@dataclass(frozen=True)
class Hierarchies:
    """Where cgroups can be made on this host."""

    v2: Path | None
    v1: dict[str, Path]
    """Mount point by controller."""

    def tops(self) -> list[Path]:
        """Return each hierarchy once."""
        return list(dict.fromkeys([*([self.v2] if self.v2 else []), *self.v1.values()]))


@cache
def hierarchies() -> Hierarchies:
    """Find the cgroup mounts that this process may write to."""
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        mount, (kind, _, options) = Path(left.split()[4]), right.split()[:3]
        if kind == "cgroup2":
            v2 = mount if os.geteuid() == 0 else _delegated(mount)
        elif kind == "cgroup" and os.access(mount, os.W_OK):
            v1 |= {name: mount for name in options.split(",") if name in CONTROLLERS}
    return Hierarchies(v2 if v2 and os.access(v2, os.W_OK) else None, v1)


def _delegated(mount: Path) -> Path:
    """Return the part of the v2 tree that belongs to this ordinary user, if any does."""
    own = re.search(r"(?m)^0::/(.*)$", Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    return mount / own[1] if own else mount


@dataclass(frozen=True)
class Group:
    """The same cgroup in every hierarchy; `name` is `carrel-<tre>[/<workspace>[/<sandbox>]]`."""

    name: str
    where: Hierarchies = field(default_factory=hierarchies)

    def folders(self) -> list[Path]:
        """Return where the group is, or would be."""
        return [top / self.name for top in self.where.tops()]

    def exists(self) -> bool:
        """Say whether any hierarchy has it."""
        return any(folder.exists() for folder in self.folders())

    def create(self) -> None:
        """Make it and its parents; may be called twice."""
        for folder in self.folders():
            _make(folder)
        if (top := self.where.v2) is not None:
            parts = self.name.split("/")[:-1]
            _enable_controllers([top, *(top / "/".join(parts[: n + 1]) for n in range(len(parts)))])

    def limit(self, *, memory_bytes: int, cpus: float, processes: int) -> None:
        """Write the limits wherever a controller takes them; the self-test says if they hold."""
        quota = max(1000, int(cpus * CPU_PERIOD_US))
        self._write("memory", "memory.max", "memory.limit_in_bytes", memory_bytes)
        self._write("memory", "memory.swap.max", "memory.memsw.limit_in_bytes", memory_bytes, 0)
        self._write("cpu", "cpu.max", "cpu.cfs_quota_us", quota, f"{quota} {CPU_PERIOD_US}")
        self._write("pids", "pids.max", "pids.max", processes)

    def _write(self, controller: str, v2: str, v1: str, value: int, v2_value: Any = None) -> None:
        found = self.where
        files = [found.v2 / self.name / v2] if found.v2 else []
        if controller in found.v1:
            files.append(found.v1[controller] / self.name / v1)
        for file in files:
            if file.exists():
                wanted = value if file.name == v1 or v2_value is None else v2_value
                # A kernel without swap accounting refuses; the memory limit holds all the same.
                with contextlib.suppress(OSError):
                    file.write_text(str(wanted), encoding="ascii")

    def join(self) -> None:
        """Move the calling process into it."""
        for folder in self.folders():
            (folder / "cgroup.procs").write_text("0", encoding="ascii")

    def processes(self) -> set[int]:
        """Return every process in it or below it."""
        return {pid for folder in self.folders() for pid in _processes(folder)}

    def kill(self, *, seconds: float = 10.0) -> None:
        """Kill everything in it and return when it is empty. Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                raise TimeoutError(f"The processes of {self.name} do not die.")
            self._kill_once()
            time.sleep(0.002)

    def _kill_once(self) -> None:
        found = self.where
        switch = found.v2 / self.name / "cgroup.kill" if found.v2 else None
        if switch and switch.exists():
            _try_write(switch, "1")
        freezer = found.v1.get("freezer")
        state = freezer / self.name / "freezer.state" if freezer else None
        if state:
            _try_write(state, "FROZEN")  # nobody forks while we walk
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if state:
            _try_write(state, "THAWED")

    def remove(self, *, seconds: float = 5.0) -> None:
        """Kill what is in it and take it away; nothing happens if it is not there."""
        self.kill()
        deadline = time.monotonic() + seconds
        for folder in self.folders():
            while folder.exists() and not _rmdir_tree(folder):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"The cgroup {folder} cannot be removed.")
                time.sleep(0.005)

    def remove_if_empty(self) -> None:
        """Take it away unless something is below it; nothing is killed."""
        for folder in self.folders():
            with contextlib.suppress(OSError):
                folder.rmdir()

    def children(self) -> set[str]:
        """Return the names of the groups directly below."""
        return {
            entry.name
            for folder in self.folders()
            if folder.is_dir()
            for entry in os.scandir(folder)
            if entry.is_dir()
        }

    def oom_kills(self) -> int:
        """Return how many of its processes the kernel killed for want of memory."""
        return self._count("memory", "memory.events", "memory.oom_control", "oom_kill")

    def throttled(self) -> int:
        """Return in how many periods it had used up its CPU time."""
        return self._count("cpu", "cpu.stat", "cpu.stat", "nr_throttled")

    def _count(self, controller: str, v2: str, v1: str, name: str) -> int:
        found = self.where
        files = [found.v2 / self.name / v2] if found.v2 else []
        if controller in found.v1:
            files.append(found.v1[controller] / self.name / v1)
        return sum(_field(file, name) for file in files if file.exists())

    def counters(self) -> dict[str, Any] | None:
        """Return the raw counters, or None where no hierarchy counts."""
        found = self.where
        if found.v2 and (found.v2 / self.name / "memory.current").exists():
            return _counters_v2(found.v2 / self.name)
        if (found.v1.keys() >= {"memory", "cpuacct"}) and self.exists():
            return _counters_v1(self.name, found, len(self.processes()))
        return None


def _counters_v2(folder: Path) -> dict[str, Any]:
    peak = folder / "memory.peak"
    current = int((folder / "memory.current").read_text(encoding="ascii"))
    return {
        "epoch": str(folder.stat().st_ino),
        "cpu_seconds": _field(folder / "cpu.stat", "usage_usec") / 1e6,
        "memory_bytes": current,
        "memory_peak_bytes": int(peak.read_text(encoding="ascii")) if peak.exists() else current,
        "processes": len(set(_processes(folder))),
        "source": "cgroup2",
    }


def _counters_v1(name: str, found: Hierarchies, processes: int) -> dict[str, Any] | None:
    memory, cpu = found.v1["memory"] / name, found.v1["cpuacct"] / name
    try:
        return {
            "epoch": str(cpu.stat().st_ino),
            "cpu_seconds": int((cpu / "cpuacct.usage").read_text(encoding="ascii")) / 1e9,
            "memory_bytes": int((memory / "memory.usage_in_bytes").read_text(encoding="ascii")),
            "memory_peak_bytes": int(
                (memory / "memory.max_usage_in_bytes").read_text(encoding="ascii")
            ),
            "processes": processes,
            "source": "cgroup1",
        }
    except FileNotFoundError:
        return None


def _field(file: Path, name: str) -> int:
    for line in file.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def _make(folder: Path, attempts: int = 5) -> None:
    """Make a folder and its parents, although the last one out may be taking those away."""
    for _ in range(attempts):
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(parents=True, exist_ok=True)
            return
    folder.mkdir(parents=True, exist_ok=True)


def _enable_controllers(folders: list[Path]) -> None:
    for folder in folders:
        try:
            offered = (folder / "cgroup.controllers").read_text(encoding="ascii").split()
        except OSError:
            return
        for name in {"memory", "cpu", "pids"} & set(offered):
            _try_write(folder / "cgroup.subtree_control", f"+{name}")


def _processes(folder: Path) -> Iterator[int]:
    for base, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            text = Path(base, "cgroup.procs").read_text(encoding="ascii")
            yield from (int(word) for word in text.split() if word != "0")


def _rmdir_tree(folder: Path) -> bool:
    for base, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(base)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _try_write(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        file.write_text(text, encoding="ascii")
