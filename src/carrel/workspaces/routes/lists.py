"""How do programs list resources, their operations and their history?

Every list takes `limit`, `cursor`, `order_by` and `order_ascending` (see `core.paging`). A line
that was shown before is not made again: what it is made of is all in its values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response

from carrel.core.paging import Page, Wanted, listed, wanted
from carrel.core.web import ActorDep, Audience, for_audience
from carrel.workspaces.routes.bodies import (
    SERVICE,
    SHARED_SERVICE,
    USER_RESOURCE,
    WORKSPACE,
    ServiceDep,
    WorkspaceDep,
    WorkspacesDep,
    of_workspace,
    the_service,
    the_shared_service,
    the_user_resource,
    the_workspace,
)
from carrel.workspaces.routes.fragments import Known
from carrel.workspaces.routes.shapes import MANY, history_json, operation_json, resource_json
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.rules.listing import HistoryOrder, OperationOrder, ResourceOrder
from carrel.workspaces.service import Workspaces
from carrel.workspaces.service.reading import TemplateKey, Upgrades
from carrel.workspaces.store.listing import ResourceLine

router = APIRouter()
K = ResourceKind
PartDep = Annotated[Wanted[ResourceOrder], Depends(wanted(ResourceOrder, ResourceOrder.CREATED))]
OperationsPartDep = Annotated[
    Wanted[OperationOrder], Depends(wanted(OperationOrder, OperationOrder.CREATED))
]
HistoryPartDep = Annotated[
    Wanted[HistoryOrder], Depends(wanted(HistoryOrder, HistoryOrder.VERSION))
]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A list that was sent, and the upgrades that it shows."""

    upgrades: Mapping[TemplateKey, Upgrades]
    body: bytes
    headers: Mapping[str, str]

    def response(self) -> Response:
        return Response(self.body, headers=self.headers, media_type="application/json")


_fragments: Known[orjson.Fragment] = Known(most_bytes=64 * 2**20)
_answers: Known[_Answer] = Known(most_bytes=32 * 2**20)


def _listed(
    workspaces: Workspaces,
    part: Wanted[ResourceOrder],
    page: Page[ResourceLine],
    kind: ResourceKind,
    *,
    is_public_view: bool = False,
) -> Response:
    upgrades = workspaces.list_upgrades({line.template for line in page})
    return _lines(upgrades, part, page, kind, is_public_view=is_public_view)


def _lines(
    upgrades: Mapping[TemplateKey, Upgrades],
    part: Wanted[ResourceOrder],
    page: Page[ResourceLine],
    kind: ResourceKind,
    *,
    is_public_view: bool = False,
) -> Response:
    def shown(line: ResourceLine) -> orjson.Fragment:
        above = upgrades[line.template]
        ingredients = (line.values, above, is_public_view)
        fragment = _fragments.find(ingredients)
        if fragment is None:
            made = resource_json(line.resource(), above, is_public_view=is_public_view)
            fragment = orjson.Fragment(text := orjson.dumps(made))
            _fragments.keep(ingredients, fragment, 2 * len(text))  # its values are as long again
        return fragment

    return listed(part, MANY[kind], page.map(shown))


@router.get("/workspaces", tags=["workspaces"])
@for_audience(Audience.CORE, with_memberships=True)
def list_workspaces(actor: ActorDep, workspaces: WorkspacesDep, part: PartDep) -> Response:
    """List the workspaces that the caller is a member of; administrators see all."""
    # The stand is read before the lines: what is kept can only be newer than what it is kept for.
    asked = (workspaces.workspaces_stand(actor, part), part.path, tuple(part.query))
    known = _answers.find(asked)
    if known and workspaces.list_upgrades(known.upgrades) == known.upgrades:
        return known.response()
    page = workspaces.page_workspaces(actor, part)
    upgrades = workspaces.list_upgrades({line.template for line in page})
    made = _lines(upgrades, part, page, K.WORKSPACE)
    body = bytes(made.body)
    headers = {name: made.headers[name] for name in ("Link",) if name in made.headers}
    _answers.keep(asked, _Answer(upgrades, body, headers), len(body) + len(asked[0]))
    return made


@router.get(f"{WORKSPACE}/workspace-services", tags=["workspace services"])
def list_services(
    workspace: WorkspaceDep, actor: ActorDep, workspaces: WorkspacesDep, part: PartDep
) -> Response:
    """List the services of a workspace."""
    page = workspaces.page_services(actor, workspace.id, part)
    return _listed(workspaces, part, page, K.SERVICE)


@router.get(f"{SERVICE}/user-resources", tags=["user resources"])
def list_user_resources(
    service: ServiceDep, actor: ActorDep, workspaces: WorkspacesDep, part: PartDep
) -> Response:
    """List the caller's user resources; owners and administrators see all."""
    page = workspaces.page_user_resources(actor, service.workspace_id or "", service.id, part)
    return _listed(workspaces, part, page, K.USER_RESOURCE)


@router.get("/shared-services", tags=["shared services"])
def list_shared_services(actor: ActorDep, workspaces: WorkspacesDep, part: PartDep) -> Response:
    """List the services of the whole TRE."""
    page = workspaces.page_shared_services(actor, part)
    return _listed(workspaces, part, page, K.SHARED_SERVICE, is_public_view=not actor.is_admin)


@router.get("/operations", tags=["operations"])
@for_audience(Audience.CORE, with_memberships=True)
def list_running_operations(
    actor: ActorDep, workspaces: WorkspacesDep, part: OperationsPartDep
) -> Response:
    """List the caller's operations that have not ended, oldest first."""
    page = workspaces.page_running_operations(actor, part)
    return listed(part, "operations", page.map(operation_json))


def _add_common(path: str, kind: ResourceKind, find: Callable[..., Resource]) -> None:
    """Add the lists that every kind of resource has below its path."""
    name = kind.replace("-", "_")
    common = APIRouter(tags=[f"{kind.replace('-', ' ')}s"])
    FoundDep = Annotated[Resource, Depends(find)]  # noqa: N806 - a type

    @common.get(f"{path}/operations", name=f"list_{name}_operations")
    @of_workspace(kind, Audience.EITHER)
    def list_operations(
        found: FoundDep, actor: ActorDep, workspaces: WorkspacesDep, part: OperationsPartDep
    ) -> Response:
        """List the resource's operations, oldest first."""
        page = workspaces.page_operations(actor, found.id, part)
        return listed(part, "operations", page.map(operation_json))

    @common.get(f"{path}/history", name=f"list_{name}_history")
    @of_workspace(kind, Audience.EITHER)
    def list_history(
        found: FoundDep, actor: ActorDep, workspaces: WorkspacesDep, part: HistoryPartDep
    ) -> Response:
        """List the resource's former states, oldest first."""
        page = workspaces.history(actor, found.id, part)
        return listed(part, "resource_history", page.map(history_json))

    router.include_router(common)


_add_common(WORKSPACE, K.WORKSPACE, the_workspace)
_add_common(SERVICE, K.SERVICE, the_service)
_add_common(USER_RESOURCE, K.USER_RESOURCE, the_user_resource)
_add_common(SHARED_SERVICE, K.SHARED_SERVICE, the_shared_service)
