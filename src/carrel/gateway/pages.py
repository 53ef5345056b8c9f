"""How does a browser get from the portal to a tool?"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse

from carrel.core.web import ActorDep, provide
from carrel.gateway.service import Entrance

router = APIRouter()
EntranceDep = Annotated[Entrance, Depends(provide(Entrance))]


@router.post("/launch/{resource_id}")
def launch(resource_id: UUID, actor: ActorDep, entrance: EntranceDep) -> RedirectResponse:
    """Go to the tool, at the gateway's own origin."""
    return RedirectResponse(entrance.launch(actor, str(resource_id)), status_code=303)
