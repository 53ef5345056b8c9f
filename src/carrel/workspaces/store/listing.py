"""How do lists of resources come out of their table, quickly and page by page?

A line stays as the database gave it. Most lists are asked for again and again while little
changes, and whoever shows a line can then know it by its values, before anything is parsed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    func,
    select,
    type_coerce,
)

from carrel.core.database import Json, Moment
from carrel.core.paging import Page, Wanted, ordered, page_of
from carrel.workspaces.rules import HistoryEntry, Operation, Person, Resource
from carrel.workspaces.rules.listing import HistoryOrder, OperationOrder, ResourceOrder
from carrel.workspaces.store.operations import with_steps
from carrel.workspaces.store.resources import resource_of
from carrel.workspaces.tables import operations, resource_history, resources

O = ResourceOrder  # noqa: E741 - the orders
_KEYS: Mapping[ResourceOrder, ColumnElement[Any]] = {
    O.CREATED: resources.c.created_at,
    O.UPDATED: resources.c.updated_at,
    O.NAME: resources.c.sort_name,
    O.TEMPLATE: resources.c.template_name,
    O.STATUS: resources.c.status,
}
_LIVING = resources.c.deleted_at.is_(None)


def _raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, Json | Moment):
        return type_coerce(column, String)
    return type_coerce(column, Integer) if isinstance(column.type, Boolean) else column


_UNSEEN = {"sort_name", "deleted_at", "stamp"}
_SHOWN = [column for column in resources.c if column.name not in _UNSEEN]
_SELECT = select(*[_raw(column).label(column.name) for column in _SHOWN])
_NAMES = [column.name for column in _SHOWN]
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_TEMPLATE = itemgetter(
    *(_PLACES[name] for name in ("kind", "template_parent", "template_name", "template_version"))
)


def _reader(kind: Any) -> Callable[[Any], Any] | None:
    if isinstance(kind, Json):
        return orjson.loads
    if isinstance(kind, Moment):
        return datetime.fromisoformat
    return bool if isinstance(kind, Boolean) else None


_READERS = [(column.name, _reader(column.type)) for column in _SHOWN]


@dataclass(frozen=True, slots=True)
class ResourceLine:
    """A resource as it lies in its table."""

    values: tuple[Any, ...]
    """Everything that is kept of it; equal values are an equal resource."""

    @property
    def template(self) -> tuple[str, str, str, str]:
        """Kind, parent, name and version of its template."""
        found: tuple[str, str, str, str] = _TEMPLATE(self.values)
        return found

    def resource(self) -> Resource:
        """Return the domain object."""
        pairs = zip(_READERS, self.values, strict=True)
        return resource_of(
            SimpleNamespace(
                **{
                    name: read(value) if read and value is not None else value
                    for (name, read), value in pairs
                }
            )
        )


def list_lines(
    connection: Connection, part: Wanted[ResourceOrder], *conditions: ColumnElement[bool]
) -> Page[ResourceLine]:
    """Return the wanted part of the living resources that fulfil the conditions."""
    query = ordered(_SELECT.where(_LIVING, *conditions), part, _KEYS, resources.c.id)
    width = len(_SHOWN)
    rows = connection.execute(query).all()
    return page_of(rows, part, lambda row: ResourceLine(row[:width]))


def lines_stand(
    connection: Connection, part: Wanted[ResourceOrder], *conditions: ColumnElement[bool]
) -> str:
    """Return a text that is another one whenever `list_lines` would return other lines."""
    mark = (resources.c.id + func.coalesce(resources.c.stamp, "")).label("mark")
    lines = ordered(select(mark).where(_LIVING, *conditions), part, _KEYS, resources.c.id)
    query = select(func.aggregate_strings(lines.subquery().c.mark, ","))
    return str(connection.execute(query).scalar())


def page_operations(
    connection: Connection, part: Wanted[OperationOrder], *conditions: ColumnElement[bool]
) -> Page[Operation]:
    """Return the wanted part of the operations that fulfil the conditions."""
    keys = {
        OperationOrder.CREATED: operations.c.number,
        OperationOrder.UPDATED: operations.c.updated_at,
    }
    query = ordered(select(operations).where(*conditions), part, keys, operations.c.id)
    page = page_of(connection.execute(query).all(), part, lambda row: row)
    return Page(with_steps(connection, page), page.next_cursor)


def page_history(
    connection: Connection, part: Wanted[HistoryOrder], resource_id: str
) -> Page[HistoryEntry]:
    """Return the wanted part of the earlier states of a resource."""
    table = resource_history.c
    query = select(resource_history).where(table.resource_id == resource_id)
    query = ordered(query, part, {HistoryOrder.VERSION: table.version}, table.resource_id)
    return page_of(connection.execute(query).all(), part, _history_entry)


def _history_entry(row: Row[Any]) -> HistoryEntry:
    return HistoryEntry(
        resource_id=row.resource_id,
        version=row.version,
        properties=row.properties,
        is_enabled=row.is_enabled,
        template_version=row.template_version,
        updated_at=row.updated_at,
        updated_by=Person(**row.updated_by),
    )
