"""How do tests make the things they need?"""

from pathlib import Path

from sqlalchemy import Connection

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.audit import Audit
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id


def make_actor(*tre_roles: TreRole, **workspace_roles: WorkspaceRole) -> Actor:
    """Return a person; keyword arguments give one role by workspace id (`_` for `-`)."""
    person = new_id()
    return Actor(
        id=person,
        name=f"Person {person[:4]}",
        tre_roles=frozenset(tre_roles),
        workspace_roles={
            workspace.replace("_", "-"): frozenset({role})
            for workspace, role in workspace_roles.items()
        },
    )


def make_database(folder: Path) -> Database:
    """Return an empty SQLite database with every table."""
    database = Database(f"sqlite:///{folder / 'test.db'}")
    metadata.create_all(database.engine)
    return database


def any_workspace(_connection: Connection, _workspace_id: str) -> bool:
    """Take every id for that of a workspace, where the room `workspaces` is not there to ask."""
    return True


def make_audit(clock: ManualClock | None = None) -> Audit:
    """Return an audit writer on a clock that stands still."""
    return Audit(clock or ManualClock())
