"""Can a workspace's people read what came in and where it connected to, and nobody else?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.database import Database
from carrel.core.ids import new_id
from carrel.packages.egress_rules import ProxyAsk
from carrel.packages.records import Records
from carrel.packages.rules import IndexFile
from tests.integration.test_api_tre import World, make_world


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    yield made
    made.client.close()
    made.carrel.database.close()


@pytest.fixture
def study(world: World) -> str:
    """A workspace that installed two packages and made two connections."""
    body = {"templateName": "unrestricted", "properties": {"display_name": "Study"}}
    admin = world.as_person("ada", TreRole.ADMIN)
    made = world.client.post("/api/workspaces", json=body, headers=admin).json()
    workspace_id: str = made["operation"]["resourceId"]
    records = Records(world.carrel.database, world.carrel.audit, world.clock)
    for number, name in enumerate(("first", "second")):
        file = IndexFile(
            name=name,
            version="1.0",
            filename=f"{name}-1.0.tar.gz",
            digest=str(number) * 64,
            url="https://files.example/x",
            is_wheel=False,
        )
        records.add_download(workspace_id, "pypi", file)
        ask = ProxyAsk(f"{name}.example", 443, None)
        row = records.open_connection(workspace_id, ask)
        records.close_connection(row, "closed", sent_bytes=3, received_bytes=2048)
        world.clock.advance(1)
    return workspace_id


@pytest.mark.parametrize(("last", "newest"), [("packages", "second"), ("egress", "second.example")])
def test_members_and_administrators_read_the_records_newest_first(
    world: World, study: str, last: str, newest: str
):
    world.as_person("tom")
    tom = world.carrel.people.find_account_by_name("tom")
    assert tom is not None
    world.carrel.people.assign_role(system("tests"), study, tom.id, WorkspaceRole.RESEARCHER)
    path = f"/api/workspaces/{study}/{last}"
    for headers in (world.as_person("tom"), world.as_person("ada")):
        [found] = world.client.get(path, headers=headers).json().values()
        assert len(found) == 2
        assert found[0].get("host", found[0].get("name")) == newest
        [one, _] = world.client.get(f"{path}?limit=1", headers=headers).json().values()
        assert one == found[:1]
        assert world.client.get(f"{path}?limit=0", headers=headers).status_code == 422


@pytest.mark.parametrize("page", ["/api/{}/packages", "/api/{}/egress", "/{}/software"])
def test_strangers_do_not_find_the_records(world: World, study: str, page: str):
    stranger = world.as_person("tom")
    path = page.format(f"workspaces/{study}")
    assert world.client.get(path, headers=stranger).status_code == 404
    nowhere = page.format(f"workspaces/{new_id()}")
    assert world.client.get(nowhere, headers=world.as_person("ada")).status_code == 404


def test_the_page_shows_packages_and_connections(world: World, study: str):
    page = world.client.get(f"/workspaces/{study}/software", headers=world.as_person("ada"))
    assert page.status_code == 200
    for word in ("first-1.0.tar.gz", "0" * 64, "second.example", "2.0 KiB", "closed"):
        assert word in page.text
    assert page.text.index("second-1.0.tar.gz") < page.text.index("first-1.0.tar.gz")
