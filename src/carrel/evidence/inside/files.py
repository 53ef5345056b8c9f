"""Which attempts read or write files, devices and processes that are not the workspace's?"""

import os
import stat

from carrel.evidence.inside.ground import Given, Refused, attempt

_ALLOWED_VARIABLES = ("PIP_",)
_TELLING_WORDS = ("CARREL", "SECRET", "PASSWORD", "TOKEN", "DATABASE", "CREDENTIAL")
_SYSTEM_FOLDERS = {"proc", "sys", "usr", "bin", "lib", "lib64", "sbin", "dev"}


def descriptors() -> dict[int, str]:
    """Return what every open file descriptor of this process points to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own
    return found


INHERITED = {number: path for number, path in descriptors().items() if number > 2}
"""Taken when the program begins, before it opens anything itself."""


@attempt
def read_file(given: Given) -> str:
    """Open a file for reading; read nothing."""
    os.close(os.open(given["path"], os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    return "opened"


@attempt
def write_file(given: Given) -> str:
    """Open a file for writing; write nothing."""
    os.close(os.open(given["path"], os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
    return "opened for writing"


@attempt
def unnamed_file(given: Given) -> str:
    """Make a file without a name in a folder; it is gone when closed."""
    os.close(os.open(given["path"], os.O_TMPFILE | os.O_WRONLY, 0o600))
    return "a file could be made"


@attempt
def read_secret(given: Given) -> str:
    """Read the first bytes of a file of the kernel; a masked one is empty."""
    descriptor = os.open(given["path"], os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = os.read(descriptor, 64)
    finally:
        os.close(descriptor)
    if not found:
        raise Refused("empty")
    return f"{len(found)} bytes"


@attempt
def list_folder(given: Given) -> str:
    """List a folder; an empty one is closed."""
    names = os.listdir(given["path"])
    if not names:
        raise Refused("empty")
    return f"{len(names)} entries, for instance {min(names)}"


@attempt
def first_that_opens(given: Given) -> str:
    """Open the first of several device files that is there."""
    refusal = FileNotFoundError(2, "none of them is there")
    for path in given["paths"]:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except FileNotFoundError:
            continue
        except OSError as error:
            refusal = error  # type: ignore[assignment]  # any refusal is better than "not there"
            continue
        return f"opened {path}"
    raise refusal


@attempt
def mount_flag(given: Given) -> str:
    """Look whether the mount of a folder lacks a protection."""
    flags = os.statvfs(given["path"]).f_flag
    lacking = [name for name in given["needs"] if not flags & getattr(os, f"ST_{name.upper()}")]
    if not lacking:
        raise Refused("mounted " + ",".join(given["needs"]))
    return "mounted without " + ",".join(lacking)


@attempt
def make_device(given: Given) -> str:
    """Make a device file, and take it away."""
    path = f"{given['folder']}/carrel-probe-device"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.unlink(path)
    return "made"


@attempt
def find_file(given: Given) -> str:
    """Look for a file by its name everywhere but in the system's own folders."""
    name = given["name"]
    for top in sorted(set(os.listdir("/")) - _SYSTEM_FOLDERS):
        for folder, _, names in os.walk(f"/{top}"):
            if name in names:
                os.close(os.open(os.path.join(folder, name), os.O_RDONLY))
                return f"found in {folder}"
    raise Refused("not found anywhere")


@attempt
def find_process(given: Given) -> str:
    """Look for a process by its command line among all that are visible."""
    token = given["token"].encode()
    for pid in _pids():
        if token in _proc(pid, "cmdline") and pid != os.getpid() and not _is_ours(pid):
            return f"visible as process {pid}"
    raise Refused("not visible")


@attempt
def signal_process(given: Given) -> str:
    """Ask whether a process outside could be signalled, with signal 0."""
    os.kill(given["pid"], 0)
    if given["token"].encode() not in _proc(given["pid"], "cmdline"):
        raise Refused("that number is a process of our own")
    return "could be signalled"


@attempt
def others_environment(given: Given) -> str:
    """Look for a variable that tells about the platform in every visible process."""
    found = {name for pid in _pids() for name in _telling(_proc(pid, "environ"), given)}
    if not found:
        raise Refused("nothing telling")
    return "variables " + ", ".join(sorted(found)[:5])


def _telling(environment: bytes, given: Given) -> set[str]:
    names = {item.split(b"=", 1)[0].decode(errors="replace") for item in environment.split(b"\0")}
    known = set(given.get("known", ()))
    return {
        name
        for name in names - known
        if any(word in name.upper() for word in _TELLING_WORDS)
        and not name.startswith(_ALLOWED_VARIABLES)
    }


@attempt
def inherited_descriptors(given: Given) -> str:
    """Look for open files that were handed down by whoever started us."""
    del given
    if not INHERITED:
        raise Refused("only standard input, output and error")
    return ", ".join(f"{number} is {path}" for number, path in sorted(INHERITED.items()))


@attempt
def through_process_one(given: Given) -> str:
    """Reach a file of the host through the root folder of process 1."""
    os.close(os.open(given["root"] + given["path"], os.O_RDONLY))
    return "opened"


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _proc(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _is_ours(pid: int) -> bool:
    """Say whether a process runs this program, whose arguments hold every token."""
    return b"carrel.evidence.inside" in _proc(pid, "cmdline")
