"""What can be done in the airlock? `Airlock` is the whole of it."""

from sqlalchemy import Connection, delete, select

from carrel.airlock import tables
from carrel.airlock.service.base import DISCARD, work_key
from carrel.airlock.service.drafting import Drafting
from carrel.airlock.service.releasing import OpenRelease, Releasing
from carrel.airlock.service.reviewing import Reviewing
from carrel.core.actors import system

__all__ = ["Airlock", "OpenRelease"]


class Airlock(Drafting, Reviewing, Releasing):
    """The use cases of the airlock; with `work.py` the only writer of its tables.

    `drafting.py` is the author's part, `reviewing.py` the reviewer's, `releasing.py` lets an
    approved export out.
    """

    def drop_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Forget every request of a deleted workspace, and its files; the audit record stays."""
        table = tables.requests
        ids = connection.execute(select(table.c.id).where(table.c.workspace_id == workspace_id))
        dropped = list(ids.scalars())
        for request_id in dropped:
            payload = {"request": request_id, "workspace": workspace_id}
            self._queue.put(connection, DISCARD, work_key(request_id), payload)
        connection.execute(delete(table).where(table.c.workspace_id == workspace_id))
        self._audit.append(
            connection,
            system("airlock"),
            "airlock.workspace_dropped",
            workspace_id,
            workspace_id=workspace_id,
            requests=len(dropped),
        )
