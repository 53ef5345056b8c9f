"""How do the commands start, stop and look at a TRE's processes?"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from carrel.core.clock import monotonic
from carrel.core.errors import Conflict, OutsideFailure
from carrel.core.processes import account, identity, ports, roles, supervisor
from carrel.core.processes.identity import Identity
from carrel.core.settings import Settings

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_TAIL_LINES = 15
_DEATHS = 3


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One process as it is now."""

    name: str
    pid: int | None
    is_ready: bool
    age_seconds: float
    starts: int
    """How often the present supervisor started it; 1 is healthy."""


def up(settings: Settings, report: Callable[[str], None]) -> bool:
    """Start everything that does not run and wait until it answers.

    Returns False if everything ran already. `report` is told what is waited for.
    Raises `Conflict` if a port is taken, `OutsideFailure` with the end of the log if a
    process does not start.
    """
    host_user = account.ensure()
    account.prepare_home(settings.home, host_user)
    account.hand_over(settings.home, host_user)
    with _alone(settings):
        if is_up(settings):
            return False
        for name in ("serve", "gateway"):
            if _find(settings, name) is None:
                port = settings.portal_port if name == "serve" else settings.gateway_port
                setting = "portal_port" if name == "serve" else "gateway_port"
                ports.check_free(settings.bind_address, port, setting)
        if _find(settings, "supervisor") is None:
            roles.save(roles.plan(settings, host_user), roles.folder(settings.home) / "plan.json")
            for path in roles.folder(settings.home).glob("*.starts"):
                path.unlink()
            _start_supervisor(settings)
        before = {role.name: role.starts for role in status(settings)}
        _hurry_supervisor(settings)
        _wait_until_ready(settings, before, report)
    return True


def down(settings: Settings, stop_sandboxes: Callable[[], None] | None = None) -> bool:
    """Stop every process; returns False if nothing ran. May be called twice.

    `stop_sandboxes` is called when only the launcher is left; None lets the sandboxes run on.
    The plan goes last and only then: while it is there, sandboxes may still run.
    """
    folder = roles.folder(settings.home)
    if not folder.is_dir():
        return False
    with _alone(settings):
        _hold_supervisor(settings)
        ran = _stop(settings, [name for name in roles.ROLES if name != roles.LAUNCHER])
        if stop_sandboxes is not None and (folder / "plan.json").exists():
            _hold_launcher(settings)
            stop_sandboxes()
        ran |= _stop(settings, [roles.LAUNCHER])
        ran |= _stop(settings, ["supervisor"])
        for path in (*folder.glob("*.starts"), folder / supervisor.HELD, *folder.glob("*.json")):
            if path.name != "plan.json" or stop_sandboxes is not None:
                path.unlink(missing_ok=True)
    return ran


def is_up(settings: Settings) -> bool:
    """Whether the supervisor and every role run and answer."""
    return _find(settings, "supervisor") is not None and all(
        role.is_ready for role in status(settings)
    )


def purge(settings: Settings) -> None:
    """Leave nothing of this TRE's workspaces on the host. Its processes must have ended.

    Raises `OutsideFailure` with what the launcher said if something stays.
    """
    command = [*roles.python_module("carrel.runtime.launcher"), "--home", str(settings.home)]
    done = subprocess.run([*command, "--purge"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OutsideFailure(
            f"Something of the workspaces could not be removed: {done.stderr.strip()[-500:]}"
        )


def status(settings: Settings) -> Sequence[RoleStatus]:
    """Say of each role what is true now."""
    return [_status(settings, name) for name in roles.ROLES]


def log_tail(settings: Settings, name: str) -> str:
    """Return the last lines of a role's log."""
    try:
        text = roles.log_path(settings.home, name).read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-_TAIL_LINES:]) or "(the log is empty)"


def _status(settings: Settings, name: str) -> RoleStatus:
    found = _find(settings, name)
    try:
        starts = int((roles.folder(settings.home) / f"{name}.starts").read_text())
    except (OSError, ValueError):
        starts = 0
    if found is None:
        return RoleStatus(name, None, is_ready=False, age_seconds=0.0, starts=starts)
    age = identity.age_seconds(found)
    ready = roles.is_ready(settings, name, found.pid, age)
    return RoleStatus(name, found.pid, is_ready=ready, age_seconds=age, starts=starts)


def _find(settings: Settings, name: str) -> Identity | None:
    return identity.find(roles.folder(settings.home) / f"{name}.json")


def _start_supervisor(settings: Settings) -> None:
    log = roles.log_path(settings.home, "supervisor")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    output = os.open(log, flags, 0o640)
    try:
        subprocess.Popen(  # it lives on after us, on purpose
            [sys.executable, "-I", "-m", supervisor.__name__, str(settings.home)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    finally:
        os.close(output)


def _hurry_supervisor(settings: Settings) -> None:
    """Make a supervisor that ran before try again at once what kept dying."""
    found = _find(settings, "supervisor")
    if found is not None:
        identity.send(found, signal.SIGUSR2)


def _wait_until_ready(
    settings: Settings, before: Mapping[str, int], report: Callable[[str], None]
) -> None:
    """Wait for every role; `before` says how often each was started until now."""
    deadline = monotonic() + READY_SECONDS
    pause = threading.Event()
    waiting = ""
    while True:
        missing = [role for role in status(settings) if not role.is_ready]
        if not missing and _find(settings, "supervisor") is not None:
            return
        for role in missing:
            if role.starts - before[role.name] >= _DEATHS or monotonic() > deadline:
                tail = log_tail(settings, role.name)
                log = roles.log_path(settings.home, role.name)
                raise OutsideFailure(f"`{role.name}` does not start. The end of {log}:\n{tail}")
        if monotonic() > deadline:
            tail = log_tail(settings, "supervisor")
            raise OutsideFailure(f"The supervisor does not start. The end of its log:\n{tail}")
        names = ", ".join(role.name for role in missing)
        if names and names != waiting:
            report(f"waiting for {names}")
            waiting = names
        pause.wait(_POLL_SECONDS)


def _hold_supervisor(settings: Settings) -> None:
    """Make the supervisor start nothing any more; it must not restart what is being stopped."""
    found = _find(settings, "supervisor")
    if found is None or not identity.send(found, signal.SIGUSR1):
        return
    deadline = monotonic() + STOP_SECONDS
    pause = threading.Event()
    while not (roles.folder(settings.home) / supervisor.HELD).exists():
        if monotonic() > deadline:
            _stop(settings, ["supervisor"])
            return
        pause.wait(_POLL_SECONDS)


def _hold_launcher(settings: Settings) -> None:
    """Start the launcher for a moment if it died, so that the sandboxes can be stopped."""
    path = roles.folder(settings.home) / "launcher.json"
    if identity.find(path) is None:
        role = roles.plan(settings, account.current())[0]
        started = identity.identify(
            supervisor.spawn(role, roles.log_path(settings.home, role.name))
        )
        if started is not None:
            identity.write(path, started)
    deadline = monotonic() + STOP_SECONDS
    pause = threading.Event()
    while not _status(settings, roles.LAUNCHER).is_ready:
        if monotonic() > deadline:
            tail = log_tail(settings, roles.LAUNCHER)
            raise OutsideFailure(f"The launcher does not answer, so sandboxes may run on:\n{tail}")
        pause.wait(_POLL_SECONDS)


def _stop(settings: Settings, names: Sequence[str]) -> bool:
    """Ask processes to end, insist after a while; returns whether any of them ran."""
    found = {one for name in names if (one := _find(settings, name)) is not None}
    found |= {one for name in names for one in _unrecorded(settings, name)}
    for one in found:
        identity.send(one, signal.SIGTERM)
    _wait_until_ended(found, STOP_SECONDS)
    for one in found:
        identity.send(one, signal.SIGKILL)
    if not _wait_until_ended(found, STOP_SECONDS):
        raise OutsideFailure("A process cannot be killed; it waits for the kernel. Try again.")
    return bool(found)


def _unrecorded(settings: Settings, name: str) -> Sequence[Identity]:
    """Return the processes of a role by their command line: a full disk may have kept the pid."""
    uids = {os.geteuid(), account.current().uid}
    return identity.search(roles.marking_words(settings.home, name), uids)


def _wait_until_ended(found: Collection[Identity], seconds: float) -> bool:
    deadline = monotonic() + seconds
    pause = threading.Event()
    while any(identity.is_alive(one) for one in found):
        if monotonic() > deadline:
            return False
        pause.wait(_POLL_SECONDS)
    return True


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let only one command at a time start or stop this TRE. Raises `Conflict`."""
    path = roles.folder(settings.home) / "command.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Conflict("Another `carrel up` or `carrel down` is at work. Wait for it.") from error
    finally:
        os.close(descriptor)
