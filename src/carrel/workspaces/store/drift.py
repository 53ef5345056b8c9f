"""How are differences between record and reality kept?"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select

from carrel.core.database import add_up
from carrel.workspaces.rules.drift import Drift
from carrel.workspaces.tables import drift


def list_drift(connection: Connection, *conditions: ColumnElement[bool]) -> Sequence[Drift]:
    """Return the differences that fulfil the conditions, the oldest first."""
    query = select(drift).where(*conditions).order_by(drift.c.since, drift.c.resource_id)
    return [Drift(**row) for row in connection.execute(query).mappings()]


def write_drift(connection: Connection, seen: Sequence[Drift]) -> None:
    """Keep what was seen; of what was there before, `since` stays."""
    known: Mapping[tuple[str, str], datetime] = {
        (each.resource_id, each.aspect): each.since for each in list_drift(connection)
    }
    for each in seen:
        key = {"resource_id": each.resource_id, "aspect": each.aspect}
        values = {
            "workspace_id": each.workspace_id,
            "should_be": each.should_be,
            "really_is": each.really_is,
            "since": known.get((each.resource_id, each.aspect), each.since),
            "last_seen": each.last_seen,
            "what_was_done": each.what_was_done,
        }
        add_up(connection, drift, key, {}, values)


def remove_drift(connection: Connection, gone: Sequence[Drift]) -> None:
    """Forget differences that are none any more."""
    if gone:
        same = [
            and_(drift.c.resource_id == each.resource_id, drift.c.aspect == each.aspect)
            for each in gone
        ]
        connection.execute(delete(drift).where(or_(*same)))
