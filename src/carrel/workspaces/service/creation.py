"""How does a new workspace, service or user resource come to be?"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, select

from carrel.core.actors import Actor
from carrel.core.database import canonical_json
from carrel.core.errors import Conflict, InvalidRequest
from carrel.core.ids import new_etag, new_id
from carrel.workspaces.access import check_may_create, check_template_roles, not_found
from carrel.workspaces.plans import plan_install
from carrel.workspaces.rules import Operation, Power, Resource, ResourceKind, Template
from carrel.workspaces.schemas import check_properties, check_values, with_defaults
from carrel.workspaces.service.base import Room
from carrel.workspaces.store import find_operation, find_resource, insert_resource, person
from carrel.workspaces.tables import idempotency_keys, resources

Made = tuple[Resource, Operation]
KEY_LIFE = timedelta(days=1)
"""So long a form that is sent again makes nothing new."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wants to have made."""

    kind: ResourceKind
    template_name: str
    properties: Mapping[str, Any]
    workspace_id: str | None = None
    parent_id: str | None = None
    idempotency_key: str | None = None

    def digest(self) -> str:
        """Return a hash by which the same wish is known again."""
        wish = [self.kind, self.template_name, self.workspace_id, self.parent_id]
        text = canonical_json([*wish, dict(self.properties)])
        return hashlib.sha256(text.encode()).hexdigest()


class Creation(Room):
    """Use cases that make resources.

    Each returns the new resource and the operation that makes it real. With the same
    `idempotency_key` a second call of the same actor returns what the first one made.
    Raises `InvalidRequest` naming the property, `NotFound` for an unknown template or parent,
    `Conflict` for a taken name or a parent that is not ready, `IsolationNotEnforced`.
    """

    def create_workspace(
        self,
        actor: Actor,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Made:
        """Make a workspace; administrators only. Its name must be free in the TRE."""
        kind = ResourceKind.WORKSPACE
        wish = _Wish(kind, template_name, properties, idempotency_key=idempotency_key)
        return self._create(actor, wish)

    def create_service(
        self,
        actor: Actor,
        workspace_id: str,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Made:
        """Add a service to a workspace; its owners and administrators."""
        wish = _Wish(
            ResourceKind.SERVICE,
            template_name,
            properties,
            workspace_id=workspace_id,
            parent_id=workspace_id,
            idempotency_key=idempotency_key,
        )
        return self._create(actor, wish)

    def create_user_resource(
        self,
        actor: Actor,
        workspace_id: str,
        service_id: str,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Made:
        """Make a user resource for the actor; members of the workspace only."""
        wish = _Wish(
            ResourceKind.USER_RESOURCE,
            template_name,
            properties,
            workspace_id=workspace_id,
            parent_id=service_id,
            idempotency_key=idempotency_key,
        )
        return self._create(actor, wish)

    def create_shared_service(
        self,
        actor: Actor,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
    ) -> Made:
        """Make a service for the whole TRE; administrators only, one of each template."""
        kind = ResourceKind.SHARED_SERVICE
        wish = _Wish(kind, template_name, properties, idempotency_key=idempotency_key)
        return self._create(actor, wish)

    def _create(self, actor: Actor, wish: _Wish) -> Made:
        check_may_create(actor, wish.kind, wish.workspace_id)
        if wish.idempotency_key and len(wish.idempotency_key) > 200:
            raise InvalidRequest(
                "The idempotency key is longer than 200 characters.", field="idempotency_key"
            )
        check_values(wish.properties)
        with self.database.read() as connection:
            if made := self._find_made(connection, actor, wish):
                return made
            template = self._template_for(connection, wish)
        check_template_roles(actor, template, wish.workspace_id)
        properties = with_defaults(template.schema, wish.properties)
        check_properties(template.schema, properties)
        self.check_isolation(template)
        with self.changing() as connection:
            if made := self._find_made(connection, actor, wish):
                return made
            template = self._template_for(connection, wish)
            return self._insert(connection, actor, wish, template, properties)

    def _insert(
        self,
        connection: Connection,
        actor: Actor,
        wish: _Wish,
        template: Template,
        properties: Mapping[str, Any],
    ) -> Made:
        resource = self._new(actor, wish, template, properties)
        insert_resource(connection, resource, unique_name=free_name(connection, resource))
        has_owner = bool(properties.get("workspace_owner_object_id"))
        steps = plan_install(resource, has_owner=has_owner)
        operation = self.begin(connection, actor, resource, "install", steps)
        self.note(
            connection,
            actor,
            resource,
            "requested",
            name=resource.display_name,
            template=f"{template.name}:{template.version}",
            operation=operation.id,
        )
        if wish.idempotency_key:
            self._remember(connection, actor, wish, operation)
        made = find_resource(connection, resource.id)
        assert made is not None
        return made, operation

    def _new(
        self, actor: Actor, wish: _Wish, template: Template, properties: Mapping[str, Any]
    ) -> Resource:
        now, resource_id = self.clock.now(), new_id()
        is_mine = wish.kind is ResourceKind.USER_RESOURCE
        is_workspace = wish.kind is ResourceKind.WORKSPACE
        return Resource(
            id=resource_id,
            kind=wish.kind,
            template_name=template.name,
            template_version=template.version,
            properties=properties,
            is_enabled=True,
            status="",
            etag=new_etag(),
            version=0,
            workspace_id=resource_id if is_workspace else wish.workspace_id,
            parent_id=wish.parent_id,
            owner_id=actor.id if is_mine else None,
            created_at=now,
            updated_at=now,
            updated_by=person(actor),
            wants_running=is_mine,
            power=Power.STOPPED if is_mine else Power.NONE,
            template_parent=template.parent or "",
        )

    def _template_for(self, connection: Connection, wish: _Wish) -> Template:
        """Return the current template; the parents must be ready to have children."""
        parent_template = ""
        if wish.workspace_id:
            self._ready(connection, wish.workspace_id, ResourceKind.WORKSPACE)
        if wish.kind is ResourceKind.USER_RESOURCE:
            service = self._ready(connection, wish.parent_id or "", ResourceKind.SERVICE)
            if service.workspace_id != wish.workspace_id:
                raise not_found(ResourceKind.SERVICE)
            parent_template = service.template_name
        return self.catalogue.current(connection, wish.kind, parent_template, wish.template_name)

    def _ready(self, connection: Connection, resource_id: str, kind: ResourceKind) -> Resource:
        found = find_resource(connection, resource_id)
        if found is None or found.kind is not kind:
            raise not_found(kind)
        if not found.is_deployed:
            raise Conflict(
                f"{found.display_name} is not deployed. Wait until its installation has ended "
                "well, then try again."
            )
        if not found.is_enabled:
            raise Conflict(f"{found.display_name} is disabled. Enable it first.")
        return found

    def _find_made(self, connection: Connection, actor: Actor, wish: _Wish) -> Made | None:
        if not wish.idempotency_key:
            return None
        row = connection.execute(
            select(idempotency_keys).where(
                idempotency_keys.c.actor_id == actor.id,
                idempotency_keys.c.key == wish.idempotency_key,
            )
        ).one_or_none()
        if row is None:
            return None
        if row.request_hash != wish.digest():
            raise Conflict(
                "This form was sent before with other values. Open it anew and send it once more."
            )
        resource = find_resource(connection, row.resource_id)
        operation = find_operation(connection, row.operation_id)
        if resource is None or operation is None:
            raise Conflict("What this form made was deleted since. Open it anew to make another.")
        return resource, operation

    def _remember(
        self, connection: Connection, actor: Actor, wish: _Wish, operation: Operation
    ) -> None:
        now = self.clock.now()
        connection.execute(
            delete(idempotency_keys).where(idempotency_keys.c.created_at < now - KEY_LIFE)
        )
        connection.execute(
            idempotency_keys.insert(),
            {
                "actor_id": actor.id,
                "key": wish.idempotency_key,
                "request_hash": wish.digest(),
                "resource_id": operation.resource_id,
                "operation_id": operation.id,
                "created_at": now,
            },
        )


def unique_name(resource: Resource) -> str | None:
    """Return what of a resource must be unique among the living; None if nothing."""
    if resource.kind is ResourceKind.WORKSPACE:
        name = unicodedata.normalize("NFKC", resource.display_name).casefold()
        return f"workspace:{' '.join(name.split())}"
    if resource.kind is ResourceKind.SHARED_SERVICE:
        return f"shared-service:{resource.template_name}"
    return None


def free_name(connection: Connection, resource: Resource) -> str | None:
    """Return the resource's unique name. Raises `Conflict` if another one has it."""
    if (name := unique_name(resource)) is None:
        return None
    taken = select(resources.c.id).where(
        resources.c.unique_name == name, resources.c.id != resource.id
    )
    if connection.execute(taken).first():
        if resource.kind is ResourceKind.WORKSPACE:
            raise Conflict(
                f"There is a workspace named {resource.display_name!r} already. "
                "Choose another name.",
                field="properties.display_name",
            )
        raise Conflict(f"This TRE has the shared service {resource.template_name} already.")
    return name
