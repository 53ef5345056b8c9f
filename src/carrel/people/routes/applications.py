"""How do programs look after applications: accounts that get access tokens by a secret?"""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from carrel.core.actors import TreRole
from carrel.core.paging import Position, Wanted, listed, slice_of, wanted
from carrel.core.web import ActorDep, provide
from carrel.people.rules import SECRET_DAYS_MOST, Application
from carrel.people.service import People
from carrel.people.service.applications import SECRET_DAYS

router = APIRouter(tags=["people"])
PeopleDep = Annotated[People, Depends(provide(People))]
Days = Annotated[int, Field(ge=1, le=SECRET_DAYS_MOST)]


class ApplicationOrder(StrEnum):
    """What the list of applications may be sorted by."""

    NAME = "name"
    CREATED = "created_at"


PartDep = Annotated[
    Wanted[ApplicationOrder], Depends(wanted(ApplicationOrder, ApplicationOrder.NAME))
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ApplicationBody(_Body):
    """A new application."""

    name: str = Field(max_length=100)
    tre_roles: list[TreRole] = [TreRole.USER]
    secret_days: Days = SECRET_DAYS


class ApplicationPatch(_Body):
    """A change of an application."""

    is_active: bool


class SecretBody(_Body):
    """For how long a new secret holds."""

    secret_days: Days = SECRET_DAYS


@router.get("/applications")
def list_applications(actor: ActorDep, people: PeopleDep, part: PartDep) -> Response:
    """List every application. Only for TRE administrators."""

    def position(each: Application) -> Position:
        is_by_name = part.order is ApplicationOrder.NAME
        made = each.created_at.isoformat(timespec="microseconds")
        return each.name.lower() if is_by_name else made, each.client_id

    page = slice_of(people.list_applications(actor), part, position)
    return listed(part, "applications", page.map(application_out))


@router.post("/applications", status_code=201)
def create_application(body: ApplicationBody, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Make an application; its secret is shown in this answer only. For TRE administrators.

    It gets access tokens with client id and secret (client credentials), and roles in workspaces
    like a person, under its `account_id`.
    """
    made, secret = people.create_application(
        actor,
        name=body.name,
        tre_roles=frozenset(body.tre_roles),
        secret_days=body.secret_days,
    )
    return {"application": application_out(made), "secret": secret}


@router.get("/applications/{client_id}")
def show_application(client_id: UUID, actor: ActorDep, people: PeopleDep) -> dict[str, Any]:
    """Return one application. Only for TRE administrators."""
    return {"application": application_out(people.get_application(actor, str(client_id)))}


@router.patch("/applications/{client_id}")
def change_application(
    client_id: UUID, body: ApplicationPatch, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Enable or disable an application; disabling ends its access tokens at once."""
    found = people.set_application_active(actor, str(client_id), active=body.is_active)
    return {"application": application_out(found)}


@router.post("/applications/{client_id}/secret", status_code=201)
def rotate_application_secret(
    client_id: UUID, body: SecretBody, actor: ActorDep, people: PeopleDep
) -> dict[str, Any]:
    """Give an application a new secret; the old one and its access tokens are over at once."""
    found, secret = people.rotate_secret(actor, str(client_id), secret_days=body.secret_days)
    return {"application": application_out(found), "secret": secret}


@router.delete("/applications/{client_id}", status_code=204)
def delete_application(client_id: UUID, actor: ActorDep, people: PeopleDep) -> Response:
    """Delete an application with every role of it; its access tokens are over at once."""
    people.delete_application(actor, str(client_id))
    return Response(status_code=204)


def application_out(application: Application) -> dict[str, Any]:
    """Return the JSON shape of an application."""
    return {
        "client_id": application.client_id,
        "account_id": application.account_id,
        "name": application.name,
        "tre_roles": sorted(application.tre_roles),
        "is_active": application.is_active,
        "created_at": application.created_at.timestamp(),
        "secret_made_at": application.secret_made_at.timestamp(),
        "secret_expires_at": application.secret_expires_at.timestamp(),
    }
