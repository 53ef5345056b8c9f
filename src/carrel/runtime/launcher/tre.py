"""Which TRE does this launcher serve, and which names and ids of the host are its own?"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from carrel.runtime.launcher.refusal import Refused

UIDS = Path("/var/lib/carrel-uids")
STATE = Path("/var/lib/carrel-runtime")
RUN = Path("/run/carrel")
ROOT_ENVIRONMENTS = Path("/opt/carrel/environments")
"""The environment images that root has built, for everybody on this host."""
FIRST_UID, UIDS_EACH, SLOTS = 200_000, 10_000, 400
MARKER = "runtime.id"
_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True)
class Tre:
    """One home, and what on this host carries its id."""

    id: str
    home: Path
    state: Path
    """The launcher's own folder: nobody else may write in it."""
    run: Path
    """What a reboot may forget."""
    first_uid: int
    last_uid: int
    environments: Path
    """Where environment images are mounted from, besides `ROOT_ENVIRONMENTS`."""
    as_root: bool
    weaken: str = ""
    """Tests only: the protection that is broken on purpose."""
    disk_images: bool = False
    """False where there are no loop devices: then files lie in plain folders, without a quota."""
    user_namespaces: bool = True
    """False where ordinary users may not make them; then the root launcher does without."""

    def workspace(self, workspace_id: str) -> Path:
        """Return the folder of a workspace."""
        return self.state / "workspaces" / workspace_id

    def files(self, workspace_id: str) -> Path:
        """Return the folder that holds the members' files; in root mode the disk is there."""
        return self.workspace(workspace_id) / "files"

    def image(self, workspace_id: str) -> Path:
        """Return the file that holds the disk of a workspace."""
        return self.workspace(workspace_id) / "disk.img"

    def network(self, workspace_id: str) -> Path:
        """Return the file that holds the network namespace of a workspace (root mode)."""
        return self.run / "netns" / workspace_id

    def sandbox(self, workspace_id: str, sandbox_id: str) -> Path:
        """Return the folder of what is known of a sandbox."""
        return self.workspace(workspace_id) / "sandboxes" / sandbox_id

    def log(self, workspace_id: str, sandbox_id: str) -> Path:
        """Return the file that a sandbox prints to; it counts to the workspace's disk."""
        return self.files(workspace_id) / "logs" / sandbox_id

    def workspace_ids(self) -> list[str]:
        """Return the ids of every workspace that has a folder."""
        top = self.state / "workspaces"
        return sorted(os.listdir(top)) if top.is_dir() else []

    @contextmanager
    def lock(self, name: str, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
        """Hold a lock file; a lock ends with the process that holds it. Raises `Refused`."""
        folder = self.state / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fd = _lock(folder / name, mode if wait else mode | fcntl.LOCK_NB)
        try:
            yield
        finally:
            os.close(fd)


def _lock(path: Path, mode: int) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, mode)
            if os.fstat(fd).st_ino == os.stat(path).st_ino:
                return fd
        except FileNotFoundError:
            pass  # whoever held it took the file away; lock the new one
        except BlockingIOError as error:
            os.close(fd)
            raise Refused("conflict", f"Another process holds {path}; stop it first.") from error
        os.close(fd)


def open_rootless(home: Path, environments: Path) -> Tre:
    """Return the TRE of `home` as an ordinary user: everything lies in the home."""
    state = home / "runtime"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    tre_id = _read_marker(home) or _write_marker(home)
    return Tre(
        tre_id, home, state, state / "run", FIRST_UID, FIRST_UID + UIDS_EACH - 1, environments,
        as_root=False,
    )  # fmt: skip


def open_as_root(home: Path, environments: Path) -> Tre:
    """Return the TRE of `home` as root: it claims a range of host ids that nobody else has."""
    UIDS.mkdir(mode=0o755, parents=True, exist_ok=True)
    fd = _lock(UIDS / "lock", fcntl.LOCK_EX)
    try:
        marker = _read_marker(home)
        slots = [s for s, (tre_id, at) in claims().items() if tre_id == marker and at == home]
        if not marker or not slots:
            marker = _write_marker(home)
            slots = [_claim(marker, home)]
    finally:
        os.close(fd)
    return claimed(slots[0], marker, home, environments)


def claimed(slot: int, tre_id: str, home: Path, environments: Path) -> Tre:
    """Return the TRE that holds a claim."""
    first = FIRST_UID + slot * UIDS_EACH
    state = STATE / tre_id
    for folder in (STATE, state, RUN, RUN / tre_id):
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder.chmod(0o711)  # the umask must not shut members out
    last = first + UIDS_EACH - 1
    return Tre(tre_id, home, state, RUN / tre_id, first, last, environments, as_root=True)


def claims() -> dict[int, tuple[str, Path]]:
    """Return the id and the home of every TRE on this host, by slot."""
    found = {}
    for file in UIDS.glob("[0-9]*"):
        claim = json.loads(file.read_text(encoding="utf-8"))
        found[int(file.name)] = (str(claim["tre"]), Path(claim["home"]))
    return found


def is_gone(tre_id: str, home: Path) -> bool:
    """Say whether the home of a claim is no more, or is another TRE's by now."""
    return _read_marker(home) != tre_id


def release(slot: int) -> None:
    """Give a claim back; only when nothing of it is left on the host."""
    (UIDS / f"{slot:03d}").unlink(missing_ok=True)


def _claim(tre_id: str, home: Path) -> int:
    taken = claims()
    for slot in range(SLOTS):
        if slot not in taken and not _delegated(FIRST_UID + slot * UIDS_EACH):
            temporary = UIDS / f".{slot:03d}"
            temporary.write_text(json.dumps({"tre": tre_id, "home": str(home)}), encoding="utf-8")
            temporary.rename(UIDS / f"{slot:03d}")
            return slot
    raise Refused("outside_failure", f"Every id range of this host is taken; see {UIDS}.")


def _delegated(first: int) -> bool:
    """Say whether somebody else's subordinate ids reach into the range from `first`."""
    for name in ("/etc/subuid", "/etc/subgid"):
        path = Path(name)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            _, _, rest = line.partition(":")
            start, _, count = rest.partition(":")
            if start.isdigit() and count.isdigit():
                low, high = int(start), int(start) + int(count)
                if low < first + UIDS_EACH and first < high:
                    return True
    return False


def _read_marker(home: Path) -> str:
    try:
        fd = os.open(home / MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        text = os.read(fd, 64).decode(errors="replace").strip()
    except OSError:
        return ""
    finally:
        os.close(fd)
    return text if _ID.fullmatch(text) else ""


def _write_marker(home: Path) -> str:
    marker = secrets.token_hex(4)
    path = home / MARKER
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    os.write(fd, f"{marker}\n".encode())
    os.close(fd)
    return marker
