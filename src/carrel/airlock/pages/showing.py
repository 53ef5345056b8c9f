"""How is a request drawn after something was tried with it?"""

from collections.abc import Callable, Mapping

from fastapi import Request
from starlette.responses import Response

from carrel.airlock import views
from carrel.airlock.binding import Bound
from carrel.airlock.rules import AirlockRequest
from carrel.core.errors import CarrelError, NotFound
from carrel.core.web import render, see_other


def changed(request: Request, bound: Bound, act: Callable[[], object]) -> Response:
    """Do something and show the request; or show it with the reason why nothing was done."""
    try:
        act()
    except NotFound:
        raise
    except CarrelError as error:
        return draw(request, bound, error)
    return see_other(path_of(bound.request))


def draw(request: Request, bound: Bound, error: CarrelError | None = None) -> Response:
    """Show a request as this person may see it now."""
    fresh = bound.airlock.get(bound.actor, bound.id)
    return render(
        request,
        "airlock/request.html",
        status=error.status if error else 200,
        view=views.request_view(bound.airlock, bound.actor, fresh),
        page=path_of(fresh),
        workspace_name=bound.airlock.workspace_name(bound.actor, fresh.workspace_id),
        errors=errors_of(error),
    )


def path_of(request: AirlockRequest) -> str:
    """Return the address of a request's page."""
    return f"/workspaces/{request.workspace_id}/airlock/{request.id}"


def errors_of(error: CarrelError | None) -> Mapping[str, str]:
    """Return what a page says beside its fields, by field."""
    return {error.field or "": str(error)} if error else {}
