"""How does a connection get into a workspace, and only to the member it is meant for?

All members of a workspace share its 127.0.0.1. Who dials a member's tool shows it secrets, so the
listener must be the member's: the kernel says whose it is, before and after connecting.
"""

import errno
import os
import socket
import struct
from itertools import takewhile
from pathlib import Path

from carrel.runtime.launcher import namespaces
from carrel.runtime.launcher.refusal import Refused
from carrel.runtime.launcher.tre import Tre

SECONDS = 3.0
BACKLOG = 1024
_LISTENING = "0A"


def dial(tre: Tre, workspace_id: str, port: int, uid: int | None = None) -> int:
    """Return an fd that is connected to 127.0.0.1:`port` inside, and to `uid` if one is given.

    Without root all members are one uid on the host: there it is only known that it is a member.
    Raises `Refused` if nobody, or somebody else, listens.
    """
    wanted = uid if uid is None or tre.as_root else os.geteuid()

    def connect() -> int:
        if wanted is None:
            return _connect(port)
        before = listeners(port)
        if {owner for owner, _ in before} != {wanted}:
            raise _nobody(port)
        fd = _connect(port)
        if listeners(port) != before:  # somebody else may have been there in between
            os.close(fd)
            raise _nobody(port)
        return fd

    return namespaces.inside(tre, workspace_id, connect)


def listen(tre: Tre, workspace_id: str, port: int) -> int:
    """Return an fd that listens on 127.0.0.1:`port` inside. Raises `Refused` if it is taken."""

    def bind() -> int:
        try:
            return socket.create_server(("127.0.0.1", port), backlog=BACKLOG).detach()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refused("conflict", f"Port {port} of this workspace is taken.") from error
            raise

    return namespaces.inside(tre, workspace_id, bind)


def listeners(port: int) -> frozenset[tuple[int, int]]:
    """Return uid and inode of the sockets that a connection to 127.0.0.1:`port` would reach.

    Of the namespace of the calling thread. The kernel prefers a listener on that very address.
    """
    rows = [*_rows("tcp"), *_rows("tcp6")]
    for addresses in (_EXACT, _ANY):
        places = {f"{address}:{port:04X}" for address in addresses}
        if found := frozenset((int(row[7]), int(row[9])) for row in rows if row[1] in places):
            return found
    return frozenset()


def _rows(table: str) -> list[list[str]]:
    """Return the rows of listening sockets; the kernel lists them before all others."""
    path = Path("/proc/thread-self/net", table)
    if not path.exists():
        return []
    with path.open(encoding="ascii") as file:
        next(file)
        return list(takewhile(lambda row: row[3] == _LISTENING, map(str.split, file)))


def _as_listed(family: socket.AddressFamily, address: str) -> str:
    packed = socket.inet_pton(family, address)
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


_EXACT = (
    _as_listed(socket.AF_INET, "127.0.0.1"),
    _as_listed(socket.AF_INET6, "::ffff:127.0.0.1"),
)
_ANY = (
    _as_listed(socket.AF_INET, "0.0.0.0"),  # noqa: S104  # looked for, not bound
    _as_listed(socket.AF_INET6, "::"),
    _as_listed(socket.AF_INET6, "::ffff:0.0.0.0"),
)


def _connect(port: int) -> int:
    try:
        return socket.create_connection(("127.0.0.1", port), SECONDS).detach()
    except OSError as error:
        raise Refused("unavailable", f"Nothing listens on port {port} (yet).") from error


def _nobody(port: int) -> Refused:
    return Refused("unavailable", f"Nobody of this member listens on port {port} (yet).")
