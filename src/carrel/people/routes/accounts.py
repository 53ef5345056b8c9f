"""How do programs sign in, and look after accounts?"""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.actors import Actor, TreRole
from carrel.core.errors import InvalidRequest
from carrel.core.paging import Position, Wanted, listed, slice_of, wanted
from carrel.core.web import ActorDep, Audience, for_audience, provide
from carrel.people.authenticator import bearer_token
from carrel.people.rules import Account, check_admin
from carrel.people.service import People

router = APIRouter(tags=["people"])
PeopleDep = Annotated[People, Depends(provide(People))]


class AccountOrder(StrEnum):
    """What the list of accounts may be sorted by."""

    USERNAME = "username"
    NAME = "display_name"
    CREATED = "created_at"


PartDep = Annotated[Wanted[AccountOrder], Depends(wanted(AccountOrder, AccountOrder.USERNAME))]


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


class IdentityBody(_Body):
    """Who somebody is with another issuer of access tokens."""

    issuer: str = Field(min_length=1, max_length=255)
    subject: str = Field(min_length=1, max_length=255)


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
    if actor.audience is not None:
        raise InvalidRequest("An access token ends by itself, within the hour. Forget it.")
    token = bearer_token(request.headers.get("authorization", ""))
    if token is None:
        raise InvalidRequest("Browsers sign out on the page /sign-out.")
    people.sign_out(token)
    return Response(status_code=204)


@router.get("/me")
@for_audience(Audience.CORE, with_memberships=True)
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
def list_accounts(actor: ActorDep, people: PeopleDep, part: PartDep) -> Response:
    """Return every account. Only for TRE administrators."""

    def position(each: Account) -> Position:
        keys = {
            AccountOrder.USERNAME: each.username,
            AccountOrder.NAME: each.display_name.lower(),
            AccountOrder.CREATED: each.created_at.isoformat(timespec="microseconds"),
        }
        return keys[part.order], each.id

    page = slice_of(people.list_accounts(actor), part, position)
    return listed(part, "accounts", page.map(account_out))


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


@router.get("/accounts/{account_id}/identities")
def list_identities(account_id: str, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """List who an account is with other issuers of access tokens. For TRE administrators."""
    found = people.list_identities(actor, account_id)
    return {"identities": [{"issuer": one.issuer, "subject": one.subject} for one in found]}


@router.post("/accounts/{account_id}/identities", status_code=201)
def link_identity(
    account_id: str, body: IdentityBody, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Let the access tokens of another issuer for this `oid` stand for the account."""
    people.link_identity(actor, account_id, body.issuer, body.subject)
    return {"identity": {"issuer": body.issuer, "subject": body.subject}}


@router.delete("/accounts/{account_id}/identities", status_code=204)
def unlink_identity(
    account_id: str, issuer: str, subject: str, actor: ActorDep, people: PeopleDep
) -> Response:
    """Take such a link away. May be called twice."""
    people.unlink_identity(actor, account_id, issuer, subject)
    return Response(status_code=204)


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
        "kind": account.kind,
    }
