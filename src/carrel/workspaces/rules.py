"""What are templates, resources and operations, and which changes may they go through?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from carrel.core.errors import IllegalTransition, InvalidRequest
from carrel.runtime.ports import Level

PACKAGE_PORT = 81
"""Where the package gateway listens inside every open workspace."""
PROXY_PORT = 88
"""Where the egress proxy listens inside an unrestricted workspace."""
# Both below 1024: no member can bind there and answer in the name of a door that is away.
FIRST_PORT, LAST_PORT = 20_000, 29_999
"""Ports of user resources inside their workspace's namespace."""


class ResourceKind(StrEnum):
    """The four kinds of resource. The values are AzureTRE's."""

    WORKSPACE = "workspace"
    SERVICE = "workspace-service"
    USER_RESOURCE = "user-resource"
    SHARED_SERVICE = "shared-service"


class Power(StrEnum):
    """What was last seen of a user resource's sandbox."""

    NONE = ""
    """Of a kind that has no sandbox."""
    STOPPED = "stopped"
    RUNNING = "running"
    FAILED = "failed"
    """Its program ended by itself, or never answered."""


class Progress(StrEnum):
    """Where an operation, or one of its steps, stands."""

    WAITING = "waiting"
    RUNNING = "running"
    UNDOING = "undoing"
    """Of an operation: what its steps had made is being removed."""
    DONE = "done"
    FAILED = "failed"
    UNDONE = "undone"
    """Of a step: what it had made was removed."""


P = Progress
_INSTALL = ("awaiting_deployment", "deploying", "deployed", "deployment_failed")
_UPGRADE = ("awaiting_update", "updating", "updated", "updating_failed")
_UNINSTALL = ("awaiting_deletion", "deleting", "deleted", "deleting_failed")
_CUSTOM = ("awaiting_action", "invoking_action", "action_succeeded", "action_failed")
_WORDS = {"install": _INSTALL, "upgrade": _UPGRADE, "uninstall": _UNINSTALL}
_PLACE = {P.WAITING: 0, P.RUNNING: 1, P.UNDOING: 1, P.DONE: 2, P.FAILED: 3, P.UNDONE: 3}

FINAL = frozenset({P.DONE, P.FAILED})
"""An operation that stands here moves again only by `retry`."""
SUCCESS_WORDS = frozenset(words[2] for words in (_INSTALL, _UPGRADE, _UNINSTALL, _CUSTOM))
FAILURE_WORDS = frozenset(words[3] for words in (_INSTALL, _UPGRADE, _UNINSTALL, _CUSTOM))


def status_word(action: str, progress: Progress) -> str:
    """Return AzureTRE's word for an operation or step; any other action is a custom one."""
    return _WORDS.get(action, _CUSTOM)[_PLACE[progress]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who asked for a change, as remembered beside it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A workspace, workspace service, user resource or shared service."""

    id: str
    kind: ResourceKind
    template_name: str
    template_version: str
    properties: Mapping[str, Any]
    is_enabled: bool
    status: str
    """AzureTRE's deploymentStatus: the word of the last operation that touched it."""
    etag: str
    version: int
    """Grows by one with every successful change."""
    workspace_id: str | None
    """The workspace it is or belongs to; None for a shared service."""
    parent_id: str | None
    """The workspace of a service, the service of a user resource."""
    owner_id: str | None
    """The account a user resource belongs to."""
    created_at: datetime
    updated_at: datetime
    updated_by: Person
    is_deployed: bool = False
    """Whether it was ever installed with success: may have children, may be used."""
    wants_running: bool = False
    """Whether a user resource should run; the reconciler compares it with what does."""
    power: Power = Power.NONE
    port: int | None = None
    token_salt: str = ""
    """What makes the tool's token another one with each start."""
    template_parent: str = ""
    """For a user resource: the template of the service it lives in."""

    @property
    def path(self) -> str:
        """Where the resource is in the API, below `/api`."""
        match self.kind:
            case ResourceKind.WORKSPACE:
                return f"/workspaces/{self.id}"
            case ResourceKind.SERVICE:
                return f"/workspaces/{self.workspace_id}/workspace-services/{self.id}"
            case ResourceKind.USER_RESOURCE:
                service = f"/workspaces/{self.workspace_id}/workspace-services/{self.parent_id}"
                return f"{service}/user-resources/{self.id}"
            case ResourceKind.SHARED_SERVICE:
                return f"/shared-services/{self.id}"

    @property
    def display_name(self) -> str:
        """The name that people gave it."""
        return str(self.properties.get("display_name", self.id))


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """The state of a resource before one successful change."""

    resource_id: str
    version: int
    properties: Mapping[str, Any]
    is_enabled: bool
    template_version: str
    updated_at: datetime
    updated_by: Person


@dataclass(frozen=True, slots=True)
class Step:
    """One part of an operation, in its order."""

    id: str
    name: str
    """Key of what the step does (`steps.STEPS`)."""
    title: str
    resource_id: str
    status: str
    message: str
    updated_at: datetime
    progress: Progress
    position: int = 0
    attempts: int = 0
    """How often it was tried so far, where a retry may help."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One asynchronous change of a resource."""

    id: str
    resource_id: str
    resource_path: str
    resource_version: int
    workspace_id: str | None
    action: str
    status: str
    message: str
    steps: Sequence[Step]
    created_at: datetime
    updated_at: datetime
    user: Person
    progress: Progress
    was_cancelled: bool = False
    """Whether somebody asked for it to be cancelled."""
    number: int = 0
    """Grows with every operation of the TRE: the order in which a tree takes them."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.progress in FINAL

    @property
    def has_succeeded(self) -> bool:
        """Whether it ended as wished."""
        return self.progress is P.DONE

    @property
    def can_cancel(self) -> bool:
        """Whether `cancel_operation` would be accepted now."""
        return (self.action, self.progress) in _CANCELLABLE and not self.was_cancelled

    @property
    def can_retry(self) -> bool:
        """Whether `retry_operation` would be accepted now."""
        return self.progress is P.FAILED


START_ACTIONS = ("start", "restart")
"""Custom actions that end with a running sandbox."""
KNOWN_ACTIONS = frozenset({*START_ACTIONS, "stop"})
"""Custom actions that a bundle may offer."""
_CANCELLABLE = {
    *((action, P.WAITING) for action in ("install", "uninstall", *START_ACTIONS, "stop")),
    *((action, P.RUNNING) for action in ("install", *START_ACTIONS)),
}


def check_cancel(operation: Operation) -> None:
    """Raise `IllegalTransition` unless the operation can still be cancelled."""
    if operation.is_final:
        raise IllegalTransition("This operation has ended; there is nothing left to cancel.")
    if not operation.can_cancel:
        raise IllegalTransition(
            f"This {operation.action} cannot be cancelled any more. Wait until it has ended, "
            "then undo it by the opposite change."
        )


def check_retry(operation: Operation, latest_id: str) -> None:
    """Raise `IllegalTransition` unless the operation failed and is its resource's latest."""
    if not operation.can_retry:
        raise IllegalTransition("Only an operation that failed can be tried again.")
    if operation.id != latest_id:
        raise IllegalTransition(
            "Something newer was done to this resource. Start the change again instead."
        )


@dataclass(frozen=True, slots=True)
class TemplateAction:
    """A named change that a template offers."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class RuntimeNeeds:
    """What a template's resources need of a driver."""

    driver: str = "local"
    image: str | None = None
    command: Sequence[str] = ()
    prefix_style: Literal["keep", "strip"] = "keep"
    limits: Mapping[str, str] = field(default_factory=dict)
    """Which property gives which limit: `memory_gib`, `cpus`, `disk_gib`, `processes`."""
    start_seconds: int = 60
    """How long the program may take until its port answers."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a workspace template allows its members."""

    network: Literal["none", "egress-proxy"] = "none"
    package_gateway: bool = True
    downloads: bool = False
    clipboard: bool = False
    airlock: bool = True
    may_hold_sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A named, versioned recipe for one kind of resource."""

    kind: ResourceKind
    name: str
    version: str
    parent: str | None
    """For a user resource: the template of the service that it lives in."""
    title: str
    description: str
    overview: str
    """Markdown for the people who choose it."""
    schema: Mapping[str, Any]
    """JSON Schema of the properties, the kind's default properties included."""
    level: Level
    """The least level of isolation the host must give."""
    isolation: frozenset[str]
    runtime: RuntimeNeeds | None
    policy: Policy
    actions: Sequence[TemplateAction]
    authorized_roles: Sequence[str] = ()
    """Empty means everybody who may create this kind."""
    is_current: bool = True

    @property
    def action_names(self) -> frozenset[str]:
        """The custom actions that may be invoked."""
        return frozenset(action.name for action in self.actions)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gateway finds a running user resource, and what it must close there."""

    resource_id: str
    workspace_id: str
    owner_id: str
    uid: int
    """The owner as the host knows them: whose listener it must be."""
    port: int
    prefix_style: Literal["keep", "strip"]
    token: str
    """The gateway sends it as `Authorization: token …`; nobody else in the namespace knows it."""
    downloads_allowed: bool
    clipboard_allowed: bool
    title: str


@dataclass(frozen=True, slots=True)
class OpenWorkspace:
    """A workspace whose doors should stand open."""

    id: str
    name: str
    package_gateway: bool
    egress_proxy: bool


@dataclass(frozen=True, slots=True)
class WorkspacePolicy:
    """What holds for everybody in one workspace."""

    restricted: bool
    downloads: bool
    clipboard: bool
    airlock_enabled: bool
    may_hold_sensitive: bool


def workspace_policy(policy: Policy) -> WorkspacePolicy:
    """Return what a workspace's template means for everybody in it."""
    return WorkspacePolicy(
        restricted=policy.network == "none",
        downloads=policy.downloads,
        clipboard=policy.clipboard,
        airlock_enabled=policy.airlock,
        may_hold_sensitive=policy.may_hold_sensitive,
    )


_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def parse_version(text: str) -> tuple[int, int, int]:
    """Return `(major, minor, patch)`. Raises `InvalidRequest` for anything else."""
    if (match := _VERSION.fullmatch(text)) is None:
        raise InvalidRequest(
            f"{text!r} is not a version. Write three numbers, for instance 1.0.2.",
            field="templateVersion",
        )
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def check_version_change(old: str, new: str, *, is_forced: bool) -> None:
    """Raise `InvalidRequest` for a downgrade or a major upgrade, unless forced."""
    before, after = parse_version(old), parse_version(new)
    if is_forced or before == after:
        return
    if after < before:
        problem = "downgrade"
    elif after[0] > before[0]:
        problem = "major version upgrade"
    else:
        return
    raise InvalidRequest(
        f"Attempt to upgrade from {old} to {new} denied. {problem} is not allowed. "
        "Read the template's notes, then force the change if it is what you want.",
        field="templateVersion",
    )


def upgrades_above(own: str, versions: Sequence[str]) -> Sequence[tuple[str, bool]]:
    """Return pairs `(higher version, needs force)`, those without force first.

    Crossing a major version needs force.
    """
    mine = parse_version(own)
    higher = [each for each in versions if parse_version(each) > mine]
    pairs = [(each, parse_version(each)[0] > mine[0]) for each in higher]
    return sorted(pairs, key=lambda pair: pair[1])
