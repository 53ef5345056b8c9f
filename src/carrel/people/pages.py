"""Which pages are about people? Sign in, my account, and the administrator's list."""

from typing import Annotated, cast

import segno
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from pydantic import BaseModel

from carrel.core.actors import TreRole
from carrel.core.errors import CarrelError, Conflict, Denied, InvalidRequest, NotAuthenticated
from carrel.core.web import ActorDep, find_actor, provide, render
from carrel.people import application_pages
from carrel.people.authenticator import COOKIE, RequestAuthenticator, check_same_site
from carrel.people.rules import check_admin
from carrel.people.service import People

router = APIRouter()
router.include_router(application_pages.router)
PeopleDep = Annotated[People, Depends(provide(People))]
Text = Annotated[str, Form()]
_LONGEST_NEXT = 6000


class NewAccount(BaseModel):
    """The form of a new account."""

    username: str = ""
    display_name: str = ""
    email: str = ""
    password: str = ""
    is_admin: str = ""


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "") -> Response:  # noqa: A002 - the query's name
    """Ask who it is; send those who are signed in on their way."""
    if find_actor(request) is not None:
        return _go(local_path(next))
    return render(request, "people/sign_in.html", next=local_path(next), username="", errors={})


@router.post("/sign-in")
def sign_in(
    request: Request,
    people: PeopleDep,
    username: Text = "",
    password: Text = "",
    totp_code: Text = "",
    next: Text = "",  # noqa: A002 - the form's name
) -> Response:
    """Begin a browser session and go to the page that was wanted."""
    request.state.actor = None  # whoever was signed in here before does not matter
    check_same_site(request)
    client = request.client.host if request.client else "unknown"
    try:
        signed_in = people.sign_in(username, password, totp_code or None, client=client)
    except (NotAuthenticated, Denied) as error:
        return render(
            request,
            "people/sign_in.html",
            status=error.status,
            next=local_path(next),
            username=username,
            errors={"username": str(error)},
        )
    if earlier := request.cookies.get(COOKIE):
        people.sign_out(earlier)
    response = _go(local_path(next))
    _authenticator(request).remember(response, signed_in.token)
    return response


@router.post("/sign-out")
def sign_out(request: Request, people: PeopleDep) -> Response:
    """End this browser's session. Works also when it has ended already."""
    if find_actor(request) is not None:
        people.sign_out(request.cookies.get(COOKIE, ""))
    request.state.actor = None
    response = _go("/sign-in")
    _authenticator(request).forget(response)
    return response


@router.get("/sign-out")
def show_sign_out(request: Request, actor: ActorDep) -> Response:
    """Ask before signing out: a link must not do it."""
    del actor
    return render(request, "people/sign_out.html")


# My account ------------------------------------------------------------------------------------


@router.get("/account")
def show_account(request: Request, actor: ActorDep, people: PeopleDep, done: str = "") -> Response:
    """Show my own account."""
    account = people.get_account(actor, actor.id)
    return render(request, "people/account.html", account=account, errors={}, done=done)


@router.post("/account/password")
def change_password(
    request: Request,
    actor: ActorDep,
    people: PeopleDep,
    old: Text = "",
    new: Text = "",
    again: Text = "",
) -> Response:
    """Change my password; my other sessions end."""
    if new != again:
        differs = "The two new passwords differ. Type the same twice."
        return _account_again(request, people, {"new": differs})
    try:
        people.change_password(actor, old, new)
    except InvalidRequest as error:
        return _account_again(request, people, {"new": str(error)})
    except Denied as error:
        return _account_again(request, people, {"old": str(error)})
    return _go("/account?done=password")


@router.post("/account/totp")
def start_totp(actor: ActorDep, people: PeopleDep) -> Response:
    """Begin to add an authenticator app."""
    people.start_totp(actor)
    return _go("/account/totp")


@router.get("/account/totp")
def show_totp(request: Request, actor: ActorDep, people: PeopleDep) -> Response:
    """Show the code to scan."""
    return _totp_page(request, people.pending_totp(actor), {})


@router.post("/account/totp/confirm")
def confirm_totp(request: Request, actor: ActorDep, people: PeopleDep, code: Text = "") -> Response:
    """Turn the authenticator app on."""
    try:
        people.confirm_totp(actor, code)
    except InvalidRequest as error:
        return _totp_page(request, people.pending_totp(actor), {"code": str(error)})
    return _go("/account?done=totp")


@router.post("/account/totp/remove")
def remove_totp(
    request: Request, actor: ActorDep, people: PeopleDep, password: Text = ""
) -> Response:
    """Take my authenticator app away."""
    try:
        people.remove_totp(actor, actor.id, password=password)
    except Denied as error:
        return _account_again(request, people, {"password": str(error)})
    return _go("/account?done=totp-removed")


# The administrator's list ----------------------------------------------------------------------


@router.get("/accounts")
def list_accounts(request: Request, actor: ActorDep, people: PeopleDep) -> Response:
    """List every account."""
    accounts = [one for one in people.list_accounts(actor) if one.kind == "person"]
    return render(request, "people/accounts.html", accounts=accounts)


@router.get("/accounts/new")
def show_new_account(request: Request, actor: ActorDep) -> Response:
    """Ask for a new account."""
    check_admin(actor)
    return render(request, "people/new_account.html", given={}, errors={})


@router.post("/accounts/new")
def create_account(
    request: Request,
    actor: ActorDep,
    people: PeopleDep,
    given: Annotated[NewAccount, Form()],
) -> Response:
    """Make an account."""
    roles = {TreRole.USER, TreRole.ADMIN} if given.is_admin else {TreRole.USER}
    try:
        people.create_account(
            actor,
            username=given.username,
            display_name=given.display_name,
            password=given.password,
            email=given.email or None,
            tre_roles=frozenset(roles),
        )
    except (InvalidRequest, Conflict) as error:
        return render(
            request,
            "people/new_account.html",
            status=error.status,
            given=given.model_dump(exclude={"password"}),
            errors={error.field or "": str(error)},
        )
    return _go("/accounts")


@router.get("/accounts/{account_id}")
def show_one_account(
    request: Request, account_id: str, actor: ActorDep, people: PeopleDep, done: str = ""
) -> Response:
    """Show one account and what can be done with it."""
    check_admin(actor)
    account = people.get_account(actor, account_id)
    return render(request, "people/one_account.html", account=account, errors={}, done=done)


@router.post("/accounts/{account_id}/active")
def set_active(
    request: Request, account_id: str, actor: ActorDep, people: PeopleDep, active: Text = ""
) -> Response:
    """Enable or disable an account."""
    try:
        people.set_active(actor, account_id, active=active == "yes")
    except Conflict as error:
        return _one_again(request, people, account_id, error)
    return _go(f"/accounts/{account_id}")


@router.post("/accounts/{account_id}/password")
def reset_password(
    request: Request, account_id: str, actor: ActorDep, people: PeopleDep, password: Text = ""
) -> Response:
    """Give a person who forgot it a new password."""
    try:
        people.reset_password(actor, account_id, password)
    except InvalidRequest as error:
        return _one_again(request, people, account_id, error)
    return _go(f"/accounts/{account_id}?done=password")


@router.post("/accounts/{account_id}/totp/remove")
def remove_others_totp(account_id: str, actor: ActorDep, people: PeopleDep) -> Response:
    """Take away the authenticator app of a person who lost it."""
    check_admin(actor)
    people.remove_totp(actor, account_id)
    return _go(f"/accounts/{account_id}")


# -----------------------------------------------------------------------------------------------


def local_path(wanted: str) -> str:
    """Return `wanted` if it is a path on this very site, else the front page."""
    is_plain = wanted.isprintable() and "\\" not in wanted and len(wanted) <= _LONGEST_NEXT
    is_here = wanted.startswith("/") and not wanted.startswith(("//", "/sign-"))
    return wanted if is_plain and is_here else "/"


def _go(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


def _authenticator(request: Request) -> RequestAuthenticator:
    return cast("RequestAuthenticator", request.app.state.authenticator)


def _account_again(request: Request, people: People, errors: dict[str, str]) -> HTMLResponse:
    actor = find_actor(request)
    assert actor is not None
    account = people.get_account(actor, actor.id)
    return render(
        request, "people/account.html", status=422, account=account, errors=errors, done=""
    )


def _one_again(
    request: Request, people: People, account_id: str, error: CarrelError
) -> HTMLResponse:
    actor = find_actor(request)
    assert actor is not None
    return render(
        request,
        "people/one_account.html",
        status=error.status,
        account=people.get_account(actor, account_id),
        errors={error.field or "": str(error)},
        done="",
    )


def _totp_page(request: Request, uri: str | None, errors: dict[str, str]) -> Response:
    if uri is None:
        return _go("/account")
    picture = segno.make(uri, error="m", micro=False).svg_inline(
        scale=5, border=4, dark="#000", light="#fff", omitsize=False, svgclass=None, lineclass=None
    )
    return render(
        request,
        "people/totp.html",
        status=422 if errors else 200,
        picture=Markup(picture),  # noqa: S704 - drawn here, from black and white squares
        secret=uri.partition("secret=")[2].partition("&")[0],
        errors=errors,
    )
