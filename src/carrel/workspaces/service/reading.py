"""What may an actor see of resources, their operations and their history?"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import NotFound
from carrel.workspaces.access import (
    check_may_follow,
    check_may_see,
    may_follow,
    may_manage,
    may_see,
    not_found,
)
from carrel.workspaces.meters import UsageTotals, read_totals
from carrel.workspaces.plans import ACTIONS
from carrel.workspaces.rules import (
    HistoryEntry,
    Operation,
    Power,
    Progress,
    Resource,
    ResourceKind,
    check_cancel,
    check_retry,
    status_word,
    upgrades_above,
)
from carrel.workspaces.service.base import OPERATION
from carrel.workspaces.service.changes import Changes
from carrel.workspaces.store import (
    change_operation,
    change_resource,
    change_step,
    find_any_resource,
    find_operation,
    find_resource,
    latest_operation_id,
    list_history,
    list_operations,
    list_resources,
)
from carrel.workspaces.tables import operations, resources

Upgrades = Sequence[tuple[str, bool]]
"""Pairs `(version, needs force)`, those without force first."""
K = ResourceKind


class Reading(Changes):
    """Use cases that show resources and steer operations."""

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
            check_may_see(actor, self._workspace(connection, workspace_id))
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
            check_may_see(actor, self._workspace(connection, workspace_id))
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

    # Operations ------------------------------------------------------------------------------

    def get_operation(
        self, actor: Actor, operation_id: str, *, resource_id: str | None = None
    ) -> Operation:
        """Return an operation, also of a deleted resource.

        Raises `NotFound` unless the actor asked for it or may follow its resource, and unless
        it is an operation of `resource_id`, where that is given.
        """
        with self.database.read() as connection:
            return self._operation(connection, actor, operation_id, resource_id)

    def list_operations(self, actor: Actor, resource_id: str) -> Sequence[Operation]:
        """Return the operations of a living resource, oldest first. Raises `NotFound`."""
        with self.database.read() as connection:
            check_may_follow(actor, find_resource(connection, resource_id))
            return list_operations(connection, operations.c.resource_id == resource_id)

    def list_running_operations(self, actor: Actor) -> Sequence[Operation]:
        """Return the actor's own operations that have not ended, oldest first."""
        with self.database.read() as connection:
            return list_operations(
                connection, operations.c.user_id == actor.id, ~operations.c.is_final
            )

    def cancel_operation(self, actor: Actor, operation_id: str) -> Operation:
        """Stop an operation between two steps; what it had made is removed.

        May be called twice. Raises `IllegalTransition` if it is too late for that.
        """
        with self.changing() as connection:
            operation = self._operation(connection, actor, operation_id)
            if operation.was_cancelled:
                return operation
            check_cancel(operation)
            resource = find_resource(connection, operation.resource_id)
            if resource is None:
                raise not_found()
            self.note(
                connection,
                actor,
                resource,
                "cancel_requested",
                requested=operation.action,
                operation=operation.id,
            )
            now = self.clock.now()
            change_operation(connection, operation.id, cancel_requested=True, updated_at=now)
            if operation.progress is Progress.WAITING:
                self._end_unstarted(connection, operation, actor)
            self.queue.hasten(connection, OPERATION, resource.id)
            return replace(self._operation(connection, actor, operation_id), was_cancelled=True)

    def retry_operation(self, actor: Actor, operation_id: str) -> Operation:
        """Try a failed operation again from its first step.

        Raises `IllegalTransition` unless it failed and nothing newer was done since.
        """
        with self.changing() as connection:
            operation = self._operation(connection, actor, operation_id)
            resource = find_resource(connection, operation.resource_id, is_locked=True)
            if resource is None or not may_manage(actor, resource):
                raise not_found()
            check_retry(operation, latest_operation_id(connection, resource.id))
            now = self.clock.now()
            again: dict[str, object] = {"progress": Progress.WAITING, "message": ""}
            change_operation(
                connection,
                operation.id,
                **again,
                updated_at=now,
                is_final=False,
                cancel_requested=False,
            )
            for step in operation.steps:
                change_step(
                    connection, operation.id, step.position, **again, attempts=0, updated_at=now
                )
            word = status_word(operation.action, Progress.WAITING)
            wants_running = resource.wants_running or operation.action in {"install", "start"}
            if resource.kind is K.USER_RESOURCE:
                change_resource(connection, resource.id, wants_running=wants_running)
            change_resource(connection, resource.id, status=word)
            self.queue.put(connection, OPERATION, resource.id, {"operation": operation.id})
            self.note(connection, actor, resource, "retry_requested", operation=operation.id)
            return self._operation(connection, actor, operation_id)

    def _end_unstarted(self, connection: Connection, operation: Operation, actor: Actor) -> None:
        """End an operation that no worker has begun; its work item finds it ended."""
        message = f"Cancelled by {actor.name} before it began."
        change_operation(
            connection,
            operation.id,
            progress=Progress.FAILED,
            is_final=True,
            message=message,
        )
        values: dict[str, object] = {"status": status_word(operation.action, Progress.FAILED)}
        if operation.action in ACTIONS:
            found = find_resource(connection, operation.resource_id)
            values["wants_running"] = found is not None and found.power is Power.RUNNING
        change_resource(connection, operation.resource_id, **values)

    def _operation(
        self,
        connection: Connection,
        actor: Actor,
        operation_id: str,
        resource_id: str | None = None,
    ) -> Operation:
        found = find_operation(connection, operation_id)
        if found is not None and resource_id in {None, found.resource_id}:
            resource = find_any_resource(connection, found.resource_id)
            if resource is not None and (found.user.id == actor.id or may_follow(actor, resource)):
                return found
        raise NotFound("There is no such operation, or it is not yours to see.")

    def _workspace(self, connection: Connection, workspace_id: str) -> Resource | None:
        found = find_resource(connection, workspace_id)
        return found if found and found.kind is K.WORKSPACE else None
