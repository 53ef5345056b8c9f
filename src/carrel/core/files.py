"""How is a small file written so that a reader, or a crash, never meets half of it?"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int, keep_owner: bool = False) -> None:
    """Write `content` to `path`, whole or not at all, on the disk when this returns.

    What was there is replaced, its permissions by `mode`. With `keep_owner` a process of root
    leaves the file to the user who owned it.
    """
    before = path.lstat() if keep_owner and os.geteuid() == 0 and path.exists() else None
    with _draft(path, content, mode) as draft:
        if before is not None:
            os.chown(draft, before.st_uid, before.st_gid)
        draft.replace(path)


def write_first(path: Path, content: bytes, *, mode: int, owner: Path | None = None) -> bool:
    """Write as `write_whole` does unless `path` exists; returns whether it did.

    Of several processes at once exactly one writes. A process of root leaves the file to whoever
    owns the folder `owner`.
    """
    with _draft(path, content, mode) as draft:
        if owner is not None and os.geteuid() == 0:
            kept = owner.stat()
            os.chown(draft, kept.st_uid, kept.st_gid)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    return True


@contextmanager
def _draft(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Give a finished file beside `path`, to be put in its place; none is left afterwards."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield draft
        _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
