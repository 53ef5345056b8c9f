"""Does trouble with the database reach people as a sentence that says what to do?"""

import sqlite3

import psycopg
import pytest
from sqlalchemy import text

from carrel.core.database import Database
from carrel.core.errors import Unavailable


def test_a_full_disk_is_called_a_full_disk(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'small.db'}")
    with database.write() as connection:
        connection.execute(text("CREATE TABLE notes (words TEXT)"))
    with (
        pytest.raises(Unavailable, match="disk that holds the database is full"),
        database.write() as connection,
    ):
        connection.execute(text("PRAGMA max_page_count = 3"))
        connection.execute(text("INSERT INTO notes VALUES (:words)"), {"words": "x" * 100_000})
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM notes")).scalar() == 0
    database.close()


def test_a_file_that_is_no_database_is_not_called_a_full_disk(tmp_path):
    (tmp_path / "folder.db").mkdir()
    database = Database(f"sqlite:///{tmp_path / 'folder.db'}")
    with pytest.raises(Unavailable, match="does not answer"):
        database.check()
    database.close()


def test_a_connection_given_back_after_the_end_is_closed(database: Database):
    with database.read() as connection:
        held = connection.connection.dbapi_connection
        database.close()
        held.execute("SELECT 1")
    with pytest.raises((psycopg.OperationalError, sqlite3.ProgrammingError), match="closed"):
        held.execute("SELECT 1")
