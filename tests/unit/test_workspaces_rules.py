"""Do the tables of words, moves, plans and differences hold together?"""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carrel.core.errors import IllegalTransition, InvalidRequest
from carrel.workspaces.meters import Reading, growth
from carrel.workspaces.operations import LAST_RETRY_SECONDS, may_retry, retry_seconds
from carrel.workspaces.pipelines.planning import PIPELINE_STEPS
from carrel.workspaces.plans import (
    ACTIONS,
    INSTALL,
    TITLES,
    UNINSTALL,
    plan_disable,
    plan_install,
    plan_uninstall,
    plan_upgrade,
)
from carrel.workspaces.reconciler import Deed, differences, should_run
from carrel.workspaces.rules import (
    FAILURE_WORDS,
    FINAL,
    KNOWN_ACTIONS,
    SUCCESS_WORDS,
    Operation,
    Person,
    Power,
    Progress,
    Resource,
    ResourceKind,
    check_cancel,
    check_retry,
    check_version_change,
    parse_version,
    status_word,
)
from carrel.workspaces.steps import STEPS

K, P = ResourceKind, Progress
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def resource(kind: ResourceKind, name: str, **values: object) -> Resource:
    parents = {
        K.WORKSPACE: {"workspace_id": name},
        K.SERVICE: {"workspace_id": "w", "parent_id": "w"},
        K.USER_RESOURCE: {"workspace_id": "w", "parent_id": "s"},
        K.SHARED_SERVICE: {"workspace_id": None},
    }[kind]
    made = Resource(
        id=name,
        kind=kind,
        template_name="t",
        template_version="1.0.0",
        properties={"display_name": name.upper()},
        is_enabled=True,
        status="deployed",
        etag="e",
        version=0,
        workspace_id=None,
        parent_id=None,
        owner_id=None,
        created_at=NOW,
        updated_at=NOW,
        updated_by=Person("p", "P"),
        is_deployed=True,
    )
    return replace(made, **{**parents, **values})


WORKSPACE = resource(K.WORKSPACE, "w")
SERVICE = resource(K.SERVICE, "s")
LAB = resource(K.USER_RESOURCE, "u", wants_running=True, power=Power.RUNNING)


def operation(action: str, progress: Progress) -> Operation:
    return Operation(
        id="o",
        resource_id="w",
        resource_path="/workspaces/w",
        resource_version=0,
        workspace_id="w",
        action=action,
        status=status_word(action, progress),
        message="",
        steps=[],
        created_at=NOW,
        updated_at=NOW,
        user=Person("p", "P"),
        progress=progress,
    )


@pytest.mark.parametrize(
    ("action", "words"),
    {
        "install": ["awaiting_deployment", "deploying", "deployed", "deployment_failed"],
        "upgrade": ["awaiting_update", "updating", "updated", "updating_failed"],
        "uninstall": ["awaiting_deletion", "deleting", "deleted", "deleting_failed"],
        "start": ["awaiting_action", "invoking_action", "action_succeeded", "action_failed"],
    }.items(),
)
def test_operations_speak_azuretres_words(action, words):
    assert [status_word(action, p) for p in (P.WAITING, P.RUNNING, P.DONE, P.FAILED)] == words


OPERATION_PROGRESS = [P.WAITING, P.RUNNING, P.UNDOING, P.DONE, P.FAILED]


@pytest.mark.parametrize(
    ("action", "progress"), list(product(["install", "stop"], OPERATION_PROGRESS))
)
def test_a_word_is_final_exactly_when_the_operation_is(action, progress):
    word = status_word(action, progress)
    assert (word in SUCCESS_WORDS | FAILURE_WORDS) == (progress in FINAL)


ACTION_NAMES = ["install", "upgrade", "uninstall", "start", "stop", "restart", "repair"]


@pytest.mark.parametrize(("action", "progress"), list(product(ACTION_NAMES, OPERATION_PROGRESS)))
def test_only_what_leaves_nothing_half_changed_can_be_cancelled(action, progress):
    waiting = progress is P.WAITING and action not in {"upgrade", "repair"}
    making = progress is P.RUNNING and action in {"install", "start", "restart"}
    if waiting or making:
        check_cancel(operation(action, progress))
    else:
        with pytest.raises(IllegalTransition):
            check_cancel(operation(action, progress))


@pytest.mark.parametrize("progress", OPERATION_PROGRESS)
def test_only_the_latest_failed_operation_can_be_tried_again(progress):
    asked = operation("install", progress)
    if progress is P.FAILED:
        check_retry(asked, "o")
    else:
        with pytest.raises(IllegalTransition):
            check_retry(asked, "o")
    with pytest.raises(IllegalTransition):
        check_retry(asked, "a newer one")


def test_every_planned_step_exists_and_has_a_title():
    planned = {*UNINSTALL.values()}
    for names in (*INSTALL.values(), *ACTIONS.values()):
        planned |= set(names)
    assert planned <= set(TITLES)
    assert set(STEPS) == set(TITLES) | PIPELINE_STEPS  # whose titles the templates give


def test_every_kind_can_be_made_and_removed():
    assert set(INSTALL) == set(UNINSTALL) == set(ResourceKind)
    assert set(ACTIONS) >= KNOWN_ACTIONS


def test_the_owner_step_is_there_only_for_a_workspace_with_an_owner():
    names = [step.name for step in plan_install(WORKSPACE)]
    assert "give_owner_role" not in names
    assert "give_owner_role" in [step.name for step in plan_install(WORKSPACE, has_owner=True)]


def test_a_cascade_delete_has_a_step_per_descendant_deepest_first():
    steps = plan_uninstall(WORKSPACE, [LAB, SERVICE])
    assert [step.resource_id for step in steps] == ["u", "s", "w"]
    assert steps[0].title.endswith(": U")


def test_disabling_stops_only_what_runs():
    idle = replace(LAB, id="idle", wants_running=False, power=Power.STOPPED)
    assert [step.resource_id for step in plan_disable(WORKSPACE, [LAB, idle, SERVICE])] == ["u"]


def test_a_changed_text_restarts_nothing():
    for each in (WORKSPACE, SERVICE, LAB):
        assert not plan_upgrade(each, was_enabled=True, has_new_template=False)
    assert plan_upgrade(WORKSPACE, was_enabled=False, has_new_template=False)
    assert plan_upgrade(WORKSPACE, was_enabled=True, has_new_template=True)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("1.2.3", "1.2.4", ""),
        ("1.2.3", "1.10.0", ""),
        ("1.2.3", "1.2.3", ""),
        ("1.2.3", "2.0.0", "major"),
        ("1.2.3", "1.2.2", "downgrade"),
    ],
)
def test_major_upgrades_and_downgrades_need_force(old, new, word):
    check_version_change(old, new, is_forced=True)
    if not word:
        check_version_change(old, new, is_forced=False)
        return
    with pytest.raises(InvalidRequest, match=word):
        check_version_change(old, new, is_forced=False)


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.02.3", "1.2.x", "1.2.3\n"]
)
def test_a_version_is_three_numbers(text):
    with pytest.raises(InvalidRequest):
        parse_version(text)


def test_retries_wait_longer_and_longer_up_to_a_limit():
    waits = [retry_seconds(attempt) for attempt in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] < 1 < waits[-1] == LAST_RETRY_SECONDS


def test_what_removes_is_tried_for_ever():
    assert may_retry("uninstall", P.RUNNING, 10_000)
    assert may_retry("install", P.UNDOING, 10_000)
    assert not may_retry("install", P.RUNNING, 10_000)


# Differences between wish and world ------------------------------------------------------------

WORLD = [WORKSPACE, SERVICE, LAB]
NOTHING: frozenset[str] = frozenset()


def deeds(living: list[Resource], running: dict[str, list[str]]) -> list[tuple[str, Deed]]:
    found = differences(living, running, NOTHING)
    return [(each.resource.id, each.deed) for each in found]


def test_nothing_is_done_where_world_and_wish_agree():
    assert deeds(WORLD, {"w": ["u"]}) == []


def test_after_a_reboot_the_workspace_comes_first():
    assert deeds(WORLD, {}) == [("w", Deed.REPAIR)]
    assert deeds(WORLD, {"w": []}) == [("u", Deed.START)]


@pytest.mark.parametrize(
    "changed",
    [
        replace(LAB, is_enabled=False),
        replace(LAB, wants_running=False),
        replace(LAB, is_deployed=False),
    ],
)
def test_what_should_not_run_is_stopped(changed):
    assert not should_run(changed, {each.id: each for each in (WORKSPACE, SERVICE)})
    assert deeds([WORKSPACE, SERVICE, changed], {"w": ["u"]}) == [("u", Deed.STOP)]


@pytest.mark.parametrize("above", [WORKSPACE, SERVICE])
def test_nothing_runs_below_what_is_disabled(above):
    disabled = replace(above, is_enabled=False)
    living = [disabled if each.id == above.id else each for each in WORLD]
    assert deeds(living, {"w": ["u"]}) == [("u", Deed.STOP)]


def test_the_reconciler_never_fights_an_operation_in_flight():
    assert not list(differences(WORLD, {}, frozenset({"w"})))


# Meters ----------------------------------------------------------------------------------------

readings = st.builds(
    Reading,
    epoch=st.sampled_from("abc"),
    cpu_seconds=st.floats(0, 1e6),
    door_bytes=st.integers(0, 2**60),
)


@given(st.lists(readings, min_size=1, max_size=8), st.floats(-10, 1e5))
def test_what_was_used_is_never_negative(seen, elapsed):
    old = None
    for new in seen:
        added = growth(old, new, elapsed)
        assert min(added.seconds, added.cpu_seconds, added.door_bytes) >= 0
        old = new


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=10))
def test_growth_adds_up_to_the_counter_within_one_epoch(steps):
    total, old, counter = 0.0, None, 0.0
    for step in steps:
        counter += step
        new = Reading("a", counter, int(counter))
        total += growth(old, new, 1.0).cpu_seconds
        old = new
    assert total == pytest.approx(counter)


def test_counters_that_start_again_lose_nothing_already_counted():
    before, after = Reading("boot-1", 100.0, 10), Reading("boot-2", 7.0, 12)
    assert growth(before, after, 15.0).cpu_seconds == 7.0
    assert growth(before, after, 15.0).door_bytes == 2
