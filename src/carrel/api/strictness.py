"""Does a request fit its route exactly? One check for every route of the API.

What a route does not know is refused by name, not ignored: a client that mistypes `limit` must
not get everything.
"""

import re
from collections import Counter

from fastapi import Request
from fastapi.routing import APIRoute

from carrel.api.accepts import satisfies
from carrel.api.bodies import media_type
from carrel.api.document import MEDIA, TEXT_LIMIT
from carrel.api.errors import PROBLEM_TYPE, NotAcceptable, UnsupportedMediaType
from carrel.api.table import RouteTable
from carrel.core.errors import InvalidRequest

_UUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
READABLE = ("text/plain", PROBLEM_TYPE)
"""What a client may say it reads although it is for errors only."""


async def check_fit(request: Request) -> None:
    """Check query, ids, body type and Accept of a request; a dependency of every API route."""
    route = request.scope["route"]
    if isinstance(route, APIRoute):
        check_query(request, route)
        check_lengths(request)
        check_ids(request)
        check_body_type(request, route)
        check_accept(request, route)


def check_query(request: Request, route: APIRoute) -> None:
    """Raise `InvalidRequest` for a query parameter the route does not know, or twice the same."""
    table: RouteTable = request.app.state.table
    known = table.query_names(route.endpoint)
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            takes = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
            raise InvalidRequest(
                f"This address knows no query parameter {name[:100]!r}. {takes}", field=name[:100]
            )
        if times > 1:
            raise InvalidRequest(
                f"Query parameter {name!r} appears twice. Send it once.", field=name
            )


def check_lengths(request: Request) -> None:
    """Raise `InvalidRequest` for a query or path parameter that no database should see."""
    path = ((name, str(value)) for name, value in request.path_params.items())
    for name, value in (*request.query_params.multi_items(), *path):
        if len(value) > TEXT_LIMIT:
            raise InvalidRequest(f"Field {name}: at most {TEXT_LIMIT} characters.", field=name)


def check_ids(request: Request) -> None:
    """Raise `InvalidRequest` for an id in the path that is no UUID, as in AzureTRE."""
    for name, value in request.path_params.items():
        if name.endswith("_id") and not _UUID.fullmatch(str(value)):
            raise InvalidRequest(f"Field {name} (in the path): Input should be a UUID.", field=name)


def check_body_type(request: Request, route: APIRoute) -> None:
    """Raise `UnsupportedMediaType` for a body that is not JSON where the route reads JSON."""
    if route.body_field is None or not getattr(request.state, "has_body", False):
        return
    sent = media_type(request.headers.get("content-type", ""))
    if sent != "application/json" and not sent.endswith("+json"):
        named = f"not {sent[:100]!r}" if sent else "and a header Content-Type that says so"
        raise UnsupportedMediaType(f"This address reads application/json, {named}.")


def check_accept(request: Request, route: APIRoute) -> None:
    """Raise `NotAcceptable` if the client reads nothing that the route answers."""
    offered = (*MEDIA.get(route.name, ("application/json",)), *READABLE)
    if not satisfies(request.headers.get("accept", ""), offered):
        raise NotAcceptable(f"This address answers {', '.join(offered)}. Accept one of them.")
