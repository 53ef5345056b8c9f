"""Which page is about applications? The administrator's list of them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from carrel.core.actors import Actor, TreRole
from carrel.core.errors import InvalidRequest
from carrel.core.web import ActorDep, provide, render, see_other
from carrel.people.rules import Application
from carrel.people.service import People
from carrel.people.service.applications import SECRET_DAYS

router = APIRouter()
PeopleDep = Annotated[People, Depends(provide(People))]


class NewApplication(BaseModel):
    """The form of a new application."""

    name: str = ""
    secret_days: str = str(SECRET_DAYS)
    is_admin: str = ""


@router.get("/applications")
def list_applications(request: Request, actor: ActorDep, people: PeopleDep) -> Response:
    """List every application."""
    return _page(request, actor, people)


@router.post("/applications")
def create_application(
    request: Request, actor: ActorDep, people: PeopleDep, given: Annotated[NewApplication, Form()]
) -> Response:
    """Make an application and show its secret, this once."""
    roles = {TreRole.USER, TreRole.ADMIN} if given.is_admin else {TreRole.USER}
    try:
        made, secret = people.create_application(
            actor,
            name=given.name,
            tre_roles=frozenset(roles),
            secret_days=int(given.secret_days) if given.secret_days.isdecimal() else 0,
        )
    except InvalidRequest as error:
        field = {"display_name": "name"}.get(error.field or "", error.field or "")
        return _page(request, actor, people, given=given, errors={field: str(error)})
    return _page(request, actor, people, made=made, secret=secret)


@router.post("/applications/{client_id}/secret")
def rotate_secret(request: Request, client_id: str, actor: ActorDep, people: PeopleDep) -> Response:
    """Give an application a new secret and show it, this once."""
    made, secret = people.rotate_secret(actor, client_id)
    return _page(request, actor, people, made=made, secret=secret)


@router.post("/applications/{client_id}/active")
def set_active(
    client_id: str, actor: ActorDep, people: PeopleDep, active: Annotated[str, Form()] = ""
) -> Response:
    """Enable or disable an application."""
    people.set_application_active(actor, client_id, active=active == "yes")
    return see_other("/applications")


@router.post("/applications/{client_id}/delete")
def delete_application(client_id: str, actor: ActorDep, people: PeopleDep) -> Response:
    """Delete an application."""
    people.delete_application(actor, client_id)
    return see_other("/applications")


def _page(  # noqa: PLR0913 - what the page may show
    request: Request,
    actor: Actor,
    people: People,
    *,
    given: NewApplication | None = None,
    errors: dict[str, str] | None = None,
    made: Application | None = None,
    secret: str = "",
) -> HTMLResponse:
    return render(
        request,
        "people/applications.html",
        status=422 if errors else 200,
        applications=people.list_applications(actor),
        given=given.model_dump() if given else {},
        errors=errors or {},
        made=made,
        secret=secret,
    )
