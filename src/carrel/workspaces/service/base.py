"""What do all use cases of this room share?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from carrel.core.actors import Actor
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import IsolationNotEnforced
from carrel.core.events import Events
from carrel.core.queue import Queue
from carrel.core.secrets import KeyRing
from carrel.core.settings import Settings
from carrel.runtime.ports import Level
from carrel.runtime.rules import check_enforced
from carrel.workspaces.catalogue import Catalogue
from carrel.workspaces.drivers import load_drivers
from carrel.workspaces.masking import unmasked
from carrel.workspaces.pipelines import with_pipeline
from carrel.workspaces.plans import UNDONE_ACTIONS, PlannedStep
from carrel.workspaces.ports import Members, WorkspaceRuntime
from carrel.workspaces.rules import (
    Operation,
    Power,
    Progress,
    Resource,
    ResourceKind,
    Template,
    status_word,
)
from carrel.workspaces.service.rehearsal import REHEARSAL, Plan, Rehearsal
from carrel.workspaces.store import (
    Draft,
    change_resource,
    find_any_resource,
    find_resource,
    insert_operation,
    person,
    read_secrets,
    serialise,
    set_status,
)

OPERATION = "operation"
"""Kind of the queue's items that move an operation on; the key is the resource's id."""

LOST_ACCESS = "workspaces.lost-access"
"""Kind of the items that look whether an account must lose what it has running."""

_ORDER = {Level.A: 0, Level.B: 1, Level.C: 2}


@dataclass(kw_only=True)
class Room:
    """The ground under the use cases; see `Workspaces` for the whole."""

    database: Database
    audit: Audit
    events: Events
    clock: Clock
    settings: Settings
    queue: Queue
    runtime: WorkspaceRuntime
    people: Members
    keys: KeyRing

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(load_drivers(self.settings.template_map))

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a transaction in which a change is asked for; one at a time in the whole TRE.

        Within `rehearse` it is rolled back in the end.
        """
        is_kept = REHEARSAL.get() is None
        with self.database.write() if is_kept else self.database.rehearse() as connection:
            serialise(connection)
            yield connection

    def rehearse(self, change: Callable[[], tuple[Resource, Operation] | Operation]) -> Plan:
        """Try a change out and return what it would do; nothing of it stays.

        `change` calls one use case. Raises whatever that raises.
        """
        rehearsal = Rehearsal()
        token = REHEARSAL.set(rehearsal)
        try:
            done = change()
        finally:
            REHEARSAL.reset(token)
        return rehearsal.plan(done[1] if isinstance(done, tuple) else done)

    def warn(self, sentence: str) -> None:
        """Note what people should know before they make this change; heard in a rehearsal only."""
        if rehearsal := REHEARSAL.get():
            rehearsal.warnings.append(sentence)

    def reveal(self, connection: Connection, resource: Resource) -> dict[str, Any]:
        """Return a resource's properties with its secrets, for drivers and pipelines alone.

        Nothing that people, logs, operations or the audit record see may be made of them.
        """
        return unmasked(resource.properties, read_secrets(connection, self.keys, resource.id))

    def note(
        self, connection: Connection, actor: Actor, resource: Resource, verb: str, **detail: Any
    ) -> None:
        """Append the audit event `<kind>.<verb>` about a resource."""
        self.audit.append(
            connection,
            actor,
            f"{resource.kind}.{verb}",
            resource.id,
            workspace_id=resource.workspace_id,
            **detail,
        )

    def begin(
        self,
        connection: Connection,
        actor: Actor,
        resource: Resource,
        action: str,
        steps: Sequence[PlannedStep],
    ) -> Operation:
        """Ask for an operation, with its template's pipeline; with no step it is over at once.

        The audit event is the caller's to write.
        """
        template = self.catalogue.of(connection, resource)
        steps = with_pipeline(connection, self, template, resource, action, steps)
        progress, message = Progress.WAITING, ""
        if not steps:
            progress, message = Progress.DONE, "Nothing had to be done on the host."
            steps = [PlannedStep("main", f"Change {resource.display_name}", resource.id)]
        change_resource(connection, resource.id, status=status_word(action, progress))
        limit_seconds = self.limit_seconds(template)
        now = self.clock.now()
        draft = Draft(action, steps, person(actor), now, progress, message, limit_seconds)
        operation = insert_operation(connection, resource, draft)
        if progress is Progress.WAITING:
            self.queue.put(connection, OPERATION, resource.id, {"operation": operation.id})
        return operation

    def settle_failed(self, connection: Connection, operation: Operation) -> None:
        """Let the resource show that the operation failed; what cannot run is not wanted to."""
        set_status(
            connection, operation.resource_id, status_word(operation.action, Progress.FAILED)
        )
        if operation.action in UNDONE_ACTIONS:
            found = find_any_resource(connection, operation.resource_id)
            runs = found is not None and found.power is Power.RUNNING
            change_resource(connection, operation.resource_id, wants_running=runs)

    def limit_seconds(self, template: Template) -> float:
        """Return how long one operation on a resource of this template may run."""
        own = template.runtime.operation_minutes if template.runtime else None
        return (own or self.settings.operation_minutes) * 60

    def check_isolation(self, template: Template) -> None:
        """Raise `IsolationNotEnforced`, with reason and fix, unless this host gives enough."""
        seen = self.runtime.self_test()
        check_enforced(template.isolation, seen)
        if _ORDER[seen.level] > _ORDER[template.level]:
            raise IsolationNotEnforced(
                f"The template {template.name} needs a host of level {template.level}; this one "
                f"gives level {seen.level}. `carrel status` says what is missing and how to fix "
                "it; nothing was started."
            )

    def find_workspace(self, connection: Connection, workspace_id: str) -> Resource | None:
        """Return a workspace that is not deleted; None also for what is no workspace."""
        found = find_resource(connection, workspace_id)
        return found if found and found.kind is ResourceKind.WORKSPACE else None
