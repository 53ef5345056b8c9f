"""Which migrations does AzureTRE's administrator start by hand? Here: none."""

from typing import Any

from fastapi import APIRouter

from carrel.core.errors import Denied
from carrel.core.web import ActorDep

router = APIRouter(tags=["Health"])


@router.post("/migrations", status_code=202)
def start_migrations(actor: ActorDep) -> dict[str, Any]:
    """Answer that there is nothing to do: the tables are brought forward at every start."""
    if not actor.is_admin:
        raise Denied("Only a TRE administrator starts migrations; ask one of them.")
    return {"migrations": []}
