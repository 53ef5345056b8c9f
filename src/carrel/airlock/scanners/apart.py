"""What runs beside Carrel and reads what strangers wrote? A nursery, and one worker a request.

The nursery has imported everything and reads nothing of anybody; for each request it forks a
worker, which shuts itself in before it sees the first file. Run by `running`, never by people.
"""

import io
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import orjson

import carrel.airlock.scanners
from carrel.airlock.ports import Scanner, Subject
from carrel.airlock.rules.differencing import Released
from carrel.airlock.rules.sidecar import TableMeta
from carrel.airlock.scanners.confinement import confine, die_with_parent
from carrel.airlock.scanners.wire import READY, Channel, Job, Plan

TRACE_LENGTH = 4000
_PRELOADED = carrel.airlock.scanners
"""Imported once, by the nursery: importing it takes longer than most requests."""


def main() -> None:
    """Fork a worker for each socket that comes in on standard input, until Carrel hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then keeps no dead workers
    control = socket.socket(fileno=os.dup(0))
    while True:
        asked, ends, _, _ = socket.recv_fds(control, 1, 1)
        if not asked:
            return
        worker = os.fork()
        if worker == 0:
            control.close()
            _work(ends[0])
        try:
            grip = os.pidfd_open(worker)
        except ProcessLookupError:  # it died at once; whoever talks to it will notice
            socket.send_fds(control, [b"x"], [])
        else:
            socket.send_fds(control, [b"."], [grip])
            os.close(grip)
        os.close(ends[0])


def _work(descriptor: int) -> None:
    try:
        die_with_parent()
        silence = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(silence, standard)
        _serve(Channel(socket.socket(fileno=descriptor)))
    except (EOFError, OSError):
        pass  # Carrel has hung up
    finally:
        os._exit(0)


def _serve(channel: Channel) -> None:
    plan: Plan = pickle.loads(channel.receive())  # noqa: S301 - Carrel wrote it
    sys.path.extend(each for each in plan.path if each not in sys.path)
    os.environ["TMPDIR"] = plan.scratch  # noqa: TID251 - nobody's setting: where it may write
    try:
        scanners: Sequence[Scanner] = pickle.loads(plan.scanners)  # noqa: S301 - likewise
        readable = [*sys.path, sys.prefix, sys.base_prefix]
        confine(map(Path, filter(os.path.isabs, readable)), Path(plan.scratch), plan.memory_bytes)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing is read without
        channel.send(f"{type(error).__name__}: {error}".encode())
        return
    channel.send(READY)
    while True:
        message, files = channel.receive_with()
        job: Job = pickle.loads(message)  # noqa: S301 - likewise
        subject = _subject(job, files, channel)
        for scanner in scanners[job.first :]:
            channel.send(_answer(scanner, subject))
        for file in files:
            os.close(file)


def _subject(job: Job, files: Sequence[int], channel: Channel) -> Subject:
    def earlier(_meta: TableMeta) -> Sequence[Released]:
        """Ask Carrel, which knows itself which table this file declares to be."""
        channel.send(orjson.dumps({"earlier": True}))
        found: Sequence[Released] = pickle.loads(channel.receive())  # noqa: S301 - likewise
        return found

    return Subject(
        **job.said,
        open=lambda: _opened(files[0]),
        earlier=earlier,
        listed=_lister(files[1]) if job.has_list else lambda: None,
    )


def _lister(descriptor: int) -> Callable[[], BinaryIO]:
    return lambda: _opened(descriptor)


def _answer(scanner: Scanner, subject: Subject) -> bytes:
    try:
        found = [asdict(finding) for finding in scanner.examine(subject)]
    except Exception:  # noqa: BLE001 - it reads what a stranger wrote; Carrel says so
        return orjson.dumps({"broke": traceback.format_exc()[-TRACE_LENGTH:]})
    return orjson.dumps({"found": found})


def _opened(descriptor: int) -> BinaryIO:
    return io.BufferedReader(_Reader(descriptor), 2**16)


class _Reader(io.RawIOBase):
    """Reads a descriptor from its beginning, whoever else reads it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = os.preadv(self._descriptor, [buffer], self._at)
        self._at += read
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = os.fstat(self._descriptor).st_size
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning of the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


if __name__ == "__main__":
    main()
