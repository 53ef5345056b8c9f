"""What does a person see first? Their workspaces, and what to do next in each."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from carrel.airlock.service import Airlock
from carrel.core.web import provide
from carrel.portal.overview import make_cards, waiting_by_workspace
from carrel.workspaces.pages.desk import DeskDep

router = APIRouter()
AirlockDep = Annotated[Airlock, Depends(provide(Airlock))]


@router.get("/")
def show_home(desk: DeskDep, airlock: AirlockDep) -> Response:
    """Show my workspaces; administrators see all of them."""
    waiting = waiting_by_workspace(desk.actor, airlock.list_mine(desk.actor))
    cards = make_cards(desk.actor, desk.workspaces, waiting)
    return desk.page(
        "portal/home.html",
        mine=[card for card in cards if card.roles],
        others=[card for card in cards if not card.roles],
        operations=desk.workspaces.list_running_operations(desk.actor),
    )
