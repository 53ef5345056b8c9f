"""Do health and audit tell the truth over HTTP, and only to whom they may?"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.database import Database
from carrel.core.errors import Unavailable
from carrel.core.roles import LATE_SECONDS, Role
from carrel.runtime.ports import NETWORK_NONE
from carrel.runtime.rules import EVERY_WORD
from tests.api import World, make_world


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    yield made
    made.client.close()
    made.carrel.database.close()


def test_health_is_well_when_every_role_beats_and_says_so_in_azuretres_words(world: World):
    for role in Role:
        world.carrel.roles.beat(role)
    body = world.client.get("/api/health").json()
    assert body == {
        "services": [
            {"service": "Cosmos DB", "status": "OK", "message": ""},
            {"service": "Service Bus", "status": "OK", "message": ""},
            {"service": "Resource Processor", "status": "OK", "message": ""},
        ],
    }


def test_a_silent_worker_is_seen(world: World):
    for role in Role:
        world.carrel.roles.beat(role)
    world.clock.advance(LATE_SECONDS + 1)
    world.carrel.roles.beat(Role.SERVE)
    body = world.client.get("/api/health", headers=world.as_person("ada")).json()
    assert body["well"] is False
    assert body["services"][2]["status"] == "Not OK"
    alive = {role["role"]: role["alive"] for role in body["roles"]}
    assert alive == {"serve": True, "work": False, "gateway": False, "packages": False}


def test_a_role_that_left_in_order_is_gone(world: World):
    world.carrel.roles.beat(Role.WORK)
    world.carrel.roles.leave(Role.WORK)
    states = {state.role: state.seen_at for state in world.carrel.roles.list_states()}
    assert states[Role.WORK] is None


def test_what_the_host_does_not_enforce_is_told_to_people_who_signed_in(
    database: Database, tmp_path: Path
):
    weak = make_world(database, tmp_path, EVERY_WORD - {NETWORK_NONE})
    body = weak.client.get("/api/health", headers=weak.as_person("ada")).json()
    assert body["isolation"]["level"] == "C"
    missing = [check["enforces"] for check in body["isolation"]["checks"] if not check["passed"]]
    assert missing == [NETWORK_NONE]
    assert "isolation" not in weak.client.get("/api/health").json()
    weak.carrel.database.close()


def test_a_launcher_that_is_away_is_part_of_the_report(world: World):
    world.runtime.fail_next("self_test", Unavailable("The launcher does not answer."))
    body = world.client.get("/api/health", headers=world.as_person("ada")).json()
    assert body["parts"][2] == {
        "name": "Isolation",
        "well": False,
        "message": "The launcher does not answer.",
    }


def test_only_administrators_read_the_whole_record(world: World):
    refused = world.client.get("/api/audit", headers=world.as_person("tom"))
    assert refused.status_code == 403
    assert world.client.get("/api/audit").status_code == 401
    allowed = world.client.get("/api/audit", headers=world.as_person("ada", TreRole.ADMIN))
    assert allowed.json()["events"][0]["actor_name"] == "Ada"


def test_members_read_the_record_of_their_workspace_and_strangers_find_nothing(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    body = {"templateName": "restricted", "properties": {"display_name": "Study"}}
    made = world.client.post("/api/workspaces", json=body, headers=admin).json()
    workspace_id = made["operation"]["resourceId"]
    path = f"/api/workspaces/{workspace_id}/audit"
    stranger = world.as_person("tom")
    assert world.client.get(path, headers=stranger).status_code == 404
    tom = world.carrel.people.find_account_by_name("tom")
    assert tom is not None
    world.carrel.people.assign_role(system("tests"), workspace_id, tom.id, WorkspaceRole.RESEARCHER)
    events = world.client.get(path, headers=world.as_person("tom")).json()["events"]
    assert {event["workspace"] for event in events} == {workspace_id}
    assert "workspace.requested" in {event["action"] for event in events}


def test_the_record_is_paged_backwards_without_gaps(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    for _ in range(4):
        admin = world.as_person("ada")
    seen, before = [], None
    while True:
        query = {"limit": 2} | ({"before": before} if before else {})
        page = world.client.get("/api/audit", params=query, headers=admin).json()
        seen += [event["seq"] for event in page["events"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == list(range(max(seen), 0, -1))


@pytest.mark.parametrize("limit", [0, 1001, "x"])
def test_a_page_of_the_record_has_a_sensible_size(world: World, limit):
    admin = world.as_person("ada", TreRole.ADMIN)
    refused = world.client.get("/api/audit", params={"limit": limit}, headers=admin)
    assert (refused.status_code, refused.json()["field"]) == (422, "limit")


def test_a_changed_event_breaks_the_chain_in_the_eyes_of_the_api(world: World):
    admin = world.as_person("ada", TreRole.ADMIN)
    path = "/api/audit/verification"
    assert world.client.get(path, headers=admin).json()["intact"] is True
    changed = text(
        """UPDATE audit_events SET body = replace(body, '"at":', '"at": ') WHERE seq = 2"""
    )
    with world.carrel.database.write() as connection:
        connection.execute(changed)
    found = world.client.get(path, headers=admin).json()
    assert (found["intact"], found["broken_at"]) == (False, 2)
