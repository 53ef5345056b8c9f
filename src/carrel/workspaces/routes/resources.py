"""How do programs reach the four kinds of resource?

What all kinds have in common is written once, in `_add_common`, for each path; lists of them are
in `lists`.
"""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from carrel.core.web import ActorDep, Audience
from carrel.workspaces.routes.bodies import (
    SERVICE,
    SHARED_SERVICE,
    USER_RESOURCE,
    WORKSPACE,
    CreateBody,
    DryRunDep,
    EtagDep,
    ForceDep,
    KeyDep,
    PatchBody,
    ServiceDep,
    WorkspaceDep,
    WorkspacesDep,
    of_workspace,
    the_service,
    the_shared_service,
    the_user_resource,
    the_workspace,
)
from carrel.workspaces.routes.plans import carried_out
from carrel.workspaces.routes.shapes import (
    ONE,
    answer,
    drift_json,
    operation_json,
    resource_json,
    usage_json,
)
from carrel.workspaces.rules import Resource, ResourceKind

router = APIRouter()
K = ResourceKind


@router.post("/workspaces", status_code=202, tags=["workspaces"])
def create_workspace(
    body: CreateBody,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    key: KeyDep = None,
    is_dry_run: DryRunDep = False,
) -> Response:
    """Create a workspace. For administrators.

    Without `workspace_owner_object_id` the caller becomes its owner; with an empty one nobody.
    """
    return carried_out(
        workspaces,
        lambda: workspaces.create_workspace(
            actor,
            body.template_name,
            body.properties,
            idempotency_key=None if is_dry_run else key,
            template_version=body.template_version,
        ),
        is_dry_run=is_dry_run,
    )


@router.post(f"{WORKSPACE}/workspace-services", status_code=202, tags=["workspace services"])
def create_service(
    workspace: WorkspaceDep,
    body: CreateBody,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    key: KeyDep = None,
    is_dry_run: DryRunDep = False,
) -> Response:
    """Add a service to a workspace. For its owners and administrators."""
    return carried_out(
        workspaces,
        lambda: workspaces.create_service(
            actor,
            workspace.id,
            body.template_name,
            body.properties,
            idempotency_key=None if is_dry_run else key,
            template_version=body.template_version,
        ),
        is_dry_run=is_dry_run,
    )


@router.post(f"{SERVICE}/user-resources", status_code=202, tags=["user resources"])
def create_user_resource(
    service: ServiceDep,
    body: CreateBody,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    key: KeyDep = None,
    is_dry_run: DryRunDep = False,
) -> Response:
    """Make a user resource for the caller. For members of the workspace.

    With `assign_to_another_user: true` and `owner_id` it is for another member; owners only.
    """
    return carried_out(
        workspaces,
        lambda: workspaces.create_user_resource(
            actor,
            service.workspace_id or "",
            service.id,
            body.template_name,
            body.properties,
            idempotency_key=None if is_dry_run else key,
            template_version=body.template_version,
        ),
        is_dry_run=is_dry_run,
    )


@router.get(f"{USER_RESOURCE}/output", tags=["user resources"])
def get_output(
    workspace_id: UUID,
    service_id: UUID,
    resource_id: UUID,
    actor: ActorDep,
    workspaces: WorkspacesDep,
) -> Response:
    """Return the end of what the caller's own user resource printed."""
    found = the_user_resource(workspace_id, service_id, resource_id, actor, workspaces)
    return answer({"output": workspaces.output(actor, found.id)})


@router.post("/shared-services", status_code=202, tags=["shared services"])
def create_shared_service(
    body: CreateBody,
    actor: ActorDep,
    workspaces: WorkspacesDep,
    key: KeyDep = None,
    is_dry_run: DryRunDep = False,
) -> Response:
    """Create a shared service. For administrators."""
    return carried_out(
        workspaces,
        lambda: workspaces.create_shared_service(
            actor,
            body.template_name,
            body.properties,
            idempotency_key=None if is_dry_run else key,
            template_version=body.template_version,
        ),
        is_dry_run=is_dry_run,
    )


def _add_common(path: str, kind: ResourceKind, find: Callable[..., Resource]) -> None:
    """Add the routes that every kind of resource has below its path."""
    name = kind.replace("-", "_")
    common = APIRouter(tags=[f"{kind.replace('-', ' ')}s"])
    FoundDep = Annotated[Resource, Depends(find)]  # noqa: N806 - a type

    @common.get(path, name=f"get_{name}")
    @of_workspace(kind, Audience.EITHER, with_memberships=True)
    def get(found: FoundDep, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
        """Return the resource."""
        is_public_view = kind is K.SHARED_SERVICE and not actor.is_admin
        upgrades = workspaces.available_upgrades(found)
        shown = resource_json(found, upgrades, is_public_view=is_public_view)
        if not is_public_view:
            shown["drift"] = [drift_json(each) for each in workspaces.drift_of(actor, found)]
        return answer({ONE[kind]: shown})

    @common.patch(path, status_code=202, name=f"update_{name}")
    def update(  # noqa: PLR0913, PLR0917 - one parameter for each part of the request
        found: FoundDep,
        body: PatchBody,
        etag: EtagDep,
        actor: ActorDep,
        workspaces: WorkspacesDep,
        force: ForceDep = False,
        is_dry_run: DryRunDep = False,
    ) -> Response:
        """Change the resource's properties or template version, enable or disable it."""
        return carried_out(
            workspaces,
            lambda: workspaces.update(
                actor,
                found.id,
                etag=etag,
                properties=body.properties,
                is_enabled=body.is_enabled,
                template_version=body.template_version,
                is_forced=force,
            ),
            is_dry_run=is_dry_run,
        )

    @common.delete(path, name=f"delete_{name}")
    def delete(
        found: FoundDep, actor: ActorDep, workspaces: WorkspacesDep, is_dry_run: DryRunDep = False
    ) -> Response:
        """Delete the resource and everything below it; all must be disabled before."""
        return carried_out(
            workspaces,
            lambda: workspaces.delete(actor, found.id),
            is_dry_run=is_dry_run,
            status=200,
        )

    @common.post(f"{path}/invoke-action", status_code=202, name=f"invoke_{name}_action")
    @of_workspace(kind, Audience.CORE)
    def invoke_action(
        found: FoundDep,
        actor: ActorDep,
        workspaces: WorkspacesDep,
        action: Annotated[str, Query(max_length=64)],
        is_dry_run: DryRunDep = False,
    ) -> Response:
        """Do what the template offers besides, for instance `start`, `stop`, `restart`."""
        return carried_out(
            workspaces,
            lambda: workspaces.invoke_action(actor, found.id, action),
            is_dry_run=is_dry_run,
        )

    @common.get(f"{path}/operations/{{operation_id}}", name=f"get_{name}_operation")
    @of_workspace(kind, Audience.EITHER)
    def get_operation(
        found: FoundDep, operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep
    ) -> Response:
        """Return one operation of the resource, with its steps."""
        operation = workspaces.get_operation(actor, str(operation_id), resource_id=found.id)
        return answer({"operation": operation_json(operation)})

    @common.get(f"{path}/usage", name=f"get_{name}_usage")
    @of_workspace(kind, Audience.EITHER)
    def usage(found: FoundDep, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
        """Return what the resource has used so far."""
        return answer({"usage": usage_json(workspaces.usage(actor, found.id))})

    router.include_router(common)


_add_common(WORKSPACE, K.WORKSPACE, the_workspace)
_add_common(SERVICE, K.SERVICE, the_service)
_add_common(USER_RESOURCE, K.USER_RESOURCE, the_user_resource)
_add_common(SHARED_SERVICE, K.SHARED_SERVICE, the_shared_service)
