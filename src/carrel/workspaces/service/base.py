"""What do all use cases of this room share?"""

from collections.abc import Iterator, Sequence
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
from carrel.workspaces.plans import PlannedStep
from carrel.workspaces.ports import Members, WorkspaceRuntime
from carrel.workspaces.rules import (
    Operation,
    Progress,
    Resource,
    ResourceKind,
    Template,
    status_word,
)
from carrel.workspaces.store import (
    Draft,
    change_resource,
    find_resource,
    insert_operation,
    person,
    serialise,
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
        self.catalogue = Catalogue()

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a transaction in which a change is asked for; one at a time in the whole TRE."""
        with self.database.write() as connection:
            serialise(connection)
            yield connection

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
        """Ask for an operation; with no step to do it is over at once.

        The audit event is the caller's to write.
        """
        progress, message = Progress.WAITING, ""
        if not steps:
            progress, message = Progress.DONE, "Nothing had to be done on the host."
            steps = [PlannedStep("main", f"Change {resource.display_name}", resource.id)]
        change_resource(connection, resource.id, status=status_word(action, progress))
        draft = Draft(action, steps, person(actor), self.clock.now(), progress, message)
        operation = insert_operation(connection, resource, draft)
        if progress is Progress.WAITING:
            self.queue.put(connection, OPERATION, resource.id, {"operation": operation.id})
        return operation

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
