"""What does every attempt need: raw system calls, a verdict, a child with a time limit?"""

import ctypes
import errno
import json
import os
import platform
import select
import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

OPEN = "open"
"""The code of an attempt that got what it wanted; every other code says how it was refused."""

Given = Mapping[str, Any]
Attempt = Callable[[Given], str]

ATTEMPTS: dict[str, Attempt] = {}
"""Every attempt by name. It returns what it got, or raises `OSError` or `Refused`."""

# System call numbers: x86_64, aarch64.
_NUMBERS = {
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The attempt was refused in a way that has no error number."""


def attempt(function: Attempt) -> Attempt:
    """Enter `function` among the attempts, under its own name."""
    ATTEMPTS[function.__name__] = function
    return function


def syscall(name: str, *arguments: Any) -> int:
    """Make one system call by name. Raises `OSError`, `Refused` on an unknown processor."""
    column = _COLUMN.get(platform.machine())
    if column is None:
        raise Refused(f"the number of {name} is not known on {platform.machine()}")
    whole = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    result: int = _libc.syscall(_NUMBERS[name][column], *whole)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def asks(name: str, *arguments: Any, allowed: Collection[int] = (errno.EINVAL,)) -> str:
    """Ask for something that cannot work; an error in `allowed` means permission was granted."""
    try:
        syscall(name, *arguments)
    except OSError as error:
        if error.errno not in allowed:
            raise
        return f"the kernel would have done it ({errno.errorcode[error.errno or 0]})"
    return "the kernel did it"


def gives_back(descriptor: int, what: str) -> str:
    """Close a file descriptor that the kernel should not have given."""
    os.close(descriptor)
    return what


def take(name: str, given: Given, *, seconds: float, uid: int | None = None) -> dict[str, str]:
    """Run one attempt in its own child; return its code and what was seen.

    `uid` takes every privilege off the child first. The child and all it started are killed when
    the time is over.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(writer, name, given, uid)
    os.close(writer)
    text, ended = _read(reader, seconds)
    os.close(reader)
    _kill(child)  # before its status is taken, while nobody else can have its number
    _, status = os.waitpid(child, 0)
    if text:
        outcome: dict[str, str] = json.loads(text)
        return outcome
    if ended and os.WIFSIGNALED(status):
        killer = signal.Signals(os.WTERMSIG(status)).name
        return {"code": killer, "text": f"killed by {killer}"}
    return {"code": "silent", "text": f"no answer within {seconds:g} s"}


def _child(writer: int, name: str, given: Given, uid: int | None) -> None:
    try:
        os.setpgid(0, 0)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as any process that was born so
        os.write(writer, json.dumps(verdict(name, given)).encode())
    finally:
        os._exit(0)


def verdict(name: str, given: Given) -> dict[str, str]:
    """Make an attempt in this very process, and say how it went."""
    try:
        return {"code": OPEN, "text": ATTEMPTS[name](given)[:300]}
    except Refused as refusal:
        return {"code": "refused", "text": str(refusal)[:300]}
    except OSError as error:
        code = error_name(error)
        return {"code": code, "text": f"{code}: {error.strerror}"[:300]}
    except Exception as error:  # noqa: BLE001 - a broken attempt must not look like a closed way
        return {"code": "broken", "text": f"{type(error).__name__}: {error}"[:300]}


def error_name(error: OSError) -> str:
    """Return the symbol of an operating system or resolver error."""
    number = error.errno or 0
    resolver = {-2: "EAI_NONAME", -3: "EAI_AGAIN", -4: "EAI_FAIL", -5: "EAI_NODATA"}
    return resolver.get(number) or errno.errorcode.get(number) or type(error).__name__


def _read(reader: int, seconds: float) -> tuple[bytes, bool]:
    """Read the child's answer; the second value says whether the child has ended or will now."""
    until = time.monotonic() + seconds
    text = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            break
        part = os.read(reader, 65536)
        text += part
        if not part or text.endswith(b"}"):
            return text, True
    return text, False


def _kill(child: int) -> None:
    """Kill the child, if it is there, and everything it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        os.kill(child, signal.SIGKILL)
