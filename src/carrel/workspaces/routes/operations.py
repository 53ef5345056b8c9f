"""How do programs follow, cancel and retry operations, and what of them needs a person?"""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from carrel.core.web import ActorDep, Audience, answers_once, for_audience
from carrel.workspaces.routes.bodies import (
    SERVICE,
    SHARED_SERVICE,
    USER_RESOURCE,
    WORKSPACE,
    WorkspacesDep,
    of_workspace,
    the_service,
    the_shared_service,
    the_user_resource,
    the_workspace,
)
from carrel.workspaces.routes.events import follow_mine, follow_one
from carrel.workspaces.routes.shapes import (
    accepted,
    answer,
    dead_letter_json,
    drift_json,
    operation_json,
)
from carrel.workspaces.rules import Resource, ResourceKind

router = APIRouter(tags=["operations"])
K = ResourceKind


@router.get("/operations/events")
@answers_once
@for_audience(Audience.CORE, with_memberships=True)
def follow_my_operations(
    request: Request, actor: ActorDep, workspaces: WorkspacesDep
) -> StreamingResponse:
    """Send the caller's running operations as server-sent events, whenever one changes."""
    return follow_mine(request, workspaces, actor)


@router.get("/operations/{operation_id}")
@for_audience(Audience.CORE, with_memberships=True)
def get_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Return an operation with its steps, also after its resource is gone."""
    found = workspaces.get_operation(actor, str(operation_id))
    return answer({"operation": operation_json(found)})


@router.post("/operations/{operation_id}/cancel", status_code=202)
def cancel_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Stop an operation between two steps and remove what it had made."""
    return accepted(workspaces.cancel_operation(actor, str(operation_id)))


@router.post("/operations/{operation_id}/retry", status_code=202)
def retry_operation(operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Try a failed operation again from its first step."""
    return accepted(workspaces.retry_operation(actor, str(operation_id)))


@router.get("/operations/{operation_id}/events")
@answers_once
@for_audience(Audience.CORE, with_memberships=True)
def follow_operation(
    operation_id: UUID, request: Request, actor: ActorDep, workspaces: WorkspacesDep
) -> StreamingResponse:
    """Send the operation as a server-sent event whenever it changes, until it has ended."""
    return follow_one(request, workspaces, actor, str(operation_id))


# Below a resource -----------------------------------------------------------------------------


def _add_below(path: str, kind: ResourceKind, find: Callable[..., Resource]) -> None:
    """Add what concerns one operation below the path of its resource."""
    name = kind.replace("-", "_")
    one = f"{path}/operations/{{operation_id}}"
    FoundDep = Annotated[Resource, Depends(find)]  # noqa: N806 - a type
    in_core = kind in {K.WORKSPACE, K.SHARED_SERVICE}
    audience = for_audience(Audience.CORE if in_core else Audience.WORKSPACE)

    @router.post(f"{one}/cancel", status_code=202, name=f"cancel_{name}_operation")
    @audience
    def cancel(
        found: FoundDep, operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep
    ) -> Response:
        """Stop an operation of the resource between two steps and remove what it had made."""
        mine = workspaces.get_operation(actor, str(operation_id), resource_id=found.id)
        return accepted(workspaces.cancel_operation(actor, mine.id))

    @router.post(f"{one}/retry", status_code=202, name=f"retry_{name}_operation")
    @audience
    def retry(
        found: FoundDep, operation_id: UUID, actor: ActorDep, workspaces: WorkspacesDep
    ) -> Response:
        """Try a failed operation of the resource again from its first step."""
        mine = workspaces.get_operation(actor, str(operation_id), resource_id=found.id)
        return accepted(workspaces.retry_operation(actor, mine.id))

    @router.get(f"{one}/events", name=f"follow_{name}_operation")
    @answers_once
    @of_workspace(kind, Audience.EITHER)
    def follow(
        found: FoundDep,
        operation_id: UUID,
        request: Request,
        actor: ActorDep,
        workspaces: WorkspacesDep,
    ) -> StreamingResponse:
        """Send an operation of the resource as server-sent events, until it has ended."""
        mine = workspaces.get_operation(actor, str(operation_id), resource_id=found.id)
        return follow_one(request, workspaces, actor, mine.id)


_add_below(WORKSPACE, K.WORKSPACE, the_workspace)
_add_below(SERVICE, K.SERVICE, the_service)
_add_below(USER_RESOURCE, K.USER_RESOURCE, the_user_resource)
_add_below(SHARED_SERVICE, K.SHARED_SERVICE, the_shared_service)


# For administrators ---------------------------------------------------------------------------


@router.get("/dead-letters")
def list_dead_letters(actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """List the work that failed again and again and was put aside; administrators only."""
    found = workspaces.list_dead_letters(actor)
    return answer({"deadLetters": [dead_letter_json(each) for each in found]})


@router.post("/dead-letters/{letter_id}/retry")
def retry_dead_letter(letter_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Let work that was put aside be tried again; administrators only."""
    letter = workspaces.retry_dead_letter(actor, str(letter_id))
    return answer({"deadLetter": dead_letter_json(letter)})


@router.post("/dead-letters/{letter_id}/discard")
def discard_dead_letter(letter_id: UUID, actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """Give work up that was put aside, and let its operation fail; administrators only."""
    letter = workspaces.discard_dead_letter(actor, str(letter_id))
    return answer({"deadLetter": dead_letter_json(letter)})


@router.get("/drift")
def list_drift(actor: ActorDep, workspaces: WorkspacesDep) -> Response:
    """List what is not as it should be, as last seen; administrators only."""
    found = workspaces.list_drift(actor)
    return answer({"drift": [drift_json(each) for each in found]})
