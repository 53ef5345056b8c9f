"""What do all routes and pages share? Services, the signed-in actor, and rendering."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol, TypeVar, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment
from starlette.datastructures import FormData

from carrel.core.actors import Actor
from carrel.core.errors import NotAuthenticated
from carrel.core.logs import note_who

T = TypeVar("T")
NOBODY = (
    "Could not validate credentials. Sign in first: open the portal, run `carrel login`, or send "
    "`Authorization: Bearer` with a token."
)


class Authenticator(Protocol):
    """Finds out who sent a request, from its cookie or its bearer token."""

    def authenticate(self, request: Request) -> Actor | None:
        """Return the actor, or None for nobody.

        Raises `Denied` for a browser's changing request without a valid CSRF token.
        """
        ...

    def csrf_token(self, request: Request) -> str:
        """Return the token that the forms of this browser session must send back; "" if none."""
        ...


class Services:
    """The use cases of this process by type; filled by `app.py`, read by routes and pages."""

    def __init__(self) -> None:
        self._by_type: dict[type[Any], Any] = {}

    def add(self, *services: Any) -> None:
        """Offer each service under its own type."""
        for service in services:
            self._by_type[type(service)] = service

    def get(self, kind: type[T]) -> T:
        """Return the service of exactly this type; a missing one is a programming error."""
        return cast("T", self._by_type[kind])


def route_template(scope: Mapping[str, Any]) -> str:
    """Return the path of the route that took a request, ids as names; "" if there is none.

    Of a route below `/api`, what comes after it.
    """
    return str(getattr(scope.get("route"), "path", ""))


def provide(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """Return a FastAPI dependency that gives the service of type `kind`."""

    async def dependency(request: Request) -> T:  # async: no trip through the thread pool
        services: Services = request.app.state.services
        return services.get(kind)

    return dependency


def find_actor(request: Request) -> Actor | None:
    """Return who sent the request, or None; asked once per request."""
    if not hasattr(request.state, "actor"):
        authenticator: Authenticator = request.app.state.authenticator
        request.state.actor = actor = authenticator.authenticate(request)
        if actor is not None:
            note_who(actor=actor.id, audience=actor.audience or "session")
    return cast("Actor | None", request.state.actor)


def get_actor(request: Request) -> Actor:
    """Return who sent the request. Raises `NotAuthenticated`, `TooManyRequests`."""
    actor = find_actor(request)
    if actor is None:
        raise NotAuthenticated(NOBODY)
    limit: Callable[[Actor], None] | None = getattr(request.app.state, "limit", None)
    if limit is not None:
        limit(actor)
    return actor


ActorDep = Annotated[Actor, Depends(get_actor)]
"""The signed-in actor; a route that takes it refuses everybody else with 401."""


def render(request: Request, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page with the values every page has (actor, CSRF token, TRE name, path)."""
    pages: Environment = request.app.state.pages
    context: Mapping[str, Any] = {
        "request": request,
        "actor": find_actor(request),
        "csrf_token": request.app.state.authenticator.csrf_token(request),
        "settings": request.app.state.settings,
        **values,
    }
    return HTMLResponse(pages.get_template(template).render(context), status_code=status)


U = TypeVar("U", bound=Callable[..., Any])


def accepts_uploads(endpoint: U) -> U:
    """Mark a route that streams its body and sets its own limit; all others take 1 MiB."""
    endpoint.accepts_uploads = True  # type: ignore[attr-defined]  # a mark on a function
    return endpoint


def tells_in_options(headers: Mapping[str, str]) -> Callable[[U], U]:
    """Mark a route with headers that OPTIONS answers at its address, beside `Allow`."""

    def mark(endpoint: U) -> U:
        endpoint.tells_in_options = headers  # type: ignore[attr-defined]  # a mark on a function
        return endpoint

    return mark


class Audience(StrEnum):
    """For which audience an access token must have been made, to be taken by a route."""

    CORE = "core"
    WORKSPACE = "workspace"
    """The workspace in the path."""
    EITHER = "either"
    """The workspace in the path, or core if a TRE administrator holds it."""


@dataclass(frozen=True, slots=True)
class AudienceMark:
    """What `for_audience` wrote on an endpoint."""

    audience: Audience
    with_memberships: bool = False


def for_audience(audience: Audience, *, with_memberships: bool = False) -> Callable[[U], U]:
    """Mark which access tokens an endpoint takes; sessions are taken everywhere.

    `with_memberships`: a core token's actor keeps its roles in workspaces here, to read what it
    may list; on an EITHER route a member's core token is then taken too.
    """

    def mark(endpoint: U) -> U:
        made = AudienceMark(audience, with_memberships)
        endpoint.audience = made  # type: ignore[attr-defined]  # a mark on a function
        return endpoint

    return mark


def audience_of(endpoint: Callable[..., Any], path: str) -> AudienceMark:
    """Return which access tokens the endpoint of the route `path` (a template) takes."""
    marked: AudienceMark | None = getattr(endpoint, "audience", None)
    if marked is not None:
        return marked
    is_below = "/workspaces/{workspace_id}/" in path
    return AudienceMark(Audience.WORKSPACE if is_below else Audience.CORE)


def answers_once(endpoint: U) -> U:
    """Mark a GET that has an effect or never ends by itself; it takes no HEAD."""
    endpoint.answers_once = True  # type: ignore[attr-defined]  # a mark on a function
    return endpoint


async def sent_form(request: Request) -> FormData:
    """Return the form of a request; FastAPI dependency for pages (see `FormDep`)."""
    return await request.form()


FormDep = Annotated[FormData, Depends(sent_form)]
"""What a browser's form sent; `core.forms` turns it into values."""


def typed(form: FormData, name: str) -> str:
    """Return a text field of a form, without surrounding space; "" if it was not sent."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def see_other(path: str) -> RedirectResponse:
    """Send the browser on after a change, so that a reload does not repeat it."""
    return RedirectResponse(path, status_code=303)
