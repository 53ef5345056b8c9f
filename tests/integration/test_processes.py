"""Do the processes of a TRE start, come back when they die, and stop when told to?"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carrel.core.errors import InvalidRequest
from carrel.core.processes import closed, control, identity, ports, roles, supervisor
from carrel.core.processes.roles import Role
from carrel.core.settings import load

SLEEPER = "import time; print('alive', flush=True); time.sleep(600)"
NOBODY = 65534


def until(holds: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)


class Machine:
    """A supervisor over stand-in roles."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = roles.folder(home)
        self.folder.mkdir(parents=True)
        (home / "logs").mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def plan(self, **programs: str) -> None:
        made = [
            Role(name, [sys.executable, "-c", program], {"PATH": "/usr/bin"})
            for name, program in programs.items()
        ]
        roles.save(made, self.folder / "plan.json")

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", supervisor.__name__, str(self.home)], stderr=subprocess.DEVNULL
        )

    def find(self, name: str) -> identity.Identity | None:
        return identity.find(self.folder / f"{name}.json")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for path in self.folder.glob("*.json"):
            if (found := identity.find(path)) is not None:
                identity.send(found, signal.SIGKILL)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user of the host can reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="carrel-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def machine(open_path: Path) -> Iterator[Machine]:
    made = Machine(open_path)
    yield made
    made.end()


def test_a_role_that_is_killed_comes_back(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("work"))
    first = machine.find("work")
    assert first is not None
    identity.send(first, signal.SIGKILL)
    until(lambda: machine.find("work") not in (None, first))


def test_a_new_supervisor_adopts_what_runs(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("work"))
    first = machine.find("work")
    assert machine.process is not None
    machine.process.kill()
    machine.process.wait()
    machine.plan(work=SLEEPER, later=SLEEPER)
    machine.start()
    until(lambda: machine.find("later"))  # by then it has looked after `work`
    assert machine.find("work") == first
    assert first is not None
    identity.send(first, signal.SIGKILL)
    until(lambda: machine.find("work") not in (None, first))


def test_a_stopped_supervisor_leaves_the_roles_alone(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("work") and machine.find("supervisor"))
    assert machine.process is not None
    machine.process.terminate()
    assert machine.process.wait(timeout=10) == 0
    assert machine.find("work") is not None
    assert machine.find("supervisor") is None


def test_a_held_supervisor_buries_its_roles_and_starts_none(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("work") and machine.find("supervisor"))
    work, own = machine.find("work"), machine.find("supervisor")
    assert work is not None
    assert own is not None
    identity.send(own, signal.SIGUSR1)
    until((machine.folder / supervisor.HELD).exists)
    identity.send(work, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{work.pid}").exists())
    turn, due = machine.folder / supervisor.HELD, time.time() + 2 * supervisor.FIRST_PAUSE_SECONDS
    until(lambda: turn.stat().st_mtime > due)  # a later turn, in which it would have started one
    assert machine.find("work") is None
    assert machine.find("supervisor") == own


def test_there_is_never_a_second_supervisor(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("supervisor"))
    second = subprocess.run(
        [sys.executable, "-m", supervisor.__name__, str(machine.home)],
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert second.returncode == 1
    assert b"another supervisor" in second.stderr


def test_a_role_that_always_dies_is_restarted_ever_more_slowly(machine: Machine):
    machine.plan(work="raise SystemExit(3)")
    machine.start()
    starts = machine.folder / "work.starts"
    until(lambda: starts.exists() and int(starts.read_text()) >= 3)
    began = time.monotonic()
    seen = int(starts.read_text())
    until(lambda: int(starts.read_text()) > seen)
    assert time.monotonic() - began > 2 * supervisor.FIRST_PAUSE_SECONDS


def test_what_a_role_prints_is_in_its_log_and_the_log_is_capped(machine: Machine, monkeypatch):
    log = roles.log_path(machine.home, "work")
    log.write_bytes(b"x" * (supervisor.LOG_LIMIT_BYTES + 1))
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: "alive" in log.read_text())
    assert log.stat().st_size < 1000
    assert log.with_suffix(".log.1").stat().st_size == supervisor.LOG_LIMIT_BYTES + 1


@pytest.mark.root
def test_a_full_disk_ends_neither_the_supervisor_nor_its_record_of_what_runs(open_path: Path):
    disk = open_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "carrel-test", str(disk)], check=True
    )
    machine = Machine(disk / "home")
    try:
        silent = "import time; time.sleep(600)"
        machine.plan(work=silent)
        machine.start()
        until(lambda: machine.find("work") and machine.find("supervisor"))
        first = machine.find("work")
        assert first is not None
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2**20))
        identity.send(first, signal.SIGKILL)
        words = [sys.executable, "-c", silent]
        until(lambda: set(children(machine, words)) - {first})
        time.sleep(0.3)
        running = children(machine, words)
        assert machine.process is not None
        assert machine.process.poll() is None, "The supervisor must live on."
        assert machine.find("work") is None
        filler.unlink()
        until(lambda: machine.find("work"))
        assert [machine.find("work")] == running, "What runs must be kept, not started again."
    finally:
        machine.end()
        until(lambda: subprocess.run(["umount", str(disk)], check=False).returncode == 0)


def children(machine: Machine, words: list[str]) -> list[identity.Identity]:
    """Return the processes with these words that the machine's supervisor started."""
    assert machine.process is not None
    mine = f"PPid:\t{machine.process.pid}\n"
    found = identity.search(words, {os.geteuid()})
    return [one for one in found if mine in Path(f"/proc/{one.pid}/status").read_text()]


def test_a_supervisor_told_to_hurry_starts_at_once_what_kept_dying(machine: Machine):
    machine.plan(work="raise SystemExit(3)")
    machine.start()
    starts = machine.folder / "work.starts"
    until(lambda: starts.exists() and int(starts.read_text()) >= 5)
    seen = int(starts.read_text())
    own = machine.find("supervisor")
    assert own is not None
    began = time.monotonic()
    identity.send(own, signal.SIGUSR2)
    until(lambda: int(starts.read_text()) > seen + 1)
    assert time.monotonic() - began < 16 * supervisor.FIRST_PAUSE_SECONDS


def test_down_ends_a_process_that_is_nowhere_recorded(machine: Machine):
    script = [sys.executable, "-c", SLEEPER, "carrel.cli.main", "--home"]
    ours, others = (
        subprocess.Popen([*script, home, "work"], stdout=subprocess.DEVNULL)
        for home in (str(machine.home), f"{machine.home}-other")
    )
    try:
        until(lambda: identity.search(["--home", str(machine.home), "work"], {os.geteuid()}))
        assert control.down(load(machine.home))
        assert ours.wait(timeout=10) == -signal.SIGTERM
        assert others.poll() is None
    finally:
        for process in (ours, others):
            process.kill()
            process.wait()


def test_a_door_is_not_ready_because_a_stranger_answers_on_its_port(tmp_path: Path):
    sleeper = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            settings = load(tmp_path, portal_port=server.getsockname()[1])
            assert not roles.is_ready(settings, "serve", sleeper.pid, 1.0)
            assert roles.is_ready(settings, "serve", os.getpid(), 1.0)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_an_address_that_the_machine_lacks_is_named_with_its_setting():
    with pytest.raises(InvalidRequest, match="bind_address") as refused:
        ports.check_address("192.0.2.7")
    assert refused.value.field == "bind_address"
    ports.check_address("127.0.0.1")


def test_a_restart_that_cannot_come_up_stops_nothing(machine: Machine):
    machine.plan(work=SLEEPER)
    machine.start()
    until(lambda: machine.find("work") and machine.find("supervisor"))
    (machine.home / "carrel.toml").write_text('bind_address = "192.0.2.7"')
    command = roles.python_module("carrel.cli.main")
    done = subprocess.run(
        [*command, "--home", str(machine.home), "restart"], capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"bind_address" in done.stderr
    assert machine.find("work")


def test_an_old_process_id_is_not_mistaken_for_the_process():
    me = identity.identify(os.getpid())
    assert me is not None
    assert identity.is_alive(me)
    other = identity.Identity(me.pid, me.started + 1, me.boot)
    assert not identity.is_alive(other)
    assert not identity.send(other, signal.SIGKILL)
    rebooted = identity.Identity(me.pid, me.started, "00000000-0000-0000-0000-000000000000")
    assert not identity.is_alive(rebooted)


def test_open_folders_need_nothing():
    assert closed.closed_parents([Path("/usr/bin")], NOBODY, frozenset({NOBODY})) == {}


def test_the_outermost_closed_folder_is_found(tmp_path: Path):
    shut = tmp_path / "shut"
    (shut / "also" / "code").mkdir(parents=True)
    shut.chmod(0o700)
    (shut / "also").chmod(0o700)
    tmp_path.chmod(0o755)
    code = shut / "also" / "code"
    found = closed.closed_parents([code], NOBODY + 1, frozenset())
    assert list(found.values()) == [[code]]
    assert code.is_relative_to(next(iter(found)))


@pytest.mark.root
def test_a_role_reads_its_code_below_a_closed_folder_and_nothing_else(machine: Machine):
    shut = machine.home / "shut"
    code = shut / "deep" / "code"
    code.mkdir(parents=True)
    (code / "hello.txt").write_text("hello from inside\n")
    (shut / "secret.txt").write_text("not for roles\n")
    shut.chmod(0o700)
    answers = machine.home / "answers"
    answers.mkdir()
    answers.chmod(0o777)
    found = closed.closed_parents([code], NOBODY, frozenset({NOBODY}))
    assert list(found) == [shut]
    program = (
        "import os, sys; from pathlib import Path;"
        f"out = Path({str(answers / 'seen')!r});"
        f"seen = [Path({str(code / 'hello.txt')!r}).read_text().strip(),"
        f" str(sorted(os.listdir({str(shut)!r}))), str(os.getuid()), str(os.getgroups())];"
        "out.write_text('|'.join(seen)); import time; time.sleep(600)"
    )
    reveal = {str(key): [str(path) for path in value] for key, value in found.items()}
    role = Role(
        "work", ["/usr/bin/python3", "-c", program], {"PATH": "/usr/bin"}, NOBODY, NOBODY, reveal
    )
    roles.save([role], machine.folder / "plan.json")
    machine.start()
    until(lambda: (answers / "seen").exists() and (answers / "seen").read_text())
    assert (answers / "seen").read_text() == f"hello from inside|['deep']|{NOBODY}|[]"
    assert sorted(path.name for path in shut.iterdir()) == ["deep", "secret.txt"], (
        "the host must see no change"
    )


@pytest.mark.root
def test_a_role_never_holds_a_mount_of_the_launcher(machine: Machine):
    """Otherwise the disk of a deleted workspace would stay busy for as long as the role runs."""
    shut, point = machine.home / "shut", Path("/run/carrel") / f"test-{os.getpid()}"
    (shut / "code").mkdir(parents=True)
    point.mkdir(parents=True)
    shut.chmod(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "carrel-test", str(point)], check=True)
    try:
        reveal = {str(shut): [str(shut / "code")]}
        role = Role("work", ["/usr/bin/python3", "-c", SLEEPER], {}, None, None, reveal)
        roles.save([role], machine.folder / "plan.json")
        machine.start()
        log = roles.log_path(machine.home, "work")
        until(lambda: log.exists() and "alive" in log.read_text())
        until(lambda: machine.find("work") is not None)  # written after the process has begun
        found = machine.find("work")
        assert found is not None
        mounts = Path(f"/proc/{found.pid}/mountinfo").read_text()
        assert str(shut) in mounts
        assert str(point) not in mounts
    finally:
        subprocess.run(["umount", str(point)], check=True)
        point.rmdir()
