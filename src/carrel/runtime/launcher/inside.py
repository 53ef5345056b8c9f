"""What can a program do inside a sandbox? Runs there as `python3 -I -S -c TEXT inspect|exhaust`.

It imports nothing of Carrel: the launcher passes the text of this file. It prints one JSON object
and, for `inspect`, waits so that the launcher can look at it from outside.
"""

import ctypes
import errno
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PORT = 7
LOW_PORT = 81
"""Below 1024, where only the platform's doors may listen."""
FILL_BYTES = 64 * 2**20
BOMB_BYTES = 512 * 2**20
FORKS = 200
BURNERS, BURN_SECONDS = 2, 0.4
CLONE_NEWUSER = 0x10000000
NO_ROUTE_TO = ("198.51.100.1", 443)
"""A documentation address: nothing is sent, the kernel only looks for a route."""

# A 64-bit ELF whose only instructions make the 32-bit call exit(7) through `int 0x80`.
TINY_ELF = (
    b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00\x01\x00\x00\x00"
    b"\x78\x00\x40\x00\x00\x00\x00\x00\x40" + bytes(15) + b"\x00\x00\x00\x00\x40\x00\x38\x00"
    b"\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x05\x00\x00\x00" + bytes(8)
    + b"\x00\x00\x40\x00\x00\x00\x00\x00" * 2 + b"\x84" + bytes(7) + b"\x84" + bytes(7)
    + b"\x00\x10" + bytes(6) + b"\xb8\x01\x00\x00\x00\xbb\x07\x00\x00\x00\xcd\x80"
)  # fmt: skip


def outcome_of(attempt: Callable[[], object]) -> str:
    """Return `open` if the attempt worked, else the name of the error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "error")
    return "open"


def call(name: str, *arguments: int) -> Callable[[], object]:
    """Return an attempt to call a C function that returns -1 on failure."""

    def attempt() -> object:
        libc = ctypes.CDLL(None, use_errno=True)
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
        return None

    return attempt


attach = call("ptrace", 16, 2**22 + 1, 0, 0)
"""To nobody: if the kernel looks for the process at all, it would also find one."""


def thirty_two_bit() -> str:
    """Return how the 32-bit system call ended: a signal name, `open`, or `not tried`."""
    if platform.machine() != "x86_64":
        return "not tried: no such calls on this processor"
    path = Path("/tmp/tiny")  # noqa: S108  # the sandbox's own
    path.write_bytes(TINY_ELF)
    path.chmod(0o700)
    code = subprocess.run([str(path)], check=False).returncode
    return "open" if code == 7 else f"signal {-code}"


def route() -> None:
    """Ask the kernel for a route out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(NO_ROUTE_TO)


def opener(path: str) -> Callable[[], object]:
    """Return an attempt to open a file for writing, without writing."""
    return lambda: os.close(os.open(path, os.O_WRONLY))


def readable(path: str) -> int:
    """Return how many of the first 100 bytes of a file can be read."""
    try:
        with Path(path).open("rb") as file:
            return len(file.read(100))
    except OSError:
        return 0


def inspect() -> dict[str, Any]:
    """Look around without changing anything outside."""
    return {
        "interfaces": [name for _, name in socket.if_nameindex()],
        "route": outcome_of(route),
        "low_port": outcome_of(lambda: socket.create_server(("127.0.0.1", LOW_PORT)).close()),
        "vsock": outcome_of(lambda: socket.socket(40, socket.SOCK_STREAM)),
        "alg": outcome_of(lambda: socket.socket(38, socket.SOCK_SEQPACKET)),
        "unshare": outcome_of(call("unshare", CLONE_NEWUSER)),
        "ptrace": "open" if outcome_of(attach) == "ESRCH" else outcome_of(attach),
        "thirty_two_bit": thirty_two_bit(),
        "proc_sys_read_only": bool(os.statvfs("/proc/sys").f_flag & os.ST_RDONLY),
        "core_pattern": outcome_of(opener("/proc/sys/kernel/core_pattern")),
        "sys": os.listdir("/sys"),
        "kallsyms_bytes": readable("/proc/kallsyms"),
        "homes": os.listdir("/home"),
        "environment": sorted(os.environ),  # noqa: TID251  # its own, to show that it is clean
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    }


def count_forks() -> int:
    """Return how many children could be made before the kernel refused, at most FORKS."""
    children = []
    try:
        for _ in range(FORKS):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    return len(children)


def burn() -> float:
    """Return the CPU seconds that BURNERS busy processes got in BURN_SECONDS."""
    before = os.times()
    pids = []
    for _ in range(BURNERS):
        pid = os.fork()
        if pid == 0:
            deadline = time.monotonic() + BURN_SECONDS
            while time.monotonic() < deadline:
                pass
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    after = os.times()
    return after.children_user + after.children_system - before[2] - before[3]


def fill() -> str:
    """Return the error with which the home is full, or `open`."""

    def write() -> None:
        with Path("fill").open("wb", buffering=0) as file:
            file.writelines(bytes(2**20) for _ in range(FILL_BYTES // 2**20))

    return outcome_of(write)


def say(findings: dict[str, Any]) -> None:
    """Print one line that is whole."""
    os.write(1, json.dumps(findings).encode() + b"\n")


def main() -> None:
    """Do what the first argument says."""
    if sys.argv[1] == "inspect":
        with socket.create_server(("127.0.0.1", PORT + 8000)) as server:
            say(inspect())
            server.settimeout(60)
            server.accept()[0].sendall(b"reached")
            time.sleep(60)  # a door that is dialled for a member looks at the listener again
    else:
        say({"forks": count_forks(), "cpu_seconds": burn(), "fill": fill()})
        say({"bomb": len(bytearray(b"x") * BOMB_BYTES)})


main()
