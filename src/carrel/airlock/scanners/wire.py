"""How do Carrel and a worker that reads what strangers wrote talk to each other?

Messages with a length before them, over a socket pair. Only Carrel sends descriptors.
"""

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carrel.core.clock import monotonic

_LENGTH = struct.Struct(">I")
LONGEST = 256 * 2**20
_DESCRIPTORS = 4
READY = b"ready"
"""What a worker says when it is shut in; anything else is why it cannot be."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is for: sent once, before it is shut in."""

    scanners: bytes
    """The pickled scanners. Carrel pickles, the worker loads; never the other way round."""
    path: Sequence[str]
    """Where modules are looked for."""
    scratch: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Job:
    """One file to examine: what `Subject` says of it, without what only Carrel can do."""

    said: dict[str, Any]
    first: int
    """The scanner to begin with; those before it have answered, or were stopped."""
    has_list: bool
    """Whether the project's own identifiers came with the file."""


class Channel:
    """One end of a socket pair. Close it when done.

    Both directions raise `TimeoutError` at the moment `until` (of `monotonic`) and `OSError` or
    `EOFError` when the other side is gone.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def close(self) -> None:
        """Hang up; may be called twice."""
        self._end.close()

    def send(
        self, message: bytes, descriptors: Sequence[int] = (), *, until: float | None = None
    ) -> None:
        """Send one message, and with it open files."""
        self._wait(until)
        socket.send_fds(self._end, [_LENGTH.pack(len(message))], list(descriptors))
        self._end.sendall(message)

    def receive(self, *, until: float | None = None, longest: int = LONGEST) -> bytes:
        """Return the next message. Raises `ValueError` if it is longer than `longest`."""
        return self._read(self._length(self._read(_LENGTH.size, until), longest), until)

    def receive_with(self) -> tuple[bytes, Sequence[int]]:
        """Return the next message and the files that came with it."""
        head, descriptors, _, _ = socket.recv_fds(self._end, _LENGTH.size, _DESCRIPTORS)
        if not head:
            raise EOFError
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        head += self._read(_LENGTH.size - len(head), None)
        return self._read(self._length(head, LONGEST), None), descriptors

    def _length(self, head: bytes, longest: int) -> int:
        (length,) = _LENGTH.unpack(head)
        if length > longest:
            raise ValueError("a message is too long")
        return int(length)

    def _read(self, size: int, until: float | None) -> bytes:
        content = bytearray()
        while len(content) < size:
            self._wait(until)
            piece = self._end.recv(min(size - len(content), 2**20))
            if not piece:
                raise EOFError
            content += piece
        return bytes(content)

    def _wait(self, until: float | None) -> None:
        if until is None:
            self._end.settimeout(None)
            return
        left = until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)
