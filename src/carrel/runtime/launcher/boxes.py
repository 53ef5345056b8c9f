"""How do files leave the outbox and enter the inbox without any link being followed?"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carrel.runtime.launcher import disks, linux, sandbox
from carrel.runtime.launcher.names import MAX_DEPTH, path_problem
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

MAX_LISTED = 10_000
CHUNK_BYTES = 2**20
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_SHARED = stat.S_IRGRP | stat.S_IROTH
"""Files of the outbox belong to the workspace's group, so either bit opens them to all members."""


def list_outbox(tre: Tre, workspace_id: str, uid: int | None = None) -> list[dict[str, Any]]:
    """Return every entry that is no folder, with the reason where it cannot be collected."""
    owners, reader = _owners(tre, workspace_id), uid if tre.as_root else None
    top = _open_box(tre, workspace_id, "outbox")
    try:
        found = []
        for entry in _walk(top, ""):
            found.append(_listed(*entry, owners, reader))
            if len(found) >= MAX_LISTED:
                reason = f"only the first {MAX_LISTED} entries are listed; pack the files"
                found.append({"path": "…", "size_bytes": 0, "refused": reason})
                break
        return sorted(found, key=lambda entry: str(entry["path"]))
    finally:
        os.close(top)


def open_outbox(tre: Tre, workspace_id: str, path: str, uid: int | None = None) -> int:
    """Return an fd of a regular file of a member's own in the outbox. Raises `Refused`.

    With `uid`, that member must be allowed to read it. Rootless, all members are one uid.
    """
    _check_path(path)
    owners, reader = _owners(tre, workspace_id), uid if tre.as_root else None
    top = _open_box(tre, workspace_id, "outbox")
    try:
        closed = _closed_folder(top, path, reader)
        fd = linux.open_beneath(top, path, _READ)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        os.close(top)
    if problem := closed or _problem(os.fstat(fd), owners, reader):
        os.close(fd)
        raise Refused("invalid_request", f"{path!r} cannot be collected: {problem}.")
    os.set_blocking(fd, True)
    return fd


def deliver_inbox(tre: Tre, workspace_id: str, path: str, source: int) -> None:
    """Copy the file behind `source` to the inbox: whole or not at all, read-only for members."""
    _check_path(path)
    if not stat.S_ISREG(os.fstat(source).st_mode):
        raise Refused("invalid_request", "Only a regular file can be delivered.")
    top = _open_box(tre, workspace_id, "inbox")
    # Members see the inbox but not this folder of the same disk.
    temporary = tre.files(workspace_id) / "delivery" / str(os.getpid())
    try:
        group = os.fstat(top).st_gid
        _copy(tre, source, temporary, group)
        parent, name = _parent(tre, top, path, group)
        try:
            os.rename(temporary, name, dst_dir_fd=parent)
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise _refusal(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
        os.close(top)


def remove_inbox(tre: Tre, workspace_id: str, path: str) -> None:
    """Take a file or folder out of the inbox; nothing happens if it is not there."""
    _check_path(path)
    # Only the launcher writes below the inbox, so no component can be a link.
    target = tre.files(workspace_id) / "inbox" / path
    if target.is_dir():
        disks.delete_folder(target)
    else:
        target.unlink(missing_ok=True)


def _owners(tre: Tre, workspace_id: str) -> set[int]:
    return sandbox.members(tre, workspace_id) if tre.as_root else {os.geteuid()}


def _open_box(tre: Tre, workspace_id: str, name: str) -> int:
    try:
        return os.open(tre.files(workspace_id) / name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Refused("not_found", "This workspace is not prepared on this host.") from error


def _check_path(path: str) -> None:
    if problem := path_problem(path):
        raise Refused("invalid_request", f"{path!r} cannot be used: {problem}.")


_Entry = tuple[str, os.stat_result | None]


def _walk(top: int, folder: str) -> Iterator[_Entry]:
    """Walk without recursion into links; a folder that changes under us is listed as it is."""
    pending = [folder]
    while pending:
        here = pending.pop()
        try:
            fd = linux.open_beneath(top, here or ".", _FOLDER)
        except OSError:
            yield here, None
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = f"{here}/{entry.name}" if here else entry.name
                    seen = _lstat(entry)
                    if seen and stat.S_ISDIR(seen.st_mode) and path.count("/") < MAX_DEPTH:
                        pending.append(path)
                    else:
                        yield path, seen
        finally:
            os.close(fd)


def _lstat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def _listed(
    path: str, seen: os.stat_result | None, owners: set[int], reader: int | None
) -> dict[str, Any]:
    read = _problem(seen, owners, reader) if seen else "it cannot be read"
    problem = path_problem(path) or read
    size = seen.st_size if seen and stat.S_ISREG(seen.st_mode) else 0
    shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return {"path": shown, "size_bytes": size, "refused": problem}


_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "it is a symbolic link"),
    (stat.S_ISFIFO, "it is a FIFO"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


def _problem(seen: os.stat_result, owners: set[int], reader: int | None) -> str:
    for is_kind, what in _KINDS:
        if is_kind(seen.st_mode):
            return f"{what}, not a regular file"
    if seen.st_nlink != 1:
        return "it has another hard link; copy it instead"
    if seen.st_uid not in owners:
        return "it does not belong to a member of this workspace"
    if reader not in {None, seen.st_uid} and not seen.st_mode & _SHARED:
        return "it is private to another member"
    return ""


def _closed_folder(top: int, path: str, reader: int | None) -> str:
    """Say that a folder above the file keeps the reader out; empty if none does."""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1) if reader is not None else ():
        fd = linux.open_beneath(top, "/".join(parts[:depth]), _FOLDER)
        seen = os.fstat(fd)
        os.close(fd)
        if seen.st_uid != reader and not seen.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            return "it lies in a folder that is private to another member"
    return ""


def _refusal(path: str, error: OSError) -> Refused:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Refused("not_found", f"There is no file {path!r} in the box.")
    if error.errno in {errno.ELOOP, errno.EXDEV}:
        return Refused("invalid_request", f"{path!r} cannot be used: it leads through a link.")
    if error.errno in {errno.ENXIO, errno.EACCES}:
        return Refused("invalid_request", f"{path!r} cannot be used: it cannot be read as a file.")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Refused("unavailable", "The disk of the workspace is full; free some space there.")
    if error.errno in {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}:
        return Refused("conflict", f"{path!r} is a folder already; choose another name.")
    return Refused("outside_failure", f"{path!r} could not be moved: {error.strerror}.")


def _copy(tre: Tre, source: int, target: Path, group: int) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o400)
    try:
        offset = 0
        while chunk := os.pread(source, CHUNK_BYTES, offset):
            offset += len(chunk)
            while chunk:
                chunk = chunk[os.write(fd, chunk) :]
        disks.close_file(tre, fd, group)
        os.fsync(fd)
    finally:
        os.close(fd)


def _parent(tre: Tre, top: int, path: str, group: int) -> tuple[int, str]:
    """Return an fd of the folder that `path` is in, made where it is missing, and the name."""
    *folders, name = path.split("/")
    here = os.dup(top)
    for folder in folders:
        try:
            os.mkdir(folder, 0o750, dir_fd=here)
            if tre.as_root:
                os.chown(folder, 0, group, dir_fd=here)
            os.chmod(folder, 0o750, dir_fd=here)
        except FileExistsError:
            pass
        flags = _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            below = os.open(folder, flags, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here, name
