"""Which attempts use the network, or sockets that only look like it?"""

import ctypes
import os
import socket
import struct
from contextlib import closing

from carrel.evidence.inside.ground import Given, Refused, attempt

_FAMILIES_ALLOWED = {0, socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
_PROBE_ADDRESS = "198.51.100.77"


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@attempt
def tcp(given: Given) -> str:
    """Connect to an address and port; send nothing."""
    with closing(socket.socket(_family(given["address"]), socket.SOCK_STREAM)) as sock:
        sock.settimeout(1.0)
        sock.connect((given["address"], given["port"]))
        return "connected"


@attempt
def udp_route(given: Given) -> str:
    """Fix the peer of a datagram socket: asks the kernel for a route, sends no packet."""
    with closing(socket.socket(_family(given["address"]), socket.SOCK_DGRAM)) as sock:
        sock.connect((given["address"], given["port"]))
        return f"a route leads there, from {sock.getsockname()[0]}"


@attempt
def resolve(given: Given) -> str:
    """Ask the resolver of the system for a name."""
    found = socket.getaddrinfo(given["name"], 443)
    return f"resolved to {found[0][4][0]}"


@attempt
def interfaces(given: Given) -> str:
    """Look for an interface besides `lo`."""
    del given
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not names:
        raise Refused("only lo is there")
    return "interfaces: " + ", ".join(names[:5])


@attempt
def routes(given: Given) -> str:
    """Look for a route that does not end at `lo`."""
    del given
    with open("/proc/net/route") as v4, open("/proc/net/ipv6_route") as v6:
        names = {line.split()[0] for line in v4.readlines()[1:]}
        names |= {line.split()[-1] for line in v6}
    if not names - {"lo"}:
        raise Refused("no route but to lo")
    return "routes through " + ", ".join(sorted(names - {"lo"}))


@attempt
def socket_of(given: Given) -> str:
    """Ask for a socket of a family that could go around the network namespace."""
    with closing(
        socket.socket(given["family"], given.get("type", socket.SOCK_STREAM), given.get("proto", 0))
    ):
        return "the kernel gave the socket"


@attempt
def any_other_family(given: Given) -> str:
    """Ask for a socket of every family there is, besides the four that programs need."""
    del given
    found = []
    for family in set(range(46)) - _FAMILIES_ALLOWED:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            found.append(family)
            break
    if not found:
        raise Refused("no other family")
    return "families " + ", ".join(map(str, found))


@attempt
def unix_abstract(given: Given) -> str:
    """Connect to an abstract socket that somebody outside holds."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.connect("\0" + given["name"])
        return "connected"


@attempt
def unix_path(given: Given) -> str:
    """Connect to a socket in the file system of somebody outside."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.settimeout(1.0)
        sock.connect(given["path"])
        return "connected"


@attempt
def low_port(given: Given) -> str:
    """Listen on a port that is kept for the system."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as sock:
        sock.bind(("127.0.0.1", given["port"]))
        return "bound"


@attempt
def add_address(given: Given) -> str:
    """Give `lo` one more address, and take it away again."""
    del given
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)) as sock:
        sock.bind((0, 0))
        _address_message(sock, 20, 0x605)  # RTM_NEWADDR: REQUEST, ACK, CREATE, EXCL
        _address_message(sock, 21, 0x5)  # RTM_DELADDR
    return "the address was set"


def _address_message(sock: socket.socket, kind: int, flags: int) -> None:
    address = socket.inet_aton(_PROBE_ADDRESS)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, 1)
    body += struct.pack("=HH4s", 8, 2, address) + struct.pack("=HH4s", 8, 1, address)
    sock.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    (number,) = struct.unpack_from("=i", sock.recv(4096), 16)
    if number:
        raise OSError(-number, os.strerror(-number))


@attempt
def socket_mark(given: Given) -> str:
    """Mark the packets of a socket, which only an administrator of the network may."""
    del given
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)
        return "the mark was set"


@attempt
def http_raw(given: Given) -> str:
    """Send one request as it stands; open unless it is refused with a status from 400 on.

    This attempt does send: its address is a door that is meant to be spoken to.
    """
    with closing(socket.create_connection((given["address"], given["port"]), 1.5)) as sock:
        sock.settimeout(1.5)
        sock.sendall(given["request"].encode("latin-1"))
        answer = _answer(sock)
    status = answer.split(" ", 2)[1] if answer.startswith("HTTP/") else "none"
    if not answer:
        raise Refused("the door closed the connection without an answer")
    if status.isdigit() and 400 <= int(status) < 600:
        raise Refused(f"answered {answer.splitlines()[0][:80]}")
    return f"answered {answer.splitlines()[0][:80]}"


@attempt
def http_many(given: Given) -> str:
    """Send one request many times, with a number in place of `NUMBER`."""
    for number in range(given["count"]):
        request = given["request"].replace("NUMBER", str(number))
        with closing(socket.create_connection((given["address"], given["port"]), 1.5)) as sock:
            sock.settimeout(1.5)
            sock.sendall(request.encode("latin-1"))
            _answer(sock)
    return f"{given['count']} requests"


def _answer(sock: socket.socket) -> str:
    try:
        return sock.recv(4096).decode("latin-1")
    except ConnectionResetError:
        return ""


@attempt
def message_queue(given: Given) -> str:
    """Open a POSIX message queue that somebody outside made."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.mq_open(given["name"].encode(), os.O_RDONLY | os.O_NONBLOCK)
    if queue < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.close(queue)
    return "opened"


@attempt
def shared_memory(given: Given) -> str:
    """Find a System V shared memory segment that somebody outside made."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.shmget(given["key"], 1, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "found"
