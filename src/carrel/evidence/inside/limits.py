"""Which attempts try to take more than a sandbox may have? Each runs in a small sandbox alone."""

import os
import signal
import time
from collections.abc import Callable

from carrel.evidence.inside.ground import Given, Refused, attempt

_MIB = 2**20


@attempt
def take_memory(given: Given) -> str:
    """Touch memory, up to a bound, and give it back."""
    parts = [bytearray(os.urandom(4096) * (8 * _MIB // 4096)) for _ in range(given["mib"] // 8)]
    return f"{len(parts) * 8} MiB"


@attempt
def take_processes(given: Given) -> str:
    """Start sleeping children, up to a bound, and end them all."""
    children: list[int] = []
    try:
        while len(children) < given["count"]:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError as error:
        raise Refused(f"no more than {len(children)} processes (EAGAIN)") from error
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{len(children)} processes"


@attempt
def take_processor(given: Given) -> str:
    """Spin on several processes, and compare the processor time with what is allowed."""
    children = [_spinner(given["seconds"]) for _ in range(given["spinners"])]
    began = time.monotonic()
    for child in children:
        os.waitpid(child, 0)
    used, wall = sum(os.times()[2:4]), time.monotonic() - began
    share = used / wall
    if share <= given["share"]:
        raise Refused(f"held at {share:.2f} processors")
    return f"{share:.2f} processors"


def _spinner(seconds: float) -> int:
    child = os.fork()
    if child == 0:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        os._exit(0)
    return child


@attempt
def take_disk(given: Given) -> str:
    """Reserve space in a folder, up to a bound, and give it back."""
    path = f"{given['folder']}/carrel-probe-fill"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.unlink(path)
    try:
        block = bytes(_MIB)
        for _ in range(given["mib"]):
            os.write(descriptor, block)
    finally:
        os.close(descriptor)
    return f"{given['mib']} MiB"


@attempt
def take_names(given: Given) -> str:
    """Make empty files, up to a bound, and take them away."""
    folder = f"{given['folder']}/carrel-probe-names"
    os.mkdir(folder)
    made = 0
    try:
        while made < given["count"]:
            os.mknod(f"{folder}/{made}", 0o600)
            made += 1
    finally:
        _remove(folder, made, os.unlink)
    return f"{made} files"


def _remove(folder: str, made: int, unlink: Callable[[str], None]) -> None:
    for number in range(made):
        unlink(f"{folder}/{number}")
    os.rmdir(folder)


@attempt
def flood_output(given: Given) -> str:
    """Print more than anybody wants to keep; measures only that printing does not block."""
    line = b"x" * 1023 + b"\n"
    for _ in range(given["mib"] * 1024):
        os.write(1, line)
    return f"{given['mib']} MiB printed"
