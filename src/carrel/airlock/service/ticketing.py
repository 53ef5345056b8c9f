"""Who holds a ticket to a release, was it used, and how does it end before its time?"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from carrel.airlock import tables
from carrel.airlock.rules import AirlockRequest, Who
from carrel.airlock.rules.requests import HeldTicket, TicketState, part_of
from carrel.airlock.service.base import Room
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import Conflict, NotFound


class Ticketing(Room):
    """The use cases around tickets that were made. Nobody can read a ticket's secret again."""

    def tickets(self, actor: Actor, request_id: str) -> Sequence[HeldTicket]:
        """Return the tickets to a release, newest first: a member's own, or to its keepers all."""
        table = tables.tickets
        with self._database.read() as connection:
            request = self._visible(connection, actor, request_id, whole=False)
            query = select(table).where(table.c.request_id == request_id)
            if not _keeps(actor, request):
                query = query.where(table.c.account_id == actor.id)
            rows = connection.execute(query.order_by(table.c.made_at.desc(), table.c.id)).all()
            return [self._held(connection, row) for row in rows]

    def revoke_ticket(self, actor: Actor, request_id: str, ticket_id: str) -> None:
        """End a ticket before it is used; may be called twice.

        Its holder may, an owner of the workspace, and a reviewer. Raises `Conflict` if it was used.
        """
        with self._database.write() as connection:
            request = self._visible(connection, actor, request_id, lock=True, whole=False)
            row = _load(connection, request_id, ticket_id)
            if row.account_id != actor.id and not _keeps(actor, request):
                raise _no_ticket()
            if row.used_at is not None:
                raise Conflict(
                    "This ticket was used already: the files have left. A reviewer can revoke the "
                    "release, so that they do not leave again."
                )
            if row.revoked_at is None:
                connection.execute(
                    update(tables.tickets)
                    .where(tables.tickets.c.id == ticket_id)
                    .values(revoked_at=self._clock.now())
                )
                self._record(connection, actor, "ticket_revoked", request, ticket=ticket_id)

    def _held(self, connection: Connection, row: Row[Any]) -> HeldTicket:
        holder = self._ground.find_actor(connection, row.account_id)
        state = TicketState.OPEN
        if row.used_at is not None:
            state = TicketState.USED
        elif row.revoked_at is not None:
            state = TicketState.REVOKED
        elif row.expires_at <= self._clock.now():
            state = TicketState.EXPIRED
        return HeldTicket(
            id=row.id,
            holder_id=row.account_id,
            holder_name=holder.name if holder else "",
            state=state,
            made_at=row.made_at,
            expires_at=row.expires_at,
            ended_at=row.used_at or row.revoked_at,
        )


def _load(connection: Connection, request_id: str, ticket_id: str) -> Row[Any]:
    table = tables.tickets
    query = select(table).where(table.c.id == ticket_id, table.c.request_id == request_id)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise _no_ticket()
    return row


def _no_ticket() -> NotFound:
    return NotFound("There is no such ticket at this request.")


def _keeps(actor: Actor, request: AirlockRequest) -> bool:
    """Whether somebody looks after the release: an owner of the workspace, or a reviewer."""
    is_owner = WorkspaceRole.OWNER in actor.roles_in(request.workspace_id)
    return is_owner or part_of(actor, request) is Who.REVIEWER
