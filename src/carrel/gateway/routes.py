"""How do programs get the address of a tool?"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from carrel.core.web import ActorDep, provide
from carrel.gateway.service import Entrance

router = APIRouter(tags=["gateway"])
EntranceDep = Annotated[Entrance, Depends(provide(Entrance))]


@router.post("/launch/{resource_id}")
def launch(resource_id: UUID, actor: ActorDep, entrance: EntranceDep) -> dict[str, Any]:
    """Return an address that opens your tool in a browser, once and within 30 seconds."""
    return {"url": entrance.launch(actor, str(resource_id))}
