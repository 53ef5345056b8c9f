"""Who makes the workers that scanners run in? One process, which has imported all they need."""

import os
import socket
import subprocess
import sys
import threading
import weakref

from carrel.core.errors import Unavailable

START_SECONDS = 120.0
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # a fork has no threads, and workers share the cores as it is
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""Nothing of Carrel's own environment, which may hold the address of the database."""


class _Nursery:
    """A process that forks workers; one for all of Carrel's threads. Ends when Carrel does."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        words = [sys.executable, "-P", "-m", "carrel.airlock.scanners.apart"]
        with theirs:
            started = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._control = ours
        self._ended = weakref.finalize(self, _end, self.owner, ours, started)

    def fork(self, end: socket.socket) -> int:
        """Return a descriptor that stands for a new worker, which has `end`. Raises `OSError`."""
        with self._lock:
            self._control.settimeout(START_SECONDS)
            socket.send_fds(self._control, [b"+"], [end.fileno()])
            _, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not descriptors:
            raise ConnectionError("the nursery gave no worker")
        os.set_inheritable(descriptors[0], False)
        return descriptors[0]

    def end(self) -> None:
        self._ended()


_LOCK = threading.Lock()
_RUNNING: list[_Nursery] = []


def fork(end: socket.socket) -> int:
    """Ask the nursery for a worker; start another nursery if that one is gone."""
    try:
        return _find_nursery().fork(end)
    except OSError:
        _forget_nurseries()
    try:
        return _find_nursery().fork(end)
    except OSError as error:
        _forget_nurseries()
        raise no_worker(error) from error


def _find_nursery() -> _Nursery:
    with _LOCK:
        if not any(nursery.owner == os.getpid() for nursery in _RUNNING):
            _RUNNING.append(_Nursery())  # the others belong to whoever forked us
        return next(nursery for nursery in _RUNNING if nursery.owner == os.getpid())


def _forget_nurseries() -> None:
    with _LOCK:
        while _RUNNING:
            _RUNNING.pop().end()


def _end(owner: int, control: socket.socket, started: subprocess.Popen[bytes]) -> None:
    control.close()
    if owner != os.getpid():
        return  # it belongs to whoever forked us
    try:
        started.wait(timeout=2)
    except subprocess.TimeoutExpired:  # it is still importing
        started.kill()
        started.wait()


def no_worker(error: Exception) -> Unavailable:
    """Return what is raised when no worker starts."""
    return Unavailable(
        "No worker for the scanners could be started; it is tried again.", log_detail=repr(error)
    )
