"""Does a running worker wake, keep its leases, bear a database that is away, and stop?"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from carrel.core.actors import WorkspaceRole
from carrel.core.clock import SystemClock
from carrel.core.database import Database
from carrel.core.errors import Unavailable
from carrel.core.queue import Queue, WorkItem, work_items
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import WorkspacePlan
from carrel.workspaces.bundles import shipped_folder
from carrel.workspaces.reconciler import Reconciler
from carrel.workspaces.rules import Operation
from carrel.workspaces.worker import Worker
from tests.workspaces import AnsweringRuntime, House


class SlowRuntime(AnsweringRuntime):
    """Takes its time to prepare a workspace, and counts how often it was asked."""

    seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []

    def prepare(self, plan: WorkspacePlan) -> None:
        self.prepared.append(plan.id)
        time.sleep(self.seconds)
        super().prepare(plan)


class LeavingDatabase(Database):
    """A database that can be away."""

    is_away = False

    @contextmanager
    def write(self):
        self._check()
        with super().write() as connection:
            yield connection

    @contextmanager
    def read(self):
        self._check()
        with super().read() as connection:
            yield connection

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("The database does not answer.")


@pytest.fixture
def house(database: Database, tmp_path: Path) -> Iterator[House]:
    leaving = LeavingDatabase(database.url)
    made = House(leaving, SystemClock(), tmp_path, SlowRuntime(), lease_seconds=1.0)
    yield made
    made.close()
    leaving.close()


@contextmanager
def at_work(*workers: Worker) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "The worker did not stop."


def wait_until(is_so: Callable[[], bool], seconds: float = 20.0) -> float:
    """Return how long it took until `is_so`."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, "It did not come to be."
        time.sleep(0.01)
    return time.monotonic() - started


def create(house: House, name: str = "Study") -> str:
    made = house.workspaces.create_workspace(house.admin, "restricted", {"display_name": name})
    return made[0].id


def is_deployed(house: House, workspace_id: str) -> bool:
    return house.workspaces.get_resource(house.admin, workspace_id).is_deployed


def has_lost_its_lease(house: House) -> bool:
    with closing(Database(house.database.url)) as other, other.read() as connection:
        ends = connection.execute(select(work_items.c.leased_until)).scalars().all()
    return all(end is not None and end < house.clock.now() for end in ends)


def test_a_worker_takes_what_is_asked_for(house):
    with at_work(house.worker):
        made = [create(house, f"Study {number}") for number in range(5)]
        wait_until(lambda: all(is_deployed(house, each) for each in made))


def test_two_workers_share_the_work_and_nothing_is_done_twice(house):
    house.runtime.seconds = 0.05
    other = Worker(house.workspaces, house.meters)
    with at_work(house.worker, other):
        made = [create(house, f"Study {number}") for number in range(10)]
        wait_until(lambda: all(is_deployed(house, each) for each in made))
    assert sorted(house.runtime.prepared) == sorted(made)


def test_a_step_longer_than_its_lease_is_not_taken_over(house):
    house.runtime.seconds = 2.5  # the lease is 1 second
    other = Worker(house.workspaces, house.meters)
    with at_work(house.worker, other):
        workspace_id = create(house)
        wait_until(lambda: is_deployed(house, workspace_id))
    assert house.runtime.prepared == [workspace_id]


def test_a_worker_goes_on_when_the_database_comes_back(house):
    house.runtime.seconds = 0.5
    with at_work(house.worker):
        workspace_id = create(house)
        wait_until(lambda: bool(house.runtime.prepared))
        house.database.is_away = True  # while a step is in hand
        wait_until(lambda: has_lost_its_lease(house))
        house.database.is_away = False
        wait_until(lambda: is_deployed(house, workspace_id))


def test_a_worker_finishes_the_step_in_hand_before_it_stops(house):
    house.runtime.seconds = 0.4
    with at_work(house.worker):
        workspace_id = create(house)
        wait_until(lambda: bool(house.runtime.prepared))
    assert list(house.runtime.running()) == [workspace_id]


def test_a_start_that_nobody_answers_can_be_cancelled_and_has_a_deadline(house, tmp_path):
    folder = tmp_path / "jupyterlab"
    shutil.copytree(shipped_folder() / "user_resources" / "jupyterlab", folder)
    mute = House(house.database, house.clock, tmp_path, MemoryRuntime(), lease_seconds=1.0)
    workspace = mute.make_workspace()
    service = mute.make_service(workspace)
    owner = mute.person(workspace, WorkspaceRole.RESEARCHER)

    def ask() -> Operation:
        return mute.workspaces.create_user_resource(
            owner, workspace.id, service.id, "jupyterlab", {"display_name": "Lab"}
        )[1]

    def seen(operation: Operation) -> Operation:
        return mute.workspaces.get_operation(owner, operation.id)

    with at_work(mute.worker):
        operation = ask()
        wait_until(lambda: bool(mute.runtime.running()[workspace.id]))
        mute.workspaces.cancel_operation(owner, operation.id)
        wait_until(lambda: seen(operation).is_final, 5)
        message = f"Cancelled by {owner.name}. What it had made was removed."
        assert seen(operation).message == message
        assert mute.runtime.running() == {workspace.id: []}

        toml = folder / "template.toml"
        text = toml.read_text().replace('version = "0.1.0"', 'version = "0.1.1"')
        toml.write_text(text.replace("start_seconds = 60", "start_seconds = 1"))
        mute.workspaces.register(mute.admin, folder)
        operation = ask()
        wait_until(lambda: seen(operation).is_final, 10)
    assert "did not answer within 1 seconds" in seen(operation).message
    assert mute.runtime.running() == {workspace.id: []}


def test_handlers_of_other_rooms_run_too_and_a_bug_in_one_stops_nobody(house):
    seen: list[str] = []

    def handler(item: WorkItem, queue: Queue) -> None:
        with queue.fenced(item) as connection:
            queue.complete(connection, item)
        seen.append(item.payload["name"])

    def broken(item: WorkItem, queue: Queue) -> None:
        raise ZeroDivisionError

    worker = Worker(house.workspaces, house.meters, takers={"airlock.test": handler, "bug": broken})
    with house.database.write() as connection:
        house.workspaces.queue.put(connection, "bug", "k", {})
        house.workspaces.queue.put(connection, "airlock.test", "a", {"name": "one"})
        house.workspaces.queue.put(connection, "nobody's", "b", {"name": "never"})
    with at_work(worker):
        wait_until(lambda: seen == ["one"])


def test_the_reconciler_and_the_meters_go_round_by_themselves(house, tmp_path):
    (tmp_path / "carrel.toml").write_text("reconcile_seconds = 0.1\nmeter_seconds = 0.1\n")
    quick = House(house.database, house.clock, tmp_path, house.runtime, lease_seconds=1.0)
    workspace_id = create(quick)
    with at_work(quick.worker):
        wait_until(lambda: is_deployed(quick, workspace_id))
        AnsweringRuntime.remove(quick.runtime, workspace_id)
        wait_until(lambda: workspace_id in quick.runtime.running())
        wait_until(lambda: quick.workspaces.usage(quick.admin, workspace_id).sampled_at is not None)


def test_a_put_of_another_process_is_noticed_within_the_glance(house):
    """On SQLite the worker hears of every commit; PostgreSQL it asks every 0.2 seconds."""
    heard = threading.Event()

    def handler(item: WorkItem, queue: Queue) -> None:
        heard.set()
        with queue.fenced(item) as connection:
            queue.complete(connection, item)

    worker = Worker(house.workspaces, house.meters, takers={"ring": handler})
    other = Database(house.database.url)
    queue = Queue(other, house.clock)
    waits = []
    with at_work(worker):
        for _ in range(8):
            heard.clear()
            started = time.monotonic()
            with other.write() as connection:
                queue.put(connection, "ring", "k", {})
            assert heard.wait(5)
            waits.append(time.monotonic() - started)
    other.close()
    assert min(waits) < (0.1 if house.database.is_sqlite else 0.4)


class LateRuntime(AnsweringRuntime):
    """Something becomes real just after it was looked at."""

    then = staticmethod(lambda: None)

    def running(self):
        seen = super().running()
        self.then()
        return seen


def test_what_became_real_while_the_host_was_looked_at_is_left_alone(database, clock, tmp_path):
    runtime = LateRuntime()
    house = House(database, clock, tmp_path, runtime)
    reconciler = Reconciler(house.workspaces)

    def create() -> None:
        runtime.then = lambda: None
        clock.advance(1)
        house.make_workspace("Just made")

    runtime.then = create
    assert reconciler.reconcile() == 0
    assert house.audited()[-1] == "workspace.deployed"
    house.close()
