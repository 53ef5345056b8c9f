"""Which pages show one workspace with everything that belongs to it?"""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.responses import Response

from carrel.airlock.rules import AirlockRequest
from carrel.airlock.service import Airlock
from carrel.core.actors import WorkspaceRole
from carrel.core.errors import CarrelError, Conflict, InvalidRequest
from carrel.core.web import FormDep, provide, see_other, typed
from carrel.people.rules import Account, Membership
from carrel.portal.looks import role_name
from carrel.portal.overview import tools_by_service, waiting_by_workspace
from carrel.portal.trail import AuditTrail
from carrel.workspaces.access import may_follow, may_manage
from carrel.workspaces.pages.desk import Desk, DeskDep
from carrel.workspaces.pages.views import can_add_to, facts_of, is_busy, row_of, state_of
from carrel.workspaces.rules import Resource, ResourceKind

router = APIRouter(prefix="/workspaces/{workspace_id}")
AirlockDep = Annotated[Airlock, Depends(provide(Airlock))]
TrailDep = Annotated[AuditTrail, Depends(provide(AuditTrail))]

ROLE_TEXTS = {
    WorkspaceRole.OWNER: "Manages members and services, and does the science too",
    WorkspaceRole.RESEARCHER: "Works with the data, asks for imports and exports",
    WorkspaceRole.AIRLOCK_MANAGER: "Decides about other people's imports and exports",
}


@router.get("")
def show_workspace(desk: DeskDep, airlock: AirlockDep, workspace_id: str) -> Response:
    """Show a workspace: tools, airlock, members, what holds here, and what it has used."""
    workspace = _workspace(desk, workspace_id)
    actor, is_member = desk.actor, desk.actor.is_member(workspace_id)
    requests = airlock.list(actor, workspace_id) if is_member else ()
    follows = may_follow(actor, workspace)
    operations = desk.workspaces.list_operations(actor, workspace_id) if follows else ()
    return desk.page(
        "portal/workspace.html",
        **_frame(desk, workspace),
        is_member=is_member,
        roles=sorted(actor.roles_in(workspace_id)),
        groups=_groups(desk, workspace),
        policy=desk.workspaces.policy(workspace_id),
        template=desk.template_of(workspace),
        facts=facts_of(workspace, desk.template_of(workspace)),
        members=_people(desk.people.list_members(actor, workspace_id)),
        usage=desk.workspaces.usage(actor, workspace_id),
        requests=_newest(requests),
        waiting=waiting_by_workspace(actor, requests).get(workspace_id),
        operations=operations[::-1][:3],
        can_follow=follows,
    )


def _groups(desk: Desk, workspace: Resource) -> Sequence[dict[str, Any]]:
    """Return each service with its tools as rows, and whether one can be added."""
    actor = desk.actor
    services = desk.workspaces.list_services(actor, workspace.id)
    tools = desk.workspaces.list_user_resources(actor, workspace.id)
    names = {
        member.account_id: member.display_name
        for member in desk.people.list_members(actor, workspace.id)
    }
    return [
        {
            "service": service,
            "state": state_of(service),
            "can_add": workspace.is_enabled and can_add_to(actor, service),
            "rows": [
                row_of(
                    actor,
                    tool,
                    desk.template_of(tool),
                    "Yours" if tool.owner_id == actor.id else names.get(tool.owner_id or "", ""),
                )
                for tool in own
            ],
        }
        for service, own in tools_by_service(actor, services, tools)
    ]


def _newest(requests: Sequence[AirlockRequest]) -> Sequence[AirlockRequest]:
    return sorted(requests, key=lambda request: request.updated_at, reverse=True)[:4]


# Members -----------------------------------------------------------------------------------


@router.get("/members")
def show_members(desk: DeskDep, workspace_id: str) -> Response:
    """Show who belongs to the workspace, and in which role."""
    return _members(desk, _workspace(desk, workspace_id))


@router.post("/members")
def add_member(desk: DeskDep, workspace_id: str, form: FormDep) -> Response:
    """Give a person a role, or show the form again with what does not fit."""
    workspace = _workspace(desk, workspace_id)
    try:
        account = _account(desk, typed(form, "username"))
        desk.people.assign_role(desk.actor, workspace_id, account.id, _role(form))
    except (InvalidRequest, Conflict) as error:
        return _members(desk, workspace, error, typed(form, "username"), typed(form, "role"))
    return see_other(f"/workspaces/{workspace_id}/members")


@router.post("/members/remove")
def remove_member(desk: DeskDep, workspace_id: str, form: FormDep) -> Response:
    """Take a role away; what the person has open there closes."""
    workspace = _workspace(desk, workspace_id)
    try:
        account_id = typed(form, "account_id")
        desk.people.remove_role(desk.actor, workspace_id, account_id, _role(form))
    except (InvalidRequest, Conflict) as error:
        return _members(desk, workspace, error)
    return see_other(f"/workspaces/{workspace_id}/members")


def _account(desk: Desk, username: str) -> Account:
    account = desk.people.find_account_by_name(username)
    if account is None:
        raise InvalidRequest(
            "There is no account with this user name. Ask an administrator to create it.",
            field="username",
        )
    return account


def _role(form: FormData) -> WorkspaceRole:
    sent = typed(form, "role")
    if sent not in list(WorkspaceRole):
        raise InvalidRequest("Choose a role.", field="role")
    return WorkspaceRole(sent)


def _members(
    desk: Desk,
    workspace: Resource,
    error: CarrelError | None = None,
    username: str = "",
    role: str = WorkspaceRole.RESEARCHER,
) -> Response:
    members = desk.people.list_members(desk.actor, workspace.id)
    is_owner = WorkspaceRole.OWNER in desk.actor.roles_in(workspace.id)
    return desk.page(
        "portal/members.html",
        status=error.status if error else 200,
        **_frame(desk, workspace),
        members=_people(members),
        may_change=is_owner or desk.actor.is_admin,
        roles=[(role.value, role_name(role), text) for role, text in ROLE_TEXTS.items()],
        errors={error.field or "": str(error)} if error else {},
        username=username,
        role=role,
    )


def _people(members: Sequence[Membership]) -> Sequence[tuple[Membership, Sequence[str]]]:
    """Return each person once, with their roles."""
    ordered = sorted(members, key=lambda member: (member.display_name.lower(), member.account_id))
    people = []
    for _, lines in groupby(ordered, key=lambda member: member.account_id):
        own = list(lines)
        people.append((own[0], sorted(str(line.role) for line in own)))
    return people


# Audit trail -------------------------------------------------------------------------------


@router.get("/audit")
def show_audit(
    desk: DeskDep, trail: TrailDep, workspace_id: str, before: int | None = None
) -> Response:
    """Show everything that was done in the workspace, newest first."""
    workspace = _workspace(desk, workspace_id)
    page = trail.list_for(desk.actor, workspace_id=workspace_id, before=before)
    return desk.page(
        "portal/workspace_audit.html",
        **_frame(desk, workspace),
        trail_page=page,
        before=before,
        base=f"/workspaces/{workspace_id}/audit",
    )


# Shared ------------------------------------------------------------------------------------


def _workspace(desk: Desk, workspace_id: str) -> Resource:
    return desk.workspaces.get_resource(desk.actor, workspace_id, kind=ResourceKind.WORKSPACE)


def _frame(desk: Desk, workspace: Resource) -> dict[str, Any]:
    return {
        "workspace": workspace,
        "state": state_of(workspace),
        "is_busy": is_busy(workspace),
        "can_manage": may_manage(desk.actor, workspace),
    }
