"""Which routes tell programs what came in through the doors for software?"""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from carrel.core.paging import Wanted, listed, wanted
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.packages.records import ContactOrder, DownloadOrder
from carrel.packages.software import PAGE_SIZE, Software

router = APIRouter(tags=["Software"], prefix="/workspaces/{workspace_id}")
SoftwareDep = Annotated[Software, Depends(provide(Software))]
DownloadsDep = Annotated[
    Wanted[DownloadOrder],
    Depends(
        wanted(DownloadOrder, DownloadOrder.FIRST, is_ascending=False, default_limit=PAGE_SIZE)
    ),
]
ContactsDep = Annotated[
    Wanted[ContactOrder],
    Depends(wanted(ContactOrder, ContactOrder.AT, is_ascending=False, default_limit=PAGE_SIZE)),
]


@router.get("/packages")
@for_audience(Audience.EITHER)
def list_packages(
    actor: ActorDep, software: SoftwareDep, workspace_id: str, part: DownloadsDep
) -> Response:
    """List the packages that a workspace downloaded, newest first; for its members."""
    page = software.list_packages(actor, workspace_id, part)
    return listed(part, "packages", page.map(asdict))


@router.get("/egress")
@for_audience(Audience.EITHER)
def list_egress(
    actor: ActorDep, software: SoftwareDep, workspace_id: str, part: ContactsDep
) -> Response:
    """List the connections that a workspace made to the internet, newest first; for its members.

    Connections that were refused are listed too; `outcome` says why.
    """
    page = software.list_egress(actor, workspace_id, part)
    return listed(part, "connections", page.map(asdict))
