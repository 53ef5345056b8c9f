"""What tables have left already? Kept apart from requests, for what is out stays out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import Connection, select

from carrel.airlock import tables
from carrel.airlock.rules import AirlockPolicy, AirlockRequest, RequestFile
from carrel.airlock.rules.differencing import Released
from carrel.airlock.rules.sidecar import Count, TableMeta, counts_of, declared
from carrel.core.ids import new_id

_COMPARED = 200
"""Of one dataset version, the newest tables; a check by hand is asked for beyond them."""
_ELSEWHERE = "a table that another workspace released"
"""All that is said of it: its name may be a secret of that project."""


def remember(
    connection: Connection, request: AirlockRequest, released: Iterable[Released], at: datetime
) -> None:
    """Write down the tables that an approved export lets out."""
    rows = [
        {
            "id": new_id(),
            "request_id": request.id,
            "workspace_id": request.workspace_id,
            "file": table.name,
            "dataset": table.meta.dataset,
            "dataset_version": table.meta.dataset_version,
            "meta": table.meta.model_dump(mode="json", exclude={"contributions"}),
            "counts": [asdict(count) for count in table.counts],
            "at": at,
        }
        for table in released
    ]
    if rows:
        connection.execute(tables.released_tables.insert(), rows)


def released_before(
    connection: Connection, request: AirlockRequest, meta: TableMeta
) -> Sequence[Released]:
    """Return the tables of a dataset version that left before, oldest first.

    Those of other workspaces too: outside, everything that left can be put together.
    """
    table = tables.released_tables
    query = (
        select(table)
        .where(
            table.c.dataset == meta.dataset,
            table.c.dataset_version == meta.dataset_version,
            table.c.request_id != request.id,
        )
        .order_by(table.c.at.desc(), table.c.id)
        .limit(_COMPARED)
    )
    found = []
    for row in connection.execute(query):
        mine = row.workspace_id == request.workspace_id
        name = f"{row.file} of release {row.request_id[:8]}" if mine else _ELSEWHERE
        counts = [Count(**count) for count in row.counts]
        found.append(Released(name, TableMeta.model_validate(row.meta), counts))
    return found[::-1]


def read_released(file: RequestFile, content: BinaryIO, policy: AirlockPolicy) -> Released | None:
    """Return a request's file as a table that can be compared; None if it is not one."""
    meta = declared(file.context)
    if meta is None or file.size_bytes > policy.export_file_bytes:
        return None
    try:
        return Released(file.name, meta, counts_of(meta, content.read()))
    except ValueError:
        return None
