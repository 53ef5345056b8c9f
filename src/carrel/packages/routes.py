"""Which routes tell programs what came in through the doors for software?"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from carrel.core.web import ActorDep, provide
from carrel.packages.software import PAGE_SIZE, Software

router = APIRouter(tags=["Software"], prefix="/workspaces/{workspace_id}")
SoftwareDep = Annotated[Software, Depends(provide(Software))]


@router.get("/packages")
def list_packages(
    actor: ActorDep, software: SoftwareDep, workspace_id: str, *, limit: int = PAGE_SIZE
) -> dict[str, Any]:
    """List the packages that a workspace downloaded, newest first; for its members."""
    found = software.list_packages(actor, workspace_id, limit)
    return {"packages": [asdict(each) for each in found]}


@router.get("/egress")
def list_egress(
    actor: ActorDep, software: SoftwareDep, workspace_id: str, *, limit: int = PAGE_SIZE
) -> dict[str, Any]:
    """List the connections that a workspace made to the internet, newest first; for its members.

    Connections that were refused are listed too; `outcome` says why.
    """
    found = software.list_egress(actor, workspace_id, limit)
    return {"connections": [asdict(each) for each in found]}
