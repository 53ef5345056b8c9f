"""Which service templates may one workspace use? How that lies in its table."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from carrel.core.actors import Actor
from carrel.workspaces.rules import Offer
from carrel.workspaces.store.resources import as_json, person
from carrel.workspaces.tables import workspace_catalogues

_TABLE = workspace_catalogues


def find_offers(connection: Connection, workspace_id: str) -> Sequence[Offer] | None:
    """Return what a workspace may use; None if that is everything."""
    query = select(_TABLE.c.entries).where(_TABLE.c.workspace_id == workspace_id)
    entries = connection.execute(query).scalar_one_or_none()
    return None if entries is None else [Offer(**each) for each in entries]


def write_offers(
    connection: Connection,
    actor: Actor,
    workspace_id: str,
    offers: Sequence[Offer] | None,
    now: datetime,
) -> None:
    """Set what a workspace may use; None: everything."""
    connection.execute(delete(_TABLE).where(_TABLE.c.workspace_id == workspace_id))
    if offers is not None:
        entries = [
            {"name": each.name, "version": each.version, "is_testing": each.is_testing}
            for each in offers
        ]
        connection.execute(
            _TABLE.insert(),
            {
                "workspace_id": workspace_id,
                "entries": entries,
                "updated_at": now,
                "updated_by": as_json(person(actor)),
            },
        )
