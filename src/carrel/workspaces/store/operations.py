"""How are operations and their steps read from their tables, and written to them?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from carrel.core.ids import new_id
from carrel.workspaces.plans import PlannedStep
from carrel.workspaces.rules import (
    FINAL,
    PIPELINE_RUNNING,
    Operation,
    Person,
    Progress,
    Resource,
    ResourceKind,
    Step,
    status_word,
)
from carrel.workspaces.store.resources import as_json, resource_of
from carrel.workspaces.tables import operation_steps, operations, resources

_MOST_IDS = 5000
"""So many ids go into one statement."""
# What every step needs is written out once: building a statement costs as much as running it.
_FIND = select(operations).where(operations.c.id == bindparam("b_id"))
_STEPS = select(
    operation_steps,
    resources.c.kind.label("resource_kind"),
    resources.c.template_name.label("template_name"),
).join_from(
    operation_steps, resources, resources.c.id == operation_steps.c.resource_id, isouter=True
)
_FIND_STEPS = _STEPS.where(operation_steps.c.operation_id == bindparam("b_id")).order_by(
    operation_steps.c.position
)
_NEXT_REVISION = func.coalesce(operations.c.revision, 0) + 1
_TOUCH = (
    update(operations)
    .where(operations.c.id == bindparam("b_id"))
    .values(revision=_NEXT_REVISION, updated_at=bindparam("b_now"))
)
_IS_DONE = operation_steps.c.position == bindparam("b_position")
_COMPLETE = (
    update(operation_steps)
    .where(
        operation_steps.c.operation_id == bindparam("b_id"),
        operation_steps.c.position >= bindparam("b_position"),
        operation_steps.c.position <= bindparam("b_last"),
    )
    .values(
        progress=case((_IS_DONE, Progress.DONE.value), else_=Progress.RUNNING.value),
        message=case((_IS_DONE, bindparam("b_message")), else_=""),
        updated_at=bindparam("b_now"),
    )
)
_LOOK_AHEAD = (
    select(resources, operations.c.cancel_requested)
    .join_from(resources, operations, operations.c.id == bindparam("b_id"))
    .where(resources.c.id == bindparam("b_resource"))
)
_START_STEP = (
    update(operation_steps)
    .where(operation_steps.c.operation_id == bindparam("b_id"), _IS_DONE)
    .values(progress=Progress.RUNNING.value, updated_at=bindparam("b_now"))
)
_RUN = (
    update(operations)
    .where(operations.c.id == bindparam("b_id"))
    .values(
        progress=Progress.RUNNING.value,
        message="",
        updated_at=bindparam("b_now"),
        started_at=func.coalesce(operations.c.started_at, bindparam("b_now")),
        revision=_NEXT_REVISION,
    )
)
_END = (
    update(operations)
    .where(operations.c.id == bindparam("b_id"))
    .values(
        progress=bindparam("b_progress"),
        is_final=True,
        message=bindparam("b_message"),
        updated_at=bindparam("b_now"),
        revision=_NEXT_REVISION,
    )
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An operation that is going to be written."""

    action: str
    steps: Sequence[PlannedStep]
    user: Person
    now: datetime
    progress: Progress = Progress.WAITING
    message: str = ""
    limit_seconds: float | None = None
    """How long it may run, once it has begun; None for ever."""


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
            "revision": 1,
            "limit_seconds": draft.limit_seconds,
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
            "pipeline": step.pipeline,
        }
        for position, step in enumerate(draft.steps)
    ]
    connection.execute(operation_steps.insert(), rows)
    found = find_operation(connection, operation_id)
    assert found is not None
    return found


def find_operation(connection: Connection, operation_id: str) -> Operation | None:
    """Return an operation with its steps, or None."""
    row = connection.execute(_FIND, {"b_id": operation_id}).one_or_none()
    if row is None:
        return None
    return _operation(row, connection.execute(_FIND_STEPS, {"b_id": operation_id}).all())


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
    return with_steps(connection, list(reversed(connection.execute(query).all())))


def with_steps(connection: Connection, rows: Sequence[Row[Any]]) -> Sequence[Operation]:
    """Return the operations of rows of `operations`, in their order, each with its steps."""
    by_operation: dict[str, list[Any]] = {row.id: [] for row in rows}
    ids = list(by_operation)
    for start in range(0, len(ids), _MOST_IDS):
        some = ids[start : start + _MOST_IDS]
        steps = _STEPS.where(operation_steps.c.operation_id.in_(some))
        for step in connection.execute(steps.order_by(operation_steps.c.position)):
            by_operation[step.operation_id].append(step)
    return [_operation(row, by_operation[row.id]) for row in rows]


def _operation(row: Row[Any], rows: Iterable[Row[Any]]) -> Operation:
    progress = Progress(row.progress)
    found = Operation(
        id=row.id,
        resource_id=row.resource_id,
        resource_path=row.resource_path,
        resource_version=row.resource_version,
        workspace_id=row.workspace_id,
        action=row.action,
        status=status_word(row.action, progress),
        message=row.message,
        steps=[_step(row.action, step) for step in rows],
        created_at=row.created_at,
        updated_at=row.updated_at,
        user=Person(**row.user),
        progress=progress,
        was_cancelled=row.cancel_requested,
        cancelled_by=row.cancelled_by or "",
        number=row.number,
        revision=row.revision or 0,
        limit_seconds=row.limit_seconds,
        started_at=row.started_at,
    )
    if progress not in {Progress.RUNNING, Progress.UNDOING}:
        return found
    if found.is_pipeline:
        message = found.message or "Multi step pipeline running. See steps for details."
        return replace(found, status=PIPELINE_RUNNING, message=message)
    return replace(found, message=found.message or _running_message(found.steps))


def _step(action: str, row: Row[Any]) -> Step:
    progress = Progress(row.progress)
    # A pipeline's step on another resource is a change of that one, whatever the whole is.
    action = (row.pipeline or {}).get("resource_action") or action
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
        action=action,
        resource_kind=row.resource_kind or "",
        template_name=row.template_name or "",
        pipeline=row.pipeline,
        undo=row.undo or "",
    )


def _running_message(steps: Sequence[Step]) -> str:
    """Say which step is being taken; nothing if none is."""
    running = next((each for each in steps if each.progress is Progress.RUNNING), None)
    return f"Step {running.position + 1} of {len(steps)}: {running.title}." if running else ""


def began() -> ColumnElement[bool]:
    """Return the condition on operations: has begun, and has not ended."""
    return operations.c.progress.in_([Progress.RUNNING, Progress.UNDOING])


def has_turn(connection: Connection, operation: Operation, resource_id: str) -> bool:
    """Whether a step of `operation` may change a resource that the operation is not about.

    It waits while the resource's own operation takes a step there, and while the step of an
    operation asked for earlier does. So two never wait for each other.
    """
    theirs = (
        select(operations.c.id)
        .join_from(operation_steps, operations, operations.c.id == operation_steps.c.operation_id)
        .where(
            operation_steps.c.resource_id == resource_id,
            operation_steps.c.progress == Progress.RUNNING,
            operations.c.id != operation.id,
            ~operations.c.is_final,
            or_(operations.c.resource_id == resource_id, operations.c.number < operation.number),
        )
    )
    return connection.execute(theirs.limit(1)).first() is None


def is_being_changed(connection: Connection, operation: Operation) -> bool:
    """Whether an operation on another resource, asked for earlier, takes a step on this one's."""
    theirs = (
        select(operations.c.id)
        .join_from(operation_steps, operations, operations.c.id == operation_steps.c.operation_id)
        .where(
            operation_steps.c.resource_id == operation.resource_id,
            operation_steps.c.progress == Progress.RUNNING,
            ~operations.c.is_final,
            operations.c.number < operation.number,
        )
    )
    return connection.execute(theirs.limit(1)).first() is not None


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
    changed = update(operations).where(operations.c.id == operation_id)
    connection.execute(changed.values(**values, revision=_NEXT_REVISION))


def change_step(connection: Connection, operation_id: str, position: int, **values: Any) -> None:
    """Set columns of one step."""
    grown = update(operations).where(operations.c.id == operation_id)
    connection.execute(grown.values(revision=_NEXT_REVISION))
    connection.execute(
        update(operation_steps)
        .where(
            operation_steps.c.operation_id == operation_id,
            operation_steps.c.position == position,
        )
        .values(**values)
    )


def start_operation(
    connection: Connection, operation_id: str, position: int, now: datetime
) -> None:
    """Write that an operation runs, and which of its steps."""
    connection.execute(_RUN, {"b_id": operation_id, "b_now": now})
    step = {"b_id": operation_id, "b_position": position, "b_now": now}
    connection.execute(_START_STEP, step)


def complete_step(
    connection: Connection, operation_id: str, position: int, message: str, now: datetime
) -> None:
    """Write that a step is done, and that the next one runs, if there is one."""
    connection.execute(
        _COMPLETE,
        {
            "b_id": operation_id,
            "b_position": position,
            "b_last": position + 1,
            "b_message": message,
            "b_now": now,
        },
    )
    connection.execute(_TOUCH, {"b_id": operation_id, "b_now": now})


def look_ahead(
    connection: Connection, operation_id: str, resource_id: str
) -> tuple[Resource, bool]:
    """Return a step's resource as it is now, and whether somebody cancels the operation."""
    row = connection.execute(_LOOK_AHEAD, {"b_id": operation_id, "b_resource": resource_id}).one()
    return resource_of(row), bool(row.cancel_requested)


def end_operation(
    connection: Connection, operation_id: str, progress: Progress, message: str, now: datetime
) -> None:
    """Write how an operation ended."""
    connection.execute(
        _END,
        {"b_id": operation_id, "b_progress": progress, "b_message": message, "b_now": now},
    )
