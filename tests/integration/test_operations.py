"""Do hanging steps end, failing works lie aside, differences show, and followers hear of all?"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from carrel.core.actors import WorkspaceRole
from carrel.core.clock import ManualClock, SystemClock
from carrel.core.database import Database
from carrel.core.errors import Denied, NotFound, TooManyRequests
from carrel.core.queue import LeaseLost, Queue, WorkItem
from carrel.workspaces.events import OperationFinished
from carrel.workspaces.rules import Operation, Resource
from carrel.workspaces.service.base import OPERATION
from carrel.workspaces.steps import STEPS, StepWork
from carrel.workspaces.streams import MOST_STREAMS
from carrel.workspaces.worker import Worker
from tests.factories import make_actor
from tests.workspaces import House


@pytest.fixture
def house(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[House]:
    made = House(database, clock, tmp_path)
    yield made
    made.close()


def ask(house: House) -> Operation:
    given = {"display_name": "Study", "workspace_owner_object_id": ""}
    return house.workspaces.create_workspace(house.admin, "restricted", given)[1]


def seen(house: House, operation: Operation) -> Operation:
    return house.workspaces.get_operation(house.admin, operation.id)


def let(house: House, name: str, act: Callable[[StepWork], str], **more: object) -> None:
    steps = {**STEPS, name: replace(STEPS[name], act=act, **more)}
    house.worker._engine.steps = steps


def wait_until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "It did not come to be."
        time.sleep(0.01)


# Time -----------------------------------------------------------------------------------------


def test_a_step_that_took_too_long_fails_and_is_undone(house):
    def slow(work: StepWork) -> str:
        time.sleep(0.05)
        return ""

    let(house, "prepare_workspace", slow, limit_seconds=0.01)
    operation = ask(house)
    house.work()
    ended = seen(house, operation)
    assert ended.status == "deployment_failed"
    assert "This step took longer than 0.01 seconds" in ended.message
    assert ended.message.endswith("What it had made was removed.")


def test_a_step_that_hangs_is_taken_out_of_its_threads_hands(house):
    free, refused = threading.Event(), []

    def hang(work: StepWork) -> str:
        assert free.wait(30)
        try:
            work.say("I am back.")
        except LeaseLost as error:
            refused.append(error)
            raise
        return ""

    let(house, "prepare_workspace", hang, limit_seconds=0.05)
    operation = ask(house)
    thread = threading.Thread(target=house.work)
    thread.start()
    wait_until(lambda: house.worker._engine.expire() == 1)
    second = Worker(house.workspaces, house.meters)
    second.run_until_idle()
    assert seen(house, operation).status == "deployment_failed"
    free.set()
    thread.join(30)
    assert len(refused) == 1
    assert seen(house, operation).status == "deployment_failed"


def test_a_thread_that_hung_takes_nothing_from_the_one_that_goes_on(house):
    free, undoing, go_on = threading.Event(), threading.Event(), threading.Event()

    def hang(_work: StepWork) -> str:
        assert free.wait(30)
        return ""

    def undo(_work: StepWork) -> str:
        undoing.set()
        assert go_on.wait(30)
        return ""

    let(house, "prepare_workspace", hang, undo=undo, limit_seconds=0.05)
    operation = ask(house)
    hung = threading.Thread(target=house.work)
    hung.start()
    wait_until(lambda: house.worker._engine.expire() == 1)
    following = threading.Thread(target=house.work)
    following.start()
    assert undoing.wait(30)
    free.set()
    hung.join(30)
    assert len(house.worker._held) == 1, "The lease is not renewed any more."
    assert len(house.worker._engine._in_hand) == 1, "The step's time is not kept any more."
    go_on.set()
    following.join(30)
    assert seen(house, operation).status == "deployment_failed"
    assert not house.worker._held
    assert not house.worker._engine._in_hand


def test_an_operation_over_its_time_is_undone(house, clock):
    def slow(work: StepWork) -> str:
        clock.advance(house.workspaces.settings.operation_minutes * 60 + 1)
        return ""

    let(house, "prepare_workspace", slow)
    operation = ask(house)
    house.work()
    ended = seen(house, operation)
    assert ended.status == "deployment_failed"
    assert "longer than 60 minutes" in ended.message


def test_what_a_long_step_says_is_shown(house):
    shown = []

    def talk(work: StepWork) -> str:
        work.say("Half of it is done.")
        work.say("This comes too soon to be shown.")
        shown.append(seen(house, work.operation).steps[1].message)
        return ""

    let(house, "prepare_workspace", talk)
    before = ask(house).revision
    house.work()
    assert shown == ["Half of it is done."]
    (operation,) = house.workspaces.list_operations(
        house.admin, house.workspaces.list_workspaces(house.admin)[0].id
    )
    assert operation.revision > before


# Dead letters ---------------------------------------------------------------------------------


class Broken(Exception):
    """A bug, with something in it that nobody may read."""


def break_engine(house: House) -> None:
    def bug(item: WorkItem, queue: Queue) -> None:
        raise Broken("planted-secret")

    house.worker._takers = {**house.worker._takers, OPERATION: bug}


def run_dry(house: House, clock: ManualClock) -> None:
    for _ in range(8):
        house.work()
        clock.advance(120)


def test_work_that_always_fails_is_put_aside_and_can_be_tried_again(house, clock):
    takers = house.worker._takers
    break_engine(house)
    operation = ask(house)
    run_dry(house, clock)
    (letter,) = house.workspaces.list_dead_letters(house.admin)
    assert (letter.kind, letter.payload["operation"]) == (OPERATION, operation.id)
    assert letter.error.startswith("Broken (test_operations.py, line ")
    assert "planted-secret" not in letter.error
    assert letter.id in seen(house, operation).message
    house.worker._takers = takers
    assert house.worker.run_until_idle() == 0
    house.workspaces.retry_dead_letter(house.admin, letter.id)
    house.work()
    assert seen(house, operation).status == "deployed"
    assert house.workspaces.list_dead_letters(house.admin) == []
    assert {"dead_letter.parked", "dead_letter.retried"} <= set(house.audited())


def test_a_discarded_letter_lets_its_operation_fail(house, clock):
    takers = house.worker._takers
    break_engine(house)
    operation = ask(house)
    run_dry(house, clock)
    (letter,) = house.workspaces.list_dead_letters(house.admin)
    heard: list[OperationFinished] = []
    house.events.subscribe(OperationFinished, lambda _, event: heard.append(event))
    house.workspaces.discard_dead_letter(house.admin, letter.id)
    ended = seen(house, operation)
    assert ended.status == "deployment_failed"
    assert [each.operation_id for each in heard] == [operation.id]
    assert ended.message.startswith(f"Given up by {house.admin.name}")
    with pytest.raises(NotFound):
        house.workspaces.discard_dead_letter(house.admin, letter.id)
    house.worker._takers = takers
    house.workspaces.retry_operation(house.admin, operation.id)
    house.work()
    assert seen(house, operation).status == "deployed"


def test_a_worker_that_dies_each_time_counts_too(house, clock):
    ask(house)
    for _ in range(house.workspaces.settings.work_attempts + 1):
        if house.workspaces.queue.claim("somebody who dies") is None:
            pytest.fail("There was nothing to claim.")
        clock.advance(60)
    house.work()
    (letter,) = house.workspaces.list_dead_letters(house.admin)
    assert "ended 6 times in a row" in letter.error


def test_waiting_and_progress_are_no_failures(house, clock):
    with house.database.write() as connection:
        house.workspaces.queue.put(connection, "test", "k", {})
    for _ in range(20):
        item = house.workspaces.queue.claim("one")
        assert item is not None
        assert item.failures == 0
        with house.workspaces.queue.fenced(item) as connection:
            house.workspaces.queue.postpone(connection, item, delay_seconds=0)


def test_dead_letters_and_drift_are_for_administrators(house):
    somebody = make_actor()
    with pytest.raises(Denied):
        house.workspaces.list_dead_letters(somebody)
    with pytest.raises(Denied):
        house.workspaces.retry_dead_letter(somebody, "x")
    with pytest.raises(Denied):
        house.workspaces.discard_dead_letter(somebody, "x")
    with pytest.raises(Denied):
        house.workspaces.list_drift(somebody)


# Drift ----------------------------------------------------------------------------------------


@pytest.fixture
def lab(house: House) -> Resource:
    workspace = house.make_workspace()
    owner = house.person(workspace, WorkspaceRole.RESEARCHER)
    return house.make_lab(house.make_service(workspace), owner)


def test_what_was_stopped_behind_carrels_back_is_told_and_forgotten_when_mended(house, lab, clock):
    house.runtime.stop(lab.workspace_id, lab.id)
    house.worker._reconciler.reconcile()
    (found,) = house.workspaces.list_drift(house.admin)
    assert (found.resource_id, found.should_be, found.really_is) == (
        lab.id,
        "running",
        "not running",
    )
    assert found.what_was_done.startswith("Asked for start (operation ")
    assert house.workspaces.drift_of(house.admin, lab) == [found]
    clock.advance(5)
    house.worker._reconciler.reconcile()  # while it is being mended
    assert len(house.workspaces.list_drift(house.admin)) == 1
    house.work()
    house.worker._reconciler.reconcile()
    assert house.workspaces.list_drift(house.admin) == []


def test_a_difference_that_stays_keeps_its_beginning(house, lab, clock):
    workspace = house.workspaces.get_resource(house.admin, lab.workspace_id)
    began = clock.now()
    house.runtime.remove(workspace.id)
    house.worker._reconciler.reconcile()
    clock.advance(5)
    house.worker._reconciler.reconcile()
    found = house.workspaces.drift_of(house.admin, workspace)
    assert [(each.aspect, each.since) for each in found] == [("host", began)]


# Following ------------------------------------------------------------------------------------


@pytest.fixture
def live(database: Database, tmp_path: Path) -> Iterator[House]:
    made = House(database, SystemClock(), tmp_path)
    yield made
    made.close()


def test_followers_are_woken_by_a_change_and_by_lost_access(live):
    operation = ask(live)
    streams = live.workspaces.streams

    async def follow() -> None:
        with streams.following(live.admin.id, operation.id) as one:
            assert await one.wait(5)
            assert not await one.wait(0.6)
            await asyncio.to_thread(live.work)
            assert await one.wait(5)
        with streams.following(live.admin.id) as mine:
            assert await mine.wait(5)
            await asyncio.to_thread(ask_second)
            assert await mine.wait(5)

    def ask_second() -> None:
        given = {"display_name": "Other", "workspace_owner_object_id": ""}
        live.workspaces.create_workspace(live.admin, "restricted", given)

    asyncio.run(follow())
    wait_until(lambda: streams._thread is None)


def test_an_account_follows_only_so_many(live):
    streams = live.workspaces.streams

    async def follow(left: int) -> None:
        with streams.following(live.admin.id):
            if left:
                await follow(left - 1)
                return
            with pytest.raises(TooManyRequests), streams.following(live.admin.id):
                pytest.fail("One too many.")
            with streams.following("somebody else"):
                pass

    asyncio.run(follow(MOST_STREAMS - 1))
    wait_until(lambda: streams._thread is None)
