"""Are roles given only in workspaces that are there, and does a deleted one keep none?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.app import Carrel, build, make_web
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.ids import new_id
from carrel.core.settings import load
from carrel.runtime.memory import MemoryRuntime
from carrel.workspaces.store import is_workspace
from tests.web import app_client
from tests.workspaces import House, MemoryMembers

PASSWORD = "a quiet desk by the window"


class LateMembers(MemoryMembers):
    """Members who are asked, while their workspace is deleted, whether it is there still."""

    was_there: bool | None = None

    def drop_workspace(self, connection, workspace_id: str) -> None:
        self.was_there = is_workspace(connection, workspace_id)
        super().drop_workspace(connection, workspace_id)


@pytest.fixture
def house(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[House]:
    made = House(database, clock, tmp_path)
    yield made
    made.close()


@pytest.fixture
def carrel(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Carrel]:
    url = database.engine.url.render_as_string(hide_password=False)
    made = build(load(tmp_path, database_url=url), runtime=MemoryRuntime(), clock=clock)
    yield made
    made.database.close()


def test_only_a_living_workspace_is_one(house):
    workspace = house.make_workspace()
    service = house.make_service(workspace)
    with house.database.write() as connection:
        assert is_workspace(connection, workspace.id)
        assert not is_workspace(connection, service.id)
        assert not is_workspace(connection, new_id())
    house.disable(workspace)
    house.workspaces.delete(house.admin, workspace.id)
    house.work()
    with house.database.write() as connection:
        assert not is_workspace(connection, workspace.id)


def test_a_workspace_is_gone_before_its_roles_are_so_that_none_comes_after(house, tmp_path):
    house.people = house.workspaces.people = LateMembers(tmp_path / "late")
    workspace = house.make_workspace()
    house.disable(workspace)
    house.workspaces.delete(house.admin, workspace.id)
    house.work()
    assert house.people.was_there is False


def test_a_role_in_an_unknown_workspace_is_not_found_over_http(carrel):
    ada = carrel.people.create_account(
        system("tests"),
        username="ada",
        display_name="Ada",
        password=PASSWORD,
        tre_roles=frozenset({TreRole.ADMIN}),
    )
    token = carrel.people.sign_in("ada", PASSWORD, kind="api", client="tests").token
    client = app_client(make_web(carrel), headers={"Authorization": f"Bearer {token}"})
    body = {"role_id": WorkspaceRole.OWNER, "user_ids": [ada.id]}
    answer = client.post(f"/api/workspaces/{new_id()}/users/assign", json=body)
    assert answer.status_code == 404
