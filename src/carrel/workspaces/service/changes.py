"""How does a resource change: its properties, whether it is enabled, and its end?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.errors import BadRequest, Conflict, InvalidRequest
from carrel.workspaces.access import check_may_manage
from carrel.workspaces.events import ResourceStopped
from carrel.workspaces.plans import (
    plan_action,
    plan_disable,
    plan_uninstall,
    plan_upgrade,
)
from carrel.workspaces.rules import (
    START_ACTIONS,
    Operation,
    Power,
    Resource,
    ResourceKind,
    check_version_change,
)
from carrel.workspaces.schemas import check_values
from carrel.workspaces.service.base import Room
from carrel.workspaces.service.choosing import check_choice
from carrel.workspaces.service.creation import Made, free_name
from carrel.workspaces.service.merging import Change, merge
from carrel.workspaces.service.rehearsal import REHEARSAL, PlannedChange
from carrel.workspaces.store import (
    active_operations,
    change_resource,
    change_version,
    find_operation,
    find_resource,
    list_descendants,
    person,
    write_secrets,
)
from carrel.workspaces.tables import operations

ANY_ETAG = "*"


class StillEnabled(BadRequest, Conflict):
    """Only what is disabled, with everything below it, can be deleted."""


class UnknownAction(BadRequest, InvalidRequest):
    """The template offers no such action."""


class Changes(Room):
    """Use cases that change or end resources."""

    def update(  # noqa: PLR0913 - each is one independent part of a patch
        self,
        actor: Actor,
        resource_id: str,
        *,
        etag: str,
        properties: Mapping[str, Any] | None = None,
        is_enabled: bool | None = None,
        template_version: str | None = None,
        is_forced: bool = False,
    ) -> Made:
        """Change a resource; what is None stays.

        `etag` is that of the state the change was made from, or `*`. Disabling goes down to
        everything below and stops it; enabling does not. `is_forced` allows a major upgrade or
        a downgrade of the template. The former state goes into the history.

        Raises `Conflict` if the etag is stale, `InvalidRequest` naming the property.
        """
        check_values(properties or {})
        with self.changing() as connection:
            old = self._for_change(connection, actor, resource_id)
            if etag not in {old.etag, ANY_ETAG}:
                raise Conflict(
                    "This document has been modified by another user or process since you last "
                    "retrieved it. Please get the document again and retry."
                )
            version = template_version or old.template_version
            check_version_change(old.template_version, version, is_forced=is_forced)
            new = replace(
                old,
                template_version=version,
                is_enabled=old.is_enabled if is_enabled is None else is_enabled,
                updated_by=person(actor),
            )
            self._check_parents_enabled(connection, old, new)
            self._check_version(connection, actor, old, new)
            below = list_descendants(connection, old)
            change = merge(self, connection, old, new, properties)
            new = replace(new, properties=change.shown)
            steps = self._plan(old, new, below)
            self._foresee(old, new, below, change)
            saved = self._save(connection, old, new, change)
            if old.is_enabled and not new.is_enabled:
                self._disable(connection, actor, saved, below)
            operation = self.begin(connection, actor, saved, "upgrade", steps)
            self.note(
                connection,
                actor,
                saved,
                _verb(old, new),
                changed=change.names(old),
                version=saved.version,
                operation=operation.id,
            )
            return self._again(connection, saved.id), operation

    def delete(self, actor: Actor, resource_id: str) -> Operation:
        """End a resource and everything below it, as one operation with a step for each.

        Raises `StillEnabled` unless it and everything below it is disabled.
        """
        with self.changing() as connection:
            resource = self._for_change(connection, actor, resource_id)
            below = list_descendants(connection, resource)
            if resource.is_enabled or any(each.is_enabled for each in below):
                raise StillEnabled(
                    f"{_DISABLE_FIRST[resource.kind]}, with everything in it. Disable "
                    f"{resource.display_name}, then delete it."
                )
            if running := self._in_flight(connection, resource, "uninstall"):
                return running
            self.warn(_LOST[resource.kind])
            steps = plan_uninstall(resource, below)
            operation = self.begin(connection, actor, resource, "uninstall", steps)
            self.note(
                connection,
                actor,
                resource,
                "deletion_requested",
                operation=operation.id,
                below=[each.id for each in below],
            )
            return operation

    def invoke_action(self, actor: Actor, resource_id: str, action: str) -> Operation:
        """Start, stop or restart a user resource, or do what else its template offers.

        Asked for again while it is under way, it returns the operation that runs. Raises
        `InvalidRequest` if the template has no such action, `Conflict` if it is not enabled or
        its driver cannot do it.
        """
        with self.changing() as connection:
            resource = self._for_change(connection, actor, resource_id)
            offered = self.catalogue.of(connection, resource).action_names
            if action not in offered:
                raise UnknownAction(
                    f"{resource.display_name} has no action {action!r}. "
                    f"It has: {', '.join(sorted(offered)) or 'none'}.",
                    field="action",
                )
            self._check_usable(resource)
            if running := self._in_flight(connection, resource, action):
                return running
            return self.begin_action(connection, actor, resource, action)

    def begin_action(
        self, connection: Connection, actor: Actor, resource: Resource, action: str
    ) -> Operation:
        """Begin an action that was found allowed, for people and for the reconciler."""
        driver = self.catalogue.of(connection, resource).driver
        steps = plan_action(resource, action, driver=driver)
        wants_running = action in START_ACTIONS
        if resource.kind is ResourceKind.USER_RESOURCE and driver == "local":
            change_resource(connection, resource.id, wants_running=wants_running)
            if not wants_running:
                self._announce_stop(connection, resource)
        operation = self.begin(connection, actor, resource, action, steps)
        self.note(
            connection,
            actor,
            resource,
            "action_requested",
            requested=action,
            operation=operation.id,
        )
        return operation

    # -------------------------------------------------------------------------------------

    def _for_change(self, connection: Connection, actor: Actor, resource_id: str) -> Resource:
        found = find_resource(connection, resource_id, is_locked=True)
        return check_may_manage(actor, found)

    def _check_version(
        self, connection: Connection, actor: Actor, old: Resource, new: Resource
    ) -> None:
        """Raise `Denied` unless the actor may choose the version that the resource would have."""
        if new.template_version == old.template_version:
            return
        target = self.catalogue.find(
            connection, new.kind, new.template_parent, new.template_name, new.template_version
        )
        if target is not None:
            inside = None if new.kind is ResourceKind.WORKSPACE else new.workspace_id
            check_choice(connection, actor, target, inside)

    def _check_parents_enabled(self, connection: Connection, old: Resource, new: Resource) -> None:
        if old.is_enabled or not new.is_enabled:
            return
        for parent_id in (old.workspace_id, old.parent_id):
            parent = find_resource(connection, parent_id) if parent_id else None
            if parent and parent.id != old.id and not parent.is_enabled:
                raise Conflict(f"{parent.display_name} is disabled. Enable it first.")

    def _plan(self, old: Resource, new: Resource, below: Sequence[Resource]) -> Sequence[Any]:
        if old.is_enabled and not new.is_enabled:
            return plan_disable(old, below)
        return plan_upgrade(
            new,
            was_enabled=old.is_enabled,
            has_new_template=new.template_version != old.template_version,
        )

    def _save(
        self,
        connection: Connection,
        old: Resource,
        new: Resource,
        change: Change | None = None,
    ) -> Resource:
        saved = change_version(connection, old, replace(new, updated_at=self.clock.now()))
        if change and change.secrets is not None:
            write_secrets(connection, self.keys, saved.id, change.secrets)
        change_resource(connection, saved.id, unique_name=free_name(connection, saved))
        return saved

    def _foresee(
        self, old: Resource, new: Resource, below: Sequence[Resource], change: Change
    ) -> None:
        """Tell a rehearsal what differs, and what people should know before they do it."""
        if (rehearsal := REHEARSAL.get()) is None:
            return
        rehearsal.changes += change.planned(old)
        for name, before, after in (
            ("isEnabled", old.is_enabled, new.is_enabled),
            ("templateVersion", old.template_version, new.template_version),
        ):
            if before != after:
                rehearsal.changes.append(PlannedChange(name, before, after))
        running = [each for each in (*below, old) if each.power is Power.RUNNING]
        if old.is_enabled and not new.is_enabled and running:
            names = ", ".join(each.display_name for each in running)
            self.warn(f"What runs is stopped: {names}. Files stay.")
        elif old.power is Power.RUNNING and change.names(old):
            self.warn("What runs goes on as it is; a changed limit counts from the next start.")
        for name in change.dropped:
            self.warn(f"{name} is left out: the template has no place for it any more.")

    def _disable(
        self, connection: Connection, actor: Actor, resource: Resource, below: Sequence[Resource]
    ) -> None:
        for each in (*below, resource):
            if each.id != resource.id and each.is_enabled:
                self._save(
                    connection, each, replace(each, is_enabled=False, updated_by=person(actor))
                )
            if each.kind is ResourceKind.USER_RESOURCE:
                change_resource(connection, each.id, wants_running=False)
                self._announce_stop(connection, each)
        self.people.bump_access_epoch(connection)

    def _announce_stop(self, connection: Connection, resource: Resource) -> None:
        self.people.bump_access_epoch(connection)
        stopped = ResourceStopped(resource.id, resource.workspace_id or "")
        self.events.publish(connection, stopped)

    def _check_usable(self, resource: Resource) -> None:
        if not resource.is_enabled:
            raise Conflict(f"{resource.display_name} is disabled. Enable it first.")
        if not resource.is_deployed:
            raise Conflict(
                f"{resource.display_name} is not deployed. Wait for its installation, or try "
                "the failed one again."
            )

    def _in_flight(
        self, connection: Connection, resource: Resource, action: str
    ) -> Operation | None:
        """Return the newest operation of the resource if it is this action, and not ended."""
        mine = active_operations(resource).where(operations.c.resource_id == resource.id)
        newest = connection.execute(mine.order_by(operations.c.number.desc()).limit(1)).first()
        found = find_operation(connection, newest.id) if newest else None
        return found if found and found.action == action else None

    def _again(self, connection: Connection, resource_id: str) -> Resource:
        found = find_resource(connection, resource_id)
        assert found is not None
        return found


_DISABLE_FIRST = {
    ResourceKind.WORKSPACE: "The workspace needs to be disabled before you can delete it",
    ResourceKind.SERVICE: "The workspace service needs to be disabled before you can delete it",
    ResourceKind.USER_RESOURCE: "The resource needs to be disabled before you can delete it",
    ResourceKind.SHARED_SERVICE: "Shared service needs to be disabled before you can delete it",
}
_LOST = {
    ResourceKind.WORKSPACE: "Every file, home and tool in the workspace is removed for good.",
    ResourceKind.SERVICE: "Everybody's tools in it end. Files in the members' homes stay.",
    ResourceKind.USER_RESOURCE: "What runs in it ends. Files in its owner's home stay.",
    ResourceKind.SHARED_SERVICE: "No workspace can use it any more.",
}


def _verb(old: Resource, new: Resource) -> str:
    if old.is_enabled == new.is_enabled:
        return "changed"
    return "enabled" if new.is_enabled else "disabled"
