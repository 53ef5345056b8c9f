"""What do routes of this room take: bodies, services, and the resource a path names?"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.errors import InvalidRequest
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.service import Workspaces

WORKSPACE = "/workspaces/{workspace_id}"
SERVICE = f"{WORKSPACE}/workspace-services/{{service_id}}"
USER_RESOURCE = f"{SERVICE}/user-resources/{{resource_id}}"
SHARED_SERVICE = "/shared-services/{shared_service_id}"

WorkspacesDep = Annotated[Workspaces, Depends(provide(Workspaces))]


def sent_etag(
    etag: Annotated[
        str | None, Header(max_length=200, description="The resource's `_etag`, or `*` for any.")
    ] = None,
    if_match: Annotated[
        str | None,
        Header(alias="If-Match", max_length=200, description="The same, as HTTP has it."),
    ] = None,
) -> str:
    """Return the etag that a client saw, without quotes. Raises `InvalidRequest` without one."""
    sent = etag if etag is not None else if_match
    if sent is None:
        raise InvalidRequest(
            "Field etag (in the header): Field required. Send the resource's _etag as you read "
            "it, or * to change whatever is there.",
            field="etag",
        )
    return sent.strip().removeprefix("W/").strip('"')


EtagDep = Annotated[str, Depends(sent_etag)]
DryRunDep = Annotated[
    bool,
    Query(
        alias="dry_run",
        description="Change nothing; answer 200 with the plan of what would happen.",
    ),
]
KeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="Chosen by the client; the same key again gives the first result again.",
    ),
]
ForceDep = Annotated[
    bool,
    Query(
        alias="force_version_update",
        description="Allow a major upgrade or a downgrade of the template.",
    ),
]


class CreateBody(BaseModel):
    """A new resource."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    template_name: str = Field(alias="templateName", max_length=64)
    properties: dict[str, Any] = {}
    template_version: str | None = Field(
        None,
        alias="templateVersion",
        max_length=32,
        description="A version chosen on purpose; without it the current one.",
    )


class PatchBody(BaseModel):
    """A change of a resource; what is absent stays."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    is_enabled: bool | None = Field(None, alias="isEnabled")
    properties: dict[str, Any] | None = None
    template_version: str | None = Field(None, alias="templateVersion", max_length=32)


def the_workspace(workspace_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Resource:
    """Return the workspace in the path, if it is the actor's to know about."""
    return workspaces.get_resource(actor, str(workspace_id), kind=ResourceKind.WORKSPACE)


def the_service(
    workspace_id: UUID, service_id: UUID, actor: ActorDep, workspaces: WorkspacesDep
) -> Resource:
    """Return the workspace service in the path, if it lies in this workspace."""
    return workspaces.get_resource(
        actor, str(service_id), workspace_id=str(workspace_id), kind=ResourceKind.SERVICE
    )


def the_user_resource(
    workspace_id: UUID,
    service_id: UUID,
    resource_id: UUID,
    actor: ActorDep,
    workspaces: WorkspacesDep,
) -> Resource:
    """Return the user resource in the path, if it lies in this service and workspace."""
    return workspaces.get_resource(
        actor,
        str(resource_id),
        workspace_id=str(workspace_id),
        parent_id=str(service_id),
        kind=ResourceKind.USER_RESOURCE,
    )


def the_shared_service(
    shared_service_id: UUID, actor: ActorDep, workspaces: WorkspacesDep
) -> Resource:
    """Return the shared service in the path."""
    return workspaces.get_resource(actor, str(shared_service_id), kind=ResourceKind.SHARED_SERVICE)


E = TypeVar("E", bound=Callable[..., Any])


def of_workspace(
    kind: ResourceKind, audience: Audience, *, with_memberships: bool = False
) -> Callable[[E], E]:
    """Mark which tokens an endpoint of a workspace itself takes; of other kinds the usual ones."""
    if kind is ResourceKind.WORKSPACE:
        return for_audience(audience, with_memberships=with_memberships)
    return lambda endpoint: endpoint


WorkspaceDep = Annotated[Resource, Depends(the_workspace)]
ServiceDep = Annotated[Resource, Depends(the_service)]
