"""What do pages say about a resource: its state, its address, what can be done with it?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carrel.core.actors import Actor
from carrel.runtime.ports import SelfTest
from carrel.workspaces.access import may_manage, may_open
from carrel.workspaces.rules import Operation, Power, Resource, ResourceKind, Template

UNDER_WAY = frozenset(
    {
        *("awaiting_deployment", "awaiting_update", "awaiting_deletion", "awaiting_action"),
        *("deploying", "updating", "deleting", "invoking_action"),
    }
)
"""Statuses in which an operation waits or runs."""

KIND_NAMES = {
    ResourceKind.WORKSPACE: "workspace",
    ResourceKind.SERVICE: "workspace service",
    ResourceKind.USER_RESOURCE: "user resource",
    ResourceKind.SHARED_SERVICE: "shared service",
}
ACTION_TITLES = {
    "install": ("Creating", "Created"),
    "upgrade": ("Changing", "Changed"),
    "uninstall": ("Deleting", "Deleted"),
    "start": ("Starting", "Started"),
    "stop": ("Stopping", "Stopped"),
    "restart": ("Restarting", "Restarted"),
}


def is_busy(resource: Resource) -> bool:
    """Whether an operation on the resource waits or runs."""
    return resource.status in UNDER_WAY


def state_of(resource: Resource) -> str:
    """Return the one state that people want to know, as a key of the portal's looks."""
    if is_busy(resource) or resource.status.endswith("_failed"):
        return resource.status
    if not resource.is_enabled:
        return "disabled"
    return resource.power.value if resource.power is not Power.NONE else resource.status


def page_of(resource: Resource) -> str:
    """Return the path of the page that shows the resource."""
    if resource.kind is ResourceKind.WORKSPACE:
        return f"/workspaces/{resource.id}"
    return f"/resources/{resource.id}"


@dataclass(frozen=True, slots=True)
class Button:
    """One change that a person may ask for now."""

    action: str
    """As in the template, or `open`."""
    title: str
    is_main: bool = False


def buttons_of(actor: Actor, resource: Resource, template: Template) -> Sequence[Button]:
    """Return the changes that make sense now, and that the actor may ask for."""
    if is_busy(resource) or not resource.is_enabled or not resource.is_deployed:
        return []
    buttons = []
    if resource.power is Power.RUNNING and may_open(actor, resource):
        buttons.append(Button("open", "Open", is_main=True))
    if may_manage(actor, resource):
        is_running = resource.power is Power.RUNNING
        wanted = ("stop", "restart") if is_running else ("start",)
        buttons += [
            Button(name, name.capitalize(), is_main=name == "start")
            for name in wanted
            if name in template.action_names
        ]
    return buttons


@dataclass(frozen=True, slots=True)
class Row:
    """One resource in a list."""

    resource: Resource
    state: str
    is_busy: bool
    buttons: Sequence[Button]
    owner: str = ""


def row_of(actor: Actor, resource: Resource, template: Template, owner: str = "") -> Row:
    """Return a resource as one row of a list."""
    buttons = buttons_of(actor, resource, template)
    return Row(resource, state_of(resource), is_busy(resource), buttons, owner)


def can_add_to(actor: Actor, service: Resource) -> bool:
    """Whether the actor could make a user resource in this service now."""
    is_ready = service.is_enabled and service.is_deployed
    is_service = service.kind is ResourceKind.SERVICE
    return is_service and is_ready and actor.is_member(service.workspace_id or "")


_SHOWN_ELSEWHERE = frozenset(
    {"display_name", "description", "overview", "workspace_owner_object_id"}
)


def facts_of(resource: Resource, template: Template) -> Sequence[tuple[str, Any]]:
    """Return the properties with their titles, for reading."""
    rules = template.schema.get("properties", {})
    return [
        (str(rules[name].get("title", name)), value)
        for name, value in resource.properties.items()
        if name in rules and name not in _SHOWN_ELSEWHERE and value not in ("", None)
    ]


@dataclass(frozen=True, slots=True)
class HostLine:
    """One isolation word that a template needs, and whether this host gives it."""

    word: str
    title: str
    is_given: bool
    evidence: str


_WORDS = {
    "network:none": "No network interface: everything goes through the doors",
    "syscalls:filtered": "System calls filtered",
    "privileges:none": "No privileges",
    "member:uid": "An identity of its own for every member",
    "limits:enforced": "Limits of memory and processors",
    "disk:quota": "Disk quota",
    "kernel:masked": "Kernel settings hidden",
}


def isolation_title(word: str) -> str:
    """Return an isolation word in plain words."""
    return _WORDS.get(word, word)


def host_lines(template: Template, host: SelfTest) -> Sequence[HostLine]:
    """Return what the template needs of the host, line by line, in the order of importance."""
    seen = {check.enforces: check.evidence for check in host.checks}
    order = list(_WORDS)
    words = sorted(template.isolation, key=lambda w: order.index(w) if w in order else 99)
    return [
        HostLine(word, isolation_title(word), word in host.enforces, seen.get(word, ""))
        for word in words
    ]


def is_possible(template: Template, host: SelfTest) -> bool:
    """Whether this host gives everything that the template needs, its driver too."""
    return (
        not template.missing_driver
        and template.isolation <= host.enforces
        and host.level <= template.level
    )


def operation_title(operation: Operation, resource: Resource | None) -> str:
    """Return what the operation does, as a heading."""
    doing, done = ACTION_TITLES.get(operation.action, ("Working on", "Finished with"))
    name = resource.display_name if resource else "a resource that is gone"
    return f"{done if operation.has_succeeded else doing} {name}"
