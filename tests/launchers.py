"""A launcher of one's own for a test: as root or as an ordinary user, in a throw-away home."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from carrel.core.ids import new_id
from carrel.runtime.launcher.weaken import MARKER
from carrel.runtime.local import LocalRuntime
from carrel.runtime.ports import Member, SandboxPlan, State, WorkspacePlan

NOBODY = 65534
PYTHON = "/usr/bin/python3"
MIB = 2**20


class Launcher:
    """One launcher process, which may be killed and started again."""

    def __init__(
        self, home: Path, *options: str, uid: int = 0, environments: Path | None = None
    ) -> None:
        self.home, self.options, self.uid = home, options, uid
        self.environments = environments or home / "environments"
        self.socket = home / "launcher.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *options: str) -> list[str]:
        base = [sys.executable, "-m", "carrel.runtime.launcher", "--home", str(self.home)]
        return [*base, "--environments", str(self.environments), *options]

    def start(self) -> LocalRuntime:
        self.process = subprocess.Popen(
            self.command("--socket", str(self.socket), *self.options), **self._who()
        )
        self.await_answer()
        return self.runtime()

    def await_answer(self) -> None:
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process
            assert self.process.poll() is None, "the launcher ended"
            assert time.monotonic() < deadline, "the launcher does not listen"
            time.sleep(0.01)

    def runtime(self) -> LocalRuntime:
        return LocalRuntime(self.socket, self.environments)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def end(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait()

    def purge(self) -> None:
        subprocess.run(self.command("--purge"), check=True, **self._who())

    def _who(self):
        who = {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid else {}
        return {**who, "env": {"PATH": "/usr/bin:/bin", "HOME": str(self.home)}}


@contextmanager
def launched(*options: str, uid: int = 0, environments: Path | None = None) -> Iterator[Launcher]:
    """Run a launcher in its own home; afterwards nothing of it is on the host."""
    home = Path(tempfile.mkdtemp(prefix="carrel-test-"))
    os.chown(home, uid, uid)
    home.chmod(0o755)
    (home / "environments").mkdir()
    (home / "datasets").mkdir()
    if "--weaken" in options:
        (home / MARKER).touch()
    launcher = Launcher(home, *options, uid=uid, environments=environments)
    try:
        launcher.start()
        yield launcher
    finally:
        if launcher.process and launcher.process.poll() is None:
            launcher.end()
        launcher.purge()
        shutil.rmtree(home)


def require_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("This test needs root: run scripts/test as root.")


class Space:
    """A prepared workspace of a runtime, with ids of its own."""

    def __init__(self, runtime: LocalRuntime, number: int = 1, disk_bytes: int = 64 * MIB) -> None:
        self.runtime, self.id = runtime, new_id()
        first, _ = runtime.uid_range()
        self.gid = first + 1000 + number
        self.plan = WorkspacePlan(self.id, self.gid, disk_bytes)
        runtime.prepare(self.plan)

    def member(self, number: int = 1) -> Member:
        return Member(self.gid + 1000 * number, f"member{number}")

    def sandbox(self, command: Sequence[str], member: int = 1, **more) -> SandboxPlan:
        return SandboxPlan(new_id(), self.id, self.member(member), command, **more)

    def start(self, command: Sequence[str], member: int = 1, **more) -> str:
        plan = self.sandbox(command, member, **more)
        self.runtime.start(plan)
        return plan.id

    def run(self, code: str, member: int = 1, **more) -> str:
        """Run Python inside until it ends; return what it printed."""
        sandbox_id = self.start([PYTHON, "-I", "-c", code], member, **more)
        until(lambda: self.runtime.state(self.id, sandbox_id) is State.EXITED)
        said = self.runtime.output(self.id, sandbox_id, tail_bytes=2**18)
        self.runtime.stop(self.id, sandbox_id)
        return said.strip()


def until(condition, seconds: float = 30.0) -> None:
    """Poll until `condition` holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
