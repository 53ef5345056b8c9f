"""Does a TRE go away whole, and only when that is meant?"""

import os
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from carrel.cli.demo.tre import ThrowAwayTre
from carrel.core.database import Database
from carrel.core.errors import OutsideFailure
from tests.machine import make_workspace

pytestmark = [pytest.mark.root, pytest.mark.machine]
STATE = Path("/var/lib/carrel-runtime")
POSTGRESQL = os.environ.get("CARREL_TEST_POSTGRESQL", "")


def test_destroying_leaves_nothing_and_asks_first(tmp_path: Path):
    before = set(STATE.iterdir()) if STATE.exists() else set()
    tre = ThrowAwayTre()
    try:
        tre.start()
        make_workspace(tre.administrator(), "Soon gone")
        assert set(STATE.iterdir()) - before
        with pytest.raises(OutsideFailure, match="--yes"):
            tre.carrel("destroy")
        assert tre.home.exists()
    finally:
        tre.stop()
    assert not tre.home.exists()
    assert set(STATE.iterdir()) <= before


@pytest.mark.postgresql
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_tables_in_postgresql_go_too_or_destroy_says_that_they_stay(database: Database):
    with database.write() as connection:
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        connection.execute(text(f"CREATE SCHEMA {schema}_own"))
        connection.execute(text(f"CREATE TABLE {schema}_own.of_others (name text)"))
    own = Database(f"{POSTGRESQL}?options=-csearch_path%3D{schema}_own")
    tre = ThrowAwayTre(database_url=own.url)
    try:
        tre.carrel("init")
        assert {"audit_events", "alembic_version"} <= tables(own)
        with own.read() as somebody:
            somebody.execute(text("SELECT count(*) FROM audit_events"))
            with pytest.raises(OutsideFailure, match=r"\(1\): .*two things stay: the tables"):
                tre.carrel("destroy", "--yes")
        assert tre.home.exists()
        assert "audit_events" in tables(own)
        assert "Nothing of it is left" in tre._run(["destroy", "--yes"], "")[2]
        assert not tre.home.exists()
        assert tables(own) == {"of_others"}
    finally:
        own.close()
        with database.write() as connection:
            connection.execute(text(f"DROP SCHEMA {schema}_own CASCADE"))


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_a_folder_that_is_no_home_is_left_alone(tmp_path: Path):
    tre = ThrowAwayTre()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutsideFailure, match="not the home"):
        tre.carrel("--home", str(tmp_path), "destroy", "--yes")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    tre.stop()
