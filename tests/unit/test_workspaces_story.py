"""Does the story of a workspace go well: made, used, stopped, disabled, deleted?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.core.actors import WorkspaceRole
from carrel.core.clock import ManualClock
from carrel.core.errors import Conflict, NotFound
from carrel.workspaces.rules import Power
from tests.factories import make_database
from tests.workspaces import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(make_database(tmp_path), ManualClock(), tmp_path)
    yield made
    made.close()
    made.database.close()


def test_a_workspace_is_made_used_and_deleted_with_nothing_left(house: House):
    workspace = house.make_workspace()
    assert (workspace.status, workspace.is_deployed) == ("deployed", True)
    service = house.make_service(workspace)
    researcher = house.person(workspace, WorkspaceRole.RESEARCHER)
    lab = house.make_lab(service, researcher, memory_gib=1, cpus=0.5)
    assert (lab.status, lab.power) == ("deployed", Power.RUNNING)
    assert lab.properties["connection_uri"].endswith(f"/ws/{workspace.id}/{lab.id}/")

    plan = house.runtime.plan_of(workspace.id, lab.id)
    assert plan.limits.memory_bytes == 2**30
    assert plan.environment["CARREL_DOWNLOADS"] == "off"
    assert "HTTPS_PROXY" not in plan.environment
    endpoint = house.workspaces.endpoint_for(researcher, lab.id)
    assert endpoint.token == plan.environment["CARREL_TOKEN"]
    assert endpoint.port == int(plan.environment["CARREL_PORT"])

    with pytest.raises(Conflict, match="disabled"):
        house.workspaces.delete(house.admin, workspace.id)
    house.disable(workspace)
    with pytest.raises(NotFound):
        house.workspaces.endpoint_for(researcher, lab.id)
    assert house.runtime.running() == {workspace.id: []}

    operation = house.workspaces.delete(house.admin, workspace.id)
    assert [step.resource_id for step in operation.steps] == [lab.id, service.id, workspace.id]
    house.work()
    assert house.workspaces.get_operation(house.admin, operation.id).status == "deleted"
    assert house.runtime.leftovers() == []
    assert house.workspaces.list_workspaces(house.admin) == []
    assert house.people.roles == {}
    for gone in (workspace, service, lab):
        with pytest.raises(NotFound):
            house.workspaces.get_resource(house.admin, gone.id)


def test_a_session_starts_also_before_the_reconciler_found_the_host_was_rebooted(house: House):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    researcher = house.person(workspace, WorkspaceRole.RESEARCHER)
    house.runtime.remove(workspace.id)  # what a reboot leaves: nothing is prepared
    assert house.make_lab(service, researcher).power == Power.RUNNING
