"""How does an actor follow, stop or repeat an operation?"""

from collections.abc import Sequence
from functools import cached_property

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import Denied, NotFound
from carrel.workspaces.access import (
    check_may_follow,
    check_may_see,
    may_follow,
    may_manage,
    not_found,
)
from carrel.workspaces.plans import ACTIONS
from carrel.workspaces.rules import (
    Operation,
    Power,
    Progress,
    Resource,
    ResourceKind,
    check_cancel,
    check_retry,
    status_word,
)
from carrel.workspaces.rules.drift import Drift
from carrel.workspaces.service.base import OPERATION, Room
from carrel.workspaces.store import (
    change_operation,
    change_resource,
    change_step,
    find_any_resource,
    find_operation,
    find_resource,
    latest_operation_id,
    list_operations,
)
from carrel.workspaces.store.drift import list_drift
from carrel.workspaces.streams import Streams
from carrel.workspaces.tables import drift, operations

K = ResourceKind


class Operations(Room):
    """Use cases that show and steer operations."""

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

    @cached_property
    def streams(self) -> Streams:
        """Who follows operations in this process."""
        return Streams(self.database)

    def list_drift(self, actor: Actor) -> Sequence[Drift]:
        """Return what is not as it should be, the oldest first. Administrators only."""
        if not actor.is_admin:
            raise Denied("The list of differences is for TRE administrators; ask one of them.")
        with self.database.read() as connection:
            return list_drift(connection)

    def drift_of(self, actor: Actor, resource: Resource) -> Sequence[Drift]:
        """Return what of a resource is not as it should be. Raises `NotFound`."""
        check_may_see(actor, resource)
        with self.database.read() as connection:
            return list_drift(connection, drift.c.resource_id == resource.id)

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
            change_operation(
                connection,
                operation.id,
                cancel_requested=True,
                cancelled_by=actor.name,
                updated_at=now,
            )
            if operation.progress is Progress.WAITING:
                self._end_unstarted(connection, operation, actor)
            self.queue.hasten(connection, OPERATION, resource.id)
            return self._operation(connection, actor, operation_id)

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
                cancelled_by=None,
                started_at=None,
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
