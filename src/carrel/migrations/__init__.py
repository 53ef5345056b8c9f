"""How do the tables of a running TRE get from one version of Carrel to the next?"""

import importlib
import pkgutil
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

import carrel
from carrel import core
from carrel.core.database import Database, metadata
from carrel.core.errors import Conflict, OutsideFailure

_LOCK = 0x0CA88E2
_LOCK_SECONDS = 5


def upgrade(url: str) -> bool:
    """Bring the database at `url` to the newest schema; returns whether anything changed.

    May be called twice, also at once from several machines. Raises `Unavailable` if the
    database is away, `Conflict` if it was made by a newer Carrel.
    """
    database = Database(url)
    try:
        with database.write() as connection:
            return upgrade_connection(connection)
    finally:
        database.close()


def upgrade_connection(connection: Connection) -> bool:
    """Do what `upgrade` does inside an open transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    config = configuration()
    known = ScriptDirectory.from_config(config)
    head = known.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return False
    if current is not None and current not in {step.revision for step in known.walk_revisions()}:
        raise Conflict(
            f"The database was made by a newer Carrel (revision {current}). Install that version."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return True


def remove(url: str) -> None:
    """Drop every table of Carrel from the database at `url`, all or none; nothing else there.

    May be called twice. Raises `Unavailable` if the database is away, or somebody still uses it,
    `OutsideFailure` if it refuses.
    """
    import_tables()
    database = Database(url)
    try:
        with database.write() as connection:
            if not database.is_sqlite:
                connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
            metadata.drop_all(connection)
            connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    except DBAPIError as error:
        raise OutsideFailure(
            "The database does not let its tables be dropped.", log_detail=str(error.orig)
        ) from error
    finally:
        database.close()


def configuration() -> Config:
    """Return Alembic's configuration for the scripts in this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def import_tables() -> None:
    """Import every room's tables, so that `core.database.metadata` knows them all."""
    for part in pkgutil.iter_modules(core.__path__, "carrel.core."):
        importlib.import_module(part.name)
    for path in sorted(Path(carrel.__file__).parent.glob("*/**/tables.py")):
        parts = path.relative_to(Path(carrel.__file__).parent).with_suffix("").parts
        importlib.import_module(".".join(("carrel", *parts)))
