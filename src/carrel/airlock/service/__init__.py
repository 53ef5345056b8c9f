"""What can be done in the airlock? `Airlock` is the whole of it."""

from sqlalchemy import Connection, delete, select

from carrel.airlock import tables
from carrel.airlock.ports import Ground
from carrel.airlock.rules import Status
from carrel.airlock.service.adopting import Adopting
from carrel.airlock.service.base import DISCARD, WORK_OF, work_key
from carrel.airlock.service.desks import ReviewDesks
from carrel.airlock.service.drafting import Drafting
from carrel.airlock.service.linking import Linking
from carrel.airlock.service.records import load_request
from carrel.airlock.service.releasing import OpenRelease, Releasing
from carrel.airlock.service.reviewing import Reviewing
from carrel.airlock.service.ticketing import Ticketing
from carrel.airlock.service.uploading import Uploading
from carrel.core.actors import Actor, system
from carrel.core.errors import NotFound
from carrel.workspaces.events import WorkDiscarded, WorkspaceDeleted

__all__ = ["Airlock", "OpenRelease"]


class Airlock(Drafting, Adopting, Reviewing, Releasing, Ticketing, Linking, Uploading, ReviewDesks):
    """The use cases of the airlock; with `work.py` the only writer of its tables.

    `drafting.py` and `adopting.py` are the author's part, `reviewing.py` the reviewer's (with
    `commenting.py`, `rounds.py` and `bench.py` for several), `policies.py` the administrator's,
    `releasing.py` lets an approved export out, `ticketing.py` ends tickets, `linking.py` serves
    programs by links, `desks.py` makes review resources.
    """

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        ground.events.subscribe(WorkspaceDeleted, self._on_workspace_deleted)
        ground.events.subscribe(WorkDiscarded, self._on_work_discarded)

    def _on_workspace_deleted(self, connection: Connection, event: WorkspaceDeleted) -> None:
        self.drop_workspace(connection, event.workspace_id)

    def _on_work_discarded(self, connection: Connection, event: WorkDiscarded) -> None:
        """Take a request whose work was given up where somebody can go on from.

        Without that it would wait for ever, or its work be queued again at the next start.
        """
        if event.kind not in WORK_OF.values():
            return
        try:
            request = load_request(connection, event.payload["request"], lock=True)
        except NotFound:
            return
        if WORK_OF.get(request.status) != event.kind:
            return
        given_up = f"Given up by {event.actor_name}, because it failed again and again."
        if request.status is Status.SUBMITTED:
            sentence = f"{given_up} Nothing is lost: submit again, or ask them why."
            self._move(connection, system("airlock"), request, Status.RETURNED, sentence)
        else:
            sentence = f"{given_up} Raise a new request."
            self._move(connection, system("airlock"), request, Status.FAILED, sentence)

    def workspace_name(self, actor: Actor, workspace_id: str) -> str:
        """Return what people call a workspace. Raises `NotFound` to strangers."""
        if not actor.is_member(workspace_id):
            raise NotFound("There is no such workspace, or you are no member of it.")
        return self._ground.policies.display_name(workspace_id)

    def drop_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Forget every request of a deleted workspace, and its files; the audit record stays."""
        table = tables.requests
        ids = connection.execute(select(table.c.id).where(table.c.workspace_id == workspace_id))
        dropped = list(ids.scalars())
        for request_id in dropped:
            payload = {"request": request_id, "workspace": workspace_id}
            self._queue.put(connection, DISCARD, work_key(request_id), payload)
        connection.execute(delete(table).where(table.c.workspace_id == workspace_id))
        kept = tables.policies
        connection.execute(delete(kept).where(kept.c.workspace_id == workspace_id))
        self._audit.append(
            connection,
            system("airlock"),
            "airlock.workspace_dropped",
            workspace_id,
            workspace_id=workspace_id,
            requests=len(dropped),
        )
