"""What every runtime must do: in memory, local as root, local as an ordinary user."""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from carrel.core.errors import (
    CarrelError,
    Conflict,
    InvalidRequest,
    IsolationNotEnforced,
    NotFound,
    Unavailable,
)
from carrel.core.ids import new_id
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import (
    Level,
    Member,
    Runtime,
    SandboxPlan,
    State,
    WorkspacePlan,
)
from carrel.runtime.rules import EVERY_WORD
from tests.launchers import NOBODY, launched, require_root, until

MIB = 2**20
SLEEP = ("/bin/sleep", "1000")


@pytest.fixture(
    scope="module",
    params=[
        "memory",
        pytest.param("root", marks=pytest.mark.root),
        pytest.param("root-no-userns", marks=pytest.mark.root),
        pytest.param("root-no-disks", marks=pytest.mark.root),
        pytest.param("rootless", marks=pytest.mark.root),
    ],
)
def adapter(request) -> Iterator[SimpleNamespace]:
    """A runtime and its kind; `rootless` needs root only to become an ordinary user."""
    if request.param == "memory":
        yield SimpleNamespace(kind="memory", runtime=MemoryRuntime())
        return
    require_root()
    without = {"root-no-userns": "--no-user-namespaces", "root-no-disks": "--no-disk-images"}
    options = [without[request.param]] if request.param in without else []
    with launched(*options, uid=NOBODY if request.param == "rootless" else 0) as launcher:
        yield SimpleNamespace(kind=request.param, runtime=launcher.runtime())


@pytest.fixture
def runtime(adapter) -> Runtime:
    return adapter.runtime


@pytest.fixture
def space(adapter) -> Iterator[SimpleNamespace]:
    """A prepared workspace that is removed again."""
    first, _ = adapter.runtime.uid_range()
    plan = WorkspacePlan(new_id(), first + 10, 64 * MIB)
    adapter.runtime.prepare(plan)
    yield SimpleNamespace(id=plan.id, plan=plan, member=Member(first + 11, "ada"))
    adapter.runtime.remove(plan.id)


def sandbox(space, command=SLEEP, **more) -> SandboxPlan:
    return SandboxPlan(new_id(), space.id, space.member, command, **more)


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def test_what_is_not_enforced_is_said_and_never_skipped(adapter):
    test = adapter.runtime.self_test()
    expected = {
        "memory": (Level.A, frozenset()),
        "root": (Level.A, frozenset()),
        "root-no-userns": (Level.A, frozenset()),
        "root-no-disks": (Level.B, {"disk:quota"}),
        "rootless": (Level.B, {"limits:enforced", "disk:quota", "member:uid"}),
    }
    assert (test.level, EVERY_WORD - test.enforces) == expected[adapter.kind], test
    assert {check.enforces for check in test.checks} == EVERY_WORD
    assert all(check.evidence for check in test.checks)


def test_ids_of_members_come_from_a_range_of_this_tre(runtime):
    first, last = runtime.uid_range()
    assert last - first >= 9999
    assert first >= 200_000


def test_a_promise_that_nobody_keeps_starts_nothing(runtime, space):
    magic = frozenset({"magic:yes"})
    plan = sandbox(space, isolation=magic)
    with pytest.raises(IsolationNotEnforced, match="magic:yes"):
        runtime.start(plan)
    assert runtime.state(space.id, plan.id) is State.ABSENT
    other = WorkspacePlan(new_id(), space.plan.gid, 64 * MIB, magic)
    with pytest.raises(IsolationNotEnforced):
        runtime.prepare(other)
    assert other.id not in runtime.running()


def test_a_sandbox_lives_from_start_to_stop(runtime, space):
    plan = sandbox(space)
    assert runtime.state(space.id, plan.id) is State.ABSENT
    runtime.start(plan)
    runtime.start(plan)
    assert runtime.state(space.id, plan.id) is State.RUNNING
    assert list(runtime.running()[space.id]) == [plan.id]
    runtime.stop(space.id, plan.id, grace_seconds=1)
    runtime.stop(space.id, plan.id, grace_seconds=1)
    assert runtime.state(space.id, plan.id) is State.ABSENT
    assert list(runtime.running()[space.id]) == []


def test_a_stopped_sandbox_starts_again_under_the_same_id(runtime, space):
    plan = sandbox(space)
    runtime.start(plan)
    before = runtime.usage(space.id, plan.id)
    runtime.stop(space.id, plan.id, grace_seconds=0)
    runtime.start(plan)
    after = runtime.usage(space.id, plan.id)
    assert before
    assert after
    assert before.epoch != after.epoch


def test_what_ended_by_itself_is_known_and_cleaned_by_stop(adapter, space):
    runtime = adapter.runtime
    plan = sandbox(space, shell("echo last words; exit 3"))
    runtime.start(plan)
    if adapter.kind == "memory":
        runtime.print_output(space.id, plan.id, "last words\n")
        runtime.end_sandbox(space.id, plan.id)
    until(lambda: runtime.state(space.id, plan.id) is State.EXITED)
    assert runtime.output(space.id, plan.id) == "last words\n"
    assert runtime.output(space.id, plan.id, tail_bytes=6) == "words\n"
    runtime.stop(space.id, plan.id)
    assert runtime.state(space.id, plan.id) is State.ABSENT


def test_a_sandbox_that_ignores_the_signal_is_killed(adapter, space):
    plan = sandbox(space, shell("trap '' TERM; echo deaf; while :; do sleep 1; done"))
    adapter.runtime.start(plan)
    if adapter.kind != "memory":
        until(lambda: "deaf" in adapter.runtime.output(space.id, plan.id))
    began = time.monotonic()
    adapter.runtime.stop(space.id, plan.id, grace_seconds=0.2)
    assert time.monotonic() - began < 5
    assert adapter.runtime.state(space.id, plan.id) is State.ABSENT


def test_an_unknown_id_is_absent_or_nothing(runtime, space):
    nobody, nothing = new_id(), new_id()
    for workspace_id in (nobody, space.id):
        assert runtime.state(workspace_id, nothing) is State.ABSENT
        assert runtime.usage(workspace_id, nothing) is None
        assert runtime.output(workspace_id, nothing) == ""
        runtime.stop(workspace_id, nothing)
    assert runtime.usage(nobody) is None
    runtime.remove(nobody)
    runtime.remove_inbox(space.id, "nothing")
    assert nobody not in runtime.running()


def test_nothing_starts_and_no_door_opens_where_nothing_is_prepared(runtime, space):
    nobody = SimpleNamespace(id=new_id(), member=space.member)
    for attempt in (
        lambda: runtime.start(sandbox(nobody)),
        lambda: runtime.dial(nobody.id, 80),
        lambda: runtime.listen(nobody.id, 80),
        lambda: runtime.list_outbox(nobody.id),
        lambda: runtime.open_outbox(nobody.id, "file"),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_remove_leaves_nothing(runtime):
    first, _ = runtime.uid_range()
    plan = WorkspacePlan(new_id(), first + 20, 64 * MIB)
    runtime.prepare(plan)
    runtime.prepare(plan)
    space = SimpleNamespace(id=plan.id, member=Member(first + 21, "bob"))
    for _ in range(2):
        runtime.start(sandbox(space))
    assert plan.id in {leftover.workspace_id for leftover in runtime.leftovers()}
    runtime.remove(plan.id)
    runtime.remove(plan.id)
    assert [left for left in runtime.leftovers() if left.workspace_id in {plan.id, ""}] == []
    assert plan.id not in runtime.running()


def test_doors_lead_into_the_workspace(runtime, space):
    with pytest.raises(Unavailable):
        runtime.dial(space.id, 4321)
    with runtime.listen(space.id, 4321) as listener:
        with pytest.raises(Conflict):
            runtime.listen(space.id, 4321)
        with runtime.dial(space.id, 4321) as door:
            inside, _ = listener.accept()
            with inside:
                door.sendall(b"hello")
                assert inside.recv(5) == b"hello"
    with pytest.raises(Unavailable):
        runtime.dial(space.id, 4321)


LISTENER = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "time.sleep(99)"
)


def test_a_door_leads_to_the_member_it_is_dialled_for_and_to_nobody_else(adapter, space):
    runtime, mine, other = adapter.runtime, space.member.uid, space.member.uid + 1
    listener = None
    if adapter.kind == "memory":
        listener = runtime.listen_as(space.id, 4323, mine)
    else:
        runtime.start(sandbox(space, ("/usr/bin/python3", "-I", "-c", LISTENER, "4323")))
    until(lambda: is_open(runtime, space.id, 4323))
    assert is_open(runtime, space.id, 4323, mine)
    # Where all members are one uid on the host they cannot be told apart; the self-test says so.
    assert is_open(runtime, space.id, 4323, other) is (adapter.kind == "rootless")
    if adapter.kind != "rootless":
        with runtime.listen(space.id, 4324):  # the platform is no member
            assert not is_open(runtime, space.id, 4324, mine)
    if listener:
        listener.close()


def is_open(runtime: Runtime, workspace_id: str, port: int, uid: int | None = None) -> bool:
    try:
        runtime.dial(workspace_id, port, uid=uid).close()
    except Unavailable:
        return False
    return True


def test_doors_of_two_workspaces_never_meet(runtime, space):
    first, _ = runtime.uid_range()
    other = WorkspacePlan(new_id(), first + 30, 64 * MIB)
    runtime.prepare(other)
    try:
        with runtime.listen(space.id, 4322), pytest.raises(Unavailable):
            runtime.dial(other.id, 4322)
    finally:
        runtime.remove(other.id)


def test_counters_of_a_workspace_never_run_backwards(adapter, space):
    runtime = adapter.runtime
    plan = sandbox(space, shell("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"))
    runtime.start(plan)
    if adapter.kind == "memory":
        runtime.use_cpu(space.id, plan.id, 0.5)
        runtime.end_sandbox(space.id, plan.id)
    until(lambda: runtime.state(space.id, plan.id) is State.EXITED)
    whole = runtime.usage(space.id)
    runtime.stop(space.id, plan.id)
    later = runtime.usage(space.id)
    assert whole
    assert later
    if adapter.kind == "rootless":
        assert whole.source == "proc"  # said honestly: no cgroups, the dead are not counted
    else:
        assert later.cpu_seconds >= whole.cpu_seconds > 0.05
        assert later.epoch == whole.epoch


def test_what_was_delivered_can_be_read_and_taken_away(adapter, space):
    runtime = adapter.runtime
    content = os.urandom(3 * MIB)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        file.seek(5)
        for _ in range(2):
            runtime.deliver_inbox(space.id, "request 1/daten ü.bin", file)
        assert adapter.kind == "memory" or file.tell() == 5
    if adapter.kind == "memory":
        assert runtime.inbox(space.id) == {"request 1/daten ü.bin": content}
    else:
        plan = sandbox(space, shell("cat '/inbox/request 1/daten ü.bin' | sha256sum; ls -l /inbox"))
        runtime.start(plan)
        until(lambda: runtime.state(space.id, plan.id) is State.EXITED)
        assert hashlib.sha256(content).hexdigest() in runtime.output(space.id, plan.id)
    runtime.remove_inbox(space.id, "request 1")
    runtime.remove_inbox(space.id, "request 1")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\nb", "a//b", "."])
def test_a_bad_path_is_refused_at_both_boxes(runtime, space, path):
    with tempfile.TemporaryFile() as file:
        for attempt in (
            lambda: runtime.deliver_inbox(space.id, path, file),
            lambda: runtime.open_outbox(space.id, path),
            lambda: runtime.remove_inbox(space.id, path),
        ):
            with pytest.raises(InvalidRequest):
                attempt()


def test_the_outbox_is_listed_and_opened(adapter, space):
    runtime = adapter.runtime
    if adapter.kind == "memory":
        runtime.put_outbox(space.id, "table.csv", b"a,b\n")
        runtime.put_outbox(space.id, "sub/empty", b"")
        runtime.put_outbox(space.id, "link", b"", refused="it is a symbolic link")
    else:
        script = (
            "cd /outbox; echo a,b > table.csv; mkdir sub; : > sub/empty; ln -s /etc/passwd link"
        )
        plan = sandbox(space, shell(script))
        runtime.start(plan)
        until(lambda: runtime.state(space.id, plan.id) is State.EXITED)
    listed = {file.path: file for file in runtime.list_outbox(space.id)}
    assert set(listed) == {"table.csv", "sub/empty", "link"}
    assert (listed["table.csv"].size_bytes, listed["table.csv"].refused) == (4, "")
    assert (listed["sub/empty"].size_bytes, listed["sub/empty"].refused) == (0, "")
    assert "symbolic link" in listed["link"].refused
    with runtime.open_outbox(space.id, "table.csv") as file:
        assert file.read() == b"a,b\n"
    with pytest.raises(InvalidRequest):
        runtime.open_outbox(space.id, "link")
    with pytest.raises(NotFound):
        runtime.open_outbox(space.id, "sub/nothing")


def test_faults_come_on_demand_from_the_double():
    runtime = MemoryRuntime()
    plan = WorkspacePlan(new_id(), 1, MIB)
    runtime.fail_next("prepare", Unavailable("The disk is away; try again."))
    with pytest.raises(CarrelError, match="disk is away"):
        runtime.prepare(plan)
    assert plan.id not in runtime.running()
    runtime.prepare(plan)
    assert plan.id in runtime.running()
