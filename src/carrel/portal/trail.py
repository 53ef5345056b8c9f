"""Who may read which part of the audit record?"""

from collections.abc import Sequence
from dataclasses import dataclass

from carrel.core.actors import Actor
from carrel.core.audit import AuditEvent, Verification, list_events, verify
from carrel.core.database import Database
from carrel.core.errors import Denied, InvalidRequest, NotFound

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class TrailPage:
    """One page of the record, newest first."""

    events: Sequence[AuditEvent]
    next_before: int | None
    """Give it as `before` for the next older page; None on the last one."""


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
        limit: int = PAGE_SIZE,
    ) -> TrailPage:
        """Return events, newest first.

        Raises `NotFound` for a workspace that is not the actor's, `Denied` for the whole record.
        """
        _check_may_read(actor, workspace_id)
        if not 1 <= limit <= 1000:
            raise InvalidRequest("The limit must be between 1 and 1000.", field="limit")
        with self._database.read() as connection:
            events = list_events(
                connection,
                workspace_id=workspace_id,
                subject=subject,
                before=before,
                limit=limit + 1,
            )
        shown = events[:limit]
        return TrailPage(shown, shown[-1].seq if len(events) > limit else None)

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
