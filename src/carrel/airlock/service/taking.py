"""How does a file get into a draft: who may change it, how much room is there?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from carrel.airlock import tables
from carrel.airlock.ports import Stored
from carrel.airlock.rules import EDITABLE, AirlockRequest, RequestFile, Stage, Who, check_who
from carrel.airlock.rules.names import clean_name, fold
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service.base import Room
from carrel.airlock.service.records import find_file
from carrel.core.actors import Actor
from carrel.core.errors import Conflict, InvalidRequest
from carrel.core.ids import new_id


class Taking(Room):
    """What everything that puts files into drafts stands on."""

    def _editable(
        self, connection: Connection, actor: Actor, request_id: str, *,
        lock: bool = False, whole: bool = True,
    ) -> AirlockRequest:  # fmt: skip
        """Return a draft of the actor; not `whole` means without its files, which may be many."""
        request = self._visible(connection, actor, request_id, lock=lock, whole=whole)
        check_who(Who.AUTHOR, part_of(actor, request))
        if request.status not in EDITABLE:
            raise Conflict(
                f"This request is {request.status.words}, so its files are sealed. Ask a reviewer "
                "to return it, or raise a new request."
            )
        return request

    def _take(
        self, actor: Actor, request: AirlockRequest, raw_name: str, content: Iterable[bytes],
        claims: Mapping[str, Any] | None = None,
    ) -> RequestFile:  # fmt: skip
        """Take a file in, with what came beside it; the words of one that it replaces stay."""
        name, policy = clean_name(raw_name), self._ground.policy
        with self._database.read() as connection:
            room = policy.bytes_limit - _others(connection, request.id, name).size_bytes
        file_id = new_id()
        stored = self._store.put(request.id, file_id, content, limit_bytes=max(room, 0))
        try:
            _check_not_empty(name, stored)
            with self._database.write() as connection:
                locked = self._editable(connection, actor, request.id, lock=True, whole=False)
                others = _others(connection, request.id, name)
                old = find_file(connection, request.id, fold(name))
                self._check_fits(others, old, name, stored)
                file = RequestFile(
                    id=file_id,
                    name=name,
                    size_bytes=stored.size_bytes,
                    sha256=stored.sha256,
                    stage=Stage.DRAFT,
                    position=old.position if old else others.last + 1,
                    added_at=self._clock.now(),
                    context={**_words(old), **(claims or {})},
                    blake3=stored.blake3,
                )
                self._write_file(connection, actor, locked, file, old)
        except BaseException:
            self._store.delete(request.id, Stage.DRAFT, file_id)
            raise
        if old is not None:
            self._store.delete(request.id, old.stage, old.id)
        return file

    def _check_room(self, request: AirlockRequest, name: str, stored: Stored) -> None:
        """Raise `InvalidRequest` unless a file of this name and size fits into a whole request."""
        twin = next((f for f in request.files if fold(f.name) == fold(name)), None)
        rest = [file for file in request.files if file.name != name]
        size_bytes = sum(file.size_bytes for file in rest)
        self._check_fits(_Others(len(rest), size_bytes, 0), twin, name, stored)

    def _check_fits(
        self, others: "_Others", twin: RequestFile | None, name: str, stored: Stored
    ) -> None:
        policy = self._ground.policy
        if twin is not None and twin.name != name:
            raise InvalidRequest(
                f"{name} and {twin.name} are the same name to some systems. Rename one of them.",
                field="name",
            )
        if others.count >= policy.file_limit:
            raise InvalidRequest(
                f"A request holds {policy.file_limit} files at the most. Raise a second request.",
                field="name",
            )
        if others.size_bytes + stored.size_bytes > policy.bytes_limit:
            raise InvalidRequest(
                f"A request holds {policy.bytes_limit} bytes at the most. Raise a second request.",
                field="file",
            )

    def _write_file(
        self, connection: Connection, actor: Actor, request: AirlockRequest, file: RequestFile,
        old: RequestFile | None,
    ) -> None:  # fmt: skip
        if old is not None:
            connection.execute(delete(tables.files).where(tables.files.c.id == old.id))
        connection.execute(
            tables.files.insert(),
            {
                "id": file.id,
                "request_id": request.id,
                "name": file.name,
                "folded": fold(file.name),
                "sha256": file.sha256,
                "size_bytes": file.size_bytes,
                "position": file.position,
                "stage": file.stage.value,
                "context": file.context,
                "added_at": file.added_at,
                "blake3": file.blake3 or None,
            },
        )
        self._change(connection, actor, request, {})
        self._record(
            connection,
            actor,
            "file_added",
            request,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            replaces=old.sha256 if old else None,
        )


def _words(old: RequestFile | None) -> Mapping[str, Any]:
    """Return what an author said of a file; not what came with the content that is gone."""
    kept = old.context if old else {}
    return {key: kept[key] for key in ("columns", "text") if key in kept}


def _check_not_empty(name: str, stored: Stored) -> None:
    if stored.size_bytes == 0:
        raise InvalidRequest(f"{name} is empty; there is nothing to review.", field="file")


@dataclass(frozen=True, slots=True)
class _Others:
    """What a request holds besides the file of one name."""

    count: int
    size_bytes: int
    last: int


def _others(connection: Connection, request_id: str, name: str) -> _Others:
    table = tables.files
    query = select(
        func.count(),
        func.coalesce(func.sum(table.c.size_bytes), 0),
        func.coalesce(func.max(table.c.position), 0),
    ).where(table.c.request_id == request_id, table.c.name != name)
    count, size_bytes, last = connection.execute(query).one()
    return _Others(int(count), int(size_bytes), int(last))
