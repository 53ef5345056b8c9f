"""How are resources and operations read from their tables, and written to them?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select, text, update

from carrel.core.actors import Actor
from carrel.core.ids import new_id
from carrel.workspaces.plans import PlannedStep
from carrel.workspaces.rules import (
    FINAL,
    HistoryEntry,
    Operation,
    Person,
    Power,
    Progress,
    Resource,
    ResourceKind,
    Step,
    status_word,
)
from carrel.workspaces.tables import (
    host_ids,
    operation_steps,
    operations,
    resource_history,
    resources,
)

_LOCK = 0x0CA88E2
_LIVING = resources.c.deleted_at.is_(None)


def serialise(connection: Connection) -> None:
    """Let one change at a time be asked for; SQLite's writers are alone anyway.

    Taken before anything else in the transaction, so that no two transactions can deadlock.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def person(actor: Actor) -> Person:
    """Return how the actor is remembered beside what they did."""
    return Person(actor.id, actor.name)


def as_json(who: Person) -> dict[str, str]:
    """Return the form in which a person lies in the database."""
    return {"id": who.id, "name": who.name}


# Resources ------------------------------------------------------------------------------------


def _resource(row: Row[Any]) -> Resource:
    return Resource(
        id=row.id,
        kind=ResourceKind(row.kind),
        template_name=row.template_name,
        template_version=row.template_version,
        properties=row.properties,
        is_enabled=row.is_enabled,
        status=row.status,
        etag=row.etag,
        version=row.version,
        workspace_id=row.workspace_id,
        parent_id=row.parent_id,
        owner_id=row.owner_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        updated_by=Person(**row.updated_by),
        is_deployed=row.is_deployed,
        wants_running=row.wants_running,
        power=Power(row.power),
        port=row.port,
        template_parent=row.template_parent,
    )


def find_resource(
    connection: Connection, resource_id: str, *, is_locked: bool = False
) -> Resource | None:
    """Return a living resource, or None; locked for the transaction if asked."""
    query = select(resources).where(resources.c.id == resource_id, _LIVING)
    if is_locked:
        query = query.with_for_update()  # SQLite ignores it: its writers are alone
    row = connection.execute(query).one_or_none()
    return _resource(row) if row else None


def find_any_resource(connection: Connection, resource_id: str) -> Resource | None:
    """Return a resource, even a deleted one, or None."""
    row = connection.execute(select(resources).where(resources.c.id == resource_id)).one_or_none()
    return _resource(row) if row else None


def list_resources(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Resource]:
    """Return the living resources that fulfil the conditions, oldest first."""
    query = select(resources).where(_LIVING, *conditions)
    rows = connection.execute(query.order_by(resources.c.created_at, resources.c.id))
    return [_resource(row) for row in rows]


def list_descendants(connection: Connection, resource: Resource) -> Sequence[Resource]:
    """Return the living resources below one, deepest first, oldest first."""
    if resource.kind is ResourceKind.WORKSPACE:
        inside = resources.c.workspace_id == resource.id
        found = list_resources(connection, inside, resources.c.id != resource.id)
    else:
        found = list_resources(connection, resources.c.parent_id == resource.id)
    return sorted(found, key=lambda each: each.kind is not ResourceKind.USER_RESOURCE)


def insert_resource(connection: Connection, resource: Resource, *, unique_name: str | None) -> None:
    """Write a new resource. Raises `Conflict` if its unique name is taken."""
    connection.execute(
        resources.insert(),
        {
            "id": resource.id,
            "kind": resource.kind,
            "template_name": resource.template_name,
            "template_version": resource.template_version,
            "template_parent": resource.template_parent,
            "properties": dict(resource.properties),
            "is_enabled": resource.is_enabled,
            "status": resource.status,
            "etag": resource.etag,
            "version": resource.version,
            "workspace_id": resource.workspace_id,
            "parent_id": resource.parent_id,
            "owner_id": resource.owner_id,
            "created_at": resource.created_at,
            "updated_at": resource.updated_at,
            "updated_by": as_json(resource.updated_by),
            "is_deployed": resource.is_deployed,
            "wants_running": resource.wants_running,
            "power": resource.power,
            "unique_name": unique_name,
        },
    )


def change_resource(connection: Connection, resource_id: str, **values: Any) -> None:
    """Set columns of one resource."""
    connection.execute(update(resources).where(resources.c.id == resource_id).values(**values))


def bury_resource(connection: Connection, resource_id: str, now: datetime) -> None:
    """Mark a resource as deleted; what must be unique among the living is given back."""
    change_resource(
        connection,
        resource_id,
        deleted_at=now,
        unique_name=None,
        port=None,
        wants_running=False,
        is_enabled=False,
        status=status_word("uninstall", Progress.DONE),
    )


def write_history(connection: Connection, old: Resource) -> None:
    """Keep the state of a resource as it was before a change."""
    connection.execute(
        resource_history.insert(),
        {
            "resource_id": old.id,
            "version": old.version,
            "properties": dict(old.properties),
            "is_enabled": old.is_enabled,
            "template_version": old.template_version,
            "updated_at": old.updated_at,
            "updated_by": as_json(old.updated_by),
        },
    )


def list_history(connection: Connection, resource_id: str) -> Sequence[HistoryEntry]:
    """Return the earlier states of a resource, oldest first."""
    query = select(resource_history).where(resource_history.c.resource_id == resource_id)
    return [
        HistoryEntry(
            resource_id=row.resource_id,
            version=row.version,
            properties=row.properties,
            is_enabled=row.is_enabled,
            template_version=row.template_version,
            updated_at=row.updated_at,
            updated_by=Person(**row.updated_by),
        )
        for row in connection.execute(query.order_by(resource_history.c.version))
    ]


def find_host_id(
    connection: Connection, workspace_id: str, account_id: str = ""
) -> Row[Any] | None:
    """Return the row of the host id of a member, or of the workspace's group."""
    return connection.execute(
        select(host_ids).where(
            host_ids.c.workspace_id == workspace_id, host_ids.c.account_id == account_id
        )
    ).one_or_none()


# Operations -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """An operation that is going to be written."""

    action: str
    steps: Sequence[PlannedStep]
    user: Person
    now: datetime
    progress: Progress = Progress.WAITING
    message: str = ""


def insert_operation(connection: Connection, resource: Resource, draft: Draft) -> Operation:
    """Write a new operation with its steps and return it."""
    operation_id = new_id()
    connection.execute(
        operations.insert(),
        {
            "id": operation_id,
            "resource_id": resource.id,
            "resource_path": resource.path,
            "resource_version": resource.version,
            "workspace_id": resource.workspace_id,
            "action": draft.action,
            "progress": draft.progress,
            "message": draft.message,
            "user": as_json(draft.user),
            "user_id": draft.user.id,
            "created_at": draft.now,
            "updated_at": draft.now,
            "cancel_requested": False,
            "is_final": draft.progress in FINAL,
        },
    )
    rows = [
        {
            "operation_id": operation_id,
            "position": position,
            "id": new_id(),
            "name": step.name,
            "title": step.title,
            "resource_id": step.resource_id,
            "progress": draft.progress,
            "message": draft.message,
            "attempts": 0,
            "updated_at": draft.now,
        }
        for position, step in enumerate(draft.steps)
    ]
    connection.execute(operation_steps.insert(), rows)
    found = find_operation(connection, operation_id)
    assert found is not None
    return found


def find_operation(connection: Connection, operation_id: str) -> Operation | None:
    """Return an operation with its steps, or None."""
    return next(iter(_operations(connection, operations.c.id == operation_id)), None)


def list_operations(
    connection: Connection, *conditions: ColumnElement[bool], limit: int = 1000
) -> Sequence[Operation]:
    """Return operations with their steps, oldest first; the newest `limit` of them."""
    return _operations(connection, *conditions, limit=limit)


def latest_operation_id(connection: Connection, resource_id: str) -> str:
    """Return the id of the newest operation of a resource."""
    query = select(operations.c.id).where(operations.c.resource_id == resource_id)
    return str(connection.execute(query.order_by(operations.c.number.desc()).limit(1)).scalar())


def _operations(
    connection: Connection, *conditions: ColumnElement[bool], limit: int = 1000
) -> Sequence[Operation]:
    query = select(operations).where(*conditions).order_by(operations.c.number.desc()).limit(limit)
    rows = connection.execute(query).all()
    by_operation: dict[str, list[Any]] = {row.id: [] for row in rows}
    steps = select(operation_steps).where(operation_steps.c.operation_id.in_(by_operation))
    for step in connection.execute(steps.order_by(operation_steps.c.position)):
        by_operation[step.operation_id].append(step)
    return [_operation(row, by_operation[row.id]) for row in reversed(rows)]


def _operation(row: Row[Any], steps: Iterable[Row[Any]]) -> Operation:
    progress = Progress(row.progress)
    return Operation(
        id=row.id,
        resource_id=row.resource_id,
        resource_path=row.resource_path,
        resource_version=row.resource_version,
        workspace_id=row.workspace_id,
        action=row.action,
        status=status_word(row.action, progress),
        message=row.message,
        steps=[_step(row.action, step) for step in steps],
        created_at=row.created_at,
        updated_at=row.updated_at,
        user=Person(**row.user),
        progress=progress,
        was_cancelled=row.cancel_requested,
        number=row.number,
    )


def _step(action: str, row: Row[Any]) -> Step:
    progress = Progress(row.progress)
    return Step(
        id=row.id,
        name=row.name,
        title=row.title,
        resource_id=row.resource_id,
        status=status_word(action, progress),
        message=row.message,
        updated_at=row.updated_at,
        progress=progress,
        position=row.position,
        attempts=row.attempts,
    )


def related_to(resource: Resource) -> ColumnElement[bool]:
    """Return the condition on operations: of this resource, above it or below it."""
    if resource.kind is ResourceKind.WORKSPACE:
        return operations.c.workspace_id == resource.id
    related = operations.c.resource_id.in_(
        [each for each in (resource.id, resource.parent_id, resource.workspace_id) if each]
    )
    if resource.kind is ResourceKind.SERVICE:
        children = select(resources.c.id).where(resources.c.parent_id == resource.id)
        return or_(related, operations.c.resource_id.in_(children))
    return related


def active_operations(resource: Resource) -> Select[Any]:
    """Return the query for operations in flight in the resource's tree."""
    return select(operations.c.id, operations.c.number).where(
        and_(~operations.c.is_final, related_to(resource))
    )


def change_operation(connection: Connection, operation_id: str, **values: Any) -> None:
    """Set columns of one operation."""
    connection.execute(update(operations).where(operations.c.id == operation_id).values(**values))


def change_step(connection: Connection, operation_id: str, position: int, **values: Any) -> None:
    """Set columns of one step."""
    connection.execute(
        update(operation_steps)
        .where(
            operation_steps.c.operation_id == operation_id,
            operation_steps.c.position == position,
        )
        .values(**values)
    )
