"""How does a large file get into a draft in several goes, whatever breaks in between?

What arrives is kept in pieces, each an object of the store and a row: the offset that is told is
the end of the last piece that lies on the disk. The whole then becomes a file of the draft.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from carrel.airlock import tables
from carrel.airlock.ports import Stored
from carrel.airlock.rules import AirlockRequest, Direction, Stage
from carrel.airlock.rules.names import clean_name
from carrel.airlock.service.base import chunks
from carrel.airlock.service.records import load_request
from carrel.airlock.service.taking import Taking
from carrel.core.actors import Actor
from carrel.core.errors import CarrelError, Conflict, Denied, InvalidRequest, NotFound
from carrel.core.ids import new_id

PIECE_BYTES = 8 * 2**20
PIECES_LIMIT = 10_000
LIFE = timedelta(days=1)
"""An upload that gets nothing for so long is over."""
ALGORITHMS = ("md5", "sha1", "sha256")


class TooLarge(InvalidRequest):
    """More than the request has room for."""

    status = 413
    code = "too_large"


class Expired(CarrelError):
    """The upload was there, and is over."""

    status = 410
    code = "upload_expired"


class ChecksumMismatch(CarrelError):
    """What arrived is not what was announced (tus 1.0, checksum)."""

    status = 460
    code = "checksum_mismatch"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file on its way into a draft."""

    id: str
    request_id: str
    name: str
    size_bytes: int
    offset_bytes: int
    """So much of it lies on the disk."""
    expires_at: datetime
    is_finished: bool = False


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a sender says of the bytes of one go."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Piece:
    id: str
    first: int
    size_bytes: int


class Uploading(Taking):
    """The author's use cases of resumable uploads (tus 1.0)."""

    def start_upload(self, actor: Actor, request_id: str, raw_name: str, size_bytes: int) -> Upload:
        """Begin to upload a file of this size; an unfinished one of that name is dropped.

        Raises `TooLarge`, or `InvalidRequest` for what the finished file would be refused for.
        """
        name, now = clean_name(raw_name), self._clock.now()
        if size_bytes <= 0:
            raise InvalidRequest(f"{name} is empty; there is nothing to review.", field="file")
        upload = Upload(new_id(), request_id, name, size_bytes, 0, now + LIFE)
        table = tables.uploads
        with self._database.write() as connection:
            request = self._importing(connection, actor, request_id, lock=True)
            same = (table.c.name == name) | (table.c.expires_at <= now)
            gone = self._forget(connection, (table.c.request_id == request_id) & same)
            self._check_upload_room(connection, request, upload)
            row = {"id": upload.id, "request_id": request_id, "name": name, "offset_bytes": 0}
            more = {"size_bytes": size_bytes, "expires_at": upload.expires_at, "started_at": now}
            connection.execute(table.insert(), {**row, **more})
            self._record(
                connection, actor, "upload_started", request, upload=upload.id,
                size_bytes=size_bytes,
            )  # fmt: skip
        self._delete_pieces(request_id, gone)
        return upload

    def find_upload(self, actor: Actor, request_id: str, upload_id: str) -> Upload:
        """Return how far an upload is; one that only lacks its end is finished first.

        Raises `NotFound`, or `Expired`.
        """
        with self._database.read() as connection:
            request = self._importing(connection, actor, request_id)
            upload = self._load_upload(connection, request_id, upload_id)
        return self._finished(actor, request, upload)

    def append_to_upload(
        self, actor: Actor, request_id: str, upload_id: str, offset_bytes: int,
        content: Iterable[bytes], checksum: Checksum | None = None,
    ) -> Upload:  # fmt: skip
        """Take more of a file, and the file itself when it is whole.

        Without a checksum every piece counts as soon as it is on the disk; with one, all of them
        once it fits. Raises `Conflict` for another offset than is told, `ChecksumMismatch`.
        """
        _check_algorithm(checksum)
        with self._database.read() as connection:
            request = self._importing(connection, actor, request_id)
            upload = self._load_upload(connection, request_id, upload_id)
        _check_offset(upload, offset_bytes)
        if checksum is None:
            for piece in self._put_pieces(upload, content):
                upload = self._count(actor, upload, [piece])
        else:
            upload = self._count(actor, upload, self._put_checked(upload, content, checksum))
        return self._finished(actor, request, upload)

    def end_upload(self, actor: Actor, request_id: str, upload_id: str) -> None:
        """Give an upload up, and delete what there is of it."""
        table = tables.uploads
        with self._database.write() as connection:
            request = self._importing(connection, actor, request_id, lock=True)
            self._load_upload(connection, request_id, upload_id)
            gone = self._forget(connection, table.c.id == upload_id)
            self._record(connection, actor, "upload_ended", request, upload=upload_id)
        self._delete_pieces(request_id, gone)

    def end_expired_uploads(self) -> int:
        """Delete what nobody went on with; returns how many uploads that were."""
        table, now = tables.uploads, self._clock.now()
        with self._database.read() as connection:
            late = select(table.c.id, table.c.request_id).where(table.c.expires_at <= now)
            found = list(connection.execute(late))
        return sum(self._end_expired(row.request_id, row.id) for row in found)

    def _end_expired(self, request_id: str, upload_id: str) -> bool:
        table = tables.uploads
        with self._database.write() as connection:
            try:
                load_request(connection, request_id, lock=True)
            except NotFound:
                return False
            late = (table.c.id == upload_id) & (table.c.expires_at <= self._clock.now())
            gone = self._forget(connection, late)
        self._delete_pieces(request_id, gone)
        return True

    # Pieces --------------------------------------------------------------------------------

    def _put_pieces(self, upload: Upload, content: Iterable[bytes]) -> Iterator[_Piece]:
        """Write what arrives, and yield each piece once it is on the disk."""
        first = upload.offset_bytes
        for piece in _gathered(content):
            if first + len(piece) > upload.size_bytes:
                raise TooLarge(
                    f"This upload was announced with {upload.size_bytes} bytes, and more arrive. "
                    "Begin it again with the right size.",
                    field="file",
                )
            made = _Piece(new_id(), first, len(piece))
            self._store.put(upload.request_id, made.id, [piece], limit_bytes=len(piece))
            yield made
            first += len(piece)

    def _put_checked(
        self, upload: Upload, content: Iterable[bytes], checksum: Checksum
    ) -> list[_Piece]:
        digest, made = hashlib.new(checksum.algorithm, usedforsecurity=False), list[_Piece]()
        try:
            for piece in self._put_pieces(upload, _hashed(content, digest.update)):
                made.append(piece)
            _check_digest(checksum, digest.digest())
        except BaseException:
            self._delete_pieces(upload.request_id, [piece.id for piece in made])
            raise
        return made

    def _count(self, actor: Actor, upload: Upload, pieces: list[_Piece]) -> Upload:
        """Let pieces that lie on the disk belong to the upload."""
        if not pieces:
            return upload
        table, first = tables.uploads, pieces[0].first
        end = pieces[-1].first + pieces[-1].size_bytes
        try:
            with self._database.write() as connection:
                request = self._importing(connection, actor, upload.request_id, lock=True)
                now = self._load_upload(connection, request.id, upload.id)
                _check_offset(now, first)
                self._check_pieces(connection, upload, len(pieces))
                connection.execute(
                    tables.upload_pieces.insert(),
                    [
                        {"id": piece.id, "upload_id": upload.id, "first": piece.first}
                        for piece in pieces
                    ],
                )
                expires_at = self._clock.now() + LIFE
                connection.execute(
                    update(table)
                    .where(table.c.id == upload.id)
                    .values(offset_bytes=end, expires_at=expires_at)
                )
                self._record(
                    connection, actor, "upload_grew", request, upload=upload.id, offset_bytes=end
                )
        except BaseException:
            self._delete_pieces(upload.request_id, [piece.id for piece in pieces])
            raise
        return replace(upload, offset_bytes=end, expires_at=expires_at)

    def _check_pieces(self, connection: Connection, upload: Upload, more: int) -> None:
        table = tables.upload_pieces
        counted = select(func.count()).where(table.c.upload_id == upload.id)
        if connection.execute(counted).scalar_one() + more > PIECES_LIMIT:
            raise InvalidRequest(
                f"An upload takes {PIECES_LIMIT} pieces at the most. Begin again, and send larger "
                "ones.",
                field="file",
            )

    def _finished(self, actor: Actor, request: AirlockRequest, upload: Upload) -> Upload:
        """Make a whole upload a file of the draft; killed in between, the next call does it."""
        if upload.is_finished or upload.offset_bytes < upload.size_bytes:
            return upload
        table, pieces = tables.uploads, tables.upload_pieces
        with self._database.read() as connection:
            query = select(pieces.c.id).where(pieces.c.upload_id == upload.id)
            held = list(connection.execute(query.order_by(pieces.c.first)).scalars())
        file = self._take(actor, request, upload.name, self._joined(request.id, held))
        with self._database.write() as connection:
            connection.execute(
                update(table).where(table.c.id == upload.id).values(finished_at=self._clock.now())
            )
            connection.execute(delete(pieces).where(pieces.c.upload_id == upload.id))
            self._record(
                connection, actor, "upload_finished", request, upload=upload.id, sha256=file.sha256
            )
        self._delete_pieces(request.id, held)
        return replace(upload, is_finished=True)

    def _joined(self, request_id: str, pieces: Iterable[str]) -> Iterator[bytes]:
        for piece in pieces:
            with self._store.open(request_id, Stage.DRAFT, piece) as content:
                yield from chunks(content)

    def _delete_pieces(self, request_id: str, pieces: Iterable[str]) -> None:
        for piece in pieces:
            self._store.delete(request_id, Stage.DRAFT, piece)

    # Shared --------------------------------------------------------------------------------

    def _importing(
        self, connection: Connection, actor: Actor, request_id: str, *, lock: bool = False
    ) -> AirlockRequest:
        request = self._editable(connection, actor, request_id, lock=lock)
        if request.type is not Direction.IMPORT:
            raise Denied(
                "Files of an export come from the workspace's outbox only: save them to /outbox "
                "and collect them."
            )
        return request

    def _load_upload(self, connection: Connection, request_id: str, upload_id: str) -> Upload:
        table = tables.uploads
        query = select(table).where(table.c.id == upload_id, table.c.request_id == request_id)
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("There is no such upload in this request. Begin it again.")
        upload = _upload(row)
        if upload.expires_at <= self._clock.now():
            raise Expired("Nothing came for this upload in a day, so it is over. Begin it again.")
        return upload

    def _check_upload_room(
        self, connection: Connection, request: AirlockRequest, upload: Upload
    ) -> None:
        """Refuse what could not become a file, before anything of it is sent."""
        table, limit = tables.uploads, self._ground.policy.bytes_limit
        mine = (table.c.request_id == request.id) & table.c.finished_at.is_(None)
        size, count = func.coalesce(func.sum(table.c.size_bytes), 0), func.count()
        begun = connection.execute(select(size, count).where(mine)).one()
        others = sum(file.size_bytes for file in request.files if file.name != upload.name)
        room = limit - others - int(begun[0])
        if upload.size_bytes > room:
            raise TooLarge(
                f"{upload.name} has {upload.size_bytes} bytes, and this request has room for "
                f"{max(room, 0)} more, its unfinished uploads counted. Remove a file, end an "
                "upload, or raise a second request.",
                field="file",
            )
        if begun[1] >= self._ground.policy.file_limit:
            raise InvalidRequest("Too many uploads are unfinished here. Finish or end one first.")
        self._check_room(request, upload.name, Stored("", upload.size_bytes))

    def _forget(self, connection: Connection, which: ColumnElement[bool]) -> list[str]:
        """Delete rows of uploads; returns the pieces that may be deleted afterwards."""
        table, pieces = tables.uploads, tables.upload_pieces
        ids = list(connection.execute(select(table.c.id).where(which)).scalars())
        held = select(pieces.c.id).where(pieces.c.upload_id.in_(ids))
        gone = list(connection.execute(held).scalars())
        connection.execute(delete(pieces).where(pieces.c.upload_id.in_(ids)))
        connection.execute(delete(table).where(table.c.id.in_(ids)))
        return gone


def _upload(row: Row[tuple[str]]) -> Upload:
    return Upload(
        row.id, row.request_id, row.name, row.size_bytes, row.offset_bytes, row.expires_at,
        row.finished_at is not None,
    )  # fmt: skip


def _gathered(content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what arrives in pieces of `PIECE_BYTES`, and what is left at its end."""
    held = bytearray()
    for chunk in content:
        held += chunk
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)


def _hashed(content: Iterable[bytes], note: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in content:
        note(chunk)
        yield chunk


def _check_algorithm(checksum: Checksum | None) -> None:
    if checksum is not None and checksum.algorithm not in ALGORITHMS:
        raise InvalidRequest(
            f"Upload-Checksum is made with one of: {', '.join(ALGORITHMS)}.",
            field="Upload-Checksum",
        )


def _check_digest(checksum: Checksum, found: bytes) -> None:
    if found != checksum.digest:
        raise ChecksumMismatch(
            "What arrived does not fit Upload-Checksum. Nothing of it was kept; send it again "
            "from the same offset."
        )


def _check_offset(upload: Upload, offset_bytes: int) -> None:
    if upload.offset_bytes != offset_bytes:
        raise Conflict(
            f"So far {upload.offset_bytes} bytes of this file are here. Send it on from there; "
            "HEAD tells it too."
        )
