"""How do programs see and change who may do what in a workspace? AzureTRE's shapes."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.actors import WorkspaceRole
from carrel.core.paging import Wanted, listed, slice_of, wanted
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.people.service import People
from carrel.people.tokens.identity import workspace_scope

router = APIRouter(tags=["people"])
PeopleDep = Annotated[People, Depends(provide(People))]
_WORKSPACE = "/workspaces/{workspace_id}"


class UserOrder(StrEnum):
    """What the list of a workspace's users may be sorted by."""

    NAME = "displayName"
    USERNAME = "userPrincipalName"


PartDep = Annotated[Wanted[UserOrder], Depends(wanted(UserOrder, UserOrder.NAME))]

ROLE_NAMES = {
    WorkspaceRole.OWNER: "Workspace owner",
    WorkspaceRole.RESEARCHER: "Workspace researcher",
    WorkspaceRole.AIRLOCK_MANAGER: "Airlock manager",
}


class AssignBody(BaseModel):
    """Who gets which role; AzureTRE's shape."""

    model_config = ConfigDict(extra="forbid")

    role_id: WorkspaceRole
    user_ids: list[UUID] = Field(min_length=1, max_length=100)


@router.get(f"{_WORKSPACE}/scopeid")
@for_audience(Audience.CORE, with_memberships=True)
def show_scope_id(workspace_id: UUID, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return the scope by which a client asks for access tokens for this workspace."""
    people.check_workspace_visible(actor, str(workspace_id))
    return {"workspaceAuth": {"scopeId": workspace_scope(str(workspace_id))}}


@router.get(f"{_WORKSPACE}/users")
@for_audience(Audience.EITHER)
def list_users(workspace_id: UUID, actor: ActorDep, people: PeopleDep, part: PartDep) -> Response:
    """Return the members of a workspace with their roles."""
    users: dict[str, dict[str, Any]] = {}
    for member in people.list_members(actor, str(workspace_id)):
        user = users.setdefault(
            member.account_id,
            {
                "id": member.account_id,
                "displayName": member.display_name,
                "userPrincipalName": member.username,
                "email": member.email or "",
                "roles": [],
            },
        )
        user["roles"].append(_role_out(member.role))
    page = slice_of(users.values(), part, lambda each: (each[part.order], each["id"]))
    return listed(part, "users", page)


@router.get(f"{_WORKSPACE}/roles")
@for_audience(Audience.EITHER)
def list_roles(workspace_id: UUID, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return the roles that can be given in a workspace, to its members and administrators."""
    people.check_roles_offered(actor, str(workspace_id))
    return {"roles": [_role_out(role) for role in WorkspaceRole]}


@router.get(f"{_WORKSPACE}/assignable-users")
@for_audience(Audience.EITHER)
def list_assignable_users(
    workspace_id: UUID,
    actor: ActorDep,
    people: PeopleDep,
    wanted: Annotated[str, Query(alias="filter", max_length=100)] = "",
    limit: Annotated[int, Query(alias="maxResultCount", ge=1, le=100)] = 5,
) -> dict[str, Any]:
    """Return active accounts whose name or user name begins with `filter`, for who gives roles."""
    found = people.list_assignable(actor, str(workspace_id), wanted, limit=limit)
    return {
        "assignable_users": [
            {
                "id": account.id,
                "displayName": account.display_name,
                "userPrincipalName": account.username,
                "email": account.email or "",
            }
            for account in found
        ]
    }


@router.post(f"{_WORKSPACE}/users/assign", status_code=202)
@for_audience(Audience.EITHER)
def assign_users(
    workspace_id: UUID, body: AssignBody, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Give accounts a role in a workspace: all of them, or none if one cannot have it.

    Who may is the setting `user_management`: owners and TRE administrators, or the latter only.
    """
    user_ids = [str(user_id) for user_id in body.user_ids]
    people.assign_roles(actor, str(workspace_id), user_ids, body.role_id)
    return {"user_ids": user_ids, "role_id": body.role_id}


@router.delete(f"{_WORKSPACE}/users/assign", status_code=202)
@for_audience(Audience.EITHER)
def remove_user(
    workspace_id: UUID, user_id: UUID, role_id: WorkspaceRole, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Take a role in a workspace away; open sessions lose it at once."""
    people.remove_role(actor, str(workspace_id), str(user_id), role_id)
    return {"user_ids": [str(user_id)], "role_id": role_id}


def _role_out(role: WorkspaceRole) -> dict[str, str]:
    return {"id": role, "displayName": ROLE_NAMES[role]}
