"""Do pipelines change other resources once, in turn, and take back what must not stay?"""

from dataclasses import replace
from pathlib import Path

import pytest

from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.errors import Conflict, OutsideFailure, Unavailable
from carrel.workspaces.pipelines.planning import CHANGE_OTHER
from carrel.workspaces.rules import Operation, Resource
from carrel.workspaces.steps import STEPS, StepWork
from carrel.workspaces.store import find_any_resource
from tests.pipelines import (
    FIREWALL,
    MAIN,
    OPENED,
    PIPELINE,
    K,
    firewall_step,
    open_service,
    prepare,
    register,
    rule_names,
)
from tests.workspaces import House


@pytest.fixture
def house(database: Database, clock: ManualClock, tmp_path: Path) -> House:
    made = House(database, clock, tmp_path)
    yield made
    made.close()


@pytest.fixture
def firewall(house: House) -> Resource:
    return prepare(house)


@pytest.fixture
def workspace(house: House, firewall: Resource) -> Resource:
    return house.make_workspace()


def latest(house: House, resource: Resource) -> Operation:
    return house.workspaces.list_operations(house.admin, resource.id)[-1]


def break_step(house: House, name: str, error: Exception) -> None:
    """Let every step of a name fail when it acts."""

    def act(work: StepWork) -> str:
        raise error

    steps = {**STEPS, name: replace(STEPS[name], act=act)}
    house.worker._engine.steps = steps


def mend(house: House) -> None:
    house.worker._engine.steps = STEPS


def test_a_pipeline_changes_the_shared_service_and_is_shown_step_by_step(
    house, firewall, workspace
):
    service = open_service(house, workspace)
    asked = latest(house, service)
    assert [each.template_step_id for each in asked.steps] == ["add", "main"]
    house.work()
    changed, service = house.again(firewall), house.again(service)
    assert (service.status, service.is_deployed) == ("deployed", True)
    assert changed.properties["rules"] == [
        {"name": f"arc-{service.id}", "ports": [443], "direction": "out"}
    ]
    assert (changed.version, changed.status) == (firewall.version + 1, "updated")
    assert changed.etag != firewall.etag
    (before,) = house.workspaces.history(house.admin, firewall.id)
    assert before.properties["rules"] == []
    ended = latest(house, service)
    assert (ended.status, ended.message) == (
        "deployed",
        "Multi step pipeline completed successfully.",
    )
    step = ended.steps[0]
    assert (step.action, step.status, step.resource_id, step.template_name) == (
        "upgrade",
        "updated",
        firewall.id,
        "firewall",
    )
    assert "shared-service.changed" in house.audited()


def test_while_it_runs_the_status_is_azuretres(house, firewall, workspace):
    seen = []
    service = open_service(house, workspace)

    def look(step: str, point: str) -> None:
        seen.append(latest(house, service))

    house.worker._engine.on_boundary = look
    house.work()
    assert {each.status for each in seen[:-1]} == {"pipeline_running"}
    assert seen[0].message == "Multi step pipeline running. See steps for details."


def test_change_and_deletion_have_their_own_steps(house, firewall, workspace):
    service = open_service(house, workspace)
    house.work()
    house.workspaces.update(house.admin, service.id, etag="*", properties={"port": 8080})
    house.work()
    (rule,) = house.again(firewall).properties["rules"]
    assert rule["ports"] == [8080]
    house.disable(service)
    house.workspaces.delete(house.admin, service.id)
    house.work()
    assert rule_names(house, firewall) == []


def test_what_changes_nothing_makes_no_history(house, firewall, workspace):
    service = open_service(house, workspace)
    house.work()
    version = house.again(firewall).version
    house.workspaces.update(house.admin, service.id, etag="*", properties={"description": "x"})
    house.work()
    assert house.again(firewall).version == version
    assert latest(house, service).steps[-1].message == "Nothing had to be changed."


def test_a_missing_target_fails_the_request_and_nothing_is_made(house):
    register(house, K.SERVICE, "opened", OPENED, pipeline=PIPELINE)
    workspace = house.make_workspace()
    with pytest.raises(Conflict, match="shared service firewall, and there is none"):
        open_service(house, workspace)
    assert house.workspaces.list_services(house.admin, workspace.id) == []


def test_a_deletion_goes_on_without_its_target(house, firewall, workspace):
    service = open_service(house, workspace)
    house.work()
    for each in (firewall, service):
        house.disable(each)
        house.workspaces.delete(house.admin, each.id)
        house.work()
    assert latest_status(house, service) == "deleted"


def latest_status(house: House, resource: Resource) -> str:
    with house.database.read() as connection:
        return find_any_resource(connection, resource.id).status


def test_when_a_later_step_fails_what_was_changed_elsewhere_is_undone(house, firewall, workspace):
    other = open_service(house, workspace)
    house.work()
    break_step(house, "offer_service", OutsideFailure("It cannot be."))
    service = open_service(house, workspace)
    house.work()
    ended = latest(house, service)
    assert ended.status == "deployment_failed"
    assert ended.message == (
        "Multi step pipeline failed on step main. It cannot be. What it had made was removed."
    )
    assert rule_names(house, firewall) == [f"arc-{other.id}"]
    assert ended.steps[0].message == "Undone: Firewall is as it was before."


def test_a_failed_pipeline_can_be_tried_again_without_a_second_entry(house, firewall, workspace):
    break_step(house, "offer_service", OutsideFailure("It cannot be."))
    service = open_service(house, workspace)
    house.work()
    mend(house)
    house.workspaces.retry_operation(house.admin, latest(house, service).id)
    house.work()
    assert house.again(service).status == "deployed"
    assert rule_names(house, firewall) == [f"arc-{service.id}"]


def test_what_somebody_changed_in_between_is_left_and_named(house, firewall, workspace):
    break_step(house, "offer_service", Unavailable("Not now."))
    service = open_service(house, workspace)
    house.work()
    (rule,) = house.again(firewall).properties["rules"]
    mine = [{**rule, "ports": [1]}]
    house.workspaces.update(house.admin, firewall.id, etag="*", properties={"rules": mine})
    house.workspaces.cancel_operation(house.admin, latest(house, service).id)
    house.work()
    ended = latest(house, service)
    assert house.again(firewall).properties["rules"] == mine
    assert f"Left behind: rules of the shared service Firewall ({firewall.id})" in ended.message
    assert ended.message.startswith(f"Cancelled by {house.admin.name}.")
    mend(house)
    house.workspaces.retry_operation(house.admin, ended.id)
    house.work()
    assert house.again(service).status == "deployed"


def test_a_cancelled_change_undoes_the_pipeline_and_keeps_the_change(house, firewall, workspace):
    service = open_service(house, workspace)
    house.work()
    break_step(house, CHANGE_OTHER, Unavailable("Not now."))
    house.workspaces.update(house.admin, service.id, etag="*", properties={"port": 1})
    house.work()
    operation = latest(house, service)
    assert operation.can_cancel
    house.workspaces.cancel_operation(house.admin, operation.id)
    house.work()
    ended = latest(house, service)
    assert ended.status == "updating_failed"
    assert house.again(service).properties["port"] == 1
    (rule,) = house.again(firewall).properties["rules"]
    assert rule["ports"] == [443]


def test_a_failed_deletion_puts_back_what_it_took(house, firewall, workspace):
    register(
        house,
        K.SERVICE,
        "careful",
        OPENED,
        pipeline={**PIPELINE, "uninstall": [firewall_step("drop", "remove"), MAIN]},
    )
    first = open_service(house, workspace)
    made, _ = house.workspaces.create_service(
        house.admin, workspace.id, "careful", {"display_name": "Careful"}
    )
    house.work()
    house.disable(made)
    before = rule_names(house, firewall)
    break_step(house, "remove_service", OutsideFailure("It cannot be."))
    house.workspaces.delete(house.admin, made.id)
    house.work()
    assert latest(house, made).status == "deleting_failed"
    assert rule_names(house, firewall) == before
    assert set(before) == {f"arc-{first.id}", f"arc-{made.id}"}


def test_a_cascade_takes_the_pipelines_of_everything_below(house, firewall, workspace):
    services = [open_service(house, workspace) for _ in range(3)]
    house.work()
    assert len(rule_names(house, firewall)) == 3
    house.disable(workspace)
    house.workspaces.delete(house.admin, workspace.id)
    house.work()
    assert rule_names(house, firewall) == []
    assert {latest_status(house, each) for each in services} == {"deleted"}


def test_a_change_that_does_not_fit_the_target_fails_and_changes_nothing(
    house, firewall, workspace
):
    fixed = {"name": "site", "type": "string", "value": "elsewhere"}
    register(
        house,
        K.SERVICE,
        "greedy",
        OPENED,
        pipeline={"install": [firewall_step("add", "append", properties=[fixed]), MAIN]},
    )
    made, _ = house.workspaces.create_service(
        house.admin, workspace.id, "greedy", {"display_name": "Greedy"}
    )
    house.work()
    assert latest(house, made).status == "deployment_failed"
    assert "site" in latest(house, made).message
    assert house.again(firewall).properties == firewall.properties


def test_a_secret_that_goes_through_a_pipeline_stays_one(house, firewall, workspace):
    own = [
        {"name": "password", "type": "string", "value": "{{ resource.properties.key }}"},
        {"name": "mode", "type": "string", "value": "key={{ resource.properties.key }}"},
    ]
    register(
        house,
        K.SERVICE,
        "secretive",
        OPENED,
        pipeline={"install": [MAIN, firewall_step("add", "append", properties=own)]},
    )
    house.workspaces.create_service(
        house.admin,
        workspace.id,
        "secretive",
        {"display_name": "Secretive", "key": "planted-secret"},
    )
    house.work()
    changed = house.again(firewall)
    assert "planted-secret" not in str(changed.properties)
    with house.database.read() as connection:
        full = house.workspaces.reveal(connection, changed)
    assert (full["password"], full["mode"]) == ("planted-secret", "key=planted-secret")


def test_the_main_step_fills_in_its_own_properties(house, firewall, workspace):
    learned = {"name": "learned", "type": "string", "value": "{{ resource.parent.id }}"}
    register(
        house,
        K.SERVICE,
        "learner",
        OPENED,
        pipeline={"install": [{"stepId": "main", "properties": [learned]}]},
    )
    made, _ = house.workspaces.create_service(
        house.admin, workspace.id, "learner", {"display_name": "Learner"}
    )
    house.work()
    assert house.again(made).properties["learned"] == workspace.id


def test_a_declared_action_runs_its_pipeline_or_is_recorded(house, firewall, workspace):
    service = open_service(house, workspace)
    house.work()
    house.workspaces.invoke_action(house.admin, service.id, "renew")
    house.work()
    assert latest(house, service).status == "action_succeeded"
    assert house.again(service).properties["renewed"] == f"by {service.id}"
    recorded = house.workspaces.invoke_action(house.admin, service.id, "note")
    assert recorded.status == "action_succeeded"


def test_what_the_driver_cannot_do_is_refused(house, workspace):
    register(house, K.SERVICE, "local-one", OPENED, actions=["reset_password"], driver="local")
    made, _ = house.workspaces.create_service(
        house.admin, workspace.id, "local-one", {"display_name": "Local"}
    )
    house.work()
    with pytest.raises(Conflict, match=r"driver local .* cannot do 'reset_password'"):
        house.workspaces.invoke_action(house.admin, made.id, "reset_password")


# Turns ----------------------------------------------------------------------------------------


def test_pipelines_of_two_workspaces_on_one_service_lose_nothing(house, firewall, workspace):
    spaces = [workspace, house.make_workspace("Second")]
    services = [open_service(house, space) for space in spaces for _ in range(5)]
    house.work()
    assert sorted(rule_names(house, firewall)) == sorted(f"arc-{each.id}" for each in services)
    assert house.again(firewall).version == firewall.version + len(services)
    assert len(house.workspaces.history(house.admin, firewall.id)) == len(services)


def test_a_step_waits_while_its_target_is_being_changed(house, firewall, workspace, clock):
    register(
        house,
        K.SHARED_SERVICE,
        "mutual",
        FIREWALL,
        pipeline={"upgrade": [firewall_step("poke", "append"), MAIN]},
    )
    house.workspaces.create_shared_service(house.admin, "mutual", {"display_name": "Mutual"})
    house.work()
    house.disable(firewall)
    break_step(house, "remove_service", Unavailable("Not now."))
    deletion = house.workspaces.delete(house.admin, firewall.id)  # takes its step, and cannot end
    house.work()
    service = open_service(house, workspace)
    house.work()
    waiting = latest(house, service)
    assert (waiting.status, waiting.steps[0].progress) == ("pipeline_running", "running")
    assert "waits until another change" in waiting.steps[0].message
    mend(house)
    for _ in range(3):
        clock.advance(31)
        house.work()
    assert house.workspaces.get_operation(house.admin, deletion.id).status == "deleted"
    assert latest(house, service).status == "deployment_failed"
    assert "deleted in the meantime" in latest(house, service).message


def test_two_services_that_change_each_other_do_not_wait_for_ever(house, clock):
    for name, other in (("left", "right"), ("right", "left")):
        step = {**firewall_step(f"poke-{name}", "append"), "resourceTemplateName": other}
        register(
            house, K.SHARED_SERVICE, name, {**FIREWALL, **OPENED_BOTH}, pipeline={"upgrade": [step]}
        )
    made = [
        house.workspaces.create_shared_service(house.admin, name, {"display_name": name})[0]
        for name in ("left", "right")
    ]
    house.work()
    for each in made:
        house.workspaces.update(house.admin, each.id, etag="*", properties={"mode": "open"})
    for _ in range(5):
        house.work()
        clock.advance(1)
    assert {latest(house, each).status for each in made} == {"updated"}
    assert [len(house.again(each).properties["rules"]) for each in made] == [1, 1]


OPENED_BOTH = {"properties": {**FIREWALL["properties"], **OPENED["properties"]}}
