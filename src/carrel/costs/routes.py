"""How do programs ask for costs? AzureTRE's shapes, whose names are in snake_case here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from carrel.core.errors import Unavailable
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.costs.rules import Cost, Granularity, Period, period
from carrel.costs.service import CostItem, Costs

router = APIRouter(tags=["costs"])
RETRY_SECONDS = "30"

CostsDep = Annotated[Costs, Depends(provide(Costs))]
Json = dict[str, Any]


def _period(
    costs: CostsDep, from_date: datetime | None = None, to_date: datetime | None = None
) -> Period:
    return period(from_date, to_date, costs.now())


PeriodDep = Annotated[Period, Depends(_period)]


@router.get("/costs", response_model=None)
def show_costs(
    actor: ActorDep,
    costs: CostsDep,
    time: PeriodDep,
    granularity: Granularity = Granularity.TOTAL,
) -> Json | JSONResponse:
    """Return what the whole TRE costs: for administrators."""
    try:
        found = costs.of_tre(actor, time, granularity)
    except Unavailable as error:
        return _later(error)
    return {
        "core_services": [],  # Carrel's own processes are not metered
        "shared_services": [_item(each) for each in found.shared_services],
        "workspaces": [_item(each) for each in found.workspaces],
    }


@router.get("/workspaces/{workspace_id}/costs", response_model=None)
@for_audience(Audience.EITHER)
def show_workspace_costs(
    workspace_id: str,
    actor: ActorDep,
    costs: CostsDep,
    time: PeriodDep,
    granularity: Granularity = Granularity.TOTAL,
) -> Json | JSONResponse:
    """Return what a workspace costs, down to each user resource: for owners, administrators."""
    try:
        space = costs.of_workspace(actor, workspace_id, time, granularity)
    except Unavailable as error:
        return _later(error)
    services = [
        _item(service) | {"user_resources": [_item(each) for each in service.below]}
        for service in space.below
    ]
    return _item(space) | {"workspace_services": services}


def _item(item: CostItem) -> Json:
    return {"id": item.id, "name": item.name, "costs": _costs(item.costs)}


def _costs(found: Sequence[Cost]) -> list[Json]:
    return [{"cost": float(c.amount), "currency": c.currency, "date": c.day} for c in found]


def _later(error: Unavailable) -> JSONResponse:
    """Return AzureTRE's one JSON error: its portal reads it and tries again."""
    told = {"code": "503", "message": str(error), "retry-after": RETRY_SECONDS}
    return JSONResponse({"error": told}, 503, headers={"Retry-After": RETRY_SECONDS})
