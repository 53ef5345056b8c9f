"""How does an approved export leave: ticket, verification, archive?"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

from sqlalchemy import Connection, Row, select, update

from carrel.airlock import tables
from carrel.airlock.rules import (
    AirlockRequest,
    Direction,
    Release,
    RequestFile,
    Status,
    Ticket,
    Who,
)
from carrel.airlock.rules.names import (
    CRATE_NAME,
    KEY_NAME,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    inbox_folder,
)
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service.base import Room, chunks
from carrel.airlock.service.publishing import public_pem
from carrel.airlock.service.records import load_seal
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import Conflict, Denied, NotFound
from carrel.core.ids import fingerprint, new_id, new_secret

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The archive's one time stamp: the same release gives the same bytes."""


@dataclass(slots=True)
class OpenRelease:
    """A verified release, ready to be streamed once. Close it when the last byte is sent."""

    release: Release
    filename: str
    media_type: str
    sha256: str
    """Of the one file, when there is one; empty for an archive."""
    size_bytes: int | None
    content: Iterator[bytes]
    close: Callable[[], None]


class Releasing(Room):
    """The use cases of whoever takes a release out."""

    def release_ticket(self, actor: Actor, request_id: str) -> Ticket:
        """Make a single-use ticket for the author, or for an owner of the workspace."""
        now = self._clock.now()
        ticket = Ticket(
            token=new_secret(),
            request_id=request_id,
            expires_at=now + timedelta(minutes=self._ground.settings.release_ticket_minutes),
        )
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            _check_releasable(actor, request)
            ticket_id = new_id()
            connection.execute(
                tables.tickets.insert(),
                {
                    "id": ticket_id,
                    "request_id": request_id,
                    "token_sha256": fingerprint(ticket.token),
                    "account_id": actor.id,
                    "made_at": now,
                    "expires_at": ticket.expires_at,
                },
            )
            self._record(connection, actor, "ticket_made", request, ticket=ticket_id)
        return ticket

    def open_release(self, actor: Actor, token: str, *, as_archive: bool = True) -> OpenRelease:
        """Use a ticket up, and open what it lets out, verified against the seal beforehand.

        An archive holds every file and the manifest; without it a release of one file is that
        file. Raises `NotFound` for a ticket that is unknown or another person's, `Conflict` for one
        that is used up, `Denied` for one that is too old or revoked.
        """
        with self._database.read() as connection:
            request = self._ticketed(connection, actor, token)
            if not as_archive and len(request.files) != 1:
                raise Conflict("This release has several files; download it as an archive.")
            release = _load_release(connection, request)
        with ExitStack() as stack:
            opened = stack.enter_context(self._verified(request))
            with self._database.write() as connection:
                request = self._ticketed(connection, actor, token)
                self._use_up(connection, token)
                self._record(
                    connection,
                    actor,
                    "released",
                    request,
                    manifest_sha256=release.manifest_sha256,
                    policy_sha256=release.policy_sha256,
                    files=[file.sha256 for file in release.files],
                )
            make = _archive if as_archive else _single
            return make(release, opened, stack.pop_all())

    def signing_key(self) -> str:
        """Return the public key (PEM) that this TRE's releases are signed with; it is no secret."""
        return public_pem(self._ground.keys)

    def _ticketed(self, connection: Connection, actor: Actor, token: str) -> AirlockRequest:
        row = self._ticket_row(connection, actor, token)
        if row.used_at is not None:
            raise Conflict("This ticket was used already. Ask for a new one at the request.")
        if row.expires_at <= self._clock.now():
            raise Denied("This ticket is too old. Ask for a new one at the request.")
        request = self._visible(connection, actor, row.request_id)
        _check_releasable(actor, request)
        if row.revoked_at is not None:
            raise Denied("This ticket was revoked. Ask for a new one at the request.")
        return request

    def _ticket_row(self, connection: Connection, actor: Actor, token: str) -> Row[Any]:
        table = tables.tickets
        query = select(table).where(table.c.token_sha256 == fingerprint(token)).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None or row.account_id != actor.id:
            raise NotFound("There is no such release ticket.")
        return row

    def _use_up(self, connection: Connection, token: str) -> None:
        connection.execute(
            update(tables.tickets)
            .where(tables.tickets.c.token_sha256 == fingerprint(token))
            .values(used_at=self._clock.now())
        )


def _check_releasable(actor: Actor, request: AirlockRequest) -> None:
    if request.type is not Direction.EXPORT:
        raise Conflict("An import is delivered into the workspace's inbox; it is not downloaded.")
    is_owner = WorkspaceRole.OWNER in actor.roles_in(request.workspace_id)
    if part_of(actor, request) is not Who.AUTHOR and not is_owner:
        raise Denied(
            "Only the author of this request or an owner of the workspace may take it out."
        )
    if request.status is Status.REVOKED:
        raise Denied("This release was revoked; nothing can be downloaded any more.")
    if request.status is not Status.APPROVED:
        raise Conflict(f"This request is {request.status.words}; only an approved one can leave.")


def _load_release(connection: Connection, request: AirlockRequest) -> Release:
    row = connection.execute(
        select(tables.releases).where(tables.releases.c.request_id == request.id)
    ).one()
    seal = load_seal(connection, request.id, request.seal)
    return Release(
        request_id=request.id,
        workspace_id=request.workspace_id,
        title=request.title,
        manifest=seal.manifest,
        manifest_sha256=seal.sha256,
        policy_sha256=seal.policy_sha256,
        files=request.files,
        record=row.record,
        papers=_papers(connection, request.id, row.record),
    )


def _papers(connection: Connection, request_id: str, record: str) -> Mapping[str, bytes]:
    """Return what lies beside the files; a release of before there were crates has none."""
    table = tables.crates
    row = connection.execute(select(table).where(table.c.request_id == request_id)).one_or_none()
    if row is None:
        return {MANIFEST_NAME: record.encode()}
    return {
        MANIFEST_NAME: record.encode(),
        CRATE_NAME: row.crate.encode(),
        SIGNATURE_NAME: bytes.fromhex(row.signature),
        KEY_NAME: row.public_key.encode(),
    }


_Opened = Sequence[tuple[RequestFile, BinaryIO]]


def _single(release: Release, opened: _Opened, stack: ExitStack) -> OpenRelease:
    ((file, content),) = opened
    return OpenRelease(
        release=release,
        filename=file.name.rsplit("/", 1)[-1],
        media_type="application/octet-stream",
        sha256=file.sha256,
        size_bytes=file.size_bytes,
        content=chunks(content),
        close=stack.close,
    )


def _archive(release: Release, opened: _Opened, stack: ExitStack) -> OpenRelease:
    return OpenRelease(
        release=release,
        filename=f"{inbox_folder(release.title, release.request_id)}.zip",
        media_type="application/zip",
        sha256="",
        size_bytes=None,
        content=zip_chunks(release.papers, opened),
        close=stack.close,
    )


class _Sink(io.RawIOBase):
    """Collects what the archive writer writes, until it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._parts.append(bytes(piece))
        return len(piece)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zip_chunks(papers: Mapping[str, bytes], opened: _Opened) -> Iterator[bytes]:
    """Yield an archive, stored and not compressed: always the same bytes for the same release."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content_bytes in papers.items():
            archive.writestr(_entry(name, len(content_bytes)), content_bytes)
        for file, content in opened:
            with archive.open(_entry(file.name, file.size_bytes), "w") as entry:
                for chunk in chunks(content):
                    entry.write(chunk)
                    yield sink.taken()
    yield sink.taken()


def _entry(name: str, size_bytes: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = 0o644 << 16
    entry.file_size = size_bytes
    return entry
