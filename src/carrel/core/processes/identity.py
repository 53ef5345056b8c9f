"""Is this still the same process? A process id alone does not say: ids are used again."""

import json
import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from carrel.core.files import write_whole

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, for ever: no other process of any boot has the same three values."""

    pid: int
    started: int
    """Start time in clock ticks since boot (`/proc/<pid>/stat`, field 22)."""
    boot: str


def boot_id() -> str:
    """Return the id of the present boot of this machine."""
    return _BOOT_ID.read_text().strip()


def identify(pid: int) -> Identity | None:
    """Return the identity of the running process `pid`; None if it has ended."""
    started = _start_ticks(pid)
    return None if started is None else Identity(pid, started, boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process runs (a zombie does not)."""
    return identify(identity.pid) == identity


def send(identity: Identity, number: signal.Signals) -> bool:
    """Signal exactly this process; returns whether it was there to be signalled."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def age_seconds(identity: Identity) -> float:
    """Return how long ago the process started."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return max(0.0, uptime - identity.started / os.sysconf("SC_CLK_TCK"))


def write(path: Path, identity: Identity) -> None:
    """Keep `identity` in a file, whole or not at all."""
    write_whole(path, json.dumps(asdict(identity)).encode(), mode=0o644)


def read(path: Path) -> Identity | None:
    """Read what `write` wrote; None if there is none or it is not readable as one."""
    try:
        return Identity(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find(path: Path) -> Identity | None:
    """Return the identity kept in `path` if that very process still runs."""
    kept = read(path)
    return kept if kept is not None and is_alive(kept) else None


def search(words: Sequence[str], uids: Collection[int]) -> Sequence[Identity]:
    """Return every process of one of `uids` whose command line contains `words` in a row."""
    wanted = b"\0" + b"\0".join(os.fsencode(word) for word in words) + b"\0"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        one = identify(int(folder.name))
        with suppress(OSError):  # it ended meanwhile
            is_theirs = folder.stat().st_uid in uids
            if one and is_theirs and wanted in b"\0" + (folder / "cmdline").read_bytes():
                found.append(one)
    return found


def _start_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
