"""Where do verified files lie, and how do many readers share one fetch? Addressed by SHA-256.

A file enters the store only whole and only if its hash is right: it is written to `filling/`
and renamed. Readers follow the writer, but the last 64 KiB wait for the hash, so that nobody
ever gets a complete file that is not the published one.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from carrel.core.ids import new_id
from carrel.packages.ports import FileReply
from carrel.packages.rules import Reason, Refusal

HELD_BACK_BYTES = 64 * 1024
CHUNK_BYTES = 256 * 1024
FILE_LIMIT_BYTES = 8 * 2**30
RESERVE_BYTES = 512 * 2**20
"""Disk space that the store leaves free: the database may lie on the same disk."""
FILLS_AT_ONCE = 8

P = ParamSpec("P")
T = TypeVar("T")
Opener = Callable[[], AbstractAsyncContextManager[FileReply]]


class _Fill:
    """One file on its way in. Any number of followers may read it."""

    def __init__(self, digest: str, size_bytes: int | None, partial: Path) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        """Known from the index, or from upstream once it has answered."""
        self._partial = partial
        self._written = 0
        self._hash = hashlib.sha256()
        self._failure: Refusal | None = None
        self._is_done = False
        self._moved = asyncio.Event()
        self._fd = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    async def started(self) -> None:
        """Wait until there is something to read. Raises `Refusal` if it failed before that."""
        while self._failure is None and not self._is_done and self._readable() == 0:
            await self._moved.wait()
        if self._failure is not None:
            raise self._failure

    async def ready(self, position: int) -> int:
        """Wait for bytes after `position`; return how many there are, 0 at the end.

        Raises `Refusal` if the rest may not be had.
        """
        while (count := self._readable() - position) <= 0:
            if self._failure is not None:
                raise self._failure
            if self._is_done:
                return 0
            await self._moved.wait()
        return count

    def follow(self) -> "Follower":
        """Return a new reader, with a descriptor of its own."""
        return Follower(self, os.dup(self._fd))

    async def run(self, open_file: Opener, final: Path) -> None:
        """Fetch, verify and put in place; failures go to the readers."""
        try:
            async with open_file() as reply:
                self._check_length(reply.length)
                async for chunk in reply.chunks:
                    await _in_thread(self._write, chunk)
                    self._tell()
            await _in_thread(self._keep, final)
            self._is_done = True
        except Refusal as refusal:
            self._failure = refusal
        except OSError as error:
            self._failure = _from_disk(error)
        finally:
            if not self._is_done:
                self._failure = self._failure or Refusal(
                    Reason.UPSTREAM_AWAY, "The download was interrupted; try again."
                )
                self._partial.unlink(missing_ok=True)
            self._tell()

    def close(self) -> None:
        """Give the writer's descriptor back; readers have their own."""
        os.close(self._fd)

    def _check_length(self, length: int | None) -> None:
        if length is not None and self.size_bytes is not None and length != self.size_bytes:
            raise _tampered(f"{length} bytes instead of {self.size_bytes}")
        self.size_bytes = self.size_bytes if self.size_bytes is not None else length
        if (self.size_bytes or 0) > FILE_LIMIT_BYTES:
            raise Refusal(Reason.UPSTREAM_REFUSED, "This file is larger than the gateway takes.")

    def _write(self, chunk: bytes) -> None:
        limit = FILE_LIMIT_BYTES if self.size_bytes is None else self.size_bytes
        if self._written + len(chunk) > limit:
            raise _tampered(f"more than {limit} bytes")
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._fd, view) :]
        self._written += len(chunk)

    def _keep(self, final: Path) -> None:
        if self.size_bytes is not None and self._written < self.size_bytes:
            raise Refusal(Reason.UPSTREAM_AWAY, "The download broke off; try again.")
        if self._hash.hexdigest() != self.digest:
            raise _tampered(f"hash {self._hash.hexdigest()}")
        os.fsync(self._fd)
        os.fchmod(self._fd, 0o400)
        final.parent.mkdir(parents=True, exist_ok=True)
        self._partial.rename(final)

    def _readable(self) -> int:
        return self._written if self._is_done else max(0, self._written - HELD_BACK_BYTES)

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class Follower:
    """One reader of a file on its way in. Close it."""

    def __init__(self, fill: _Fill, descriptor: int) -> None:
        self._fill = fill
        self._fd = descriptor

    @property
    def size_bytes(self) -> int | None:
        """The file's length, if index or upstream has told it."""
        return self._fill.size_bytes

    async def started(self) -> None:
        """Wait until there is something to read. Raises `Refusal` if it failed before that."""
        await self._fill.started()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file from its start. Raises `Refusal` if the rest may not be had."""
        position = 0
        while ready := await self._fill.ready(position):
            chunk = await _in_thread(os.pread, self._fd, min(ready, CHUNK_BYTES), position)
            position += len(chunk)
            yield chunk

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


class Store:
    """The content-addressed files below one folder. Used from one event loop."""

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._root = root / "cas"
        self._filling = root / "filling"
        self._reserve = reserve_bytes
        self._fills: dict[str, _Fill] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(FILLS_AT_ONCE)
        for folder in (self._root, self._filling):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()

    def path(self, digest: str) -> Path:
        """Return where a file with this digest lies, or would."""
        return self._root / digest[:2] / digest[2:4] / digest

    def find(self, digest: str) -> Path | None:
        """Return the verified file, or None."""
        path = self.path(digest)
        return path if path.is_file() else None

    def fill(self, digest: str, size_bytes: int | None, open_file: Opener) -> Follower:
        """Begin to fetch a file, or join the fetch that is under way. Raises `Refusal`."""
        if (under_way := self._fills.get(digest)) is not None:
            return under_way.follow()
        try:
            self._check_room(size_bytes or 0)
            fill = _Fill(digest, size_bytes, self._filling / new_id())
        except OSError as error:
            raise _from_disk(error) from error
        self._fills[digest] = fill
        task = asyncio.create_task(self._run(fill, open_file))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return fill.follow()

    def _check_room(self, size_bytes: int) -> None:
        if shutil.disk_usage(self._filling).free - size_bytes < self._reserve:
            raise OSError(errno.ENOSPC, "the reserve is reached")

    async def close(self) -> None:
        """Stop every fetch; what was not whole is thrown away."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, fill: _Fill, open_file: Opener) -> None:
        try:
            async with self._slots:
                await fill.run(open_file, self.path(fill.digest))
        finally:
            del self._fills[fill.digest]
            fill.close()

    def _sweep(self) -> None:
        """Remove what a killed process left half filled; a living one holds its lock."""
        for partial in self._filling.iterdir():
            with suppress(OSError):
                descriptor = os.open(partial, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    partial.unlink()
                finally:
                    os.close(descriptor)


async def _in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run in a thread and, even if cancelled, wait for it: it uses a descriptor of ours."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _tampered(what: str) -> Refusal:
    return Refusal(
        Reason.TAMPERED,
        "Upstream sent another file than its index promises; nothing was kept. Tell your "
        "TRE administrator.",
        log_detail=what,
    )


def _from_disk(error: OSError) -> Refusal:
    return Refusal(
        Reason.STORE_FULL,
        "The package store cannot take this file (is its disk full?). Tell your TRE administrator.",
        log_detail=str(error),
    )
