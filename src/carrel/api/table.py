"""Which routes does the application have? Asked by layers that see a request before its route."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, compile_path

_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Line:
    """One route: how its path is recognised, its methods and its endpoint."""

    pattern: re.Pattern[str]
    path: str
    methods: frozenset[str]
    endpoint: Callable[..., Any]
    query_names: frozenset[str]

    @property
    def streams_in(self) -> bool:
        """Whether the route reads its body itself (`core.web.accepts_uploads`)."""
        return bool(getattr(self.endpoint, "accepts_uploads", False))

    @property
    def answers_once(self) -> bool:
        """Whether a GET has an effect or an open end (`core.web.answers_once`): no HEAD then."""
        return bool(getattr(self.endpoint, "answers_once", False))

    @property
    def told(self) -> Mapping[str, str]:
        """The headers that OPTIONS answers here (`core.web.tells_in_options`)."""
        return getattr(self.endpoint, "tells_in_options", {})


class RouteTable:
    """The routes of an application, those of included routers too."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes
        self._lines: Sequence[Line] | None = None
        self._names: dict[Callable[..., Any], frozenset[str]] = {}

    def query_names(self, endpoint: Callable[..., Any]) -> frozenset[str]:
        """Return the query parameters that an endpoint, or what it depends on, takes."""
        if not self._names:
            self._names = {line.endpoint: line.query_names for line in self.lines}
        return self._names[endpoint]

    @property
    def lines(self) -> Sequence[Line]:
        """Every route; compiled at first use, because routers are included after the layers."""
        if self._lines is None:
            self._lines = [
                Line(
                    compile_path(route.path)[0],
                    route.path,
                    frozenset(route.methods),
                    route.endpoint,
                    _query_names(route),
                )
                for route in iter_route_contexts(self._routes)
                if route.path and route.methods and route.endpoint
            ]
        return self._lines

    def find(self, method: str, path: str) -> Line | None:
        """Return the route that takes `method` at `path`, None if there is none."""
        matching = (line for line in self.lines if method in line.methods)
        return next((line for line in matching if line.pattern.match(path)), None)

    def methods(self, path: str) -> Sequence[str]:
        """Return every method that some route takes at `path`, in the usual order; [] if none."""
        lines = [line for line in self.lines if line.pattern.match(path)]
        if not lines:
            return []
        found = {method for line in lines for method in line.methods} | {"OPTIONS"}
        if "GET" in found and not any(line.answers_once for line in lines):
            found.add("HEAD")
        return [method for method in _ORDER if method in found]

    def told(self, path: str) -> Mapping[str, str]:
        """Return the headers that the routes at `path` tell in OPTIONS."""
        lines = (line for line in self.lines if line.pattern.match(path))
        return {name: value for line in lines for name, value in line.told.items()}


def _query_names(route: RouteContext) -> frozenset[str]:
    dependant = getattr(route, "dependant", None)
    fields = get_flat_params(dependant) if dependant else []
    return frozenset(each.alias for each in fields if isinstance(each.field_info, Query))


def is_for_programs(path: str) -> bool:
    """Whether the answer at `path` goes to a program and not to a browser's page."""
    return path.startswith("/api/") or path in ("/api", "/.metadata", "/ping")
