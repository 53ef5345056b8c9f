"""What do all stores share: how content is measured on its way in, and what is told of it?"""

import hashlib
from collections.abc import Iterable, Iterator

import blake3

from carrel.airlock.ports import Stored
from carrel.core.errors import InvalidRequest, NotFound
from carrel.runtime.launcher.names import is_id


class Measured:
    """Content that is hashed and counted while somebody iterates over it, once.

    Raises `InvalidRequest` when it grows longer than `limit_bytes`.
    """

    def __init__(self, content: Iterable[bytes], limit_bytes: int) -> None:
        self._content = content
        self._limit = limit_bytes
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3.blake3()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._content:
            self._size += len(chunk)
            if self._size > self._limit:
                raise _too_large(self._limit)
            self._sha256.update(chunk)
            self._blake3.update(chunk)
            yield chunk

    @property
    def stored(self) -> Stored:
        """What has gone by so far."""
        return Stored(self._sha256.hexdigest(), self._size, self._blake3.hexdigest())


def _too_large(limit_bytes: int) -> InvalidRequest:
    return InvalidRequest(
        f"There is room for {limit_bytes} more bytes in this request, and the file is larger. "
        "Remove another file, or raise a second request.",
        field="file",
    )


def absent() -> NotFound:
    """Return the error for an object that is not there."""
    return NotFound("This file is not in the airlock's store any more.")


def checked_id(value: str) -> str:
    """Return the id if it is one: nothing else ever becomes part of a path. Raises `NotFound`."""
    if not is_id(value):
        raise absent()
    return value
