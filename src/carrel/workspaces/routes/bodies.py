"""What do routes of this room take: bodies, services, and the resource a path names?"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.web import ActorDep, provide
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.service import Workspaces

WORKSPACE = "/workspaces/{workspace_id}"
SERVICE = f"{WORKSPACE}/workspace-services/{{service_id}}"
USER_RESOURCE = f"{SERVICE}/user-resources/{{resource_id}}"
SHARED_SERVICE = "/shared-services/{shared_service_id}"

WorkspacesDep = Annotated[Workspaces, Depends(provide(Workspaces))]
EtagDep = Annotated[str, Header(description="The resource's `_etag`, or `*` for any.")]
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


WorkspaceDep = Annotated[Resource, Depends(the_workspace)]
ServiceDep = Annotated[Resource, Depends(the_service)]
UserResourceDep = Annotated[Resource, Depends(the_user_resource)]
SharedServiceDep = Annotated[Resource, Depends(the_shared_service)]
