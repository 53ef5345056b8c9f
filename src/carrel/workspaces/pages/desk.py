"""What has every page of this room at hand: the request, its actor, and the use cases?"""

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from carrel.core.web import ActorDep, provide, render
from carrel.people.service import People
from carrel.workspaces.rules import Resource, Template
from carrel.workspaces.service import Workspaces

WorkspacesDep = Annotated[Workspaces, Depends(provide(Workspaces))]
PeopleDep = Annotated[People, Depends(provide(People))]


class Desk:
    """One signed-in person's request for a page."""

    def __init__(
        self, request: Request, actor: ActorDep, workspaces: WorkspacesDep, people: PeopleDep
    ) -> None:
        self.request = request
        self.actor = actor
        self.workspaces = workspaces
        self.people = people

    def template_of(self, resource: Resource) -> Template:
        """Return the template version that a resource was made from."""
        with self.workspaces.database.read() as connection:
            return self.workspaces.catalogue.of(connection, resource)

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> Response:
        """Render a page."""
        return render(self.request, template, status=status, **values)


DeskDep = Annotated[Desk, Depends()]
