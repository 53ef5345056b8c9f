"""Which steps does each action of each kind of resource take, in which order? Pure tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carrel.core.errors import Conflict
from carrel.workspaces.rules import KNOWN_ACTIONS, Power, Resource, ResourceKind

K = ResourceKind


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that an operation is going to have."""

    name: str
    """Key of `steps.STEPS`."""
    title: str
    resource_id: str
    pipeline: Mapping[str, Any] | None = None
    """The step of a template's pipeline that it came from (`pipelines.step_of`), if any."""


TITLES = {
    "allocate_ids": "Reserve its ids on the host",
    "prepare_workspace": "Make its network, disk and limits",
    "give_owner_role": "Give the owner their role",
    "open_doors": "Open the doors",
    "offer_service": "Offer the service",
    "allocate_port": "Reserve its port and its member's id",
    "start_sandbox": "Start the sandbox",
    "wait_until_ready": "Wait until it answers",
    "publish_address": "Publish its address",
    "stop_sandbox": "Stop the sandbox",
    "clear_sandbox": "Clear up after its program ended by itself",
    "remove_user_resource": "Stop and remove it",
    "remove_service": "Remove it",
    "remove_workspace": "Remove its sandboxes, network, disk and files",
}
"""What people read of each step; for a step on another resource its name comes behind."""

INSTALL: dict[ResourceKind, tuple[str, ...]] = {
    K.WORKSPACE: ("allocate_ids", "prepare_workspace", "give_owner_role", "open_doors"),
    K.SERVICE: ("offer_service",),
    K.USER_RESOURCE: ("allocate_port", "start_sandbox", "wait_until_ready", "publish_address"),
    K.SHARED_SERVICE: ("offer_service",),
}
UNINSTALL: dict[ResourceKind, str] = {
    K.WORKSPACE: "remove_workspace",
    K.SERVICE: "remove_service",
    K.USER_RESOURCE: "remove_user_resource",
    K.SHARED_SERVICE: "remove_service",
}
ACTIONS: dict[str, tuple[str, ...]] = {
    "start": ("start_sandbox", "wait_until_ready"),
    "stop": ("stop_sandbox",),
    "restart": ("stop_sandbox", "start_sandbox", "wait_until_ready"),
    "repair": ("prepare_workspace",),
    "clear_up": ("clear_sandbox",),
}
"""`repair` and `clear_up` are asked for by the reconciler alone."""

UNDONE_ACTIONS = frozenset({"install", "start", "restart"})
"""Actions of which nothing may stay when they fail or are cancelled."""


def plan_install(
    resource: Resource, *, has_owner: bool = False, driver: str = "local"
) -> Sequence[PlannedStep]:
    """Return the steps that make a resource real; the driver `record` only keeps its record."""
    names = INSTALL[resource.kind]
    if driver == "record" and resource.kind is not K.WORKSPACE:
        names = ("offer_service",)
    return [_step(name, resource) for name in names if has_owner or name != "give_owner_role"]


def plan_action(resource: Resource, action: str, *, driver: str = "local") -> Sequence[PlannedStep]:
    """Return the steps of a custom action; none where there is only something to record.

    Raises `Conflict`, naming both, if the driver cannot do it.
    """
    if driver == "record":
        return []
    if action not in ACTIONS:
        known = ", ".join(sorted(KNOWN_ACTIONS))
        raise Conflict(
            f"The driver {driver or 'none'} of {resource.display_name} cannot do {action!r}; it "
            f"knows {known}. Ask an administrator to map the template to a driver that can."
        )
    return [_step(name, resource) for name in ACTIONS[action]]


def plan_uninstall(resource: Resource, descendants: Sequence[Resource]) -> Sequence[PlannedStep]:
    """Return a step per descendant (deepest first, as given), then one for the resource."""
    return [
        *(_step(UNINSTALL[each.kind], each, is_named=True) for each in descendants),
        _step(UNINSTALL[resource.kind], resource),
    ]


def plan_disable(resource: Resource, descendants: Sequence[Resource]) -> Sequence[PlannedStep]:
    """Return the steps that stop what runs in or below a resource; none if nothing does."""
    return [
        _step("stop_sandbox", each, is_named=each.id != resource.id)
        for each in (*descendants, resource)
        if each.wants_running or each.power is Power.RUNNING
    ]


def plan_upgrade(
    resource: Resource, *, was_enabled: bool, has_new_template: bool
) -> Sequence[PlannedStep]:
    """Return the steps of a change that stops nothing; none if only the record changes."""
    is_opened = resource.is_enabled and not was_enabled
    if resource.kind is K.WORKSPACE and (is_opened or has_new_template):
        return [_step("prepare_workspace", resource)]
    return []


def _step(name: str, resource: Resource, *, is_named: bool = False) -> PlannedStep:
    title = TITLES[name]
    return PlannedStep(
        name, f"{title}: {resource.display_name}" if is_named else title, resource.id
    )
