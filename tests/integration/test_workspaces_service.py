"""Do the use cases of workspaces hold their promises on both databases?"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from carrel.core import audit as audit_log
from carrel.core.actors import WorkspaceRole
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.errors import (
    Conflict,
    Denied,
    IllegalTransition,
    InvalidRequest,
    IsolationNotEnforced,
    NotFound,
    OutsideFailure,
    Unavailable,
)
from carrel.core.ids import new_id
from carrel.people.events import AccountDisabled, RolesChanged
from carrel.runtime.memory import MemoryRuntime
from carrel.runtime.ports import MEMBER_UID
from carrel.runtime.rules import CONFINES, EVERY_WORD
from carrel.workspaces.bundles import shipped_folder
from carrel.workspaces.clients import client_environment
from carrel.workspaces.events import OperationFinished, ResourceStopped, WorkspaceDeleted
from carrel.workspaces.meters import Meters, UsageTotals
from carrel.workspaces.reconciler import Reconciler
from carrel.workspaces.rules import FIRST_PORT, Operation, Power, Progress, ResourceKind
from carrel.workspaces.schemas import InvalidProperties
from carrel.workspaces.service.wishes import KEY_LIFE
from carrel.workspaces.store import change_resource
from carrel.workspaces.tables import idempotency_keys
from tests.workspaces import House

OWNER, RESEARCHER, CHECKER = (
    WorkspaceRole.OWNER,
    WorkspaceRole.RESEARCHER,
    WorkspaceRole.AIRLOCK_MANAGER,
)


@pytest.fixture
def house(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[House]:
    made = House(database, clock, tmp_path)
    yield made
    made.close()


def name(text: str = "Study") -> dict[str, str]:
    return {"display_name": text}


def nobodys() -> dict[str, str]:
    return {**name(), "workspace_owner_object_id": ""}


# Creation --------------------------------------------------------------------------------------


def test_a_name_is_taken_once_in_the_tre(house):
    house.make_workspace("Breast cancer")
    for same in ("Breast cancer", "BREAST  CANCER", "\uff42reast cancer"):
        with pytest.raises(Conflict, match="Choose another name") as refused:
            house.workspaces.create_workspace(house.admin, "restricted", name(same))
        assert refused.value.field == "properties.display_name"
    assert len(house.workspaces.list_workspaces(house.admin)) == 1


def test_a_deleted_workspaces_name_is_free_again(house):
    first = house.make_workspace("Breast cancer")
    house.disable(first)
    house.workspaces.delete(house.admin, first.id)
    house.work()
    assert house.make_workspace("Breast cancer").id != first.id


def test_sent_twice_is_made_once(house):
    key = new_id()
    first = house.workspaces.create_workspace(
        house.admin, "restricted", name(), idempotency_key=key
    )
    again = house.workspaces.create_workspace(
        house.admin, "restricted", name(), idempotency_key=key
    )
    assert [first[0].id, first[1].id] == [again[0].id, again[1].id]
    with pytest.raises(Conflict, match="other values"):
        house.workspaces.create_workspace(
            house.admin, "restricted", name("Other"), idempotency_key=key
        )


def test_keys_of_forms_are_forgotten_after_a_day(house, clock, database):
    for number in range(3):
        clock.advance(KEY_LIFE.total_seconds() + 1)
        house.workspaces.create_workspace(
            house.admin, "restricted", name(f"Study {number}"), idempotency_key=new_id()
        )
    with database.read() as connection:
        assert len(connection.execute(select(idempotency_keys)).all()) == 1


def test_a_sample_asks_the_doors_for_its_own_bytes_alone(house):
    workspace = house.make_workspace()
    rosa = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), rosa)
    asked = []

    def doors(resource_id: str | None = None) -> dict[str, int]:
        asked.append(resource_id)
        return {lab.id: 7}

    meters = Meters(
        database=house.database, clock=house.clock, runtime=house.runtime, door_bytes=doors
    )
    assert meters.sample(lab)
    assert asked == [lab.id]
    assert house.workspaces.usage(rosa, lab.id).door_bytes == 7


@pytest.mark.parametrize(
    ("template", "properties", "error"),
    [
        ("restricted", {"display_name": "x", "disk_gib": "ten"}, InvalidProperties),
        ("restricted", {"display_name": "x", "colour": "red"}, InvalidProperties),
        ("restricted", {}, InvalidProperties),
        ("imaginary", {"display_name": "x"}, NotFound),
        ("notebooks", {"display_name": "x"}, NotFound),
    ],
)
def test_bad_input_makes_nothing(house, template, properties, error):
    before = house.audited()
    with pytest.raises(error):
        house.workspaces.create_workspace(house.admin, template, properties)
    assert house.workspaces.list_workspaces(house.admin) == []
    assert house.audited() == before


@pytest.mark.parametrize("enforced", [CONFINES, EVERY_WORD - {MEMBER_UID}])
def test_a_host_that_gives_less_isolation_makes_nothing(database, clock, tmp_path, enforced):
    house = House(database, clock, tmp_path, MemoryRuntime(enforces=enforced))
    with pytest.raises(IsolationNotEnforced, match="member:uid"):
        house.workspaces.create_workspace(house.admin, "restricted", name())
    assert house.workspaces.list_workspaces(house.admin) == []
    house.workspaces.create_workspace(house.admin, "unrestricted", name())


def test_children_wait_until_the_parent_is_deployed_and_enabled(house):
    workspace, _ = house.workspaces.create_workspace(house.admin, "restricted", name())
    with pytest.raises(Conflict, match="is not deployed"):
        house.workspaces.create_service(house.admin, workspace.id, "notebooks", name())
    house.work()
    house.disable(workspace)
    with pytest.raises(Conflict, match="is disabled"):
        house.workspaces.create_service(house.admin, workspace.id, "notebooks", name())


def test_a_service_of_another_workspace_is_not_found(house):
    one, two = house.make_workspace("One"), house.make_workspace("Two")
    service = house.make_service(one)
    member = house.person(two, RESEARCHER)
    with pytest.raises(NotFound):
        house.workspaces.create_user_resource(member, two.id, service.id, "jupyterlab", name())


def test_the_chosen_owner_gets_the_role(house):
    chosen = new_id()
    made, _ = house.workspaces.create_workspace(
        house.admin, "restricted", {**name(), "workspace_owner_object_id": chosen}
    )
    house.work()
    assert house.people.roles == {made.id: {chosen: {OWNER}}}


def test_who_makes_a_workspace_owns_it_unless_somebody_else_is_named(house):
    made, _ = house.workspaces.create_workspace(house.admin, "restricted", name("Mine"))
    nobody, _ = house.workspaces.create_workspace(house.admin, "restricted", nobodys())
    house.work()
    assert house.people.roles[made.id] == {house.admin.id: {OWNER}}
    assert nobody.id not in house.people.roles
    assert house.again(made).properties["workspace_owner_object_id"] == house.admin.id


def test_every_workspace_and_member_has_a_host_id_of_its_own(house):
    one, two = house.make_workspace("One"), house.make_workspace("Two")
    people = [house.person(each, RESEARCHER) for each in (one, one, two)]
    members = [
        house.workspaces.host_member(each.id, person.id)
        for each, person in zip((one, one, two), people, strict=True)
    ]
    again = house.workspaces.host_member(one.id, people[0].id)
    assert again == members[0]
    gids = {house.workspaces.workspace_gid(each.id) for each in (one, two)}
    assert len({each.uid for each in members} | gids) == 5
    with pytest.raises(NotFound):
        house.workspaces.host_member(two.id, people[0].id)


# Who may what ----------------------------------------------------------------------------------


def test_nobody_opens_anothers_session(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    mine = house.person(workspace, RESEARCHER)
    lab = house.make_lab(service, mine)
    house.workspaces.endpoint_for(mine, lab.id)
    for other in (
        house.admin,
        house.person(workspace, OWNER),
        house.person(workspace, RESEARCHER),
        house.person(workspace, CHECKER),
    ):
        with pytest.raises(NotFound):
            house.workspaces.endpoint_for(other, lab.id)


def test_what_is_in_a_workspace_is_not_there_for_strangers(house):
    workspace, other = house.make_workspace("One"), house.make_workspace("Two")
    service = house.make_service(workspace)
    lab = house.make_lab(service, house.person(workspace, RESEARCHER))
    stranger = house.person(other, OWNER, RESEARCHER, CHECKER)
    reach = house.workspaces
    for attempt in (
        lambda: reach.get_resource(stranger, workspace.id),
        lambda: reach.get_resource(stranger, service.id),
        lambda: reach.get_resource(stranger, lab.id),
        lambda: reach.list_services(stranger, workspace.id),
        lambda: reach.list_user_resources(stranger, workspace.id, service.id),
        lambda: reach.list_user_resources(stranger, other.id, service.id),
        lambda: reach.list_operations(stranger, workspace.id),
        lambda: reach.get_operation(stranger, reach.list_operations(house.admin, lab.id)[0].id),
        lambda: reach.history(stranger, workspace.id),
        lambda: reach.usage(stranger, lab.id),
        lambda: reach.output(stranger, lab.id),
        lambda: reach.update(stranger, lab.id, etag="*", is_enabled=False),
        lambda: reach.delete(stranger, workspace.id),
        lambda: reach.invoke_action(stranger, lab.id, "stop"),
        lambda: reach.create_service(stranger, workspace.id, "notebooks", name()),
        lambda: reach.list_templates(stranger, ResourceKind.SERVICE, workspace_id=workspace.id),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_a_resource_is_bound_to_its_parents(house):
    one, two = house.make_workspace("One"), house.make_workspace("Two")
    service = house.make_service(one)
    for wrong in (
        {"workspace_id": two.id},
        {"parent_id": two.id},
        {"kind": ResourceKind.USER_RESOURCE},
    ):
        with pytest.raises(NotFound):
            house.workspaces.get_resource(house.admin, service.id, **wrong)
    house.workspaces.get_resource(house.admin, service.id, workspace_id=one.id, parent_id=one.id)


def test_members_see_their_own_user_resources_and_owners_all(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    one, two = (house.person(workspace, RESEARCHER) for _ in range(2))
    labs = [house.make_lab(service, each) for each in (one, two)]
    listed = house.workspaces.list_user_resources
    assert [each.id for each in listed(one, workspace.id, service.id)] == [labs[0].id]
    owner = house.person(workspace, OWNER)
    assert len(listed(owner, workspace.id, service.id)) == 2
    with pytest.raises(Denied, match="belongs to another member"):
        house.workspaces.get_resource(one, labs[1].id)


def test_what_one_sees_and_may_not_change_is_denied(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    researcher, owner = house.person(workspace, RESEARCHER), house.person(workspace, OWNER)
    for person, resource in ((researcher, workspace), (researcher, service), (owner, workspace)):
        with pytest.raises(Denied):
            house.workspaces.update(person, resource.id, etag="*", is_enabled=False)
    with pytest.raises(Denied):
        house.workspaces.create_service(researcher, workspace.id, "notebooks", name())
    with pytest.raises(Denied, match="Only members"):
        house.workspaces.create_user_resource(
            house.admin, workspace.id, service.id, "jupyterlab", name()
        )
    with pytest.raises(Denied):
        house.workspaces.create_workspace(owner, "restricted", name("Mine"))
    with pytest.raises(Denied):
        house.workspaces.list_templates(owner, ResourceKind.WORKSPACE)


def test_an_operation_is_found_only_with_its_own_resource(house):
    one, two = house.make_workspace("One"), house.make_workspace("Two")
    (operation,) = house.workspaces.list_operations(house.admin, one.id)
    house.workspaces.get_operation(house.admin, operation.id, resource_id=one.id)
    with pytest.raises(NotFound):
        house.workspaces.get_operation(house.admin, operation.id, resource_id=two.id)


# Changes ---------------------------------------------------------------------------------------


def test_of_two_changes_from_one_state_the_second_is_refused(house):
    workspace = house.make_workspace()
    change = house.workspaces.update
    change(house.admin, workspace.id, etag=workspace.etag, properties={"description": "One"})
    with pytest.raises(Conflict, match="get the document again and retry"):
        change(house.admin, workspace.id, etag=workspace.etag, properties={"description": "Two"})
    assert house.again(workspace).properties["description"] == "One"
    change(house.admin, workspace.id, etag="*", properties={"description": "Three"})


def test_history_holds_the_former_states_of_successful_changes_only(house):
    workspace = house.make_workspace()
    for text in ("One", "Two"):
        house.workspaces.update(
            house.admin, workspace.id, etag="*", properties={"description": text}
        )
    for wrong in ({"etag": "stale"}, {"etag": "*", "properties": {"disk_gib": 99}}):
        with pytest.raises((Conflict, InvalidRequest)):
            house.workspaces.update(house.admin, workspace.id, **wrong)
    entries = house.workspaces.history(house.admin, workspace.id)
    assert [each.properties["description"] for each in entries] == ["", "One"]
    assert [each.version for each in entries] == [0, 1]
    assert house.again(workspace).version == 2


def test_a_changed_text_is_done_at_once_and_restarts_nothing(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    lab = house.make_lab(service, house.person(workspace, RESEARCHER))
    changed, operation = house.workspaces.update(
        house.admin, lab.id, etag="*", properties={"memory_gib": 8}
    )
    assert (operation.status, changed.power) == ("updated", Power.RUNNING)
    assert house.runtime.plan_of(workspace.id, lab.id).limits.memory_bytes == 4 * 2**30
    house.workspaces.invoke_action(house.admin, lab.id, "restart")
    house.work()
    assert house.runtime.plan_of(workspace.id, lab.id).limits.memory_bytes == 8 * 2**30


def test_the_address_that_carrel_gives_stays_through_a_change(house):
    workspace = house.make_workspace()
    lab = house.make_lab(house.make_service(workspace), house.person(workspace, RESEARCHER))
    changed, _ = house.workspaces.update(
        house.admin, lab.id, etag="*", properties={"description": "New"}
    )
    assert changed.properties["connection_uri"] == lab.properties["connection_uri"]
    with pytest.raises(InvalidProperties, match="connection_uri"):
        house.workspaces.update(
            house.admin, lab.id, etag="*", properties={"connection_uri": "https://evil.example"}
        )


def test_disabling_goes_down_and_enabling_does_not(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(service, owner)
    epoch = house.people.epoch
    house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=False)
    assert house.people.epoch > epoch, "access ends before anything is stopped"
    with pytest.raises(NotFound):
        house.workspaces.endpoint_for(owner, lab.id)
    house.work()
    assert not any(house.again(each).is_enabled for each in (workspace, service, lab))
    assert house.runtime.running()[workspace.id] == []
    assert house.workspaces.open_workspaces() == []
    with pytest.raises(Conflict, match="is disabled"):
        house.workspaces.update(house.admin, lab.id, etag="*", is_enabled=True)
    house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=True)
    house.work()
    assert house.again(workspace).is_enabled
    assert not house.again(service).is_enabled
    assert [each.id for each in house.workspaces.open_workspaces()] == [workspace.id]


def test_start_stop_and_restart(house):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    for action, power in (
        ("stop", Power.STOPPED),
        ("stop", Power.STOPPED),
        ("start", Power.RUNNING),
        ("start", Power.RUNNING),
        ("restart", Power.RUNNING),
    ):
        operation = house.workspaces.invoke_action(owner, lab.id, action)
        house.work()
        ended = house.workspaces.get_operation(owner, operation.id)
        assert (ended.status, house.again(lab).power) == ("action_succeeded", power)
    with pytest.raises(InvalidRequest, match="restart, start, stop"):
        house.workspaces.invoke_action(owner, lab.id, "explode")


def test_the_token_of_a_tool_is_refused_after_its_restart(house):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    seen = [_token(house, owner, lab)]
    for action in ("restart", "stop", "start", "restart"):
        epoch = house.people.epoch
        house.workspaces.invoke_action(owner, lab.id, action)
        house.work()
        assert house.people.epoch > epoch, "the gateway must decide anew"
        if action != "stop":
            seen.append(_token(house, owner, lab))
    assert len(set(seen)) == 4
    # What runs is not started a second time, so its token must stay.
    house.workspaces.invoke_action(owner, lab.id, "start")
    house.work()
    assert _token(house, owner, lab) == seen[-1]


def _token(house, owner, lab):
    """Return the token that both the tool and the gateway have."""
    token = house.workspaces.endpoint_for(owner, lab.id).token
    plan = house.runtime.plan_of(lab.workspace_id, lab.id)
    assert plan.environment["CARREL_TOKEN"] == token
    return token


def test_a_button_pressed_twice_gives_the_operation_that_runs(house):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    pressed = [house.workspaces.invoke_action(owner, lab.id, "stop").id for _ in range(3)]
    assert len(set(pressed)) == 1


def test_an_unrestricted_workspace_reaches_the_internet_by_the_logged_proxy_only(house):
    workspace = house.make_workspace("Open", "unrestricted")
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    environment = house.runtime.plan_of(workspace.id, lab.id).environment
    assert environment["HTTPS_PROXY"] == environment["http_proxy"] == "http://127.0.0.1:88"
    assert environment["PIP_INDEX_URL"] == "http://127.0.0.1:81/pypi/simple/"
    assert environment["CARREL_DOWNLOADS"] == "on"
    assert house.workspaces.endpoint_for(owner, lab.id).downloads_allowed
    (opened,) = house.workspaces.open_workspaces()
    assert (opened.package_gateway, opened.egress_proxy) == (True, True)
    policy = house.workspaces.policy(workspace.id)
    assert (policy.restricted, policy.may_hold_sensitive) == (False, False)
    closed = house.make_workspace("Closed")
    policy = house.workspaces.policy(closed.id)
    assert (policy.restricted, policy.downloads, policy.airlock_enabled) == (True, False, True)


def test_nothing_of_the_platform_is_in_a_sandbox(house):
    workspace = house.make_workspace()
    lab = house.make_lab(house.make_service(workspace), house.person(workspace, RESEARCHER))
    plan = house.runtime.plan_of(workspace.id, lab.id)
    assert set(plan.environment) == {
        "CARREL_TOKEN",
        "CARREL_BASE_URL",
        "CARREL_PORT",
        "CARREL_DOWNLOADS",
        *client_environment(),
    }
    assert plan.environment["UV_DEFAULT_INDEX"] == plan.environment["PIP_INDEX_URL"]
    assert plan.environment["PIP_CONFIG_FILE"] == "/dev/null", "the host's indexes mean nothing"
    assert plan.isolation >= EVERY_WORD, "the workspace's isolation holds for what runs in it"


def test_files_of_members_outlive_a_deleted_user_resource(house):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    service = house.make_service(workspace)
    lab = house.make_lab(service, owner)
    uid = house.workspaces.host_member(workspace.id, owner.id).uid
    house.disable(lab)
    house.workspaces.delete(owner, lab.id)
    house.work()
    again = house.make_lab(service, owner)
    assert again.port == FIRST_PORT, "the port is given again"
    assert house.runtime.plan_of(workspace.id, again.id).member.uid == uid


def test_events_tell_the_rooms_above(house):
    heard = []
    for kind in (WorkspaceDeleted, ResourceStopped, OperationFinished):
        house.events.subscribe(kind, lambda _connection, event: heard.append(event))
    workspace = house.make_workspace()
    lab = house.make_lab(house.make_service(workspace), house.person(workspace, RESEARCHER))
    house.disable(workspace)
    assert ResourceStopped(lab.id, workspace.id) in heard
    deletion = house.workspaces.delete(house.admin, workspace.id)
    house.work()
    assert WorkspaceDeleted(workspace.id) in heard
    assert OperationFinished(deletion.id, workspace.id, "uninstall", "deleted") in heard


# When it does not go well ----------------------------------------------------------------------


def test_what_fails_for_a_while_is_tried_again_later(house, clock):
    house.runtime.fail_next("prepare", Unavailable("The host is busy."))
    made, operation = house.workspaces.create_workspace(house.admin, "restricted", name())
    house.work()
    waiting = house.workspaces.get_operation(house.admin, operation.id)
    assert waiting.status == "deploying"
    assert "Trying again" in waiting.message
    clock.advance(2)
    house.work()
    assert house.again(made).status == "deployed"


def test_a_failed_creation_leaves_nothing_and_can_be_tried_again(house):
    house.runtime.fail_next("prepare", OutsideFailure("The disk is full. Make room."))
    made, operation = house.workspaces.create_workspace(house.admin, "restricted", name())
    house.work()
    failed = house.workspaces.get_operation(house.admin, operation.id)
    assert failed.status == "deployment_failed"
    assert failed.message.startswith("The disk is full. Make room.")
    assert house.runtime.leftovers() == []
    assert house.again(made).status == "deployment_failed"
    assert failed.can_retry
    house.workspaces.retry_operation(house.admin, operation.id)
    house.work()
    assert house.again(made).is_deployed


def test_a_failed_creation_can_be_deleted(house):
    house.runtime.fail_next("prepare", OutsideFailure("No."))
    made, _ = house.workspaces.create_workspace(house.admin, "restricted", name())
    house.work()
    house.disable(made)
    house.workspaces.delete(house.admin, made.id)
    house.work()
    assert house.workspaces.list_workspaces(house.admin) == []


def test_a_start_that_fails_leaves_nothing_running(house):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    house.workspaces.invoke_action(owner, lab.id, "stop")
    house.work()
    house.runtime.fail_next("dial", OutsideFailure("It does not answer."))
    operation = house.workspaces.invoke_action(owner, lab.id, "start")
    house.work()
    assert house.workspaces.get_operation(owner, operation.id).status == "action_failed"
    after = house.again(lab)
    assert (after.power, after.wants_running) == (Power.STOPPED, False)
    assert house.runtime.running()[workspace.id] == []


def test_a_program_that_ends_before_it_answers_fails_the_start(database, clock, tmp_path):
    class Dying(MemoryRuntime):
        def start(self, plan):
            super().start(plan)
            self.end_sandbox(plan.workspace_id, plan.id)

    house = House(database, clock, tmp_path, Dying())
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    lab = house.make_lab(service, house.person(workspace, RESEARCHER))
    (operation,) = house.workspaces.list_operations(house.admin, lab.id)
    assert operation.status == "deployment_failed"
    assert "ended before it answered" in operation.message


def test_a_delete_goes_on_for_ever_until_nothing_is_left(house, clock):
    workspace = house.make_workspace()
    house.disable(workspace)
    operation = house.workspaces.delete(house.admin, workspace.id)
    for _ in range(12):
        house.runtime.fail_next("remove", Unavailable("The launcher does not answer."))
        house.work()
        assert not house.workspaces.get_operation(house.admin, operation.id).is_final
        clock.advance(60)
    house.work()
    assert house.workspaces.get_operation(house.admin, operation.id).status == "deleted"
    assert house.runtime.leftovers() == []


def test_a_creation_cancelled_before_it_began_never_begins(house):
    made, operation = house.workspaces.create_workspace(house.admin, "restricted", name())
    cancelled = house.workspaces.cancel_operation(house.admin, operation.id)
    assert cancelled.status == "deployment_failed"
    assert house.admin.name in cancelled.message
    house.work()
    assert house.runtime.leftovers() == []
    assert house.again(made).status == "deployment_failed"
    again = house.workspaces.cancel_operation(house.admin, operation.id)
    assert (again.status, again.was_cancelled) == ("deployment_failed", True)


def test_a_creation_cancelled_between_two_steps_is_undone(house):
    _, operation = house.workspaces.create_workspace(house.admin, "restricted", nobodys())
    at = []

    def cancel(step: str, point: str) -> None:
        at.append((step, point))
        if (step, point) == ("prepare_workspace", "acted"):
            house.workspaces.cancel_operation(house.admin, operation.id)

    house.worker._engine.on_boundary = cancel
    house.work()
    ended = house.workspaces.get_operation(house.admin, operation.id)
    assert (ended.status, ended.was_cancelled) == ("deployment_failed", True)
    who = house.admin.name
    assert ended.message == f"Cancelled by {who}. What it had made was removed."
    assert [step.progress for step in ended.steps] == [P.UNDONE, P.UNDONE, P.WAITING]
    assert house.runtime.leftovers() == []
    assert ("open_doors", "begun") not in at


P = Progress


def test_a_deletion_in_hand_and_a_change_cannot_be_cancelled(house):
    workspace = house.make_workspace()
    _, change = house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=False)
    with pytest.raises(IllegalTransition):
        house.workspaces.cancel_operation(house.admin, change.id)
    house.work()
    deletion = house.workspaces.delete(house.admin, workspace.id)
    house.runtime.fail_next("remove", Unavailable("Not now."))
    house.work()
    with pytest.raises(IllegalTransition, match="cannot be cancelled"):
        house.workspaces.cancel_operation(house.admin, deletion.id)


def test_an_operation_waits_for_an_earlier_one_above_it(house, clock):
    workspace = house.make_workspace()
    owner = house.person(workspace, RESEARCHER)
    lab = house.make_lab(house.make_service(workspace), owner)
    house.runtime.fail_next("stop", Unavailable("Not now."))
    stop = house.workspaces.invoke_action(owner, lab.id, "stop")
    _, disable = house.workspaces.update(house.admin, workspace.id, etag="*", is_enabled=False)
    house.work()
    assert statuses(house, stop, disable) == ["invoking_action", "awaiting_update"]
    for _ in range(2):  # the later one may look once more before the earlier one is done
        clock.advance(5)
        house.work()
    assert statuses(house, stop, disable) == ["action_succeeded", "updated"]


def statuses(house: House, *operations: Operation) -> list[str]:
    return [house.workspaces.get_operation(house.admin, each.id).status for each in operations]


# Who lost access -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["role", "account"])
def test_what_an_account_has_running_stops_when_it_is_no_member_any_more(house, kind):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    leaver, stayer = (house.person(workspace, RESEARCHER) for _ in range(2))
    labs = [house.make_lab(service, each) for each in (leaver, stayer)]
    del house.people.roles[workspace.id][leaver.id]
    event = RolesChanged(workspace.id, leaver.id) if kind == "role" else AccountDisabled(leaver.id)
    with house.database.write() as connection:
        house.events.publish(connection, event)
        house.events.publish(connection, RolesChanged(workspace.id, stayer.id))
    house.work()
    assert house.runtime.running()[workspace.id] == [labs[1].id]
    operation = house.workspaces.invoke_action(house.admin, labs[0].id, "start")
    house.work()
    ended = house.workspaces.get_operation(house.admin, operation.id)
    assert (ended.status, "no member" in ended.message) == ("action_failed", True)


# The reconciler --------------------------------------------------------------------------------


@pytest.fixture
def lab(house):
    workspace = house.make_workspace()
    return house.make_lab(house.make_service(workspace), house.person(workspace, RESEARCHER))


def reconcile(house: House, rounds: int = 4) -> None:
    reconciler = Reconciler(house.workspaces)
    for _ in range(rounds):
        reconciler.reconcile()
        house.work()


def test_after_a_reboot_everything_that_should_run_runs_again(house, lab):
    house.runtime.remove(lab.workspace_id)
    reconcile(house)
    assert house.runtime.running() == {lab.workspace_id: [lab.id]}
    assert house.again(lab).power is Power.RUNNING


def test_a_program_that_ended_by_itself_is_shown_and_not_started_again(house, lab):
    house.runtime.end_sandbox(lab.workspace_id, lab.id)
    reconcile(house)
    after = house.again(lab)
    assert (after.power, after.wants_running) == (Power.FAILED, False)
    assert house.runtime.running()[lab.workspace_id] == []


def test_a_stopped_sandbox_that_runs_is_stopped(house, lab):
    plan = house.runtime.plan_of(lab.workspace_id, lab.id)
    house.workspaces.invoke_action(house.admin, lab.id, "stop")
    house.work()
    house.runtime.start(plan)
    reconcile(house)
    assert house.runtime.running()[lab.workspace_id] == []


def test_what_belongs_to_no_workspace_is_removed(house, lab):
    plan = house.runtime.workspace_plan(lab.workspace_id)
    house.disable(house.workspaces.get_resource(house.admin, lab.workspace_id))
    house.workspaces.delete(house.admin, lab.workspace_id)
    house.work()
    house.runtime.prepare(plan)
    reconcile(house)
    assert house.runtime.leftovers() == []


def test_an_unknown_workspace_has_a_time_of_grace(house, lab):
    stranger = replace(house.runtime.workspace_plan(lab.workspace_id), id=new_id())
    house.runtime.prepare(stranger)
    reconcile(house)
    assert stranger.id in house.runtime.running()
    Reconciler(house.workspaces, grace_seconds=0).reconcile()
    assert stranger.id not in house.runtime.running()


def test_a_repair_that_fails_is_not_asked_for_again_at_once(house, lab, clock):
    house.runtime.remove(lab.workspace_id)
    for _ in range(3):
        house.runtime.fail_next("prepare", OutsideFailure("The disk is broken."))
    reconcile(house)
    repairs = [
        each
        for each in house.workspaces.list_operations(house.admin, lab.workspace_id)
        if each.action == "repair"
    ]
    assert [each.status for each in repairs] == ["action_failed"]


def test_a_failed_repair_removes_no_data(house, lab, clock):
    removed = []
    house.runtime.remove = removed.append
    house.runtime.fail_next("prepare", OutsideFailure("The disk is broken."))
    with house.workspaces.changing() as connection:
        workspace = house.workspaces.get_resource(house.admin, lab.workspace_id)
        house.workspaces.begin_action(connection, house.admin, workspace, "repair")
    house.work()
    assert removed == []


# Meters ----------------------------------------------------------------------------------------


def test_meters_add_up_across_stops_and_restarts(house, lab, clock):
    def owner_view() -> UsageTotals:
        return house.workspaces.usage(house.admin, lab.id)

    for seconds in (3.0, 4.0):
        house.runtime.use_cpu(lab.workspace_id, lab.id, seconds)
        clock.advance(15)
        house.meters.sample_all()
    assert owner_view().cpu_seconds == pytest.approx(7.0)
    house.runtime.use_cpu(lab.workspace_id, lab.id, 5.0)
    house.workspaces.invoke_action(house.admin, lab.id, "restart")
    house.work()
    assert owner_view().cpu_seconds == pytest.approx(12.0), "sampled once more before the stop"
    house.runtime.use_cpu(lab.workspace_id, lab.id, 1.0)
    house.meters.sample_all()
    assert owner_view().cpu_seconds == pytest.approx(13.0)
    whole = house.workspaces.usage(house.admin, lab.workspace_id)
    assert whole.cpu_seconds == pytest.approx(13.0)


# The record ------------------------------------------------------------------------------------


def test_every_change_is_in_the_audit_chain(house):
    workspace = house.make_workspace()
    lab = house.make_lab(house.make_service(workspace), house.person(workspace, RESEARCHER))
    house.workspaces.update(house.admin, lab.id, etag="*", properties={"description": "x"})
    house.workspaces.invoke_action(house.admin, lab.id, "stop")
    house.work()
    house.disable(workspace)
    house.workspaces.delete(house.admin, workspace.id)
    house.work()
    assert [each for each in house.audited() if not each.startswith("template.")] == [
        "workspace.requested",
        "workspace.deployed",
        "workspace-service.requested",
        "workspace-service.deployed",
        "user-resource.requested",
        "user-resource.deployed",
        "user-resource.changed",
        "user-resource.action_requested",
        "user-resource.action_succeeded",
        "workspace.disabled",
        "workspace.deletion_requested",
        "user-resource.deleted",
        "workspace-service.deleted",
        "workspace.deleted",
    ]
    assert audit_log.verify(house.database).intact


# Templates -------------------------------------------------------------------------------------


def test_shipped_templates_come_in_once(house):
    before = house.audited()
    with house.database.write() as connection:
        house.workspaces.sync_shipped(connection)
    assert house.audited() == before
    titles = [
        each.name for each in house.workspaces.list_templates(house.admin, ResourceKind.WORKSPACE)
    ]
    assert titles == ["restricted", "unrestricted"]


def test_a_new_version_is_for_new_resources_and_an_upgrade_for_old_ones(house, tmp_path):
    old = house.make_workspace("Old")
    folder = tmp_path / "restricted"
    shutil.copytree(shipped_folder() / "workspaces" / "restricted", folder)
    toml = folder / "template.toml"
    toml.write_text(toml.read_text().replace('version = "0.1.0"', 'version = "0.2.0"'))
    registered = house.workspaces.register(house.admin, folder)
    assert registered.is_current
    with pytest.raises(Conflict, match="new version"):
        house.workspaces.register(house.admin, folder)
    assert house.make_workspace("New").template_version == "0.2.0"
    assert house.again(old).template_version == "0.1.0"
    assert list(house.workspaces.available_upgrades(house.again(old))) == [("0.2.0", False)]
    changed, _ = house.workspaces.update(house.admin, old.id, etag="*", template_version="0.2.0")
    assert changed.template_version == "0.2.0"
    with pytest.raises(InvalidRequest, match="downgrade"):
        house.workspaces.update(house.admin, old.id, etag="*", template_version="0.1.0")
    with pytest.raises(NotFound):
        house.workspaces.update(house.admin, old.id, etag="*", template_version="0.9.9")
    with pytest.raises(Denied):
        house.workspaces.register(house.person(old, OWNER), folder)


def test_resources_of_an_earlier_release_are_named_once(house):
    old = house.make_workspace("Old")
    bare = {name: old.properties[name] for name in ("display_name", "description")}
    with house.database.write() as connection:
        change_resource(connection, old.id, properties=bare)
        assert house.workspaces.name_resources(connection) == 1
        assert house.workspaces.name_resources(connection) == 0
    named = house.again(old)
    assert named.properties["client_id"] == old.id
    assert named.properties["scope_id"] == f"api://{old.id}"
    assert (named.etag, named.version) == (old.etag, old.version)
    assert house.audited()[-1] == "workspace.named"
