"""Which page shows what came in through the doors for software?"""

from fastapi import APIRouter
from starlette.responses import Response

from carrel.packages.routes import SoftwareDep
from carrel.packages.software import PAGE_SIZE
from carrel.workspaces.access import may_manage
from carrel.workspaces.pages.desk import DeskDep
from carrel.workspaces.rules import ResourceKind

router = APIRouter()


@router.get("/workspaces/{workspace_id}/software")
def show_software(desk: DeskDep, software: SoftwareDep, workspace_id: str) -> Response:
    """Show the packages that a workspace downloaded, and its connections to the internet."""
    actor = desk.actor
    workspace = desk.workspaces.get_resource(actor, workspace_id, kind=ResourceKind.WORKSPACE)
    policy = desk.workspaces.policy(workspace_id)
    return desk.page(
        "packages/software.html",
        workspace=workspace,
        can_manage=may_manage(actor, workspace),
        packages=software.list_packages(actor, workspace_id),
        connections=software.list_egress(actor, workspace_id),
        is_restricted=policy.restricted,
        most=PAGE_SIZE,
    )
