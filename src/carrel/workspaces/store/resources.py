"""How are resources read from their tables, and written to them?"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    select,
    text,
    update,
)

from carrel.core.actors import Actor, system
from carrel.core.ids import new_etag
from carrel.workspaces.rules import (
    Person,
    Power,
    Progress,
    Resource,
    ResourceKind,
    status_word,
)
from carrel.workspaces.store.sealed import forget_secrets, give_back_range
from carrel.workspaces.tables import host_ids, resource_history, resources

_LOCK = 0x0CA88E2
_LIVING = resources.c.deleted_at.is_(None)
_FIND_ANY = select(resources).where(resources.c.id == bindparam("b_id"))
_SET_STATUS = (
    update(resources)
    .where(resources.c.id == bindparam("b_id"))
    .values(status=bindparam("b_status"))
)


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


def resource_of(row: Any) -> Resource:
    """Return the domain object of a row of `resources`."""
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
        token_salt=row.token_salt,
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
    return resource_of(row) if row else None


def is_workspace(connection: Connection, workspace_id: str) -> bool:
    """Whether a living workspace has this id; it is not buried before the transaction ends."""
    query = select(resources.c.id).where(
        resources.c.id == workspace_id, resources.c.kind == ResourceKind.WORKSPACE, _LIVING
    )
    return connection.execute(query.with_for_update(read=True)).first() is not None


def find_any_resource(connection: Connection, resource_id: str) -> Resource | None:
    """Return a resource, even a deleted one, or None."""
    row = connection.execute(_FIND_ANY, {"b_id": resource_id}).one_or_none()
    return resource_of(row) if row else None


def list_resources(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Resource]:
    """Return the living resources that fulfil the conditions, oldest first."""
    query = select(resources).where(_LIVING, *conditions)
    rows = connection.execute(query.order_by(resources.c.created_at, resources.c.id))
    return [resource_of(row) for row in rows]


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
            "token_salt": resource.token_salt,
            "unique_name": unique_name,
        },
    )


def change_resource(connection: Connection, resource_id: str, **values: Any) -> None:
    """Set columns of one resource."""
    connection.execute(update(resources).where(resources.c.id == resource_id).values(**values))


def set_status(connection: Connection, resource_id: str, status: str) -> None:
    """Set the word of the last operation that touched a resource."""
    connection.execute(_SET_STATUS, {"b_id": resource_id, "b_status": status})


def bury_resource(connection: Connection, resource_id: str, now: datetime) -> None:
    """Mark a resource as deleted; what must be unique among the living is given back.

    Its secrets are erased, and its range of addresses is free again.
    """
    forget_secrets(connection, resource_id)
    if cidr := give_back_range(connection, resource_id):
        _take_from_workspace(connection, resource_id, cidr, now)
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


def _take_from_workspace(
    connection: Connection, resource_id: str, cidr: str, now: datetime
) -> None:
    """Take the range of a deleted service out of its workspace's `address_spaces`."""
    service = find_resource(connection, resource_id)
    if service is None or service.kind is ResourceKind.WORKSPACE:
        return
    workspace = find_resource(connection, service.workspace_id or "", is_locked=True)
    if workspace is None:
        return
    held = workspace.properties.get("address_spaces", ())
    left = [each for each in held if each != cidr]
    change_version(
        connection,
        workspace,
        replace(
            workspace,
            properties={**workspace.properties, "address_spaces": left},
            updated_at=now,
            updated_by=person(system("worker")),
        ),
    )


def change_version(connection: Connection, old: Resource, new: Resource) -> Resource:
    """Write what a change made of a resource; its former state goes into the history."""
    write_history(connection, old)
    saved = replace(new, version=old.version + 1, etag=new_etag())
    change_resource(
        connection,
        old.id,
        properties=dict(saved.properties),
        is_enabled=saved.is_enabled,
        template_version=saved.template_version,
        version=saved.version,
        etag=saved.etag,
        updated_at=saved.updated_at,
        updated_by=as_json(saved.updated_by),
    )
    return saved


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


def find_host_id(
    connection: Connection, workspace_id: str, account_id: str = ""
) -> Row[Any] | None:
    """Return the row of the host id of a member, or of the workspace's group."""
    return connection.execute(
        select(host_ids).where(
            host_ids.c.workspace_id == workspace_id, host_ids.c.account_id == account_id
        )
    ).one_or_none()
