"""How does a folder of the host keep the files of requests?"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from carrel.airlock.ports import Stored
from carrel.airlock.rules import Stage
from carrel.airlock.stores._shared import Measured, absent, checked_id
from carrel.core.clock import Clock, SystemClock
from carrel.core.errors import OutsideFailure, Unavailable
from carrel.core.ids import new_id

_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM})
_PARTIAL = ".partial"
_ABANDONED_SECONDS = 60.0


class FolderStore:
    """Keeps objects below `root` as `<request>/<stage>/<file id>`, readable by Carrel alone."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._root = root
        self._clock = clock or SystemClock()

    def put(
        self, request_id: str, file_id: str, content: Iterable[bytes], *, limit_bytes: int
    ) -> Stored:
        """Write beside, flush to the disk, then rename into place."""
        target = self._path(request_id, Stage.DRAFT, file_id)
        with _translated():
            _make_folder(self._root / _PARTIAL)
            _make_folder(target.parent)
        with _locked(self._root / _PARTIAL / new_id()) as (partial, descriptor):
            stored = _write(descriptor, content, limit_bytes)
            with _translated():
                partial.rename(target)  # before the lock ends: see remove_partial
                _flush_folder(target.parent)
        return stored

    def open(self, request_id: str, stage: Stage, file_id: str) -> BinaryIO:
        """Open without following a link."""
        path = self._path(request_id, stage, file_id)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise absent() from error
        except OSError as error:
            raise _failure(error) from error
        return os.fdopen(descriptor, "rb")

    def move(self, request_id: str, file_id: str, old: Stage, new: Stage) -> None:
        """Rename from stage to stage."""
        source, target = (self._path(request_id, stage, file_id) for stage in (old, new))
        with _translated():
            _make_folder(target.parent)
            try:
                source.rename(target)
            except FileNotFoundError as error:
                if not target.exists():
                    raise absent() from error
            _flush_folder(target.parent)

    def delete(self, request_id: str, stage: Stage, file_id: str) -> None:
        """Unlink."""
        with _translated():
            self._path(request_id, stage, file_id).unlink(missing_ok=True)

    def drop(self, request_id: str) -> None:
        """Remove the request's whole folder."""
        with _translated(), suppress(FileNotFoundError):
            shutil.rmtree(self._folder(request_id))

    def objects(self, request_id: str) -> Sequence[tuple[Stage, str]]:
        """List the request's folder."""
        folder = self._folder(request_id)
        return sorted((Stage(path.parent.name), path.name) for path in folder.glob("*/*"))

    def remove_partial(self) -> int:
        """Remove what killed uploads left, and nothing that is being written. Returns how many.

        A running upload holds a lock until its file is in place; a file that is younger than a
        minute may be one that is not locked yet.
        """
        before = self._clock.now().timestamp() - _ABANDONED_SECONDS
        return sum(_remove_abandoned(path, before) for path in (self._root / _PARTIAL).glob("*"))

    def _folder(self, request_id: str) -> Path:
        return self._root / checked_id(request_id)

    def _path(self, request_id: str, stage: Stage, file_id: str) -> Path:
        return self._folder(request_id) / stage.value / checked_id(file_id)


@contextmanager
def _locked(path: Path) -> Iterator[tuple[Path, int]]:
    """Make a file that nobody else removes before the end; removes it if it fails."""
    with _translated():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with _translated():
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path, descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: Iterable[bytes], limit_bytes: int) -> Stored:
    measured = Measured(content, limit_bytes)
    for chunk in measured:
        with _translated():
            _write_all(descriptor, chunk)
    with _translated():
        os.fsync(descriptor)
    return measured.stored


def _remove_abandoned(path: Path, before: float) -> bool:
    try:
        with path.open("rb") as content:
            if os.fstat(content.fileno()).st_mtime > before:
                return False
            fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failure(error) from error


def _failure(error: OSError) -> OutsideFailure:
    detail = f"{error.strerror}: {error.filename}"
    if error.errno in _PASSING:
        return Unavailable(
            "The airlock's store is full or does not answer. Nothing was kept of this file; tell "
            "an administrator and try again.",
            log_detail=detail,
        )
    return OutsideFailure(
        "The airlock's store cannot be used. Tell an administrator.", log_detail=detail
    )
