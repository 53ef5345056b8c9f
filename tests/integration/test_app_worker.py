"""Does the worker that the roof makes do every chore of the house?"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from carrel.airlock import tables as airlock
from carrel.airlock.rules import Status
from carrel.app import Carrel, build, make_worker
from carrel.core.actors import TreRole, system
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.queue import work_items
from carrel.core.settings import load
from carrel.people.tables import sessions
from carrel.runtime.memory import MemoryRuntime

PASSWORD = "a quiet desk by the window"


@pytest.fixture
def carrel(database: Database, tmp_path: Path) -> Iterator[Carrel]:
    url = database.engine.url.render_as_string(hide_password=False)
    settings = load(tmp_path, database_url=url)
    made = build(settings, runtime=MemoryRuntime(), clock=ManualClock())
    metadata.create_all(made.database.engine)
    yield made
    made.database.close()


@contextmanager
def at_work(carrel: Carrel) -> Iterator[None]:
    stop = threading.Event()
    worker = make_worker(carrel, sweep_seconds=0.05)
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.02)


def test_a_working_worker_ends_sessions_that_are_over(carrel: Carrel):
    carrel.people.create_account(
        system("tests"),
        username="rosa",
        display_name="Rosa",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.USER}),
    )
    carrel.people.sign_in("rosa", PASSWORD, kind="browser", client="tests")
    carrel.clock.advance(timedelta(days=30).total_seconds())

    def is_over() -> bool:
        with carrel.database.read() as connection:
            return connection.execute(select(sessions.c.id)).first() is None

    assert not is_over()
    with at_work(carrel):
        wait_until(is_over)


def test_a_working_worker_takes_up_airlock_work_that_got_lost(carrel: Carrel):
    now = carrel.clock.now()
    needed = [column.name for column in airlock.requests.columns if not column.nullable]
    empty = dict.fromkeys(needed, "")
    lost = {
        **empty,
        "id": "lost",
        "type": "export",
        "status": Status.SUBMITTED.value,
        "created_at": now,
        "updated_at": now,
        "since": now,
        "version": 1,
        "seal": 1,
        "properties": {},
    }
    with carrel.database.write() as connection:
        connection.execute(airlock.requests.insert(), lost)

    def is_taken_up() -> bool:
        """Whether its work is queued, or was done already (it fails: nothing was ever sealed)."""
        queued = select(work_items.c.id).where(work_items.c.key == "airlock:lost")
        moved = select(airlock.requests.c.id).where(
            airlock.requests.c.status != Status.SUBMITTED.value
        )
        with carrel.database.read() as connection:
            return any(connection.execute(query).first() for query in (queued, moved))

    assert not is_taken_up()
    with at_work(carrel):
        wait_until(is_taken_up)
