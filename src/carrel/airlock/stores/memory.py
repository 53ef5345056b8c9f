"""How does a dictionary keep the files of requests, for tests?"""

import io
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from carrel.airlock.ports import Stored
from carrel.airlock.rules import Stage
from carrel.airlock.stores._shared import Measured, absent


class MemoryStore:
    """Keeps objects in a dictionary, for tests."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, Stage, str], bytes] = {}

    def put(
        self, request_id: str, file_id: str, content: Iterable[bytes], *, limit_bytes: int
    ) -> Stored:
        """Remember the content."""
        measured = Measured(content, limit_bytes)
        self._objects[request_id, Stage.DRAFT, file_id] = b"".join(measured)
        return measured.stored

    def open(self, request_id: str, stage: Stage, file_id: str) -> BinaryIO:
        """Open a copy in memory."""
        try:
            return io.BytesIO(self._objects[request_id, stage, file_id])
        except KeyError as error:
            raise absent() from error

    def move(self, request_id: str, file_id: str, old: Stage, new: Stage) -> None:
        """Rename the key."""
        if (request_id, old, file_id) in self._objects:
            content = self._objects.pop((request_id, old, file_id))
            self._objects[request_id, new, file_id] = content
        elif (request_id, new, file_id) not in self._objects:
            raise absent()

    def delete(self, request_id: str, stage: Stage, file_id: str) -> None:
        """Forget the object."""
        self._objects.pop((request_id, stage, file_id), None)

    def drop(self, request_id: str) -> None:
        """Forget every object of the request."""
        for key in [key for key in self._objects if key[0] == request_id]:
            del self._objects[key]

    def objects(self, request_id: str) -> Sequence[tuple[Stage, str]]:
        """List the keys."""
        return sorted((stage, name) for owner, stage, name in self._objects if owner == request_id)

    def remove_partial(self) -> int:
        """Return 0: nothing half-written survives a process."""
        return 0

    def overwrite(self, request_id: str, stage: Stage, file_id: str, content: bytes) -> None:
        """Change an object as nobody may: what a test of tampering does."""
        self._objects[request_id, stage, file_id] = content
