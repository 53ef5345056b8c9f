"""What do all tests share? One database fixture that knows both databases."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id

POSTGRESQL = os.environ.get("CARREL_TEST_POSTGRESQL", "")
"""URL of a server where the tests may make schemas; scripts/test starts one and sets it."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with every table, once on SQLite and once on PostgreSQL."""
    with one_database(request.param, tmp_path) as made:
        yield made


@contextmanager
def one_database(kind: str, folder: Path) -> Iterator[Database]:
    """Make an empty database with every table, and take it away again."""
    if kind == "sqlite":
        made = Database(f"sqlite:///{folder / 'test.db'}")
        metadata.create_all(made.engine)
        yield made
        made.close()
        return
    if not POSTGRESQL:
        pytest.fail("CARREL_TEST_POSTGRESQL is not set: run scripts/test, which starts a server.")
    schema = f"t{new_id().replace('-', '')}"
    admin = Database(POSTGRESQL)
    with admin.write() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    made = Database(f"{POSTGRESQL}?options=-csearch_path%3D{schema}")
    metadata.create_all(made.engine)
    yield made
    made.close()
    with admin.write() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.close()


@pytest.fixture(scope="session")
def tre() -> Iterator[ThrowAwayTre]:
    """A whole running TRE, shared by all tests marked `machine`."""
    made = ThrowAwayTre(meter_seconds=1.0)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def admin(tre: ThrowAwayTre) -> Person:
    """The first administrator of `tre`, signed in."""
    return tre.administrator()
