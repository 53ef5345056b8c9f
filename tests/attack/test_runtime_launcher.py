"""The launcher is the only privileged code: what may nobody make it do?"""

import json
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from carrel.core.errors import CarrelError, InvalidRequest, Unavailable
from carrel.core.ids import new_id
from carrel.runtime.launcher import protocol, weaken
from carrel.runtime.local import LocalRuntime
from carrel.runtime.ports import Level, State, WorkspacePlan
from tests.launchers import NOBODY, Launcher, Space, launched, require_root, until

pytestmark = pytest.mark.root
MIB = 2**20
SLEEP = ["/bin/sleep", "1000"]


@pytest.fixture(scope="module")
def launcher():
    require_root()
    with launched() as running:
        yield running


@pytest.fixture
def space(launcher):
    made = Space(launcher.runtime())
    yield made
    made.runtime.remove(made.id)


def ask(launcher: Launcher, message: dict, fds=()) -> dict:
    """Speak to the launcher without the driver that would check the message."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(launcher.socket))
        line.settimeout(10)
        protocol.send(line, message, fds)
        answer, _ = protocol.receive(line)
        return answer


def start_message(space: Space, **changes) -> dict:
    fields = {
        "do": "start", "id": new_id(), "workspace_id": space.id, "uid": space.member().uid,
        "name": "ada", "command": SLEEP, "environment": {}, "image": "", "mounts": [],
        "memory_bytes": 64 * MIB, "cpus": 1.0, "processes": 16,
    }  # fmt: skip
    return {**fields, **changes}


def test_the_message_that_the_next_test_spoils_is_good(launcher, space):
    assert ask(launcher, start_message(space)) == {"ok": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": 0}, {"uid": 65534}, {"uid": -1}, {"uid": "200000"}, {"uid": True}, {"uid": 2**31},
        {"id": "../../etc"}, {"id": ""}, {"id": None}, {"id": 7},
        {"name": "root"}, {"name": "a/../../x"}, {"name": "A"}, {"name": "a:b"}, {"name": "a\n"},
        {"command": []}, {"command": "sleep"}, {"command": ["--bind"]}, {"command": ["a\0b"]},
        {"command": [1]}, {"environment": {"A B": "x"}}, {"environment": {"A": "x\0y"}},
        {"environment": {"A": 1}}, {"environment": []}, {"environment": {"A=--bind": "x"}},
        {"image": "/"}, {"image": "/etc"}, {"image": "../../.."}, {"image": "\0"},
        {"mounts": [["/etc", "/data/etc"]]}, {"mounts": [["/", "/data"]]}, {"mounts": ["x"]},
        {"mounts": [["/proc/self/root", "/data"]]}, {"mounts": 3},
        {"memory_bytes": 0}, {"memory_bytes": -1}, {"memory_bytes": 1e9}, {"cpus": 0},
        {"cpus": float("nan")}, {"cpus": float("inf")}, {"processes": 1}, {"processes": 2**40},
    ],
    ids=str,
)  # fmt: skip
def test_a_spoilt_plan_starts_nothing(launcher, space, changes):
    answer = ask(launcher, start_message(space, **changes))
    assert answer["error"] == "invalid_request", answer
    assert space.runtime.running()[space.id] == []


@pytest.mark.parametrize("gid", [0, 1, 65534, 2**32, None, "0"])
def test_a_workspace_never_gets_a_group_of_the_host(launcher, gid):
    message = {"do": "prepare", "id": new_id(), "gid": gid, "disk_bytes": 64 * MIB}
    assert ask(launcher, message)["error"] == "invalid_request"
    assert message["id"] not in launcher.runtime().running()


def test_only_data_of_this_tre_can_be_mounted_and_only_where_data_belongs(launcher, space):
    datasets = launcher.home / "datasets"
    (datasets / "trial").mkdir(exist_ok=True)
    (datasets / "trial" / "rows.csv").write_text("a\n1\n")
    (datasets / "trap").unlink(missing_ok=True)
    (datasets / "trap").symlink_to("/etc")
    good = str(datasets / "trial")
    for pair in (
        [str(datasets / "trap"), "/data/x"], [f"{good}/../../../etc", "/data/x"],
        [str(datasets), "/data/x"], [good, "/usr/bin"], [good, "/etc"], [good, "/data/../etc"],
        [good, "/proc/sys"], [good, "data"], [f"{datasets}/missing", "/data/x"],
    ):  # fmt: skip
        answer = ask(launcher, start_message(space, mounts=[pair]))
        assert answer["error"] == "invalid_request", pair
    probe = ["/bin/sh", "-c", "cat /data/trial/rows.csv; echo x >/data/trial/new; id -u"]
    message = start_message(space, mounts=[[good, "/data/trial"]], command=probe)
    assert ask(launcher, message) == {"ok": None}
    until(lambda: space.runtime.state(space.id, message["id"]) is State.EXITED)
    said = space.runtime.output(space.id, message["id"])
    assert "a\n1\n" in said
    assert "Read-only file system" in said


def test_somebody_who_is_not_allowed_is_not_answered(launcher):
    code = (
        "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        "s.settimeout(10)\ntry:\n"
        ' s.sendall(b\'\\0\\0\\0\\x0e{"do":"hello"}\')\n print(len(s.recv(99)))\n'
        "except (ConnectionResetError, BrokenPipeError):\n print(0)"
    )
    command = ["/usr/bin/python3", "-c", code, str(launcher.socket)]
    who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    as_nobody = subprocess.run(command, capture_output=True, text=True, check=False, **who)
    as_root = subprocess.run(command, capture_output=True, text=True, check=False)
    assert as_root.stdout.strip() != "0"
    assert as_nobody.stdout.strip() == "0", as_nobody.stderr


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\0", struct.pack("!I", 2**31), struct.pack("!I", 5) + b"[1,2]",
        struct.pack("!I", 4) + b"nope", struct.pack("!I", 9) + b"short",
    ],
)  # fmt: skip
def test_garbage_ends_one_connection_and_nothing_else(launcher, raw):
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(launcher.socket))
        line.settimeout(10)
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b""
    assert ask(launcher, {"do": "hello"})["ok"]["as_root"] is True


@pytest.mark.parametrize("message", [{}, {"do": "exec"}, {"do": None}, {"do": ["hello"]}])
def test_there_is_no_other_command(launcher, message):
    assert ask(launcher, message)["error"] == "invalid_request"


def test_descriptors_sent_along_do_not_pile_up(launcher):
    with socket.socket(socket.AF_UNIX) as line, Path("/dev/null").open("rb") as null:
        line.connect(str(launcher.socket))
        line.settimeout(10)
        for _ in range(2000):
            protocol.send(line, {"do": "hello"}, [null.fileno()])
            assert "ok" in protocol.receive(line)[0]


def test_two_launchers_never_serve_one_home(launcher):
    other = launcher.home / "other.sock"
    done = subprocess.run(
        launcher.command("--socket", str(other)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Another process holds" in done.stderr
    assert not other.exists()


def test_a_file_at_the_socket_s_path_is_never_replaced(tmp_path):
    with launched() as mine:
        mine.end()
        precious = tmp_path / "precious"
        precious.write_text("keep me")
        done = subprocess.run(
            mine.command("--socket", str(precious)), capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert precious.read_text() == "keep me"


def test_two_tres_on_one_host_share_no_id_and_see_nothing_of_each_other(launcher, space):
    with launched() as other:
        mine, theirs = launcher.runtime(), other.runtime()
        assert set(range(*mine.uid_range())).isdisjoint(range(*theirs.uid_range()))
        second = Space(theirs)
        sandbox_id = second.start(SLEEP)
        assert second.id not in mine.running()
        assert not {left.workspace_id for left in mine.leftovers()} & {second.id}
        mine.remove(second.id)
        mine.stop(second.id, sandbox_id)
        assert theirs.state(second.id, sandbox_id) is State.RUNNING


def test_everything_survives_the_death_of_the_launcher():
    require_root()
    with launched() as mine:
        space = Space(mine.runtime())
        code = "import time\nprint('up', flush=True)\nwhile True: time.sleep(.01); sum(range(9999))"
        sandbox_id = space.start(["/usr/bin/python3", "-c", code])
        listener = space.runtime.listen(space.id, 99)
        before = space.runtime.usage(space.id, sandbox_id)
        mine.kill()
        with pytest.raises(Unavailable, match="launcher of this host does not answer"):
            space.runtime.running()
        mine.start()
        assert space.runtime.state(space.id, sandbox_id) is State.RUNNING
        with listener, space.runtime.dial(space.id, 99):
            listener.accept()[0].close()
        until(lambda: space.runtime.usage(space.id, sandbox_id).cpu_seconds > before.cpu_seconds)
        assert space.runtime.usage(space.id, sandbox_id).epoch == before.epoch
        space.runtime.stop(space.id, sandbox_id)
        assert space.runtime.state(space.id, sandbox_id) is State.ABSENT


@pytest.mark.parametrize("uid", [0, NOBODY], ids=["root", "rootless"])
def test_killed_at_any_point_the_launcher_converges(uid):
    """Kill it with SIGKILL later and later into prepare, start, stop and remove, and go on."""
    require_root()
    with launched(uid=uid) as mine:
        runtime = mine.runtime()
        first, _ = runtime.uid_range()
        for milliseconds in range(0, 90, 6 if uid == 0 else 22):
            plan = WorkspacePlan(new_id(), first + 50, 64 * MIB)
            space = Space.__new__(Space)
            space.runtime, space.id, space.gid, space.plan = runtime, plan.id, plan.gid, plan
            sandbox = space.sandbox(SLEEP)
            for step in (
                lambda: runtime.prepare(plan),  # noqa: B023  # runs within this round
                lambda: runtime.start(sandbox),  # noqa: B023
                lambda: runtime.remove(plan.id),  # noqa: B023
            ):
                _kill_during(mine, step, milliseconds / 1000)
                step()  # what the worker does after a restart
            left = [x for x in runtime.leftovers() if x.workspace_id in {plan.id, ""}]
            assert left == [], milliseconds


def _kill_during(launcher: Launcher, step, seconds: float) -> None:
    def attempt() -> None:
        try:
            step()
        except CarrelError:
            return

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(seconds)
    launcher.kill()
    thread.join()
    launcher.start()


def test_purge_leaves_nothing_of_a_tre_on_the_host():
    require_root()
    with launched() as mine:
        tre_id = (mine.home / "runtime.id").read_text().strip()
        space = Space(mine.runtime())
        space.start(SLEEP)
        mine.kill()
        mine.purge()
        for folder in ("/var/lib/carrel-runtime", "/run/carrel", "/sys/fs/cgroup"):
            names = [name for _, folders, _ in os.walk(folder) for name in folders]
            assert not [name for name in names if tre_id in name or space.id in name]
        assert tre_id not in Path("/proc/self/mountinfo").read_text()
        claims = [json.loads(f.read_text()) for f in Path("/var/lib/carrel-uids").glob("[0-9]*")]
        assert tre_id not in {claim["tre"] for claim in claims}


def test_a_home_that_is_gone_is_swept_by_the_next_launcher():
    require_root()
    with launched() as gone:
        tre_id = (gone.home / "runtime.id").read_text().strip()
        Space(gone.runtime()).start(SLEEP)
        gone.kill()
        (gone.home / "runtime.id").unlink()
        with launched():
            assert not Path("/var/lib/carrel-runtime", tre_id).exists()
            assert tre_id not in Path("/proc/self/mountinfo").read_text()


def test_no_protection_is_broken_without_the_marker():
    require_root()
    with launched() as mine:
        mine.end()
        for weakening in (*weaken.BREAKS, "everything"):
            command = mine.command("--socket", str(mine.socket), "--weaken", weakening)
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, mine.socket.exists()) == (2, False)
            assert "for Carrel's own tests" in done.stderr


@pytest.mark.parametrize(("weakening", "word"), weaken.BREAKS.items())
def test_a_broken_protection_is_level_c_and_refused_loudly(weakening, word):
    require_root()
    with launched("--weaken", weakening) as mine:
        runtime = mine.runtime()
        test = runtime.self_test()
        failed = {check.enforces: check.evidence for check in test.checks if not check.passed}
        assert test.level is Level.C
        assert "WEAKENED ON PURPOSE" in failed[word]
        with pytest.raises(CarrelError, match="WEAKENED ON PURPOSE"):
            runtime.prepare(WorkspacePlan(new_id(), runtime.uid_range()[0], 64 * MIB, {word}))
        space = Space(runtime)
        assert space.run("print('still runs')") == "still runs"
        runtime.remove(space.id)
        assert runtime.leftovers() == []


def test_a_client_that_is_wrong_hears_what_would_fit(launcher, space):
    with pytest.raises(InvalidRequest, match="gid does not fit"):
        launcher.runtime().prepare(WorkspacePlan(new_id(), 0, 64 * MIB))


def test_a_driver_without_a_launcher_says_so(tmp_path):
    with pytest.raises(Unavailable, match="carrel up"):
        LocalRuntime(tmp_path / "nobody.sock").running()
