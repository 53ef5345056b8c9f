"""How is a worker shut in that reads what strangers wrote?

Whoever takes it over through a broken parser finds no network, no other program, no other
program's memory, and no files but Carrel's code and an empty folder: Landlock for files, a seccomp
filter for system calls, limits for memory. None of it needs root; all of it is for good.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
FILE_BYTES = 2**30
"""The longest file that a worker may write, and only into its own folder."""
OPEN_FILES = 256

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_FILTER = 2


def confine(readable: Iterable[Path], scratch: Path, memory_bytes: int) -> None:
    """Shut this process in, for good. Raises `OSError` if the host cannot.

    It goes on reading `readable` and writing below `scratch`, and may use `memory_bytes` more
    address space than it does now.
    """
    _limit(memory_bytes)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _close_folders(readable, scratch)
    _close_calls()


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that made it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for kind, wanted in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        _, hard = resource.getrlimit(kind)
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (most, most))


# Files: Landlock ---------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights on files each version of Landlock knows; later ones know as many as the last."""
_NETWORK, _SCOPES = 0b11, 0b11
"""No TCP (version 4); no abstract sockets, no signals to anybody outside (version 6)."""


def _close_folders(readable: Iterable[Path], scratch: Path) -> None:
    version = _LIBC.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        raise OSError(ctypes.get_errno(), "this kernel has no Landlock")
    rights = (1 << _RIGHTS[min(version, max(_RIGHTS))]) - 1
    wanted = [rights, *([_NETWORK] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    packed = struct.pack(f"={len(wanted)}Q", *wanted)
    ruleset = _checked(_LIBC.syscall(_CREATE_RULESET, packed, len(packed), 0), "Landlock")
    for path in [*map(Path, SYSTEM_FOLDERS), *readable]:
        _allow(ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
    _allow(ruleset, Path("/dev/null"), _READ_FILE | _WRITE_FILE)
    _allow(ruleset, scratch, rights & ~_EXECUTE)
    _checked(_LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "Landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = struct.pack("=Qi", rights if path.is_dir() else rights & _OF_FILES, descriptor)
        _checked(_LIBC.syscall(_ADD_RULE, ruleset, 1, rule, 0), f"Landlock, {path}")
    finally:
        os.close(descriptor)


# System calls: seccomp ---------------------------------------------------------------------------

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FORBIDDEN: Mapping[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "io_uring_setup": (425, 425),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "fsopen": (430, 430), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_by_handle_at": (304, 265),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104),
}  # fmt: skip
"""Numbers on x86_64 and aarch64 of what no scanner needs. From: Linux, syscall tables."""
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x10000
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16


def filter_for(machine: str) -> Sequence[tuple[int, int, int, int]]:
    """Return the seccomp program for a machine. Raises `OSError` for machines not known."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {machine}")
    which = list(_ARCHITECTURES).index(machine)
    refuse = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        (_EQUAL, 0, 1, _CLONE3[which]),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),  # glibc then calls clone
    ]
    for numbers in FORBIDDEN.values():
        number = numbers[which]
        program += [] if number is None else [(_EQUAL, 0, 1, number), refuse]
    threads_only = [
        (_EQUAL, 0, 3, _CLONE[which]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_HAS_BIT, 1, 0, _CLONE_THREAD),
        refuse,
    ]
    return [*program, *threads_only, (_RETURN, 0, 0, _ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _close_calls() -> None:
    program = filter_for(platform.machine())
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    given = _Program(len(program), ctypes.cast(packed, ctypes.c_void_p))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(given))


def _prctl(option: int, value: int, pointer: object = 0) -> None:
    _checked(_LIBC.prctl(option, ctypes.c_ulong(value), pointer, 0, 0), f"prctl {option}")


def _checked(returned: int, what: str) -> int:
    if returned < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return returned
