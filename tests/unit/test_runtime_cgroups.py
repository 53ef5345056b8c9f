"""Limits, counters and kills on trees of files that look like each kind of host."""

from pathlib import Path

import pytest

from carrel.runtime.launcher.cgroups import Group, Hierarchies

NAME = "carrel-0123abcd/workspace/sandbox"
MIB = 2**20


@pytest.fixture
def v2(tmp_path: Path) -> Group:
    group = Group(NAME, Hierarchies(tmp_path, {}))
    for folder in (tmp_path, *(tmp_path / part for part in ("carrel-0123abcd", NAME[:25]))):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("")
    leaf = tmp_path / NAME
    leaf.mkdir()
    for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max"):
        (leaf / name).write_text("max\n")
    (leaf / "memory.current").write_text("1048576\n")
    (leaf / "memory.peak").write_text("2097152\n")
    (leaf / "cpu.stat").write_text("usage_usec 2500000\nnr_throttled 4\n")
    (leaf / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (leaf / "cgroup.procs").write_text("")
    return group


@pytest.fixture
def v1(tmp_path: Path) -> Group:
    tops = {name: tmp_path / name for name in ("memory", "pids", "freezer")}
    tops |= dict.fromkeys(("cpu", "cpuacct"), tmp_path / "cpu,cpuacct")
    group = Group(NAME, Hierarchies(None, tops))
    group.create()
    files = {
        "memory/memory.limit_in_bytes": "-1", "memory/memory.usage_in_bytes": "1048576",
        "memory/memory.max_usage_in_bytes": "2097152", "pids/pids.max": "max",
        "memory/memory.oom_control": "oom_kill_disable 0\noom_kill 2",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpuacct.usage": "2500000000", "cpu,cpuacct/cpu.stat": "nr_throttled 4",
    }  # fmt: skip
    for path, text in files.items():
        top, _, name = path.partition("/")
        (tmp_path / top / NAME / name).write_text(f"{text}\n")
    return group


def read(group: Group, name: str) -> str:
    found = [folder / name for folder in group.folders() if (folder / name).exists()]
    return found[0].read_text().strip()


def test_v2_takes_its_limits(v2):
    v2.limit(memory_bytes=64 * MIB, cpus=0.5, processes=32)
    assert read(v2, "memory.max") == str(64 * MIB)
    assert read(v2, "memory.swap.max") == "0"
    assert read(v2, "cpu.max") == "50000 100000"
    assert read(v2, "pids.max") == "32"


def test_v1_takes_its_limits(v1):
    v1.limit(memory_bytes=64 * MIB, cpus=0.5, processes=32)
    assert read(v1, "memory.limit_in_bytes") == str(64 * MIB)
    assert read(v1, "cpu.cfs_quota_us") == "50000"
    assert read(v1, "pids.max") == "32"


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_both_kinds_count_the_same(request, kind):
    group = request.getfixturevalue(kind)
    counters = group.counters()
    assert counters["cpu_seconds"] == 2.5
    assert (counters["memory_bytes"], counters["memory_peak_bytes"]) == (MIB, 2 * MIB)
    assert group.oom_kills() == 2
    assert group.throttled() == 4


def test_controllers_are_handed_down_to_the_sandbox_but_not_into_it(v2, tmp_path):
    v2.create()
    for part in (".", "carrel-0123abcd", "carrel-0123abcd/workspace"):
        # A file keeps the last write; the kernel would keep all three.
        assert (tmp_path / part / "cgroup.subtree_control").read_text().startswith("+")
    assert not (tmp_path / NAME / "cgroup.subtree_control").exists()


def test_without_any_hierarchy_nothing_is_limited_and_nothing_fails():
    group = Group(NAME, Hierarchies(None, {}))
    group.create()
    group.limit(memory_bytes=64 * MIB, cpus=1, processes=32)
    group.join()
    assert group.counters() is None
    assert not group.exists()
    group.remove()


def test_a_hybrid_host_counts_once_and_is_joined_twice(tmp_path):
    tops = {"memory": tmp_path / "memory", "cpuacct": tmp_path / "cpuacct"}
    group = Group(NAME, Hierarchies(tmp_path / "unified", tops))
    assert len(group.folders()) == 3
    group.create()
    for folder in group.folders():
        (folder / "cgroup.procs").write_text("")
    group.join()
    assert {(folder / "cgroup.procs").read_text() for folder in group.folders()} == {"0"}
    assert group.counters() is None  # v2 has no memory controller there, and v1 no files yet


def test_an_empty_group_goes_away_with_everything_below(tmp_path):
    group = Group("carrel-0123abcd", Hierarchies(tmp_path, {}))
    for name in ("a/x", "a/y", "b"):
        (tmp_path / "carrel-0123abcd" / name).mkdir(parents=True)
    assert group.children() == {"a", "b"}
    group.remove()
    assert list(tmp_path.iterdir()) == []
