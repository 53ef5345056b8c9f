"""How do programs reach the people room over HTTP?"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.errors import InvalidRequest
from carrel.core.web import ActorDep, provide
from carrel.people.authenticator import bearer_token
from carrel.people.rules import Account, check_admin
from carrel.people.service import People

router = APIRouter(tags=["people"])
PeopleDep = Annotated[People, Depends(provide(People))]

ROLE_NAMES = {
    WorkspaceRole.OWNER: "Workspace owner",
    WorkspaceRole.RESEARCHER: "Workspace researcher",
    WorkspaceRole.AIRLOCK_MANAGER: "Airlock manager",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SignInBody(_Body):
    """What a program gives to sign in."""

    username: str = Field(max_length=256)
    password: str = Field(max_length=1024)
    totp_code: str | None = Field(None, max_length=16)


class AccountBody(_Body):
    """A new account."""

    username: str
    display_name: str
    password: str = Field(max_length=1024)
    email: str | None = None
    tre_roles: list[TreRole] = [TreRole.USER]


class AccountPatch(_Body):
    """A change of an account."""

    is_active: bool


class OwnPasswordBody(_Body):
    """A new password, vouched for by the old one."""

    old: str = Field(max_length=1024)
    new: str = Field(max_length=1024)


class PasswordBody(_Body):
    """A password: a new one for somebody who forgot theirs, or one's own as proof."""

    password: str = Field(max_length=1024)


class CodeBody(_Body):
    """A code of an authenticator app."""

    code: str = Field(max_length=16)


class AssignBody(_Body):
    """Who gets which role; AzureTRE's shape."""

    role_id: WorkspaceRole
    user_ids: list[str] = Field(min_length=1, max_length=100)


@router.post("/sign-in")
def sign_in(body: SignInBody, request: Request, people: PeopleDep) -> dict[str, Any]:
    """Begin a program's session; send its token as `Authorization: Bearer …`."""
    client = request.client.host if request.client else "unknown"
    signed_in = people.sign_in(
        body.username, body.password, body.totp_code, kind="api", client=client
    )
    session = signed_in.session
    actor = Actor(id=session.account_id, name=body.username)
    return {
        "token": signed_in.token,
        "expires_at": session.expires_at.timestamp(),
        "account": account_out(people.get_account(actor, session.account_id)),
    }


@router.post("/sign-out", status_code=204)
def sign_out(request: Request, actor: ActorDep, people: PeopleDep) -> Response:
    """End the session that this request belongs to."""
    del actor
    token = bearer_token(request.headers.get("authorization", ""))
    if token is None:
        raise InvalidRequest("Browsers sign out on the page /sign-out.")
    people.sign_out(token)
    return Response(status_code=204)


@router.get("/me")
def show_me(actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return the signed-in account, and its roles by workspace id."""
    roles = {name: sorted(held) for name, held in actor.workspace_roles.items()}
    account = account_out(people.get_account(actor, actor.id))
    return {"account": account, "workspace_roles": roles}


@router.post("/me/password", status_code=204)
def change_own_password(body: OwnPasswordBody, actor: ActorDep, people: PeopleDep) -> Response:
    """Change your password; every other session of yours ends."""
    people.change_password(actor, body.old, body.new)
    return Response(status_code=204)


@router.post("/me/totp", status_code=201)
def start_own_totp(actor: ActorDep, people: PeopleDep) -> dict[str, str]:
    """Begin to add an authenticator app; it counts once `/me/totp/confirm` saw a code of it."""
    return {"uri": people.start_totp(actor)}


@router.post("/me/totp/confirm", status_code=204)
def confirm_own_totp(body: CodeBody, actor: ActorDep, people: PeopleDep) -> Response:
    """Turn your authenticator app on with a code of it."""
    people.confirm_totp(actor, body.code)
    return Response(status_code=204)


@router.post("/me/totp/remove", status_code=204)
def remove_own_totp(body: PasswordBody, actor: ActorDep, people: PeopleDep) -> Response:
    """Take your authenticator app away, with your password. May be called twice."""
    people.remove_totp(actor, actor.id, password=body.password)
    return Response(status_code=204)


@router.get("/accounts")
def list_accounts(actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return every account. Only for TRE administrators."""
    return {"accounts": [account_out(account) for account in people.list_accounts(actor)]}


@router.post("/accounts", status_code=201)
def create_account(body: AccountBody, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Make an account. Only for TRE administrators."""
    account = people.create_account(
        actor,
        username=body.username,
        display_name=body.display_name,
        password=body.password,
        email=body.email,
        tre_roles=frozenset(body.tre_roles),
    )
    return {"account": account_out(account)}


@router.get("/accounts/{account_id}")
def show_account(account_id: str, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return one account: your own, or any for TRE administrators."""
    return {"account": account_out(people.get_account(actor, account_id))}


@router.patch("/accounts/{account_id}")
def change_account(
    account_id: str, body: AccountPatch, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Enable or disable an account; disabling ends its sessions at once."""
    account = people.set_active(actor, account_id, active=body.is_active)
    return {"account": account_out(account)}


@router.post("/accounts/{account_id}/password", status_code=204)
def reset_password(
    account_id: str, body: PasswordBody, actor: ActorDep, people: PeopleDep
) -> Response:
    """Give somebody who forgot it a new password; ends their sessions. For TRE administrators."""
    people.reset_password(actor, account_id, body.password)
    return Response(status_code=204)


@router.delete("/accounts/{account_id}/totp", status_code=204)
def remove_others_totp(account_id: str, actor: ActorDep, people: PeopleDep) -> Response:
    """Take away the authenticator app of somebody who lost it. For TRE administrators."""
    check_admin(actor)
    people.remove_totp(actor, account_id)
    return Response(status_code=204)


@router.get("/workspaces/{workspace_id}/users")
def list_users(workspace_id: str, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return the members of a workspace with their roles."""
    users: dict[str, dict[str, Any]] = {}
    for member in people.list_members(actor, workspace_id):
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
    return {"users": list(users.values())}


@router.get("/workspaces/{workspace_id}/roles")
def list_roles(workspace_id: str, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return the roles that a person can have in a workspace."""
    people.list_members(actor, workspace_id)
    return {"roles": [_role_out(role) for role in WorkspaceRole]}


@router.get("/workspaces/{workspace_id}/assignable-users")
def list_assignable_users(
    workspace_id: str,
    actor: ActorDep,
    people: PeopleDep,
    wanted: Annotated[str, Query(alias="filter", max_length=100)] = "",
    limit: Annotated[int, Query(alias="maxResultCount", ge=1, le=100)] = 5,
) -> dict[str, Any]:
    """Return active accounts whose name begins with `filter`, for owners and administrators."""
    found = people.list_assignable(actor, workspace_id, wanted, limit=limit)
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


@router.post("/workspaces/{workspace_id}/users/assign", status_code=202)
def assign_users(
    workspace_id: str, body: AssignBody, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Give accounts a role in a workspace; for its owners and TRE administrators."""
    for account_id in body.user_ids:
        people.assign_role(actor, workspace_id, account_id, body.role_id)
    return {"user_ids": body.user_ids, "role_id": body.role_id}


@router.delete("/workspaces/{workspace_id}/users/assign", status_code=202)
def remove_user(
    workspace_id: str, user_id: str, role_id: WorkspaceRole, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Take a role in a workspace away; open sessions lose it at once."""
    people.remove_role(actor, workspace_id, user_id, role_id)
    return {"user_ids": [user_id], "role_id": role_id}


def account_out(account: Account) -> dict[str, Any]:
    """Return the JSON shape of an account."""
    return {
        "id": account.id,
        "username": account.username,
        "display_name": account.display_name,
        "email": account.email,
        "tre_roles": sorted(account.tre_roles),
        "is_active": account.is_active,
        "has_totp": account.has_totp,
        "created_at": account.created_at.timestamp(),
    }


def _role_out(role: WorkspaceRole) -> dict[str, str]:
    return {"id": role, "displayName": ROLE_NAMES[role]}
