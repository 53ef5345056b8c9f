"""Does what really runs agree with what should run, and if not, what is to be done?

The reconciler itself changes nothing on the host that an operation might be changing: what
belongs to a resource it asks of an operation, which waits its turn. Only what belongs to no
living resource it removes with its own hands.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import Connection, select

from carrel.core.actors import system
from carrel.core.clock import monotonic
from carrel.core.queue import Queue, WorkItem
from carrel.runtime.ports import State
from carrel.workspaces.rules import FAILURE_WORDS, Operation, Power, Resource, ResourceKind
from carrel.workspaces.rules.drift import Drift
from carrel.workspaces.service import Workspaces
from carrel.workspaces.store import (
    active_operations,
    find_any_resource,
    find_operation,
    find_resource,
    latest_operation_id,
    list_resources,
    serialise,
)
from carrel.workspaces.store.drift import list_drift, remove_drift, write_drift
from carrel.workspaces.tables import operations, resources

log = structlog.get_logger()

K = ResourceKind
PATIENCE_SECONDS = 60.0
"""After an operation of the reconciler failed, the same is not asked for again for so long."""
GRACE_SECONDS = 900.0
"""How long a workspace that the database does not know may stay: probes make such ones."""


_SHOULD = {
    "repair": ("host", "prepared on the host", "not there"),
    "start": ("sandbox", "running", "not running"),
    "clear_up": ("sandbox", "running", "ended by itself"),
    "stop": ("sandbox", "stopped", "running"),
}
"""By what is to be done: the aspect, what should be, and what is."""

_STRANGER = ("stranger", "nothing", "on the host, and of no resource here")


class Deed(StrEnum):
    """What is to be done about a difference; the values are the operations' actions."""

    REPAIR = "repair"
    START = "start"
    STOP = "stop"
    CLEAR_UP = "clear_up"


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that is not as it should be."""

    resource: Resource
    deed: Deed


def should_run(resource: Resource, by_id: Mapping[str, Resource]) -> bool:
    """Whether a user resource should run: wished, and everything above it enabled."""
    above = [by_id.get(each or "") for each in (resource.workspace_id, resource.parent_id)]
    return (
        resource.is_deployed
        and resource.is_enabled
        and resource.wants_running
        and all(each is not None and each.is_enabled for each in above)
    )


def differences(
    living: Sequence[Resource], running: Mapping[str, Sequence[str]], busy: frozenset[str]
) -> Iterator[Difference]:
    """Compare what should run with what does, leaving out workspaces with work in flight.

    A sandbox that should run and does not is given as START; whether it ended by itself is
    for the caller to see.
    """
    by_id = {each.id: each for each in living}
    for each in living:
        workspace_id = each.workspace_id or ""
        if workspace_id in busy:
            continue
        is_here = workspace_id in running
        if each.kind is K.WORKSPACE and each.is_deployed and each.is_enabled and not is_here:
            yield Difference(each, Deed.REPAIR)
        if each.kind is not K.USER_RESOURCE:
            continue
        runs, wanted = each.id in running.get(workspace_id, ()), should_run(each, by_id)
        if wanted and not runs and is_here:
            yield Difference(each, Deed.START)
        if not wanted and (runs or each.power is Power.RUNNING):
            yield Difference(each, Deed.STOP)


class Reconciler:
    """Looks at the host and the database, and asks for what is missing."""

    def __init__(self, workspaces: Workspaces, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._room = workspaces
        self._actor = system("reconciler")
        self._grace_seconds = grace_seconds
        self._strangers: dict[str, float] = {}

    def reconcile(self) -> int:
        """Look once; returns how many differences were found.

        Raises `Unavailable` if the host or the database does not answer.
        """
        looked_at = self._room.clock.now()
        running = self._room.runtime.running()
        with self._room.database.read() as connection:
            living = list_resources(connection)
            busy = frozenset(
                str(each)
                for each in connection.execute(
                    select(operations.c.workspace_id).where(~operations.c.is_final)
                ).scalars()
            )
        seen = [
            drift
            for each in differences(living, running, busy)
            if (drift := self._settle(each, looked_at))
        ]
        seen += self._remove_strangers(running, living, busy)
        self._remember(seen, busy)
        return len(seen)

    def take_lost_access(self, item: WorkItem, queue: Queue) -> None:
        """Stop what an account has running where it is no member any more."""
        account_id = item.payload["account"]
        with self._room.database.read() as connection:
            mine = list_resources(connection, resources.c.owner_id == account_id)
        members = {
            each: {member.account_id for member in self._room.people.members_for_system(each)}
            for each in {resource.workspace_id or "" for resource in mine}
        }
        lost = [each for each in mine if account_id not in members[each.workspace_id or ""]]
        with queue.fenced(item) as connection:
            serialise(connection)
            for each in lost:
                if each.wants_running or each.power is Power.RUNNING:
                    self._room.begin_action(connection, self._actor, each, Deed.STOP)
            queue.complete(connection, item)

    # ------------------------------------------------------------------------------------------

    def _settle(self, difference: Difference, looked_at: datetime) -> Drift | None:
        """Ask for what is to be done; returns what to tell of it, None if all is well after all."""
        resource, deed = difference.resource, difference.deed
        if self._has_moved_since(resource, looked_at):
            return None
        if deed is Deed.START:
            state = self._room.runtime.state(resource.workspace_id or "", resource.id)
            if state is State.RUNNING:
                return None
            deed = Deed.CLEAR_UP if state is State.EXITED else Deed.START
        done = "Nothing yet: something else is changing it, or the last try has just failed."
        with self._room.changing() as connection:
            if self._is_still_so(connection, resource, deed):
                log.info("reconciled", resource=resource.id, deed=deed)
                operation = self._room.begin_action(connection, self._actor, resource, deed)
                done = f"Asked for {deed.replace('_', ' ')} (operation {operation.id})."
        return self._drift(resource.id, resource.workspace_id, _SHOULD[deed], done)

    def _has_moved_since(self, resource: Resource, looked_at: datetime) -> bool:
        """Whether an operation ended after the look at the host: then that look tells nothing."""
        with self._room.database.read() as connection:
            latest = find_operation(connection, latest_operation_id(connection, resource.id))
        return latest is not None and latest.updated_at > looked_at

    def _drift(
        self, resource_id: str, workspace_id: str | None, how: tuple[str, str, str], done: str
    ) -> Drift:
        now = self._room.clock.now()
        return Drift(resource_id, workspace_id, *how, since=now, last_seen=now, what_was_done=done)

    def _remember(self, seen: Sequence[Drift], busy: frozenset[str]) -> None:
        """Keep what was seen, and forget what is gone; what is being worked on stays."""
        keys = {(each.resource_id, each.aspect) for each in seen}
        with self._room.database.read() as connection:
            known = list_drift(connection)
        gone = [
            each
            for each in known
            if (each.resource_id, each.aspect) not in keys and each.workspace_id not in busy
        ]
        if seen or gone:
            with self._room.database.write() as connection:
                write_drift(connection, seen)
                remove_drift(connection, gone)

    def _is_still_so(self, connection: Connection, seen: Resource, deed: Deed) -> bool:
        """Whether nothing was changed or begun since, and the same did not just fail."""
        now = find_resource(connection, seen.id)
        if now is None or connection.execute(active_operations(now).limit(1)).first():
            return False
        is_same = (now.wants_running, now.is_enabled, now.power) == (
            seen.wants_running,
            seen.is_enabled,
            seen.power,
        )
        latest = find_operation(connection, latest_operation_id(connection, seen.id))
        return is_same and not _has_just_failed(latest, deed, self._room.clock.now())

    def _remove_strangers(
        self,
        running: Mapping[str, Sequence[str]],
        living: Sequence[Resource],
        busy: frozenset[str],
    ) -> list[Drift]:
        """Remove what runs for no living resource; returns what was found."""
        alive = {each.id for each in living}
        found: list[Drift] = []
        for workspace_id, sandboxes in running.items():
            if workspace_id in busy:
                continue
            if workspace_id not in alive:
                found.append(self._remove_workspace(workspace_id))
                continue
            for sandbox_id in set(sandboxes) - alive:
                self._room.runtime.stop(workspace_id, sandbox_id)
                self._note(workspace_id, sandbox_id)
                found.append(self._drift(sandbox_id, workspace_id, _STRANGER, "Stopped."))
        self._strangers = {each: at for each, at in self._strangers.items() if each in running}
        return found

    def _remove_workspace(self, workspace_id: str) -> Drift:
        """Remove a deleted workspace at once, an unknown one after the time of grace."""
        with self._room.database.read() as connection:
            is_known = find_any_resource(connection, workspace_id) is not None
        seen_since = self._strangers.setdefault(workspace_id, monotonic())
        left = self._grace_seconds - (monotonic() - seen_since)
        if not is_known and left > 0:
            done = f"Nothing yet: it is removed in {left:.0f} seconds."
            return self._drift(workspace_id, workspace_id, _STRANGER, done)
        self._room.runtime.remove(workspace_id)
        self._note(workspace_id, workspace_id)
        return self._drift(workspace_id, workspace_id, _STRANGER, "Removed.")

    def _note(self, workspace_id: str, subject: str) -> None:
        log.warning("stranger_removed", workspace=workspace_id, subject=subject)
        with self._room.database.write() as connection:
            self._room.audit.append(
                connection, self._actor, "stranger.removed", subject, workspace_id=workspace_id
            )


def _has_just_failed(latest: Operation | None, deed: Deed, now: datetime) -> bool:
    return (
        latest is not None
        and latest.action == deed
        and latest.status in FAILURE_WORDS
        and now - latest.updated_at < timedelta(seconds=PATIENCE_SECONDS)
    )
