"""Has anybody lost access? Asked for every request, so it must cost next to nothing.

SQLite tells in a microsecond whether any other connection has written (`PRAGMA data_version`);
only then is the counter read. With PostgreSQL a background task reads it four times a second.
"""

import asyncio
import sqlite3
from typing import Protocol

from carrel.core.clock import monotonic
from carrel.core.database import Database
from carrel.core.errors import Unavailable
from carrel.people.access import access_epoch

POLL_SECONDS = 0.25
BLIND_SECONDS = 60.0
"""So long may the database be away before nobody's access counts any more. Who cannot write to it
cannot take access away either; but sessions also end by time."""


class Blind(Unavailable):
    """Nobody can say now who has access."""


class Epochs(Protocol):
    """The access epoch, as far as this process knows it."""

    def current(self) -> int:
        """Return the counter. Raises `Blind` if it was not seen for too long."""
        ...

    async def refresh(self) -> None:
        """Look again, where `current` does not do so by itself."""

    def close(self) -> None:
        """Give back what was opened."""


class SqliteEpochs:
    """Reads the file at each question, on a connection of its own; use in one thread."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0.05)
        self._version = -1
        self._epoch = 0

    def current(self) -> int:
        """Return the counter as committed at this moment."""
        try:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                query = "SELECT epoch FROM access_epochs WHERE id = 1"
                row = self._connection.execute(query).fetchone()
                self._epoch = row[0] if row else 0
                self._version = version
        except sqlite3.OperationalError as error:
            raise blind(str(error)) from error
        return self._epoch

    async def refresh(self) -> None:
        """Do nothing: `current` looks by itself."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PolledEpochs:
    """Remembers what `refresh` read last."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._epoch = 0
        self._seen_at = -BLIND_SECONDS

    def current(self) -> int:
        """Return the counter as it was at most `POLL_SECONDS` ago."""
        if monotonic() - self._seen_at > BLIND_SECONDS:
            raise blind("not polled")
        return self._epoch

    async def refresh(self) -> None:
        """Read the counter; keep the old one if the database does not answer."""
        loop = asyncio.get_running_loop()
        try:
            self._epoch = await loop.run_in_executor(None, self._read)
            self._seen_at = monotonic()
        except Unavailable:
            return

    def close(self) -> None:
        """Nothing was opened."""

    def _read(self) -> int:
        with self._database.read() as connection:
            return access_epoch(connection)


def make_epochs(database: Database) -> Epochs:
    """Return the quickest way to know the epoch of this database."""
    if database.is_sqlite:
        return SqliteEpochs(database.url.removeprefix("sqlite:///"))
    return PolledEpochs(database)


def blind(detail: str) -> Blind:
    """Return the error that says so to a person."""
    return Blind(
        "The gateway cannot see who has access now. Your tool keeps running; try again soon.",
        log_detail=detail,
    )
