"""Do the migrations make exactly the tables that the code expects, on both databases?"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from carrel.core import audit
from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.errors import Conflict
from carrel.core.ids import new_id
from carrel.migrations import import_tables, upgrade

import_tables()
POSTGRESQL = os.environ.get("CARREL_TEST_POSTGRESQL", "")


@pytest.fixture
def empty(database: Database, tmp_path: Path) -> Iterator[Database]:
    """An empty database of the same kind as `database`."""
    if database.is_sqlite:
        made = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield made
        made.close()
        return
    schema = f"m{new_id().replace('-', '')}"
    with database.write() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    made = Database(f"{POSTGRESQL}?options=-csearch_path%3D{schema}")
    yield made
    made.close()
    with database.write() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


def shape(database: Database) -> dict[str, Any]:
    """Everything the database knows of its tables, in a form that compares and prints well."""
    seen = inspect(database.engine)
    return {
        name: {
            "columns": {
                column["name"]: (
                    str(column["type"]),
                    column["nullable"],
                    column.get("default"),
                    (column.get("computed") or {}).get("sqltext"),
                )
                for column in seen.get_columns(name)
            },
            "key": seen.get_pk_constraint(name),
            "foreign": by_name(seen.get_foreign_keys(name)),
            "unique": by_name(seen.get_unique_constraints(name)),
            "checks": by_name(seen.get_check_constraints(name)),
            "indexes": by_name(seen.get_indexes(name)),
        }
        for name in seen.get_table_names()
        if name != "alembic_version"
    }


def by_name(rows: Any) -> dict[str, Any]:
    return {
        row["name"]: {
            key: str({name: str(text) for name, text in value.items()})
            if key == "dialect_options"
            else value
            for key, value in row.items()
            if key != "referred_schema"
        }
        for row in rows
    }


def test_the_migrations_make_what_the_code_expects(database: Database, empty: Database):
    assert upgrade(empty.url)
    wanted, made = shape(database), shape(empty)
    assert set(made) == set(metadata.tables), 'Run: python -m carrel.migrations "what changed"'
    for name, table in wanted.items():
        assert made[name] == table, f"{name}: run python -m carrel.migrations"


def test_a_second_upgrade_changes_nothing(empty: Database):
    assert upgrade(empty.url)
    assert not upgrade(empty.url)


def test_upgrades_at_once_agree(empty: Database):
    outcomes: list[bool] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(upgrade(empty.url))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_a_newer_database_is_refused(empty: Database):
    upgrade(empty.url)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer Carrel"):
        upgrade(empty.url)


def test_the_audit_columns_come_from_the_event(empty: Database):
    upgrade(empty.url)
    with empty.write() as connection:
        Audit(ManualClock()).append(
            connection, system("test"), "thing.made", "one", workspace_id="w"
        )
    with empty.read() as connection:
        assert [event.subject for event in audit.list_events(connection, workspace_id="w")] == [
            "one"
        ]
