"""How does Carrel talk to its database? One writer at a time, each change with its audit event."""

import errno
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    MetaData,
    String,
    Table,
    TypeDecorator,
    create_engine,
    event,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from carrel.core.errors import Conflict, Unavailable

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every `tables.py` registers here; Alembic and the tests create from it."""

BUSY_SECONDS = 30


class Moment(TypeDecorator[datetime]):
    """Aware UTC time, kept as fixed-width ISO text, so that both databases sort it alike."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Write `value` as UTC with microseconds."""
        del dialect
        if value is None:
            return None
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Read what `process_bind_param` wrote."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[Any]):
    """A JSON document, kept as text on both databases."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write compact JSON with sorted keys."""
        del dialect
        return None if value is None else canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read what `process_bind_param` wrote."""
        del dialect
        return None if value is None else orjson.loads(value)


def canonical_json(value: Any) -> str:
    """Return the one JSON text for `value`: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


class Database:
    """The one database of a TRE: SQLite in a file, or PostgreSQL by URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that may change things; commits at the end, rolls back on error.

        Raises `Unavailable` if the database is away or busy for too long, `Conflict` if a
        uniqueness or reference rule of a table was broken.
        """
        with _translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a consistent view for reading. Raises `Unavailable` as `write` does."""
        with _translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def rehearse(self) -> Iterator[Connection]:
        """Open a transaction that may change things, and is always rolled back. Raises as `write`.

        What it would have broken is broken here too, so that a change can be tried out.
        """
        with _translated(), self.engine.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def check(self) -> None:
        """Raise `Unavailable` unless the database answers."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection: those in use by other threads when they are given back."""
        event.listen(self.engine, "checkin", _close_returned)
        self.engine.dispose()


def _close_returned(connection: Any, record: ConnectionPoolEntry) -> None:
    if connection is not None:
        record.invalidate()


def add_up(
    connection: Connection,
    table: Table,
    keys: Mapping[str, str],
    amounts: Mapping[str, int],
    values: Mapping[str, Any],
) -> None:
    """Add `amounts` to the one row of counters with these `keys`, made here if it is missing.

    `values` are simply set. Writers at once do not lose each other's amounts.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values({**keys, **amounts, **values})
    changes = {name: table.c[name] + insert.excluded[name] for name in amounts}
    connection.execute(
        insert.on_conflict_do_update(index_elements=list(keys), set_={**changes, **values})
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if _is_full(error.orig):
            raise Unavailable(
                "The disk that holds the database is full; nothing was changed. "
                "Free space and try again.",
                log_detail=str(error.orig),
            ) from error
        raise Unavailable(
            "The database does not answer. Nothing was changed; try again in a moment.",
            log_detail=str(error.orig),
        ) from error
    except IntegrityError as error:
        raise Conflict(
            "Somebody else made a conflicting change at the same moment. Look again and retry.",
            log_detail=str(error.orig),
        ) from error


def _is_full(cause: BaseException | None) -> bool:
    """Whether SQLite (SQLITE_FULL), PostgreSQL (disk_full) or the system (ENOSPC) said so."""
    return (
        getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(cause, "sqlstate", None) == "53100"
        or getattr(cause, "errno", None) == errno.ENOSPC
    )


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, pool_size=10, max_overflow=50, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Write ahead, so that readers and the writer do not wait for each other.

    SQLite refuses the first change to WAL at once, without its busy timeout, while another
    connection looks at the new file.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while not _is_wal(cursor, last=time.monotonic() > deadline):
        time.sleep(0.01)


def _is_wal(cursor: sqlite3.Cursor, *, last: bool) -> bool:
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
