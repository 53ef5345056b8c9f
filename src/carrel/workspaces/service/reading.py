"""What may an actor see of resources and their history?"""

from collections.abc import Sequence

from carrel.core.actors import Actor
from carrel.workspaces.access import (
    check_may_follow,
    check_may_see,
    may_manage,
    may_see,
    not_found,
)
from carrel.workspaces.meters import UsageTotals, read_totals
from carrel.workspaces.rules import (
    HistoryEntry,
    Resource,
    ResourceKind,
    upgrades_above,
)
from carrel.workspaces.service.base import Room
from carrel.workspaces.store import (
    find_resource,
    list_history,
    list_resources,
)
from carrel.workspaces.tables import resources

Upgrades = Sequence[tuple[str, bool]]
"""Pairs `(version, needs force)`, those without force first."""
K = ResourceKind


class Reading(Room):
    """Use cases that show resources."""

    def list_workspaces(self, actor: Actor) -> Sequence[Resource]:
        """Return the workspaces that the actor may see, oldest first."""
        with self.database.read() as connection:
            mine = [resources.c.kind == K.WORKSPACE]
            if not (actor.is_admin or actor.is_system):
                mine.append(resources.c.id.in_(list(actor.workspace_roles)))
            found = list_resources(connection, *mine)
        return [each for each in found if may_see(actor, each)]

    def list_services(self, actor: Actor, workspace_id: str) -> Sequence[Resource]:
        """Return the services of a workspace, oldest first. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_see(actor, self.find_workspace(connection, workspace_id))
            return list_resources(
                connection,
                resources.c.workspace_id == workspace_id,
                resources.c.kind == K.SERVICE,
            )

    def list_user_resources(
        self, actor: Actor, workspace_id: str, service_id: str | None = None
    ) -> Sequence[Resource]:
        """Return the user resources that the actor may see, of one service or of all."""
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
            found = list_resources(connection, *inside)
        return [each for each in found if may_see(actor, each)]

    def list_shared_services(self, actor: Actor) -> Sequence[Resource]:
        """Return the services of the whole TRE, oldest first."""
        del actor  # everybody who is signed in may see them
        with self.database.read() as connection:
            return list_resources(connection, resources.c.kind == K.SHARED_SERVICE)

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

        Raises `NotFound` unless it is the actor's to know about, lies below the given parents,
        and is of the given kind.
        """
        with self.database.read() as connection:
            found = check_may_see(actor, find_resource(connection, resource_id))
        bound = (
            workspace_id in {None, found.workspace_id}
            and parent_id in {None, found.parent_id}
            and kind in {None, found.kind}
        )
        if not bound:
            raise not_found(found.kind)
        return found

    def may_manage(self, actor: Actor, resource: Resource) -> bool:
        """Whether the actor may change the resource: for buttons, not for decisions."""
        return may_manage(actor, resource)

    def available_upgrades(self, resource: Resource) -> Upgrades:
        """Return the registered versions above the resource's own."""
        return self.list_upgrades([resource])[0]

    def list_upgrades(self, found: Sequence[Resource]) -> Sequence[Upgrades]:
        """Return what `available_upgrades` returns, for each; one question per template."""
        templates = {(each.kind, each.template_parent, each.template_name) for each in found}
        with self.database.read() as connection:
            versions = {each: self.catalogue.list_versions(connection, *each) for each in templates}
        return [
            upgrades_above(
                each.template_version,
                versions[each.kind, each.template_parent, each.template_name],
            )
            for each in found
        ]

    def history(self, actor: Actor, resource_id: str) -> Sequence[HistoryEntry]:
        """Return the former states of a resource, oldest first. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_follow(actor, find_resource(connection, resource_id))
            return list_history(connection, resource_id)

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
