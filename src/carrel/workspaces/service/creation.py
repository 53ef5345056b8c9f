"""How does a new workspace, service or user resource come to be?"""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import BadRequest, Conflict, Denied, NotFound
from carrel.core.ids import new_etag, new_id
from carrel.workspaces.access import check_may_create, check_template_roles, not_found
from carrel.workspaces.masking import masked, picked
from carrel.workspaces.plans import plan_install
from carrel.workspaces.rules import Operation, Power, Resource, ResourceKind, Template
from carrel.workspaces.schemas import (
    InvalidProperties,
    check_properties,
    check_values,
    sensitive_pointers,
    with_defaults,
)
from carrel.workspaces.service.addressing import choose_range, tell_workspace
from carrel.workspaces.service.base import Room
from carrel.workspaces.service.choosing import check_choice, pinned_version
from carrel.workspaces.service.given import (
    ASSIGN,
    ASSIGNEE,
    OWNER,
    check_authentication,
    chosen_properties,
    identity_of,
    property_names,
    wants_range,
)
from carrel.workspaces.service.limits import check_host_has
from carrel.workspaces.service.rehearsal import REHEARSAL, property_changes
from carrel.workspaces.service.secrets import check_no_mask
from carrel.workspaces.service.wishes import Made, Wish, check_key, find_made, remember
from carrel.workspaces.store import (
    find_resource,
    insert_resource,
    person,
    write_range,
    write_secrets,
)
from carrel.workspaces.tables import resources

K = ResourceKind


class UnknownTemplate(BadRequest, NotFound):
    """No template of this name, kind and version can be used here."""


class MissingDriver(Conflict):
    """No driver of this TRE can make what the template describes."""

    code = "driver_missing"


class Creation(Room):
    """Use cases that make resources.

    Each returns the new resource and the operation that makes it real. With the same
    `idempotency_key` a second call of the same actor returns what the first one made.
    Raises `InvalidRequest` naming the property, `UnknownTemplate`, `NotFound` for an unknown
    parent, `Conflict` for a taken name or a parent that is not ready, `IsolationNotEnforced`.
    """

    def create_workspace(
        self,
        actor: Actor,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        template_version: str | None = None,
    ) -> Made:
        """Make a workspace; administrators only. Its name must be free in the TRE.

        Without `workspace_owner_object_id` its maker is its owner; with an empty one nobody is.
        """
        wish = Wish(
            K.WORKSPACE,
            template_name,
            properties,
            idempotency_key=idempotency_key,
            template_version=template_version,
        )
        return self._create(actor, wish)

    def create_service(
        self,
        actor: Actor,
        workspace_id: str,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        template_version: str | None = None,
    ) -> Made:
        """Add a service to a workspace; its owners and administrators."""
        wish = Wish(
            K.SERVICE,
            template_name,
            properties,
            workspace_id=workspace_id,
            parent_id=workspace_id,
            idempotency_key=idempotency_key,
            template_version=template_version,
        )
        return self._create(actor, wish)

    def create_user_resource(  # noqa: PLR0913 - place, recipe, and how it is sent
        self,
        actor: Actor,
        workspace_id: str,
        service_id: str,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        template_version: str | None = None,
    ) -> Made:
        """Make a user resource for the actor; members of the workspace only.

        With `assign_to_another_user` it is for the member `owner_id`; owners only.
        """
        wish = Wish(
            K.USER_RESOURCE,
            template_name,
            properties,
            workspace_id=workspace_id,
            parent_id=service_id,
            idempotency_key=idempotency_key,
            template_version=template_version,
        )
        return self._create(actor, wish)

    def create_shared_service(
        self,
        actor: Actor,
        template_name: str,
        properties: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        template_version: str | None = None,
    ) -> Made:
        """Make a service for the whole TRE; administrators only, one of each template."""
        wish = Wish(
            K.SHARED_SERVICE,
            template_name,
            properties,
            idempotency_key=idempotency_key,
            template_version=template_version,
        )
        return self._create(actor, wish)

    def _create(self, actor: Actor, wish: Wish) -> Made:
        check_may_create(actor, wish.kind, wish.workspace_id)
        check_key(wish)
        check_values(wish.properties)
        with self.database.read() as connection:
            if made := find_made(self, connection, actor, wish):
                return made
            template = self._template_for(connection, wish)
            check_choice(connection, actor, template, wish.workspace_id)
        check_template_roles(actor, template, wish.workspace_id)
        _check_usable(template)
        for name in sorted(template.effects.keys() & wish.properties.keys()):
            self.warn(f"{name}: {template.effects[name]}")
        owner_id = self._owner_of(actor, wish, template)
        properties = _whole(actor, wish, template)
        check_host_has(self, template, properties)
        if template.driver == "local":
            self.check_isolation(template)
        with self.changing() as connection:
            if made := find_made(self, connection, actor, wish):
                return made
            if self._template_for(connection, wish) != template:
                raise Conflict("The template was changed at this very moment. Send it once more.")
            resource = self._new(actor, wish, template, properties, owner_id)
            operation = self._insert(connection, actor, template, resource)
            remember(self, connection, actor, wish, operation)
            found = find_resource(connection, resource.id)
            assert found is not None
            return found, operation

    def _insert(
        self, connection: Connection, actor: Actor, template: Template, resource: Resource
    ) -> Operation:
        """Write a new resource, given with its secrets, and ask for what makes it real."""
        network = None
        if wants_range(template):
            network, ranges = choose_range(self, connection, resource)
            resource = replace(resource, properties={**resource.properties, **ranges})
        secrets = picked(
            resource.properties, sensitive_pointers(template.schema, resource.properties)
        )
        shown = replace(resource, properties=masked(resource.properties, secrets))
        insert_resource(connection, shown, unique_name=free_name(connection, shown))
        write_secrets(connection, self.keys, shown.id, secrets)
        if network:
            write_range(connection, shown, network)
        if network and shown.kind is K.SERVICE:
            tell_workspace(self, connection, actor, shown, network)
        has_owner = bool(shown.properties.get(OWNER))
        steps = plan_install(shown, has_owner=has_owner, driver=template.driver)
        if rehearsal := REHEARSAL.get():
            rehearsal.made_id = shown.id
            rehearsal.changes += property_changes({}, chosen_properties(shown), frozenset())
        operation = self.begin(connection, actor, shown, "install", steps)
        self.note(
            connection,
            actor,
            shown,
            "requested",
            name=shown.display_name,
            template=f"{template.name}:{template.version}",
            operation=operation.id,
            **({"owner": shown.owner_id} if shown.owner_id not in {None, actor.id} else {}),
        )
        return operation

    def _new(
        self,
        actor: Actor,
        wish: Wish,
        template: Template,
        properties: Mapping[str, Any],
        owner_id: str | None,
    ) -> Resource:
        now, resource_id = self.clock.now(), new_id()
        runs = wish.kind is K.USER_RESOURCE and template.driver == "local"
        made = Resource(
            id=resource_id,
            kind=wish.kind,
            template_name=template.name,
            template_version=template.version,
            properties=properties,
            is_enabled=True,
            status="",
            etag=new_etag(),
            version=0,
            workspace_id=resource_id if wish.kind is K.WORKSPACE else wish.workspace_id,
            parent_id=wish.parent_id,
            owner_id=owner_id,
            created_at=now,
            updated_at=now,
            updated_by=person(actor),
            wants_running=runs,
            power=Power.STOPPED if runs else Power.NONE,
            template_parent=template.parent or "",
        )
        return replace(made, properties={**properties, **identity_of(made, self.settings)})

    def _owner_of(self, actor: Actor, wish: Wish, template: Template) -> str | None:
        """Return whose a new resource is: the actor's, or the member's whom an owner names."""
        if wish.kind is not K.USER_RESOURCE:
            return None
        is_declared = property_names(template.schema) >= {ASSIGN, ASSIGNEE}
        if wish.properties.get(ASSIGN) is not True:
            if ASSIGNEE in wish.properties and not is_declared:
                raise InvalidProperties(
                    [(ASSIGNEE, f"{ASSIGNEE} counts only together with {ASSIGN}: true.")]
                )
            return actor.id
        owner_id = wish.properties.get(ASSIGNEE)
        workspace_id = wish.workspace_id or ""
        if owner_id == actor.id:
            return actor.id
        if WorkspaceRole.OWNER not in actor.roles_in(workspace_id):
            raise Denied(
                "Only an owner of the workspace can make a user resource for somebody else; "
                "ask one of them."
            )
        members = {each.account_id for each in self.people.members_for_system(workspace_id)}
        if owner_id not in members:
            raise InvalidProperties(
                [(ASSIGNEE, f"{ASSIGNEE} must be the id of a member of this workspace.")]
            )
        return str(owner_id)

    def _template_for(self, connection: Connection, wish: Wish) -> Template:
        """Return the template to use; the parents must be ready to have children."""
        parent_template = ""
        if wish.workspace_id:
            self._ready(connection, wish.workspace_id, K.WORKSPACE)
        if wish.kind is K.USER_RESOURCE:
            service = self._ready(connection, wish.parent_id or "", K.SERVICE)
            if service.workspace_id != wish.workspace_id:
                raise not_found(K.SERVICE)
            parent_template = service.template_name
        where = (wish.kind, parent_template, wish.template_name)
        try:
            version = wish.template_version or pinned_version(
                connection, wish.workspace_id, wish.kind, wish.template_name
            )
            if version is None:
                return self.catalogue.current(connection, *where)
            found = self.catalogue.find(connection, *where, version)
        except NotFound as error:
            raise UnknownTemplate(str(error), field="templateName") from error
        if found is None:
            raise UnknownTemplate(
                f"Version {version} of the template {wish.template_name} is not "
                "registered. Look at the template for its versions.",
                field="templateVersion",
            )
        return found

    def _ready(self, connection: Connection, resource_id: str, kind: ResourceKind) -> Resource:
        found = find_resource(connection, resource_id)
        if found is None or found.kind is not kind:
            raise not_found(kind)
        if not found.is_deployed:
            what = "Workspace" if kind is K.WORKSPACE else "Workspace service"
            raise Conflict(
                f"{what} is not deployed. Wait until the installation of {found.display_name} "
                "has ended well, then try again."
            )
        if not found.is_enabled:
            raise Conflict(f"{found.display_name} is disabled. Enable it first.")
        return found


def _check_usable(template: Template) -> None:
    """Raise `Conflict` if nothing new may, or can, be made of the template."""
    if template.is_withdrawn:
        raise Conflict(
            f"Version {template.version} of the template {template.name} was withdrawn: "
            f"{template.withdrawal} Choose another version or template."
        )
    if template.missing_driver:
        raise MissingDriver(template.missing_driver)


def _whole(actor: Actor, wish: Wish, template: Template) -> dict[str, Any]:
    """Return the properties of a wish with every default. Raises `InvalidRequest`."""
    given = dict(wish.properties)
    if wish.kind is K.WORKSPACE:
        check_authentication(template, given)
        if not actor.is_system:
            given.setdefault(OWNER, actor.id)
    if wish.kind is K.USER_RESOURCE:
        for name in {ASSIGN, ASSIGNEE} - property_names(template.schema):
            given.pop(name, None)
    properties = with_defaults(template.schema, given)
    check_no_mask(template.schema, properties)
    check_properties(template.schema, properties)
    return properties


def unique_name(resource: Resource) -> str | None:
    """Return what of a resource must be unique among the living; None if nothing."""
    if resource.kind is K.WORKSPACE:
        name = unicodedata.normalize("NFKC", resource.display_name).casefold()
        return f"workspace:{' '.join(name.split())}"
    if resource.kind is K.SHARED_SERVICE:
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
        if resource.kind is K.WORKSPACE:
            raise Conflict(
                f"There is a workspace named {resource.display_name!r} already. "
                "Choose another name.",
                field="properties.display_name",
            )
        raise Conflict(f"This TRE has the shared service {resource.template_name} already.")
    return name


__all__ = ["Creation", "Made", "free_name", "unique_name"]
