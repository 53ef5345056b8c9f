"""Who starts a TRE's processes again when they die? One small process without a network.

`python -m carrel.core.processes.supervisor HOME` reads the plan that `carrel up` wrote, starts
every role that does not run yet, adopts those that do, and restarts what ends, more slowly each
time. SIGTERM ends it and leaves the roles alone; SIGUSR1 makes it start nothing any more, so that
`carrel down` can stop the roles while their parent still buries them.
"""

import fcntl
import os
import select
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from carrel.core.clock import monotonic
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


class Supervisor:
    """Keeps every role of a plan running until it is told to stop."""

    def __init__(self, home: Path, *, wake: int) -> None:
        self._home = home
        self._wake = wake
        self._folder = roles.folder(home)
        self._kept = [_Kept(role) for role in roles.read(self._folder / "plan.json")]
        self._stopping = False
        self._holding = False

    def hold(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Start nothing any more."""
        self._holding = True

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
            for kept in self._kept:
                self._look_after(kept)
            if self._holding:
                (self._folder / HELD).touch()
            self._sleep()

    def _look_after(self, kept: _Kept) -> None:
        if kept.identity is not None:
            if identity.is_alive(kept.identity):
                _cap(roles.log_path(self._home, kept.role.name))
                return
            self._bury(kept)
        if monotonic() >= kept.start_after and not (self._stopping or self._holding):
            self._start(kept)

    def _start(self, kept: _Kept) -> None:
        pid = spawn(kept.role, roles.log_path(self._home, kept.role.name))
        started = identity.identify(pid)
        kept.starts += 1
        if started is None:  # it ended at once; wait for it below like for any other
            started = Identity(pid, 0, identity.boot_id())
        identity.write(self._pid_path(kept.role.name), started)
        (self._folder / f"{kept.role.name}.starts").write_text(str(kept.starts))
        self._watch(kept, started)
        _say(f"{kept.role.name} started as process {pid}")

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
        pause = FIRST_PAUSE_SECONDS if lived > STEADY_SECONDS else kept.pause_seconds
        kept.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        kept.start_after = monotonic() + pause
        _say(f"{kept.role.name} ended ({how}) after {lived:.1f} s; starting again in {pause:.1f} s")

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
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    pid = os.fork()
    if pid:
        os.close(output)
        return pid
    try:
        _become(role, output)
        os.execve(role.argv[0], list(role.argv), dict(role.environment))  # noqa: S606 - that is its work
    except BaseException as error:  # noqa: BLE001 - a forked child must never go on above
        os.write(2, f"{role.name} could not be started: {error}\n".encode())
    os._exit(127)


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
    """Keep the log below its limit: the old half-life goes to `<name>.log.1`."""
    try:
        if log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        with log.open("r+b") as file:
            log.with_suffix(".log.1").write_bytes(file.read(2 * LOG_LIMIT_BYTES))
            file.truncate(0)
    except FileNotFoundError:
        return


def _say(text: str) -> None:
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
    supervisor = Supervisor(home, wake=wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.stop)
    signal.signal(signal.SIGUSR1, supervisor.hold)
    (roles.folder(home) / HELD).unlink(missing_ok=True)
    identity.write(roles.folder(home) / "supervisor.json", me)
    supervisor.run()
    (roles.folder(home) / "supervisor.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
