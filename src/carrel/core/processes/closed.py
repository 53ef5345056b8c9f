"""How can the roles run from a checkout below a folder that is closed to them, like /root?

A role then starts in a mount namespace of its own, in which the closed folder is covered by an
empty one, and only what the role needs lies in it again, at its old path. The rest of the
closed folder stays out of sight. The launcher's mounts are let go of, so that a role never holds
a workspace's disk busy; what is mounted or unmounted later still arrives (slave propagation).
"""

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 1, 2, 4, 32
_MS_BIND, _MS_REC, _MS_SLAVE = 4096, 16384, 1 << 19
_MNT_DETACH = 2
LAUNCHERS_FOLDERS = ("/var/lib/carrel-runtime/", "/run/carrel/")
"""Where the launcher mounts disks and keeps network namespaces (runtime/launcher/tre.py)."""


def closed_parents(
    paths: Iterable[Path], uid: int, gids: frozenset[int]
) -> Mapping[Path, Sequence[Path]]:
    """Return the outermost folder above each path that `uid` cannot enter, with those paths.

    Empty if everything can be reached, which is the usual case.
    """
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        for parent in reversed(path.parents):
            if not _can_enter(parent, uid, gids):
                closed.setdefault(parent, []).append(path)
                break
    return closed


def unreadable(paths: Iterable[Path], uid: int, gids: frozenset[int]) -> Sequence[Path]:
    """Return those of `paths` whose own mode keeps `uid` out; no mount can repair that."""
    return [path for path in paths if not _allows(path, uid, gids, 5 if path.is_dir() else 4)]


def reveal(closed: Mapping[Path, Sequence[Path]]) -> None:
    """Enter a new mount namespace with `closed` covered and its paths back. Root only.

    Raises `OSError`. Call in a fresh child process, before dropping privileges.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(libc, "none", "/", None, _MS_REC | _MS_SLAVE, None)
    os.umask(0o022)
    for point in reversed(_mount_points()):
        if point.startswith(LAUNCHERS_FOLDERS):
            _check(libc.umount2(os.fsencode(point), _MNT_DETACH), f"umount {point}")
    for parent, paths in closed.items():
        descriptors = {path: os.open(path, os.O_PATH) for path in paths}
        _mount(libc, "carrel", str(parent), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=256k")
        for path, descriptor in descriptors.items():
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            _mount(libc, f"/proc/self/fd/{descriptor}", str(path), None, _MS_BIND | _MS_REC, None)
            os.close(descriptor)
        read_only = _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
        _mount(libc, "carrel", str(parent), "tmpfs", read_only, "mode=0755,size=256k")


def _mount_points() -> Sequence[str]:
    """Return every mount point of this namespace, parents before what lies on them."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines]


def _can_enter(folder: Path, uid: int, gids: frozenset[int]) -> bool:
    return _allows(folder, uid, gids, 1)


def _allows(path: Path, uid: int, gids: frozenset[int], wanted: int) -> bool:
    status = path.stat()
    if status.st_uid == uid:
        granted = status.st_mode >> 6
    elif status.st_gid in gids:
        granted = status.st_mode >> 3
    else:
        granted = status.st_mode
    return granted & wanted == wanted


def _mount(
    libc: ctypes.CDLL, source: str, target: str, kind: str | None, flags: int, options: str | None
) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    done = libc.mount(*encoded, ctypes.c_ulong(flags), options and options.encode())
    _check(done, f"mount {target}")


def _check(returned: int, what: str) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
