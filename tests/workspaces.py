"""How do tests get the room of workspaces, with a runtime that answers and people in it?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.audit import Audit, list_events
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.events import Events
from carrel.core.queue import Queue
from carrel.core.secrets import KeyRing
from carrel.core.settings import load
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import SandboxPlan
from carrel.workspaces.meters import Meters
from carrel.workspaces.rules import Resource
from carrel.workspaces.service import Workspaces
from carrel.workspaces.worker import Worker
from tests.factories import make_actor


class AnsweringRuntime(MemoryRuntime):
    """A runtime whose sandboxes listen on their port as soon as they start."""

    def start(self, plan: SandboxPlan) -> None:
        super().start(plan)
        port = int(plan.environment.get("CARREL_PORT", "0"))
        listeners = self._workspaces[plan.workspace_id].listeners
        if port and (port not in listeners or listeners[port].fileno() == -1):
            self.listen_as(plan.workspace_id, port, plan.member.uid)

    def stop(self, workspace_id: str, sandbox_id: str, *, grace_seconds: float = 3.0) -> None:
        space = self._workspaces.get(workspace_id)
        if space and (box := space.sandboxes.get(sandbox_id)):
            port = int(box.plan.environment.get("CARREL_PORT", "0"))
            if listener := space.listeners.pop(port, None):
                listener.close()
        super().stop(workspace_id, sandbox_id, grace_seconds=grace_seconds)


@dataclass(frozen=True)
class Belonging:
    """A membership as the room reads it."""

    account_id: str
    username: str


class MemoryMembers:
    """Who belongs to which workspace, in a dictionary."""

    def __init__(self, known: Path) -> None:
        """`known` may name members in lines `workspace account`: the researchers."""
        self.roles: dict[str, dict[str, set[WorkspaceRole]]] = {}
        self.epoch = 0
        for line in known.read_text().splitlines() if known.exists() else ():
            workspace_id, account_id = line.split()
            self.roles[workspace_id] = {account_id: {WorkspaceRole.RESEARCHER}}

    def members_for_system(self, workspace_id: str) -> list[Belonging]:
        held = self.roles.get(workspace_id, {})
        return [Belonging(account, f"u{account[:8]}") for account in held]

    def assign_role(
        self, actor: Actor, workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> None:
        self.roles.setdefault(workspace_id, {}).setdefault(account_id, set()).add(role)

    def drop_workspace(self, connection: object, workspace_id: str) -> None:
        self.roles.pop(workspace_id, None)

    def bump_access_epoch(self, connection: object) -> None:
        self.epoch += 1


class House:
    """The room of workspaces on a database, with a worker that is driven by hand."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        home: Path,
        runtime: MemoryRuntime | None = None,
        *,
        lease_seconds: float = 20.0,
    ) -> None:
        self.database, self.clock = database, clock
        self.runtime = runtime or AnsweringRuntime()
        self.people = MemoryMembers(home / "members")
        self.events = Events()
        settings = load(home, lease_seconds=lease_seconds)
        self.workspaces = Workspaces(
            database=database,
            audit=Audit(clock),
            events=self.events,
            clock=clock,
            settings=settings,
            queue=Queue(database, clock, lease_seconds=settings.lease_seconds),
            runtime=self.runtime,
            people=self.people,
            keys=KeyRing(home),
        )
        self.meters = Meters(database=database, clock=clock, runtime=self.runtime)
        self.worker = Worker(self.workspaces, self.meters)
        with database.write() as connection:
            self.workspaces.sync_shipped(connection)
        self.admin = make_actor(TreRole.ADMIN, TreRole.USER)

    def close(self) -> None:
        """End the thread of streams and close every listening socket of the runtime."""
        self.workspaces.streams.close()
        for workspace_id in list(self.runtime.running()):
            MemoryRuntime.remove(self.runtime, workspace_id)

    def work(self) -> None:
        """Take every step that is due."""
        self.worker.run_until_idle()

    def person(self, workspace: Resource, *roles: WorkspaceRole) -> Actor:
        """Return a new member of a workspace."""
        made = make_actor(TreRole.USER)
        for role in roles:
            self.people.assign_role(made, workspace.id, made.id, role)
        return replace(made, workspace_roles={workspace.id: frozenset(roles)})

    def make_workspace(self, name: str = "Study", template: str = "restricted") -> Resource:
        """Return a deployed workspace that nobody owns yet."""
        properties = {"display_name": name, "workspace_owner_object_id": ""}
        made, _ = self.workspaces.create_workspace(self.admin, template, properties)
        self.work()
        return self.workspaces.get_resource(self.admin, made.id)

    def make_service(self, workspace: Resource) -> Resource:
        """Return a deployed notebooks service."""
        made, _ = self.workspaces.create_service(
            self.admin, workspace.id, "notebooks", {"display_name": "Notebooks"}
        )
        self.work()
        return self.workspaces.get_resource(self.admin, made.id)

    def make_lab(self, service: Resource, owner: Actor, **properties: Any) -> Resource:
        """Return a running JupyterLab."""
        given: Mapping[str, Any] = {"display_name": "Lab", **properties}
        made, _ = self.workspaces.create_user_resource(
            owner, service.workspace_id or "", service.id, "jupyterlab", given
        )
        self.work()
        return self.workspaces.get_resource(owner, made.id)

    def again(self, resource: Resource) -> Resource:
        """Return a resource as it is now."""
        return self.workspaces.get_resource(self.admin, resource.id)

    def disable(self, resource: Resource) -> None:
        """Disable a resource and do the work."""
        self.workspaces.update(self.admin, resource.id, etag="*", is_enabled=False)
        self.work()

    def audited(self) -> list[str]:
        """Return the actions of the audit record, in order."""
        with self.database.read() as connection:
            return [each.action for each in reversed(list_events(connection, limit=1000))]
