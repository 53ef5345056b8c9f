"""Which kernel calls does the launcher make that Python 3.11 does not offer?"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from carrel.runtime.launcher.refusal import Refused

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x41
OPENAT2 = 437
RESOLVE_BENEATH_PLAIN = 0x0F
"""NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH: never leave, never follow."""

_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind `fd`; only ever in a thread or process that ends soon."""
    _check(_libc.setns(fd, kind), "setns")


def prctl(option: int, value: int) -> None:
    """Set a process attribute."""
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), "prctl")


def bind_mount(source: str, target: str) -> None:
    """Make `source` appear at `target` as well."""
    _check(_libc.mount(source.encode(), target.encode(), None, MS_BIND, None), "mount")


def unmount(target: str, flags: int = 0) -> None:
    """Take the mount at `target` away."""
    _check(_libc.umount2(target.encode(), flags), "umount")


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_beneath(folder_fd: int, path: str, flags: int) -> int:
    """Open `path` below a folder without following any link or mount, ever."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH_PLAIN)
    arguments = (folder_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    return _check(_libc.syscall(OPENAT2, *arguments), f"openat2 {path!r}")


def loopback_up() -> None:
    """Bring `lo` up in the present network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))


def boot_id() -> str:
    """Return what is different after every reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> int | None:
    """Return when a living process started, in clock ticks; None if it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def children(pid: int) -> list[int]:
    """Return the direct children of a process; none if it is gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def kill(pid: int, started: int, number: int) -> None:
    """Signal a process if it still is the one that started then; nothing happens otherwise."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if start_time(pid) == started:
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def in_network(path: str, work: Callable[[], _T]) -> _T:
    """Do `work` in a short-lived thread inside the network namespace at `path`."""
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                setns(fd, CLONE_NEWNET)
            finally:
                os.close(fd)
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # carried to the thread that waits
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def in_child(work: Callable[[], int | None], *, seconds: int = 10) -> int | None:
    """Do `work` in a forked child and return the file descriptor it returns, if any.

    The child may change its user and its namespaces. Raises what `work` raised: `Refused`
    as it was, `OSError` with its number.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _answer(theirs, work, seconds)
    theirs.close()
    try:
        with ours:
            payload, fds, _, _ = socket.recv_fds(ours, 65536, 1, socket.MSG_CMSG_CLOEXEC)
    finally:
        os.waitpid(pid, 0)
    if not payload:
        raise Refused("unavailable", "A helper process of the launcher died; try again.")
    answer = json.loads(payload)
    if "code" in answer:
        raise Refused(answer["code"], answer["message"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["message"])
    return fds[0] if fds else None


def _answer(sock: socket.socket, work: Callable[[], int | None], seconds: int) -> NoReturn:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    answer: dict[str, object] = {}
    fds: Sequence[int] = ()
    try:
        result = work()
        fds = () if result is None else (result,)
    except Refused as refused:
        answer = {"code": refused.code, "message": str(refused)}
    except OSError as error:
        answer = {"errno": error.errno, "message": error.strerror}
    except BaseException as error:  # noqa: BLE001  # the top of this process
        answer = {"code": "outside_failure", "message": repr(error)}
    socket.send_fds(sock, [json.dumps(answer).encode()], fds)
    os._exit(0)
