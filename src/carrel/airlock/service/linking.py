"""How do programs reach a request's files by a link: who follows it, and what may they do?"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO

from sqlalchemy import Connection, Row, delete, func, select, update

from carrel.airlock import tables
from carrel.airlock.rules import AirlockRequest, RequestFile, Stage, Status
from carrel.airlock.rules.links import Permission, link_permissions, place_of
from carrel.airlock.rules.names import clean_name
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service.base import check_seal, chunks
from carrel.airlock.service.records import load_request
from carrel.airlock.service.taking import Taking
from carrel.core.actors import Actor
from carrel.core.errors import (
    BadRequest,
    Denied,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
)
from carrel.core.ids import fingerprint, new_id, new_secret

BLOCKS_LIMIT = 10_000
BLOCK_ID_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Link:
    """A ticket to the files of one request, told once."""

    token: str
    request_id: str
    expires_at: datetime
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class LinkUse:
    """Who follows a link, and what it lets them do with the request as it is now."""

    actor: Actor
    request: AirlockRequest
    permissions: frozenset[Permission]

    def check(self, needed: Permission) -> None:
        """Raise `Denied` unless the link allows it."""
        if needed not in self.permissions:
            raise Denied(_WHY[needed])


_WHY = {
    Permission.READ: "This link does not let files out. Look at them on the request's page.",
    Permission.WRITE: "This link takes no files: an export collects them from the outbox.",
    Permission.DELETE: "This link deletes nothing. Remove files on the request's page.",
    Permission.LIST: "This link lists nothing.",
}


class Linking(Taking):
    """The use cases behind links. A link is its person's: it never may more than they may."""

    def make_link(self, actor: Actor, request_id: str) -> Link:
        """Make a link to the files for this person, in this part of the request's life."""
        now, token = self._clock.now(), new_secret()
        expires_at = now + timedelta(minutes=self._ground.settings.release_ticket_minutes)
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            permissions = _permissions(actor, request)
            link_id = new_id()
            connection.execute(
                tables.links.insert(),
                {
                    "id": link_id,
                    "request_id": request_id,
                    "token_sha256": fingerprint(token),
                    "account_id": actor.id,
                    "place": place_of(request.status),
                    "made_at": now,
                    "expires_at": expires_at,
                },
            )
            self._record(connection, actor, "link_made", request, link=link_id)
        return Link(token, request_id, expires_at, permissions)

    def revoke_links(self, actor: Actor, request_id: str) -> int:
        """End every link that this person has to the request; returns how many."""
        table, now = tables.links, self._clock.now()
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            mine = (table.c.request_id == request_id) & (table.c.account_id == actor.id)
            live = mine & table.c.revoked_at.is_(None)
            done = connection.execute(update(table).where(live).values(revoked_at=now))
            self._record(connection, actor, "links_revoked", request, links=done.rowcount)
        return int(done.rowcount)

    def follow_link(self, token: str, request_id: str) -> LinkUse:
        """Return who follows a link, and what it allows now.

        Raises `NotAuthenticated` for a link that is unknown, over, revoked, or of somebody who
        lost their place; `NotFound` when the request has moved on since it was made.
        """
        with self._database.read() as connection:
            row = self._live_link(connection, token, request_id)
            actor = self._ground.find_actor(connection, row.account_id)
            request = load_request(connection, request_id)
        if actor is None or not actor.is_member(request.workspace_id):
            raise _no_link()
        if row.place != _place(request):
            raise NotFound("The request has moved on, and its files are not here any more.")
        try:
            return LinkUse(actor, request, _permissions(actor, request))
        except Denied as error:
            raise _no_link() from error

    def _live_link(self, connection: Connection, token: str, request_id: str) -> Row[tuple[str]]:
        table = tables.links
        query = select(table).where(
            table.c.token_sha256 == fingerprint(token), table.c.request_id == request_id
        )
        row = connection.execute(query).one_or_none()
        if row is None or row.revoked_at is not None or row.expires_at <= self._clock.now():
            raise _no_link()
        return row

    # Reading -------------------------------------------------------------------------------

    def open_linked(self, use: LinkUse, name: str) -> tuple[RequestFile, BinaryIO]:
        """Open one file of a draft or of a release; what is sealed is verified first.

        During a review it is `open_content` that opens files.
        """
        use.check(Permission.READ)
        request = use.request
        file = request.file(name)
        if file is None:
            raise NotFound("This request has no file of that name.")
        with ExitStack() as stack:
            content = stack.enter_context(self._store.open(request.id, file.stage, file.id))
            if file.stage is not Stage.DRAFT:
                check_seal(file, content)
            with self._database.write() as connection:
                now = self._visible(connection, use.actor, request.id, lock=True)
                if now.status is not request.status:
                    raise NotFound("The request has moved on, and its files are not here any more.")
                released = request.status is Status.APPROVED
                action = "released" if released else "file_viewed"
                self._record(
                    connection, use.actor, action, request, files=[file.sha256], by_link=True,
                    manifest_sha256=request.manifest_sha256,
                )  # fmt: skip
            stack.pop_all()
        return file, content

    # Pieces --------------------------------------------------------------------------------

    def add_block(
        self, use: LinkUse, raw_name: str, block_id: str, content: Iterable[bytes]
    ) -> None:
        """Keep a piece of a file until it is put together; the same piece again replaces it."""
        use.check(Permission.WRITE)
        name, limit = clean_name(raw_name), self._ground.policy.bytes_limit
        if not 0 < len(block_id) <= BLOCK_ID_LIMIT:
            raise InvalidRequest(
                f"A block id has 1 to {BLOCK_ID_LIMIT} characters.", field="blockid"
            )
        with self._database.read() as connection:
            room = limit - self._held_bytes(connection, use.request)
        object_id, table = new_id(), tables.blocks
        stored = self._store.put(use.request.id, object_id, content, limit_bytes=max(room, 0))
        same = (
            (table.c.request_id == use.request.id)
            & (table.c.name == name)
            & (table.c.block_id == block_id)
        )
        try:
            with self._database.write() as connection:
                request = self._editable(connection, use.actor, use.request.id, lock=True)
                replaced = connection.execute(select(table.c.id).where(same)).scalar_one_or_none()
                connection.execute(delete(table).where(same))
                self._check_block_room(connection, request, stored.size_bytes)
                row = {"id": object_id, "request_id": request.id, "name": name}
                more = {"block_id": block_id, "size_bytes": stored.size_bytes}
                connection.execute(table.insert(), {**row, **more, "added_at": self._clock.now()})
                self._record(connection, use.actor, "block_added", request, sha256=stored.sha256)
        except BaseException:
            self._store.delete(use.request.id, Stage.DRAFT, object_id)
            raise
        if replaced:
            self._store.delete(use.request.id, Stage.DRAFT, replaced)

    def join_blocks(self, use: LinkUse, raw_name: str, block_ids: Sequence[str]) -> RequestFile:
        """Put the pieces of a file together in this order; the other pieces of it are dropped."""
        use.check(Permission.WRITE)
        name, table = clean_name(raw_name), tables.blocks
        mine = (table.c.request_id == use.request.id) & (table.c.name == name)
        with self._database.read() as connection:
            held = {row.block_id: row.id for row in connection.execute(select(table).where(mine))}
        missing = [each for each in block_ids if each not in held]
        if missing or not block_ids:
            raise InvalidRequest("The list names a block that was not uploaded.", field="blockid")
        pieces = self._pieces(use.request, [held[each] for each in block_ids])
        file = self._take(use.actor, use.request, name, pieces)
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.id.in_(list(held.values()))))
            self._record(connection, use.actor, "blocks_joined", use.request, sha256=file.sha256)
        for object_id in held.values():
            self._store.delete(use.request.id, Stage.DRAFT, object_id)
        return file

    def _pieces(self, request: AirlockRequest, objects: Sequence[str]) -> Iterator[bytes]:
        for object_id in objects:
            with self._store.open(request.id, Stage.DRAFT, object_id) as content:
                yield from chunks(content)

    def _held_bytes(self, connection: Connection, request: AirlockRequest) -> int:
        size = func.coalesce(func.sum(tables.blocks.c.size_bytes), 0)
        waiting = select(size).where(tables.blocks.c.request_id == request.id)
        return int(connection.execute(waiting).scalar_one()) + sum(
            file.size_bytes for file in request.files
        )

    def _check_block_room(
        self, connection: Connection, request: AirlockRequest, size_bytes: int
    ) -> None:
        table, limit = tables.blocks, self._ground.policy.bytes_limit
        counted = select(func.count()).where(table.c.request_id == request.id)
        if connection.execute(counted).scalar_one() >= BLOCKS_LIMIT:
            raise InvalidRequest(f"A request takes {BLOCKS_LIMIT} blocks at the most.")
        if self._held_bytes(connection, request) + size_bytes > limit:
            raise InvalidRequest(
                f"A request holds {limit} bytes at the most, its unfinished uploads too. Raise a "
                "second request.",
                field="file",
            )


def _permissions(actor: Actor, request: AirlockRequest) -> frozenset[Permission]:
    roles = actor.roles_in(request.workspace_id)
    return link_permissions(request, part_of(actor, request), roles)


def _place(request: AirlockRequest) -> str:
    try:
        return place_of(request.status)
    except BadRequest as error:
        raise NotFound("The request has moved on, and its files are not here any more.") from error


def _no_link() -> NotAuthenticated:
    return NotAuthenticated(
        "This link is not valid, or not any more. Ask for a new one at the airlock request."
    )
