"""What may an actor see of resources and their history?"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement

from carrel.core.actors import Actor
from carrel.core.paging import Page, Wanted
from carrel.workspaces.access import (
    check_may_follow,
    check_may_see,
    may_manage,
    may_see_every_user_resource,
    not_found,
)
from carrel.workspaces.meters import UsageTotals, read_totals
from carrel.workspaces.rules import (
    HistoryEntry,
    Operation,
    Resource,
    ResourceKind,
    upgrades_above,
)
from carrel.workspaces.rules.listing import HistoryOrder, OperationOrder, ResourceOrder
from carrel.workspaces.service.base import Room
from carrel.workspaces.store import find_resource
from carrel.workspaces.store.listing import (
    ResourceLine,
    lines_stand,
    list_lines,
    page_history,
    page_operations,
)
from carrel.workspaces.tables import operations, resources

Upgrades = Sequence[tuple[str, bool]]
"""Pairs `(version, needs force)`, those without force first."""
TemplateKey = tuple[str, str, str, str]
"""Kind, parent, name and version."""
K = ResourceKind
WHOLE = Wanted(ResourceOrder.CREATED)


class Reading(Room):
    """Use cases that show resources."""

    def list_workspaces(self, actor: Actor) -> Sequence[Resource]:
        """Return the workspaces that the actor may see, oldest first."""
        return _resources(self.page_workspaces(actor, WHOLE))

    def list_services(self, actor: Actor, workspace_id: str) -> Sequence[Resource]:
        """Return the services of a workspace, oldest first. Raises `NotFound`."""
        return _resources(self.page_services(actor, workspace_id, WHOLE))

    def list_user_resources(
        self, actor: Actor, workspace_id: str, service_id: str | None = None
    ) -> Sequence[Resource]:
        """Return the user resources that the actor may see, of one service or of all."""
        return _resources(self.page_user_resources(actor, workspace_id, service_id, WHOLE))

    def list_shared_services(self, actor: Actor) -> Sequence[Resource]:
        """Return the services of the whole TRE, oldest first."""
        return _resources(self.page_shared_services(actor, WHOLE))

    def page_workspaces(self, actor: Actor, part: Wanted[ResourceOrder]) -> Page[ResourceLine]:
        """Return the wanted part of what `list_workspaces` returns."""
        with self.database.read() as connection:
            return list_lines(connection, part, *_workspaces_of(actor))

    def workspaces_stand(self, actor: Actor, part: Wanted[ResourceOrder]) -> str:
        """Return a text that is another one whenever `page_workspaces` would differ."""
        with self.database.read() as connection:
            return lines_stand(connection, part, *_workspaces_of(actor))

    def page_services(
        self, actor: Actor, workspace_id: str, part: Wanted[ResourceOrder]
    ) -> Page[ResourceLine]:
        """Return the wanted part of what `list_services` returns. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_see(actor, self.find_workspace(connection, workspace_id))
            return list_lines(
                connection,
                part,
                resources.c.workspace_id == workspace_id,
                resources.c.kind == K.SERVICE,
            )

    def page_user_resources(
        self,
        actor: Actor,
        workspace_id: str,
        service_id: str | None,
        part: Wanted[ResourceOrder],
    ) -> Page[ResourceLine]:
        """Return the wanted part of what `list_user_resources` returns. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_see(actor, self.find_workspace(connection, workspace_id))
            inside = [
                resources.c.workspace_id == workspace_id,
                resources.c.kind == K.USER_RESOURCE,
            ]
            if service_id is not None:
                service = find_resource(connection, service_id)
                if service is None or service.workspace_id != workspace_id:
                    raise not_found(K.SERVICE)
                inside.append(resources.c.parent_id == service_id)
            if not may_see_every_user_resource(actor, workspace_id):
                inside.append(resources.c.owner_id == actor.id)
            return list_lines(connection, part, *inside)

    def page_shared_services(self, actor: Actor, part: Wanted[ResourceOrder]) -> Page[ResourceLine]:
        """Return the wanted part of what `list_shared_services` returns."""
        del actor  # everybody who is signed in may see them
        with self.database.read() as connection:
            return list_lines(connection, part, resources.c.kind == K.SHARED_SERVICE)

    def get_resource(
        self,
        actor: Actor,
        resource_id: str,
        *,
        workspace_id: str | None = None,
        parent_id: str | None = None,
        kind: ResourceKind | None = None,
    ) -> Resource:
        """Return a resource.

        Raises `NotFound` unless it lies below the given parents, is of the given kind, and is the
        actor's to know about; `Denied` for another member's user resource.
        """
        with self.database.read() as connection:
            found = find_resource(connection, resource_id)
        is_bound = (
            found is not None
            and workspace_id in {None, found.workspace_id}
            and parent_id in {None, found.parent_id}
            and kind in {None, found.kind}
        )
        if not is_bound:
            raise not_found(kind)
        return check_may_see(actor, found)

    def may_manage(self, actor: Actor, resource: Resource) -> bool:
        """Whether the actor may change the resource: for buttons, not for decisions."""
        return may_manage(actor, resource)

    def available_upgrades(self, resource: Resource) -> Upgrades:
        """Return the registered versions above the resource's own."""
        template = (
            resource.kind.value,
            resource.template_parent,
            resource.template_name,
            resource.template_version,
        )
        return self.list_upgrades({template})[template]

    def list_upgrades(self, templates: Collection[TemplateKey]) -> Mapping[TemplateKey, Upgrades]:
        """Return what `available_upgrades` returns, for resources of these templates."""
        names = {key[:3] for key in templates}
        with self.database.read() as connection:
            versions = {
                (kind, parent, name): self.catalogue.list_versions(
                    connection, K(kind), parent, name
                )
                for kind, parent, name in names
            }
        return {key: tuple(upgrades_above(key[3], versions[key[:3]])) for key in templates}

    def history(
        self, actor: Actor, resource_id: str, part: Wanted[HistoryOrder] | None = None
    ) -> Page[HistoryEntry]:
        """Return the former states of a resource, oldest first. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_follow(actor, find_resource(connection, resource_id))
            return page_history(connection, part or Wanted(HistoryOrder.VERSION), resource_id)

    def page_operations(
        self, actor: Actor, resource_id: str, part: Wanted[OperationOrder]
    ) -> Page[Operation]:
        """Return the wanted part of what `list_operations` returns. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_follow(actor, find_resource(connection, resource_id))
            return page_operations(connection, part, operations.c.resource_id == resource_id)

    def page_running_operations(
        self, actor: Actor, part: Wanted[OperationOrder]
    ) -> Page[Operation]:
        """Return the wanted part of what `list_running_operations` returns."""
        with self.database.read() as connection:
            return page_operations(
                connection, part, operations.c.user_id == actor.id, ~operations.c.is_final
            )

    def usage(self, actor: Actor, resource_id: str) -> UsageTotals:
        """Return what a workspace or user resource has used so far. Raises `NotFound`."""
        with self.database.read() as connection:
            found = check_may_see(actor, find_resource(connection, resource_id))
            return read_totals(connection, found)

    def output(self, actor: Actor, resource_id: str) -> str:
        """Return the end of what a user resource printed; for its owner alone."""
        found = self.get_resource(actor, resource_id)
        if found.owner_id != actor.id:
            raise not_found(found.kind)
        return self.runtime.output(found.workspace_id or "", found.id)


def _workspaces_of(actor: Actor) -> Sequence[ColumnElement[bool]]:
    """Return the conditions on what the actor may see of all workspaces."""
    if actor.is_admin or actor.is_system:
        return [resources.c.kind == K.WORKSPACE]
    member_of = [space for space, roles in actor.workspace_roles.items() if roles]
    return [resources.c.kind == K.WORKSPACE, resources.c.id.in_(member_of)]


def _resources(lines: Sequence[ResourceLine]) -> Sequence[Resource]:
    return [line.resource() for line in lines]
