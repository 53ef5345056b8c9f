"""How are the airlock's rows read into requests?"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, func, not_, or_, select

from carrel.airlock import tables
from carrel.airlock.rules import (
    SETTLED,
    AirlockPolicy,
    AirlockRequest,
    Direction,
    Finding,
    HistoryEntry,
    RequestFile,
    Review,
    ReviewResource,
    Severity,
    Stage,
    Status,
)
from carrel.core.errors import NotFound
from carrel.core.paging import Page, Wanted, ordered, page_of


class RequestOrder(StrEnum):
    """What a list of requests can be sorted by. The values are AzureTRE's."""

    CREATED = "createdWhen"
    UPDATED = "updatedWhen"
    TITLE = "title"
    STATUS = "status"
    TYPE = "type"


_COLUMNS = tables.requests.c
_KEYS: Mapping[RequestOrder, ColumnElement[Any]] = {
    RequestOrder.CREATED: _COLUMNS.created_at,
    RequestOrder.UPDATED: _COLUMNS.updated_at,
    RequestOrder.TITLE: _COLUMNS.title,
    RequestOrder.STATUS: _COLUMNS.status,
    RequestOrder.TYPE: _COLUMNS.type,
}
T = TypeVar("T")
_AnyRow = Row[Any]


def load_request(
    connection: Connection, request_id: str, *, lock: bool = False, whole: bool = True
) -> AirlockRequest:
    """Return a request; `lock` keeps other writers out until the end of the transaction.

    Not `whole` means without its files, reviews and history. Raises `NotFound`.
    """
    query = select(tables.requests).where(tables.requests.c.id == request_id)
    if lock:
        query = query.with_for_update()  # SQLite's writers are alone anyway
    row = connection.execute(query).one_or_none()
    if row is None:
        raise no_request()
    return _completed(connection, [row])[0] if whole else _request(row)


def find_file(connection: Connection, request_id: str, folded: str) -> RequestFile | None:
    """Return the request's file whose name folds to this, or None."""
    table = tables.files
    query = select(table).where(table.c.request_id == request_id, table.c.folded == folded)
    row = connection.execute(query).one_or_none()
    return _file(row) if row else None


def no_request() -> NotFound:
    """Return the error for a request that is absent or not the actor's to know."""
    return NotFound("There is no such airlock request in this workspace.")


def load_requests(
    connection: Connection, where: ColumnElement[bool], settled_limit: int | None = None
) -> Sequence[AirlockRequest]:
    """Return the matching requests, newest first: all, or of the settled ones only the newest."""
    table = tables.requests
    newest = (table.c.created_at.desc(), table.c.id)
    query = select(table).where(where).order_by(*newest)
    if settled_limit is not None:
        settled = table.c.status.in_(SETTLED)
        shown = select(table.c.id).where(where, settled).order_by(*newest).limit(settled_limit)
        query = query.where(or_(not_(settled), table.c.id.in_(shown)))
    return _completed(connection, connection.execute(query).all())


def page_requests(
    connection: Connection, where: ColumnElement[bool], part: Wanted[RequestOrder]
) -> Page[AirlockRequest]:
    """Return the wanted part of the matching requests."""
    query = ordered(select(tables.requests).where(where), part, _KEYS, tables.requests.c.id)
    page = page_of(connection.execute(query).all(), part, lambda row: row)
    return Page(_completed(connection, page), page.next_cursor)


def load_findings(connection: Connection, request_id: str, seal: int) -> Sequence[Finding]:
    """Return what the scanners found in one seal, in the order of files and scanners."""
    table = tables.findings
    query = (
        select(table)
        .where(table.c.request_id == request_id, table.c.seal == seal)
        .order_by(table.c.position)
    )
    return [_finding(row) for row in connection.execute(query)]


def load_seal(connection: Connection, request_id: str, seal: int) -> Row[Any]:
    """Return the row of one seal. Raises `NotFound`."""
    table = tables.seals
    query = select(table).where(table.c.request_id == request_id, table.c.number == seal)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("This request was not submitted yet, so nothing is sealed.")
    return row


def load_policy(connection: Connection, request: AirlockRequest) -> AirlockPolicy:
    """Return the rules that a request was sealed under, whatever is in force now."""
    return AirlockPolicy.sealed(load_seal(connection, request.id, request.seal).policy)


def count_approvals(connection: Connection, request: AirlockRequest) -> int:
    """Return how many people other than the author approved the newest seal."""
    table = tables.reviews
    query = select(func.count(func.distinct(table.c.reviewer_id))).where(
        table.c.request_id == request.id,
        table.c.seal == request.seal,
        table.c.decision == "approved",
        table.c.reviewer_id != request.author_id,
    )
    return int(connection.execute(query).scalar_one())


def _completed(connection: Connection, rows: Sequence[_AnyRow]) -> list[AirlockRequest]:
    ids = [row.id for row in rows]
    files = _grouped(connection, tables.files, "position", ids, _file)
    reviews = _grouped(connection, tables.reviews, "at", ids, _review)
    history = _grouped(connection, tables.moves, "version", ids, _move)
    desks = _grouped(connection, tables.review_resources, "reviewer_id", ids, _desk)
    return [
        replace(
            _request(row),
            files=files[row.id],
            reviews=reviews[row.id],
            history=history[row.id],
            review_resources=desks[row.id],
        )
        for row in rows
    ]


def _grouped(
    connection: Connection,
    table: Table,
    order: str,
    request_ids: Sequence[str],
    read: Callable[[_AnyRow], T],
) -> Mapping[str, tuple[T, ...]]:
    found: dict[str, list[T]] = defaultdict(list)
    for start in range(0, len(request_ids), 500):
        some = request_ids[start : start + 500]
        query = select(table).where(table.c.request_id.in_(some)).order_by(table.c[order])
        for row in connection.execute(query):
            found[row.request_id].append(read(row))
    return {each: tuple(found[each]) for each in request_ids}


def _request(row: _AnyRow) -> AirlockRequest:
    return AirlockRequest(
        id=row.id,
        workspace_id=row.workspace_id,
        type=Direction(row.type),
        title=row.title,
        justification=row.justification,
        status=Status(row.status),
        status_message=row.status_message,
        author_id=row.author_id,
        author_name=row.author_name,
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by_id=row.updated_by_id,
        updated_by_name=row.updated_by_name,
        since=row.since,
        version=row.version,
        etag=row.etag,
        seal=row.seal,
        manifest_sha256=row.manifest_sha256,
        policy_sha256=row.policy_sha256,
        reviewers=row.reviewers or 1,
        is_blinded=bool(row.is_blinded),
        members_may_review=row.members_may_review is not False,
    )


def _file(row: _AnyRow) -> RequestFile:
    return RequestFile(
        id=row.id,
        name=row.name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        stage=Stage(row.stage),
        position=row.position,
        added_at=row.added_at,
        context=row.context,
        blake3=row.blake3 or "",
    )


def _review(row: _AnyRow) -> Review:
    return Review(
        id=row.id,
        reviewer_id=row.reviewer_id,
        reviewer_name=row.reviewer_name,
        decision=row.decision,
        explanation=row.explanation,
        seal=row.seal,
        manifest_sha256=row.manifest_sha256,
        at=row.at,
        has_named_seal=row.has_named_seal is not False,
    )


def _desk(row: _AnyRow) -> ReviewResource:
    return ReviewResource(
        reviewer_id=row.reviewer_id,
        workspace_id=row.workspace_id,
        workspace_service_id=row.workspace_service_id,
        user_resource_id=row.user_resource_id,
    )


def _move(row: _AnyRow) -> HistoryEntry:
    return HistoryEntry(
        version=row.version,
        at=row.at,
        actor_id=row.actor_id,
        actor_name=row.actor_name,
        old=Status(row.old) if row.old else None,
        new=Status(row.new),
        message=row.message,
        manifest_sha256=row.manifest_sha256,
    )


def _finding(row: _AnyRow) -> Finding:
    return Finding(
        rule=row.rule,
        severity=Severity(row.severity),
        sentence=row.sentence,
        row=row.row,
        column=row.column,
        file=row.file,
        sha256=row.sha256,
        scanner=row.scanner,
        scanner_version=row.scanner_version,
    )
