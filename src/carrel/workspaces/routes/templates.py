"""How do programs read the templates?"""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from carrel.core.actors import Actor
from carrel.core.web import ActorDep, Audience, for_audience
from carrel.workspaces.routes.bodies import WORKSPACE, WorkspaceDep, WorkspacesDep
from carrel.workspaces.routes.shapes import answer, template_json, template_line_json
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.service import Workspaces

router = APIRouter(tags=["templates"])
K = ResourceKind
UsableDep = Annotated[
    bool, Query(alias="authorized_only", description="Only what the caller's roles may use.")
]
IsUpdateDep = Annotated[
    bool, Query(alias="is_update", description="Mark what cannot be changed any more as readOnly.")
]
VersionDep = Annotated[str | None, Query(max_length=32, description="By default the current one.")]


@router.get("/workspace-templates")
def list_workspace_templates(
    actor: ActorDep, workspaces: WorkspacesDep, usable: UsableDep = False
) -> Response:
    """List the current workspace templates. For administrators."""
    return _list(workspaces, actor, K.WORKSPACE, usable=usable)


@router.get("/workspace-templates/{name}")
def get_workspace_template(
    name: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    is_update: IsUpdateDep = False,
    version: VersionDep = None,
) -> Response:
    """Return a workspace template. For administrators."""
    found = workspaces.get_template(actor, K.WORKSPACE, name, version)
    return answer(template_json(found, is_update=is_update))


@router.get("/workspace-service-templates")
def list_service_templates(
    actor: ActorDep, workspaces: WorkspacesDep, usable: UsableDep = False
) -> Response:
    """List the current workspace service templates."""
    return _list(workspaces, actor, K.SERVICE, usable=usable)


@router.get("/workspace-service-templates/{name}")
def get_service_template(
    name: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    is_update: IsUpdateDep = False,
    version: VersionDep = None,
) -> Response:
    """Return a workspace service template."""
    found = workspaces.get_template(actor, K.SERVICE, name, version)
    return answer(template_json(found, is_update=is_update))


@router.get("/workspace-service-templates/{service}/user-resource-templates")
def list_user_resource_templates(
    service: str, actor: ActorDep, workspaces: WorkspacesDep, usable: UsableDep = False
) -> Response:
    """List the current user resource templates of a service."""
    workspaces.get_template(actor, K.SERVICE, service)
    return _list(workspaces, actor, K.USER_RESOURCE, parent=service, usable=usable)


@router.get("/workspace-service-templates/{service}/user-resource-templates/{name}")
def get_user_resource_template(
    service: str,
    name: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    is_update: IsUpdateDep = False,
    version: VersionDep = None,
) -> Response:
    """Return a user resource template of a service."""
    found = workspaces.get_template(actor, K.USER_RESOURCE, name, version, parent=service)
    return answer(template_json(found, is_update=is_update))


@router.get("/shared-service-templates")
def list_shared_service_templates(
    actor: ActorDep, workspaces: WorkspacesDep, usable: UsableDep = False
) -> Response:
    """List the current shared service templates."""
    return _list(workspaces, actor, K.SHARED_SERVICE, usable=usable)


@router.get("/shared-service-templates/{name}")
def get_shared_service_template(
    name: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    is_update: IsUpdateDep = False,
    version: VersionDep = None,
) -> Response:
    """Return a shared service template."""
    found = workspaces.get_template(actor, K.SHARED_SERVICE, name, version)
    return answer(template_json(found, is_update=is_update))


@router.get(f"{WORKSPACE}/workspace-service-templates")
@for_audience(Audience.EITHER)
def list_usable_service_templates(
    workspace: WorkspaceDep, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """List the service templates that the caller's roles in this workspace may use."""
    found = workspaces.list_templates(actor, K.SERVICE, workspace_id=workspace.id)
    return answer({"templates": [template_line_json(each) for each in found]})


@router.get(f"{WORKSPACE}/workspace-service-templates/{{service}}/user-resource-templates")
@for_audience(Audience.EITHER)
def list_usable_user_resource_templates(
    service: str, workspace: WorkspaceDep, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """List the user resource templates that the caller's roles in this workspace may use."""
    workspaces.get_template(actor, K.SERVICE, service)
    found = workspaces.list_templates(
        actor, K.USER_RESOURCE, parent=service, workspace_id=workspace.id
    )
    return answer({"templates": [template_line_json(each) for each in found]})


def _list(
    workspaces: Workspaces,
    actor: Actor,
    kind: ResourceKind,
    *,
    parent: str | None = None,
    usable: bool,
) -> Response:
    found = workspaces.list_templates(actor, kind, parent=parent, is_usable_only=usable)
    return answer({"templates": [template_line_json(each) for each in found]})
