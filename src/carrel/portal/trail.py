"""Who may read which part of the audit record?"""

from dataclasses import dataclass

from carrel.core.actors import Actor
from carrel.core.audit import AuditEvent, AuditOrder, Verification, page_events, verify
from carrel.core.database import Database
from carrel.core.errors import Denied, NotFound
from carrel.core.paging import Page, Wanted

PAGE_SIZE = 50


NEWEST = Wanted(AuditOrder.SEQ, is_ascending=False, limit=PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class TrailPage:
    """One page of the record."""

    events: Page[AuditEvent]

    @property
    def next_before(self) -> int | None:
        """Give it as `before` for the next older page; None on the last one."""
        return self.events[-1].seq if self.events.next_cursor else None


class AuditTrail:
    """Reads the record on behalf of people; members see their workspace, administrators all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_for(
        self,
        actor: Actor,
        *,
        workspace_id: str | None = None,
        subject: str | None = None,
        before: int | None = None,
        part: Wanted[AuditOrder] = NEWEST,
    ) -> TrailPage:
        """Return events, newest first; `before` is the number of an event.

        Raises `NotFound` for a workspace that is not the actor's, `Denied` for the whole record.
        """
        _check_may_read(actor, workspace_id)
        with self._database.read() as connection:
            events = page_events(
                connection, part, workspace_id=workspace_id, subject=subject, before=before
            )
        return TrailPage(events)

    def verify(self, actor: Actor) -> Verification:
        """Check the whole hash chain; for administrators."""
        _check_may_read(actor, None)
        return verify(self._database)


def _check_may_read(actor: Actor, workspace_id: str | None) -> None:
    if actor.is_admin or actor.is_system:
        return
    if workspace_id is None:
        raise Denied(
            "Only a TRE administrator reads the whole audit record. "
            "Open a workspace to read its own part."
        )
    if not actor.is_member(workspace_id):
        raise NotFound("There is no such workspace, or you are not a member of it.")
