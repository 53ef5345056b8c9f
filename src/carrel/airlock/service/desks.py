"""How does a reviewer get a user resource to look at files in, and how does it go again?"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete

from carrel.airlock import tables
from carrel.airlock.rules import UNDER_REVIEW, AirlockRequest, ReviewResource, Who, check_who
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service.base import Room
from carrel.airlock.service.records import load_request
from carrel.core.actors import Actor
from carrel.core.errors import BadRequest, Conflict, NotAuthenticated
from carrel.workspaces.rules import Operation


class ReviewDesks(Room):
    """The use cases on review resources."""

    def open_desk(self, actor: Actor, request_id: str, make_link: Callable[[], str]) -> tuple[
        AirlockRequest, Operation
    ]:  # fmt: skip
        """Begin to make a user resource for this reviewer, from the workspace's configuration.

        `make_link` gives the address at which the reviewer finds the files. Raises `BadRequest`
        unless the request is in review, `Conflict` if the reviewer has a healthy one already; one
        that is not is replaced.
        """
        request = self._reviewable(actor, request_id)
        mine = next((e for e in request.review_resources if e.reviewer_id == actor.id), None)
        if mine is not None and self._ground.desks.is_healthy(mine):
            raise Conflict(
                "You have a review resource for this request, and it runs. Open it in its "
                "workspace, or delete it first."
            )
        with self._database.read() as connection:
            person = self._ground.find_actor(connection, actor.id)
        if person is None:
            raise NotAuthenticated("This account may not act any more. Ask an administrator.")
        link = make_link()
        if mine is not None:
            self._ground.desks.remove(mine)
        made, operation = self._ground.desks.open(person, request, link)
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True)
            self._keep(connection, request.id, made)
            self._record(
                connection, actor, "review_resource_made", request,
                resource=made.user_resource_id, operation=operation.id,
            )  # fmt: skip
            if request.status not in UNDER_REVIEW:  # decided in the meantime
                self._clear_desks_soon(connection, request)
            return load_request(connection, request_id), operation

    def _reviewable(self, actor: Actor, request_id: str) -> AirlockRequest:
        with self._database.read() as connection:
            request = self._visible(connection, actor, request_id)
        check_who(Who.REVIEWER, part_of(actor, request))
        if request.status not in UNDER_REVIEW:
            raise BadRequest(
                f"This request is {request.status.words}; a review resource is made during a "
                "review only."
            )
        return request

    def _keep(self, connection: Connection, request_id: str, made: ReviewResource) -> None:
        table = tables.review_resources
        same = (table.c.request_id == request_id) & (table.c.reviewer_id == made.reviewer_id)
        connection.execute(delete(table).where(same))
        row: dict[str, Any] = {
            "request_id": request_id,
            "reviewer_id": made.reviewer_id,
            "workspace_id": made.workspace_id,
            "workspace_service_id": made.workspace_service_id,
            "user_resource_id": made.user_resource_id,
        }
        connection.execute(table.insert(), row)
