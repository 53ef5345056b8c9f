"""Who starts a TRE's processes again when they die? One small process without a network.

`python -m carrel.core.processes.supervisor HOME` reads the plan that `carrel up` wrote, starts
every role that does not run yet, adopts those that do, and restarts what ends, more slowly each
time. A full disk does not end it: what could not be written is tried again at the next tick.
SIGTERM ends it and leaves the roles alone; SIGUSR1 makes it start nothing any more, so that
`carrel down` can stop the roles while their parent still buries them; SIGUSR2 makes it start at
once, and quickly again, what kept dying.
"""

import fcntl
import os
import select
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from carrel.core.clock import monotonic
from carrel.core.files import write_whole
from carrel.core.processes import closed, identity, roles
from carrel.core.processes.identity import Identity
from carrel.core.processes.roles import Role

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A role that has run for this long is healthy: its next restart is quick again."""
LOG_LIMIT_BYTES = 10 * 2**20
HELD = "held"
"""File that says: nothing will be started any more."""
_TICK_SECONDS = 1.0


@dataclass(slots=True)
class _Kept:
    """A role under supervision."""

    role: Role
    identity: Identity | None = None
    descriptor: int = -1
    """pidfd; becomes readable when the process ends."""
    started_at: float = 0.0
    start_after: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    starts: int = field(default=0)
    is_recorded: bool = True
    """Whether its files say what is true; a full disk may keep us from writing them."""


class Supervisor:
    """Keeps every role of a plan running until it is told to stop."""

    def __init__(self, home: Path, me: Identity, *, wake: int) -> None:
        self._home = home
        self._me = me
        self._wake = wake
        self._folder = roles.folder(home)
        self._kept = [_Kept(role) for role in roles.read(self._folder / "plan.json")]
        self._stopping = False
        self._holding = False
        self._is_recorded = False

    def hold(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Start nothing any more."""
        self._holding = True

    def hurry(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Forget how often the roles died: the reason may be repaired."""
        for kept in self._kept:
            kept.start_after, kept.pause_seconds = 0.0, FIRST_PAUSE_SECONDS

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Leave the loop at the next turn."""
        self._stopping = True

    def run(self) -> None:
        """Keep the roles running; returns after `stop`."""
        for kept in self._kept:
            found = identity.find(self._pid_path(kept.role.name))
            if found is not None:
                self._watch(kept, found)
        while not self._stopping:
            if not self._is_recorded:
                self._is_recorded = self._write("supervisor", self._me)
            for kept in self._kept:
                self._look_after(kept)
            if self._holding:
                with suppress(OSError):
                    (self._folder / HELD).touch()
            self._sleep()

    def _look_after(self, kept: _Kept) -> None:
        if kept.identity is not None:
            if identity.is_alive(kept.identity):
                _cap(roles.log_path(self._home, kept.role.name))
                if not kept.is_recorded:
                    self._record(kept)
                return
            self._bury(kept)
        if monotonic() >= kept.start_after and not (self._stopping or self._holding):
            self._start(kept)

    def _start(self, kept: _Kept) -> None:
        try:
            pid = spawn(kept.role, roles.log_path(self._home, kept.role.name))
        except OSError as error:
            self._pause(kept, f"{kept.role.name} could not be started: {error}")
            return
        kept.starts += 1
        # None: it ended at once; wait for it below like for any other.
        self._watch(kept, identity.identify(pid) or Identity(pid, 0, identity.boot_id()))
        self._record(kept)
        _say(f"{kept.role.name} started as process {pid}")

    def _record(self, kept: _Kept) -> None:
        """Keep on the disk who runs; if the disk is full, the next tick tries again."""
        assert kept.identity is not None
        kept.is_recorded = self._write(kept.role.name, kept.identity, kept.starts)

    def _write(self, name: str, found: Identity, starts: int | None = None) -> bool:
        try:
            identity.write(self._folder / f"{name}.json", found)
            if starts is not None:
                path = self._folder / f"{name}.starts"
                write_whole(path, str(starts).encode(), mode=0o644)
        except OSError as error:
            _say(f"{name} runs as process {found.pid}, which cannot be recorded yet: {error}")
            return False
        return True

    def _watch(self, kept: _Kept, found: Identity) -> None:
        kept.identity = found
        kept.started_at = monotonic()
        try:
            kept.descriptor = os.pidfd_open(found.pid)
        except ProcessLookupError:
            kept.descriptor = -1

    def _bury(self, kept: _Kept) -> None:
        ended = kept.identity
        assert ended is not None
        if kept.descriptor >= 0:
            os.close(kept.descriptor)
        kept.identity, kept.descriptor = None, -1
        how = _reap(ended.pid)
        lived = monotonic() - kept.started_at
        if lived > STEADY_SECONDS:
            kept.pause_seconds = FIRST_PAUSE_SECONDS
        self._pause(kept, f"{kept.role.name} ended ({how}) after {lived:.1f} s")

    def _pause(self, kept: _Kept, why: str) -> None:
        pause = kept.pause_seconds
        kept.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        kept.start_after = monotonic() + pause
        _say(f"{why}; starting again in {pause:.1f} s")

    def _sleep(self) -> None:
        now = monotonic()
        waits = [kept.start_after - now for kept in self._kept if kept.identity is None]
        seconds = _TICK_SECONDS if self._holding else max(0.0, min([_TICK_SECONDS, *waits]))
        descriptors = [kept.descriptor for kept in self._kept if kept.descriptor >= 0]
        if self._wake in select.select([self._wake, *descriptors], [], [], seconds)[0]:
            os.read(self._wake, 64)

    def _pid_path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def spawn(role: Role, log: Path) -> int:
    """Start `role` as its user in a session of its own; returns its process id."""
    _cap(log)
    output = _open_log(log)
    try:
        pid = os.fork()
    except OSError:
        os.close(output)
        raise
    if pid:
        os.close(output)
        return pid
    try:
        _become(role, output)
        os.execve(role.argv[0], list(role.argv), dict(role.environment))  # noqa: S606 - that is its work
    except BaseException as error:  # noqa: BLE001 - a forked child must never go on above
        _say(f"{role.name} could not be started: {error}")
    finally:
        os._exit(127)


def _open_log(log: Path) -> int:
    """Open a log for a role; nowhere at all if no log can be made."""
    try:
        return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        _say(f"{log} cannot be written: {error}")
        return os.open(os.devnull, os.O_WRONLY)


def _become(role: Role, output: int) -> None:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 65536))
    os.chdir("/")
    if role.reveal:
        closed.reveal(
            {Path(key): [Path(path) for path in paths] for key, paths in role.reveal.items()}
        )
    os.umask(0o027 if role.uid is not None else 0o022)
    if role.uid is not None and role.gid is not None:
        os.setgroups([])
        os.setgid(role.gid)
        os.setuid(role.uid)


def _reap(pid: int) -> str:
    try:
        _, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return "not our child"
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def _cap(log: Path) -> None:
    """Keep the log below its limit: what it held goes to `<name>.log.1`, if there is room."""
    try:
        if log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        with log.open("r+b") as file:
            try:
                log.with_suffix(".log.1").write_bytes(file.read(2 * LOG_LIMIT_BYTES))
            finally:
                file.truncate(0)  # the disk may be full because of this very log
    except OSError:
        return


def _say(text: str) -> None:
    with suppress(OSError):  # the log lies on the disk that may be full
        os.write(2, f"{text}\n".encode())


def main() -> None:
    """Run the supervisor of the home given as the only argument."""
    home = Path(sys.argv[1])
    lock = os.open(roles.folder(home) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another supervisor already runs")
        sys.exit(1)
    me = identity.identify(os.getpid())
    assert me is not None
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    supervisor = Supervisor(home, me, wake=wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    signal.signal(signal.SIGUSR1, supervisor.hold)
    signal.signal(signal.SIGUSR2, supervisor.hurry)
    (roles.folder(home) / HELD).unlink(missing_ok=True)
    supervisor.run()
    (roles.folder(home) / "supervisor.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
