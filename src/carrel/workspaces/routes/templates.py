"""How do programs read the templates, and register them?"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from carrel.core.actors import Actor
from carrel.core.paging import Wanted, wanted
from carrel.core.web import ActorDep, Audience, for_audience
from carrel.workspaces.routes.bodies import WORKSPACE, WorkspaceDep, WorkspacesDep
from carrel.workspaces.routes.shapes import answer
from carrel.workspaces.routes.template_shapes import (
    OffersBody,
    TemplateBody,
    WithdrawalBody,
    lines_answer,
    offer_json,
    template_json,
    version_line_json,
)
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.rules.listing import TemplateOrder
from carrel.workspaces.service import Workspaces

router = APIRouter(tags=["templates"])
K = ResourceKind
UsableDep = Annotated[
    bool, Query(alias="authorized_only", description="Only what the caller's roles may use.")
]
IsUpdateDep = Annotated[
    bool, Query(alias="is_update", description="Mark what cannot be changed any more as readOnly.")
]
PartDep = Annotated[Wanted[TemplateOrder], Depends(wanted(TemplateOrder, TemplateOrder.TITLE))]
VersionDep = Annotated[str | None, Query(max_length=32, description="By default the current one.")]


@router.get("/workspace-templates")
def list_workspace_templates(
    actor: ActorDep, workspaces: WorkspacesDep, part: PartDep, usable: UsableDep = False
) -> Response:
    """List the current workspace templates. For administrators."""
    return _list(workspaces, part, actor, K.WORKSPACE, usable=usable)


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
    actor: ActorDep, workspaces: WorkspacesDep, part: PartDep, usable: UsableDep = False
) -> Response:
    """List the current workspace service templates."""
    return _list(workspaces, part, actor, K.SERVICE, usable=usable)


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
    service: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    part: PartDep,
    usable: UsableDep = False,
) -> Response:
    """List the current user resource templates of a service."""
    workspaces.get_template(actor, K.SERVICE, service)
    return _list(workspaces, part, actor, K.USER_RESOURCE, parent=service, usable=usable)


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
    actor: ActorDep, workspaces: WorkspacesDep, part: PartDep, usable: UsableDep = False
) -> Response:
    """List the current shared service templates."""
    return _list(workspaces, part, actor, K.SHARED_SERVICE, usable=usable)


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
    workspace: WorkspaceDep, actor: ActorDep, workspaces: WorkspacesDep, part: PartDep
) -> Response:
    """List the service templates that the caller's roles in this workspace may use."""
    found = workspaces.list_templates(actor, K.SERVICE, workspace_id=workspace.id)
    return lines_answer(part, found)


@router.get(f"{WORKSPACE}/workspace-service-templates/{{service}}/user-resource-templates")
@for_audience(Audience.EITHER)
def list_usable_user_resource_templates(
    service: str,
    workspace: WorkspaceDep,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    part: PartDep,
) -> Response:
    """List the user resource templates that the caller's roles in this workspace may use."""
    workspaces.get_template(actor, K.SERVICE, service)
    found = workspaces.list_templates(
        actor, K.USER_RESOURCE, parent=service, workspace_id=workspace.id
    )
    return lines_answer(part, found)


def _list(
    workspaces: Workspaces,
    part: Wanted[TemplateOrder],
    actor: Actor,
    kind: ResourceKind,
    *,
    parent: str | None = None,
    usable: bool,
) -> Response:
    found = workspaces.list_templates(actor, kind, parent=parent, is_usable_only=usable)
    return lines_answer(part, found)


# Registering ------------------------------------------------------------------------------------


@router.post("/workspace-templates", status_code=201)
def register_workspace_template(
    body: TemplateBody, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Register a version of a workspace template. For administrators."""
    return _register(workspaces, actor, K.WORKSPACE, body)


@router.post("/workspace-service-templates", status_code=201)
def register_service_template(
    body: TemplateBody, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Register a version of a workspace service template. For administrators."""
    return _register(workspaces, actor, K.SERVICE, body)


@router.post("/workspace-service-templates/{service}/user-resource-templates", status_code=201)
def register_user_resource_template(
    service: str, body: TemplateBody, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Register a version of a user resource template of a service. For administrators."""
    return _register(workspaces, actor, K.USER_RESOURCE, body, parent=service)


@router.post("/shared-service-templates", status_code=201)
def register_shared_service_template(
    body: TemplateBody, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Register a version of a shared service template. For administrators."""
    return _register(workspaces, actor, K.SHARED_SERVICE, body)


# Versions (Carrel's own) ------------------------------------------------------------------------

KindPath = Annotated[ResourceKind, Path(description="The kind of resource.")]
ParentDep = Annotated[
    str | None, Query(max_length=64, description="The service of a user resource template.")
]


@router.get("/templates/{kind}/{name}/versions")
def list_template_versions(
    kind: KindPath,
    name: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    parent: ParentDep = None,
) -> Response:
    """List every version of a template: which is current, in testing, or withdrawn."""
    found = workspaces.list_template_versions(actor, kind, name, parent=parent)
    return answer({"versions": [version_line_json(each) for each in found]})


@router.post("/templates/{kind}/{name}/versions/{version}/withdraw")
def withdraw_template(  # noqa: PLR0913, PLR0917 - three parts name the version
    kind: KindPath,
    name: str,
    version: str,
    body: WithdrawalBody,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    parent: ParentDep = None,
) -> Response:
    """Let nothing new be made of a version; what was made of it stays. For administrators."""
    found = workspaces.withdraw_template(actor, kind, name, version, body.reason, parent=parent)
    return answer(template_json(found))


@router.post("/templates/{kind}/{name}/versions/{version}/promote")
def promote_template(
    kind: KindPath,
    name: str,
    version: str,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    parent: ParentDep = None,
) -> Response:
    """Make a version the current one of its name. For administrators."""
    found = workspaces.promote_template(actor, kind, name, version, parent=parent)
    return answer(template_json(found))


# The catalogue of one workspace (Carrel's own) ---------------------------------------------------


@router.get(f"{WORKSPACE}/catalogue")
@for_audience(Audience.EITHER)
def get_workspace_catalogue(
    workspace: WorkspaceDep, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Return which service templates a workspace may use; null for all of them."""
    return _offers(workspaces, actor, workspace.id)


@router.put(f"{WORKSPACE}/catalogue")
@for_audience(Audience.CORE)
def set_workspace_catalogue(
    workspace: WorkspaceDep, body: OffersBody, actor: ActorDep, workspaces: WorkspacesDep
) -> Response:
    """Set which service templates a workspace may use. For administrators."""
    workspaces.set_workspace_offers(actor, workspace.id, body.offers())
    return _offers(workspaces, actor, workspace.id)


def _offers(workspaces: Workspaces, actor: Actor, workspace_id: str) -> Response:
    found = workspaces.workspace_offers(actor, workspace_id)
    return answer({"templates": None if found is None else [offer_json(each) for each in found]})


def _register(
    workspaces: Workspaces,
    actor: Actor,
    kind: ResourceKind,
    body: TemplateBody,
    *,
    parent: str | None = None,
) -> Response:
    made = workspaces.register_posted(
        actor,
        kind,
        body.registration(),
        is_current=body.current,
        parent=parent,
        channel=body.channel,
    )
    return answer(template_json(made), status=201)
