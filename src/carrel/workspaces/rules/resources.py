"""What are resources, who changed them, and where are they reached?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

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
