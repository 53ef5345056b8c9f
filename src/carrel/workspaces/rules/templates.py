"""What is a template, what does it allow, and which version follows which?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from carrel.core.errors import InvalidRequest
from carrel.runtime.ports import Level
from carrel.workspaces.rules.resources import ResourceKind


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
    operation_minutes: float | None = None
    """How long an operation may run; None for the setting of that name."""


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
    parameters: Sequence[str] = ()
    """Names of what its bundle wants to be given."""
    outputs: Sequence[str] = ()
    """Names of what its bundle returns; they become properties."""
    origin: Literal["carrel", "azuretre"] = "carrel"
    """Whose kind of bundle it came from."""
    driver: str = "local"
    """Carrel's driver that makes it real: `local`, `record` (keeps the record only), or "" """
    missing_driver: str = ""
    """Why nothing here can make it real, with what to do; empty if something can."""
    effects: Mapping[str, str] = field(default_factory=dict)
    """What a property is used for here, where that is not what its bundle says."""
    channel: Literal["current", "testing"] = "current"
    """`testing`: only for those who choose the version on purpose."""
    withdrawal: str = ""
    """Why nobody may make anything of this version any more; empty if people may."""

    @property
    def is_withdrawn(self) -> bool:
        """Whether nothing new may be made of it; what was made stays."""
        return bool(self.withdrawal)

    @property
    def action_names(self) -> frozenset[str]:
        """The custom actions that may be invoked."""
        return frozenset(action.name for action in self.actions)


@dataclass(frozen=True, slots=True)
class Offer:
    """A service template that a workspace may use, where it may not use all of them."""

    name: str
    version: str = ""
    """The one version it may use; empty: whichever is current."""
    is_testing: bool = False
    """Whether it may choose versions that are only to be tested, of its user resources too."""


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


class RefusedVersion(InvalidRequest):
    """No version, or one that the resource cannot go to."""

    status = 400


_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def parse_version(text: str) -> tuple[int, int, int]:
    """Return `(major, minor, patch)`. Raises `RefusedVersion` for anything else."""
    if (match := _VERSION.fullmatch(text)) is None:
        raise RefusedVersion(
            f"{text!r} is not a version. Write three numbers, for instance 1.0.2.",
            field="templateVersion",
        )
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def check_version_change(old: str, new: str, *, is_forced: bool) -> None:
    """Raise `RefusedVersion` for a downgrade or a major upgrade, unless forced."""
    before, after = parse_version(old), parse_version(new)
    if is_forced or before == after:
        return
    if after < before:
        problem = "downgrade"
    elif after[0] > before[0]:
        problem = "major version upgrade"
    else:
        return
    raise RefusedVersion(
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
