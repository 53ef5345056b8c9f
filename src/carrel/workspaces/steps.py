"""What does each step of an operation do, and how is it undone?

A step has two halves. `act` works on the host, outside any transaction; it may be killed at
any point and is then called again, so it must not mind what is there already. `record` writes
what came of it, in the transaction that also completes the step. `undo` and `record_undo` are
the same for the way back.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, delete, select

from carrel.core.actors import WorkspaceRole, system
from carrel.core.clock import monotonic
from carrel.core.errors import Conflict, NotFound, OutsideFailure, Unavailable
from carrel.core.ids import new_secret
from carrel.runtime.ports import Limits, Member, SandboxPlan, State, WorkspacePlan
from carrel.workspaces.clients import client_environment
from carrel.workspaces.events import ResourceStopped, WorkspaceDeleted
from carrel.workspaces.meters import Meters
from carrel.workspaces.pipelines import changing
from carrel.workspaces.pipelines.planning import CHANGE_MAIN, CHANGE_OTHER
from carrel.workspaces.rules import (
    FIRST_PORT,
    LAST_PORT,
    PACKAGE_PORT,
    PROXY_PORT,
    Operation,
    Power,
    Resource,
    RuntimeNeeds,
    Step,
    Template,
)
from carrel.workspaces.service import Workspaces
from carrel.workspaces.store import bury_resource, change_resource, find_resource, serialise
from carrel.workspaces.tables import host_ids, resources, usage_counters

GIB = 2**30
DIAL_PAUSE_SECONDS = 0.02
STATE_PAUSE_SECONDS = 0.5


class Cancelled(Conflict):
    """Somebody cancelled the operation while a step was waiting."""

    code = "cancelled"


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step works on."""

    room: Workspaces
    meters: Meters
    resource: Resource
    """What this step is about: the operation's resource, or one below it."""
    operation: Operation
    step: Step
    is_cancelled: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda _: None
    """Show a sentence about what goes on inside a long step; not every one is shown."""
    left: list[str] = field(default_factory=list)
    """Sentences about what an undo had to leave behind."""

    @property
    def workspace_id(self) -> str:
        """The workspace that the resource is or belongs to."""
        return self.resource.workspace_id or ""


def _nothing(work: StepWork) -> str:
    del work
    return ""


def _record_nothing(connection: Connection, work: StepWork) -> None:
    del connection, work


Record = Callable[[Connection, StepWork], str | None]
"""A half that writes; the message for people that it may return counts instead of `act`'s."""


@dataclass(frozen=True, slots=True)
class StepKind:
    """One kind of step; `act` and `undo` return a message for people."""

    act: Callable[[StepWork], str] = _nothing
    record: Record = _record_nothing
    undo: Callable[[StepWork], str] = _nothing
    record_undo: Record = _record_nothing
    limit_seconds: float | None = None
    """How long one try of it may take; None for the setting `step_minutes`."""


# Workspaces -----------------------------------------------------------------------------------


def _record_ids(connection: Connection, work: StepWork) -> None:
    serialise(connection)
    work.room.reserve_id(connection, work.workspace_id, "", "")


def _release_ids(connection: Connection, work: StepWork) -> None:
    connection.execute(delete(host_ids).where(host_ids.c.workspace_id == work.workspace_id))


def _prepare(work: StepWork) -> str:
    plan = _workspace_plan(work.room, work.resource)
    work.room.runtime.prepare(plan)
    return f"{plan.disk_bytes // GIB} GiB of disk; isolated as the template asks."


def _workspace_plan(room: Workspaces, workspace: Resource) -> WorkspacePlan:
    with room.database.read() as connection:
        template = room.catalogue.of(connection, workspace)
    return WorkspacePlan(
        id=workspace.id,
        gid=room.workspace_gid(workspace.id),
        disk_bytes=int(_limit(workspace, template, "disk_gib", 10) * GIB),
        isolation=template.isolation,
    )


def _remove_new_workspace(work: StepWork) -> str:
    if work.resource.is_deployed:
        return "Left as it was."
    work.room.runtime.remove(work.workspace_id)
    return "Removed."


def _give_owner_role(work: StepWork) -> str:
    account_id = str(work.resource.properties["workspace_owner_object_id"])
    work.room.people.assign_role(
        system("worker"), work.workspace_id, account_id, WorkspaceRole.OWNER
    )
    return ""


def _forget_members(connection: Connection, work: StepWork) -> None:
    work.room.people.drop_workspace(connection, work.workspace_id)


def _remove_workspace(work: StepWork) -> str:
    work.meters.sample(work.resource)
    work.room.runtime.remove(work.workspace_id)
    return "Nothing is left."


def _record_workspace_removed(connection: Connection, work: StepWork) -> None:
    _release_ids(connection, work)
    mine = usage_counters.c.workspace_id == work.workspace_id
    connection.execute(delete(usage_counters).where(mine))
    _bury(connection, work)  # first: from here on nobody is given a role any more
    work.room.people.drop_workspace(connection, work.workspace_id)
    work.room.events.publish(connection, WorkspaceDeleted(work.workspace_id))


# User resources -------------------------------------------------------------------------------


def _reserve_member(work: StepWork) -> str:
    work.room.host_member(work.workspace_id, work.resource.owner_id or "")
    return ""


def _record_port(connection: Connection, work: StepWork) -> None:
    serialise(connection)
    mine = select(resources.c.port).where(
        resources.c.workspace_id == work.workspace_id, resources.c.port.is_not(None)
    )
    taken = set(connection.execute(mine.where(resources.c.id != work.resource.id)).scalars())
    free = next(port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in taken)
    change_resource(connection, work.resource.id, port=free)


def _release_port(connection: Connection, work: StepWork) -> None:
    change_resource(connection, work.resource.id, port=None)


def _start(work: StepWork) -> str:
    plan = sandbox_plan(work.room, _with_new_token(work))
    try:
        work.room.runtime.start(plan)
    except NotFound:  # the host was started again, and the reconciler has not come round yet
        with work.room.database.read() as connection:
            workspace = find_resource(connection, work.workspace_id)
        if workspace is None:
            raise
        work.room.runtime.prepare(_workspace_plan(work.room, workspace))
        work.room.runtime.start(plan)
    return ""


def _with_new_token(work: StepWork) -> Resource:
    """Return the resource with a token that no earlier start had; kept if it runs already."""
    if work.room.runtime.state(work.workspace_id, work.resource.id) is State.RUNNING:
        return work.resource
    salt = new_secret()
    with work.room.database.write() as connection:
        change_resource(connection, work.resource.id, token_salt=salt)
        work.room.people.bump_access_epoch(connection)  # the gateway asks for the token anew
    return replace(work.resource, token_salt=salt)


def sandbox_plan(room: Workspaces, resource: Resource) -> SandboxPlan:
    """Return what the host must run for a user resource.

    Raises `Conflict` if it may not run (any more).
    """
    workspace_id, owner_id = resource.workspace_id or "", resource.owner_id or ""
    members = room.people.members_for_system(workspace_id)
    if owner_id not in {each.account_id for each in members}:
        raise Conflict("Its owner is no member of the workspace any more.")
    with room.database.read() as connection:
        workspace = find_resource(connection, workspace_id)
        if workspace is None or not (workspace.is_enabled and resource.is_enabled):
            raise Conflict("It was disabled in the meantime.")
        outer = room.catalogue.of(connection, workspace)
        inner = room.catalogue.of(connection, resource)
    needs = inner.runtime or RuntimeNeeds()
    return SandboxPlan(
        id=resource.id,
        workspace_id=workspace_id,
        member=room.host_member(workspace_id, owner_id),
        command=list(needs.command),
        environment=_environment(room, resource, outer),
        image=needs.image,
        limits=Limits(
            memory_bytes=int(_limit(resource, inner, "memory_gib", 4) * GIB),
            cpus=_limit(resource, inner, "cpus", 2),
            processes=int(_limit(resource, inner, "processes", 512)),
        ),
        isolation=outer.isolation | inner.isolation,
    )


def _environment(room: Workspaces, resource: Resource, outer: Template) -> dict[str, str]:
    found = {
        "CARREL_TOKEN": room.keys.tool_token(resource.id, resource.token_salt),
        "CARREL_BASE_URL": f"/ws/{resource.workspace_id}/{resource.id}/",
        "CARREL_PORT": str(resource.port),
        "CARREL_DOWNLOADS": "on" if outer.policy.downloads else "off",
    }
    policy = outer.policy
    doors = client_environment(
        PACKAGE_PORT if policy.package_gateway else None,
        egress_port=PROXY_PORT if policy.network == "egress-proxy" else None,
    )
    return {**found, **doors}


def _wait_until_ready(work: StepWork) -> str:
    began = monotonic()
    deadline = began + _start_seconds(work)
    next_look = began + STATE_PAUSE_SECONDS
    member = work.room.host_member(work.workspace_id, work.resource.owner_id or "")
    _check_alive(work)
    while not _answers(work, member):
        now = monotonic()
        if now >= next_look:
            next_look = now + STATE_PAUSE_SECONDS
            _check_alive(work)
        if now >= deadline:
            raise OutsideFailure(
                f"{work.resource.display_name} did not answer within {deadline - began:.0f} "
                "seconds. Start it again; if that does not help, give it more memory."
            )
        time.sleep(DIAL_PAUSE_SECONDS)
    _check_alive(work)
    return f"It answered after {monotonic() - began:.1f} seconds."


def _answers(work: StepWork, member: Member) -> bool:
    """Say whether its owner's own program answers: others can listen on its port as well."""
    if work.resource.port is None:
        raise OutsideFailure("It has no port. Delete it and create it again.")
    try:
        port = work.resource.port
        work.room.runtime.dial(work.workspace_id, port, uid=member.uid).close()
    except Unavailable:
        return False
    return True


def _check_alive(work: StepWork) -> None:
    if work.is_cancelled():
        raise Cancelled("Cancelled.")
    if work.room.runtime.state(work.workspace_id, work.resource.id) is not State.RUNNING:
        raise OutsideFailure(
            f"{work.resource.display_name} ended before it answered. Its owner can read the end "
            "of its output; often more memory helps."
        )


def _start_seconds(work: StepWork) -> int:
    with work.room.database.read() as connection:
        needs = work.room.catalogue.of(connection, work.resource).runtime
    return (needs or RuntimeNeeds()).start_seconds


def _record_running(connection: Connection, work: StepWork) -> None:
    change_resource(connection, work.resource.id, power=Power.RUNNING)


def _record_address(connection: Connection, work: StepWork) -> None:
    found = find_resource(connection, work.resource.id, is_locked=True)
    if found is None:
        raise NotFound("It was deleted in the meantime.")
    origin = work.room.settings.gateway_url(work.workspace_id)
    address = {
        "connection_uri": f"{origin}/ws/{work.workspace_id}/{found.id}/",
        "is_exposed_externally": True,
    }
    change_resource(connection, found.id, properties={**found.properties, **address})


def _stop(work: StepWork) -> str:
    if work.meters.sample(work.resource):
        work.room.runtime.stop(work.workspace_id, work.resource.id)
        return "Stopped."
    work.room.runtime.stop(work.workspace_id, work.resource.id)
    return "It did not run."


def _record_stopped(connection: Connection, work: StepWork) -> None:
    change_resource(connection, work.resource.id, power=Power.STOPPED)
    work.room.people.bump_access_epoch(connection)
    stopped = ResourceStopped(work.resource.id, work.workspace_id)
    work.room.events.publish(connection, stopped)


def _record_failed(connection: Connection, work: StepWork) -> None:
    _record_stopped(connection, work)
    change_resource(connection, work.resource.id, power=Power.FAILED)


def _record_user_resource_removed(connection: Connection, work: StepWork) -> None:
    _record_stopped(connection, work)
    _bury(connection, work)


# All kinds ------------------------------------------------------------------------------------


def _bury(connection: Connection, work: StepWork) -> None:
    bury_resource(connection, work.resource.id, work.room.clock.now())
    if work.resource.id != work.operation.resource_id:
        work.room.note(
            connection,
            system("worker"),
            work.resource,
            "deleted",
            operation=work.operation.id,
            asked_by=work.operation.user.id,
        )


def _limit(resource: Resource, template: Template, limit: str, default: float) -> float:
    """Return a limit: the property that the template names for it, else the default."""
    name = (template.runtime.limits if template.runtime else {}).get(limit)
    value = resource.properties.get(name, default) if name else default
    return float(value)


STEPS: dict[str, StepKind] = {
    "allocate_ids": StepKind(record=_record_ids, record_undo=_release_ids),
    "prepare_workspace": StepKind(act=_prepare, undo=_remove_new_workspace),
    "give_owner_role": StepKind(act=_give_owner_role, record_undo=_forget_members),
    "open_doors": StepKind(),
    "offer_service": StepKind(),
    "allocate_port": StepKind(act=_reserve_member, record=_record_port, record_undo=_release_port),
    "start_sandbox": StepKind(act=_start, undo=_stop, record_undo=_record_stopped),
    "wait_until_ready": StepKind(
        act=_wait_until_ready, record=_record_running, undo=_stop, record_undo=_record_stopped
    ),
    "publish_address": StepKind(record=_record_address),
    "stop_sandbox": StepKind(act=_stop, record=_record_stopped),
    "clear_sandbox": StepKind(act=_stop, record=_record_failed),
    "remove_user_resource": StepKind(act=_stop, record=_record_user_resource_removed),
    "remove_service": StepKind(record=_bury),
    "remove_workspace": StepKind(act=_remove_workspace, record=_record_workspace_removed),
    CHANGE_OTHER: StepKind(record=changing.change, record_undo=changing.change_back),
    CHANGE_MAIN: StepKind(record=changing.change, record_undo=changing.change_back),
}
"""Every step that a plan may name (`plans.TITLES` has those that stand in no pipeline)."""
