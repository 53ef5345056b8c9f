"""Where does a person agree that a program may act for them? In the browser, signed in."""

from collections.abc import Mapping, Sequence
from typing import Annotated, cast
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from carrel.core.actors import Actor
from carrel.core.errors import Denied, InvalidRequest, NotAuthenticated
from carrel.core.web import find_actor, provide, render, see_other
from carrel.people.authenticator import COOKIE, RequestAuthenticator
from carrel.people.issuer.codes import Wish
from carrel.people.issuer.errors import OAuthError
from carrel.people.issuer.routes import IssuerDep
from carrel.people.issuer.routes import router as programs
from carrel.people.issuer.rules import (
    CLI_SCOPE,
    CORE,
    RESPONSE_MODES,
    Asked,
    origin_of,
    repeated,
    with_answer,
)
from carrel.people.issuer.service import Issuer
from carrel.people.service import People

router = APIRouter()
router.include_router(programs)  # at the root too, because Entra's addresses are
PeopleDep = Annotated[People, Depends(provide(People))]
Text = Annotated[str, Form(max_length=6000)]
Given = Mapping[str, str]
_DECLINED = OAuthError("access_denied", 65004, "The person declined.")
_MISUSED = "A program cannot agree for a person. Open this page in a browser and sign in there."
# The strict headers of the house, but for where the answer of the form may be sent on to.
_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action {targets}; "
    "frame-ancestors 'none'"
)


@router.get("/{tenant}/oauth2/v2.0/authorize")
def authorize(tenant: str, request: Request, issuer: IssuerDep) -> Response:
    """Ask the signed-in person whether a program may have what it asks for (RFC 6749, 4.1)."""
    issuer.check_tenant(tenant)
    pairs = request.query_params.multi_items()
    given = _once(pairs)
    client, address = issuer.address_of(given)
    try:
        wish = issuer.understand(client, address, given)
        return _ask(request, issuer, wish)
    except OAuthError as error:
        return _send(request, issuer, address, given, _refused(error))


@router.post("/{tenant}/oauth2/v2.0/confirm")
def confirm(
    tenant: str,
    request: Request,
    issuer: IssuerDep,
    people: PeopleDep,
    query: Text = "",
    choice: Text = "",
) -> Response:
    """Send the program its code, or a refusal; or let somebody else sign in."""
    issuer.check_tenant(tenant)
    actor = _person(request)
    given = _once(parse_qsl(query, keep_blank_values=True))
    client, address = issuer.address_of(given)
    if choice == "other":
        return _sign_in_again(request, people, given)
    try:
        wish = issuer.understand(client, address, given)
        code = issuer.codes.issue(actor, wish) if choice == "allow" else None
    except OAuthError as error:
        return _send(request, issuer, address, given, _refused(error))
    answer = {"code": code} if code else _refused(_DECLINED)
    return _send(request, issuer, address, given, answer)


@router.get("/{tenant}/oauth2/v2.0/logout")
def log_out(tenant: str, issuer: IssuerDep) -> Response:
    """Lead to the page that asks before it signs anybody out."""
    issuer.check_tenant(tenant)
    return see_other("/sign-out")


# Devices ---------------------------------------------------------------------------------------


@router.get("/device")
def show_device(request: Request) -> Response:
    """Ask for the code that a program shows."""
    _person(request)
    return render(request, "people/device.html", typed="", errors={})


@router.post("/device")
def find_device(request: Request, issuer: IssuerDep, user_code: Text = "") -> Response:
    """Show which program it is before anything is allowed."""
    actor = _person(request)
    try:
        device = issuer.devices.find(actor, user_code)
    except (InvalidRequest, Denied) as error:
        return render(
            request,
            "people/device.html",
            status=error.status,
            typed=user_code,
            errors={"user_code": str(error)},
        )
    return render(
        request,
        "people/device_confirm.html",
        device=device,
        program=issuer.client_name(device.client_id),
        wanted=_in_words(device.asked),
    )


@router.post("/device/answer")
def answer_device(
    request: Request, issuer: IssuerDep, user_code: Text = "", choice: Text = ""
) -> Response:
    """Let the waiting program in, or not."""
    actor = _person(request)
    allow = choice == "allow"
    try:
        device = issuer.devices.answer(actor, user_code, allow=allow)
    except OAuthError as error:
        shown = {"user_code": str(error)}
        return render(request, "people/device.html", status=400, typed="", errors=shown)
    except (InvalidRequest, Denied) as error:
        shown = {"user_code": str(error)}
        return render(
            request, "people/device.html", status=error.status, typed=user_code, errors=shown
        )
    program = issuer.client_name(device.client_id)
    return render(request, "people/device_done.html", allowed=allow, program=program)


# -----------------------------------------------------------------------------------------------


def _ask(request: Request, issuer: Issuer, wish: Wish) -> Response:
    actor = _find_person(request)
    is_silent = "none" in wish.prompts
    if actor is None:
        if is_silent:
            raise OAuthError("login_required", 50058, "Nobody is signed in in this browser.")
        return see_other(f"/sign-in?next={quote(_here(request), safe='')}")
    if "login" in wish.prompts:
        return _agree_page(request, issuer, wish, again=True)
    issuer.codes.check(actor, wish)
    if not _may_be_silent(issuer, wish):
        if is_silent:
            raise OAuthError("interaction_required", 50079, "The person must agree.")
        return _agree_page(request, issuer, wish, again=False)
    given = dict(request.query_params)
    return _send(
        request, issuer, wish.redirect_uri, given, {"code": issuer.codes.issue(actor, wish)}
    )


def _may_be_silent(issuer: Issuer, wish: Wish) -> bool:
    """Whether a code may be sent without a click.

    Never to a program, because any program can listen there (RFC 8252 section 8.6). To a
    registered page if it asked for that; to the portal's own page always, unless it asked to ask.
    """
    if wish.is_for_a_program or wish.prompts & {"consent", "select_account"}:
        return False
    return "none" in wish.prompts or issuer.is_own_page(wish)


def _agree_page(request: Request, issuer: Issuer, wish: Wish, *, again: bool) -> Response:
    answer = render(
        request,
        "people/agree.html",
        program=wish.client.name,
        target=origin_of(wish.redirect_uri),
        is_program=wish.is_for_a_program,
        wanted=_in_words(wish.asked),
        tenant=issuer.identity.tenant_id,
        query=request.url.query,
        again=again,
    )
    targets = f"'self' {origin_of(wish.redirect_uri)}"
    answer.headers["Content-Security-Policy"] = _POLICY.format(targets=targets)
    return answer


def _send(
    request: Request, issuer: Issuer, address: str, given: Given, answer: Mapping[str, str]
) -> Response:
    """Send the browser to the client with an answer; RFC 9207 says who answered."""
    whole = {**answer, "iss": issuer.identity.issuer_url}
    if given.get("state"):
        whole["state"] = given["state"]
    mode = given.get("response_mode", "query")
    if mode == "form_post":
        page = render(request, "people/form_post.html", address=address, fields=whole)
        policy = _POLICY.format(targets=origin_of(address))
        page.headers["Content-Security-Policy"] = policy
        return page
    shown = mode if mode in RESPONSE_MODES else "query"
    return RedirectResponse(with_answer(address, shown, whole), status_code=303)


def _refused(error: OAuthError) -> Mapping[str, str]:
    return {"error": error.error, "error_description": error.description}


def _sign_in_again(request: Request, people: People, given: Given) -> Response:
    """End this browser's session and come back afterwards, then without being asked again."""
    people.sign_out(request.cookies.get(COOKIE, ""))
    kept = {name: value for name, value in given.items() if name != "prompt"}
    path = request.url.path.removesuffix("/confirm") + "/authorize"
    response = see_other(f"/sign-in?next={quote(f'{path}?{urlencode(kept)}', safe='')}")
    cast("RequestAuthenticator", request.app.state.authenticator).forget(response)
    return response


def _in_words(asked: Asked) -> str:
    """Return what is asked for, for the person who must agree."""
    if asked.resource == CLI_SCOPE:
        return "Everything that you can do in the portal, until the session ends"
    if asked.resource == CORE:
        return "What your roles in the TRE allow, but nothing inside workspaces"
    return f"What your roles allow in the workspace {asked.resource}"


def _once(pairs: Sequence[tuple[str, str]]) -> Given:
    twice = repeated(name for name, _ in pairs)
    if twice is not None:
        raise OAuthError("invalid_request", 9000411, f"'{twice[:64]}' was sent twice.")
    return dict(pairs)


def _here(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}"


def _find_person(request: Request) -> Actor | None:
    """Return who sits at the browser; a program's token does not count."""
    if "authorization" in request.headers:
        raise Denied(_MISUSED)
    return find_actor(request)


def _person(request: Request) -> Actor:
    actor = _find_person(request)
    if actor is None:
        raise NotAuthenticated("Sign in first.")
    return actor
