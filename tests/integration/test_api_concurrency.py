"""Does nothing collide when many ask at once, over several processes, one of which dies?"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.clock import SystemClock
from carrel.core.database import Database
from carrel.core.errors import Conflict
from carrel.core.queue import work_items
from carrel.workspaces.rules import Resource
from carrel.workspaces.tables import host_ids, operation_steps, operations, resources
from tests.file_runtime import FileRuntime
from tests.forks import FORK
from tests.workspaces import House

LEASE_SECONDS = 0.5
CLIENTS, ROUNDS = 20, 3
T = TypeVar("T")


@pytest.fixture
def house(database: Database, tmp_path: Path):
    made = House(database, SystemClock(), tmp_path)
    yield made
    made.close()


def at_once(count: int, work: Callable[[int], T]) -> list[T | Exception]:
    """Do `work(number)` in as many threads, which begin together."""
    gate = Barrier(count)

    def one(number: int) -> T | Exception:
        gate.wait(30)
        try:
            return work(number)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


# Twenty clients, one workspace -----------------------------------------------------------------


def test_of_twenty_changes_with_one_etag_exactly_one_wins(house: House):
    workspace = house.make_workspace()
    for number in range(ROUNDS):
        etag = house.again(workspace).etag

        def change(client: int, etag: str = etag, number: int = number) -> str:
            named = {"display_name": f"Round {number} client {client}"}
            house.workspaces.update(house.admin, workspace.id, etag=etag, properties=named)
            return named["display_name"]

        answers = at_once(CLIENTS, change)
        won = [answer for answer in answers if isinstance(answer, str)]
        lost = [answer for answer in answers if isinstance(answer, Conflict)]
        assert (len(won), len(lost)) == (1, CLIENTS - 1)
        house.work()
        assert house.again(workspace).display_name == won[0]
    history = house.workspaces.history(house.admin, workspace.id)
    last = house.again(workspace).version
    assert [entry.version for entry in history] == list(range(last - ROUNDS, last))
    names = [entry.properties["display_name"] for entry in history]
    assert names[0] == "Study"
    assert [name.split(" client")[0] for name in names[1:]] == [
        f"Round {number}" for number in range(ROUNDS - 1)
    ]


# Two hundred creates --------------------------------------------------------------------------


def test_two_hundred_creates_at_once_do_not_collide(house: House):
    def create(number: int) -> Resource:
        return house.workspaces.create_workspace(
            house.admin, "restricted", {"display_name": f"Study {number}"}
        )[0]

    made = at_once(40, lambda number: [create(5 * number + each) for each in range(5)])
    spaces = [each for some in made if isinstance(some, list) for each in some]
    assert len(spaces) == 200
    house.work()
    with house.database.read() as connection:
        rows = connection.execute(select(resources)).all()
        numbers = connection.execute(select(host_ids.c.id)).scalars().all()
    assert {row.status for row in rows} == {"deployed"}
    assert len({row.id for row in rows}) == 200
    assert len({row.properties["display_name"] for row in rows}) == 200
    assert len(numbers) == len(set(numbers)) >= 200
    ranges = [each for row in rows for each in row.properties.get("address_spaces", ())]
    assert len(ranges) == len(set(ranges))


def test_user_resources_made_at_once_get_ports_of_their_own(house: House):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    owners = [house.person(workspace, WorkspaceRole.RESEARCHER) for _ in range(20)]
    made = at_once(
        20,
        lambda number: house.workspaces.create_user_resource(
            owners[number], workspace.id, service.id, "jupyterlab", {"display_name": "Lab"}
        )[0],
    )
    house.work()
    labs = [house.again(each) for each in made if isinstance(each, Resource)]
    assert len(labs) == 20
    assert {each.status for each in labs} == {"deployed"}
    assert len({each.port for each in labs}) == 20


# Several processes ----------------------------------------------------------------------------


class Counting(FileRuntime):
    """Writes down every workspace that it prepares, and by which process."""

    def prepare(self, plan) -> None:
        super().prepare(plan)
        with (self._root / "prepared").open("a") as notes:
            notes.write(f"{plan.id} {os.getpid()}\n")


def work_until_told(url: str, home: Path, doomed: bool) -> None:
    """Take work until the file `stop` is there; if doomed, die in the middle of a step."""
    steps = 0

    def pulse(*_: str) -> None:
        nonlocal steps
        steps += 1
        if doomed and steps == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    runtime = Counting(home / "host", pulse)
    house = House(Database(url), SystemClock(), home, runtime, lease_seconds=LEASE_SECONDS)
    while not (home / "stop").exists():
        house.work()
        time.sleep(0.02)
    os._exit(0)


def ask_for_many(url: str, home: Path, admin: Actor, names: Sequence[str]) -> None:
    """Be one of the processes that people talk to."""
    house = House(Database(url), SystemClock(), home, Counting(home / "host"))
    for name in names:
        house.workspaces.create_workspace(admin, "restricted", {"display_name": name})
    os._exit(0)


def ended(database: Database) -> int:
    with database.read() as connection:
        query = select(func.count()).select_from(operations).where(operations.c.is_final)
        return connection.execute(query).scalar() or 0


def test_processes_share_the_work_and_one_may_die(database: Database, tmp_path: Path):
    url, count = database.url, 12
    House(database, SystemClock(), tmp_path, Counting(tmp_path / "host"))  # templates
    admin = Actor("00000000-0000-4000-8000-000000000001", "Ada", frozenset({TreRole.ADMIN}))
    doomed, survivor = (
        FORK.Process(target=work_until_told, args=(url, tmp_path, is_doomed))
        for is_doomed in (True, False)
    )
    askers = [
        FORK.Process(
            target=ask_for_many,
            args=(url, tmp_path, admin, [f"{asker}-{number}" for number in range(count)]),
        )
        for asker in range(2)
    ]
    database.engine.dispose()  # nothing of it crosses a fork
    notes_file = tmp_path / "host" / "prepared"
    for process in (doomed, *askers):
        process.start()
    try:
        deadline = time.monotonic() + 60
        while not notes_file.exists():  # the doomed one shall have done something before
            assert time.monotonic() < deadline, "The first worker does not work."
            time.sleep(0.005)
        survivor.start()
        while ended(database) < 2 * count:
            assert time.monotonic() < deadline, "The work was not done in time."
            time.sleep(0.05)
    finally:
        (tmp_path / "stop").touch()
        for process in (doomed, *askers, survivor):
            if process.pid is not None:
                process.join(20)
    assert [each.exitcode for each in askers] == [0, 0]
    assert (doomed.exitcode, survivor.exitcode) == (-signal.SIGKILL, 0)
    with database.read() as connection:
        rows = connection.execute(select(resources)).all()
        asked = connection.execute(select(operations)).all()
        steps = connection.execute(select(operation_steps)).all()
        left = connection.execute(select(func.count()).select_from(work_items)).scalar()
        numbers = connection.execute(select(host_ids.c.id)).scalars().all()
    assert sorted(row.properties["display_name"] for row in rows) == sorted(
        f"{asker}-{number}" for asker in range(2) for number in range(count)
    )
    assert {row.status for row in rows} == {"deployed"}
    assert Counter(each.resource_id for each in asked) == {row.id: 1 for row in rows}
    assert {each.progress for each in [*asked, *steps]} == {"done"}
    assert left == 0
    assert len(numbers) == len(set(numbers))
    notes = [line.split() for line in notes_file.read_text().splitlines()]
    times = Counter(space for space, _ in notes)
    assert set(times) == {row.id for row in rows}
    assert sum(times.values()) <= 2 * count + 1, "Only the dead one's last step is done again."
    assert {worker for _, worker in notes} == {str(doomed.pid), str(survivor.pid)}
