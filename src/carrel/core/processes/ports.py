"""Is a port free, and if not, who has it?"""

import socket
from collections.abc import Iterator
from pathlib import Path

from carrel.core.errors import Conflict, InvalidRequest

_LISTENING = "0A"


def check_address(address: str) -> None:
    """Raise `InvalidRequest` if nothing can listen on `address` of this machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise InvalidRequest(
                f"Setting bind_address: nothing can listen on {address} ({error.strerror}). "
                "Give an address that this machine has.",
                field="bind_address",
            ) from error


def check_free(address: str, port: int, setting: str) -> None:
    """Raise `Conflict` naming the process if `port` is taken; `setting` is what to change.

    Raises `InvalidRequest` if the address is not one of this machine.
    """
    check_address(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError as error:
            raise Conflict(
                f"Port {port} may not be used by an ordinary user. "
                f"Choose one above 1023: carrel up {_flag(setting)} NUMBER",
                field=setting,
            ) from error
        except OSError as error:
            raise Conflict(
                f"Port {port} on {address} cannot be used: {occupant(port) or error.strerror}. "
                f"Stop that, or choose another port: carrel up {_flag(setting)} NUMBER",
                field=setting,
            ) from error


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def is_held_by(pid: int, port: int) -> bool:
    """Whether exactly the process `pid` listens on `port`."""
    return _holds(Path(f"/proc/{pid}"), set(_listening_inodes(port)))


def occupant(port: int) -> str:
    """Describe the process that listens on `port`; empty if that cannot be seen."""
    sockets = set(_listening_inodes(port))
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _holds(folder, sockets):
            name = (folder / "comm").read_text().strip()
            return f"it is held by {name} (process {folder.name})"
    return ""


def _flag(setting: str) -> str:
    return {"portal_port": "--port", "gateway_port": "--gateway-port"}[setting]


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _holds(folder: Path, sockets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in (folder / "fd").iterdir())
    except OSError:  # ended meanwhile, or not ours to look into
        return False
