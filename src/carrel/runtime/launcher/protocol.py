"""How do the launcher and its clients talk? JSON with a length before it, fds beside it."""

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

MAX_MESSAGE_BYTES = 16 * 2**20
MAX_FDS = 1
_HEADER = struct.Struct("!I")


class Closed(Exception):
    """The other side is gone, or does not speak this protocol."""


def send(sock: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message; `fds` travel with its first byte. Raises `Closed`."""
    payload = json.dumps(message).encode()
    if len(payload) > MAX_MESSAGE_BYTES:
        raise Closed("The message is too long.")
    try:
        socket.send_fds(sock, [_HEADER.pack(len(payload))], list(fds))
        sock.sendall(payload)
    except OSError as error:
        raise Closed(f"Could not send: {error}.") from error


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the next message and the fds that came with it. Raises `Closed`."""
    try:
        header, fds, _, _ = socket.recv_fds(sock, _HEADER.size, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    except OSError as error:
        raise Closed(f"Could not receive: {error}.") from error
    try:
        header += _exactly(sock, _HEADER.size - len(header))
        (size,) = _HEADER.unpack(header)
        message = _parse(_exactly(sock, size))
    except (Closed, OSError, ValueError) as error:
        for fd in fds:
            os.close(fd)
        raise Closed(f"Could not receive: {error}.") from error
    return message, fds


def _parse(payload: bytes) -> dict[str, Any]:
    message = json.loads(payload)
    if not isinstance(message, dict):
        raise Closed("The message is no JSON object.")
    return message


def _exactly(sock: socket.socket, size: int) -> bytes:
    if size > MAX_MESSAGE_BYTES:
        raise Closed("The message is too long.")
    chunks = bytearray()
    while len(chunks) < size:
        chunk = sock.recv(min(size - len(chunks), 2**20))
        if not chunk:
            raise Closed("The other side closed the connection.")
        chunks += chunk
    return bytes(chunks)
