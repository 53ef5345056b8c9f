"""Do lists come page by page, without gaps, in typed orders, at the same number of statements?"""

import base64
import inspect
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import event, select, update

from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.database import Database
from carrel.core.ids import new_id
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.store import bury_resource, change_resource, set_status
from carrel.workspaces.tables import resources
from tests.integration.test_api_tre import World, make_world

LIST = "/api/workspaces"


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    yield made
    made.client.close()
    made.carrel.database.close()


@pytest.fixture
def admin(world: World) -> dict[str, str]:
    return world.as_person("ada", TreRole.ADMIN)


def add_workspaces(world: World, admin: dict[str, str], count: int) -> None:
    """Write rows like that of one workspace."""
    with world.carrel.database.read() as connection:
        row = connection.execute(select(resources)).mappings().first()
    if row is None:
        body = {"templateName": "restricted", "properties": {"display_name": "Study"}}
        assert world.client.post(LIST, json=body, headers=admin).status_code == 202
        add_workspaces(world, admin, count - 1)
        return
    pattern = {key: value for key, value in row.items() if key != "sort_name"}
    with world.carrel.database.write() as connection:
        for number in range(count):
            fresh = new_id()
            named = {**pattern["properties"], "display_name": f"Name {fresh[:4]}"}
            at = pattern["created_at"] + timedelta(seconds=number // 3)  # some at the same time
            connection.execute(
                resources.insert(),
                {
                    **pattern,
                    "id": fresh,
                    "workspace_id": fresh,
                    "properties": named,
                    "created_at": at,
                    "unique_name": None,
                },
            )


def pages(world: World, admin: dict[str, str], path: str) -> list[list[dict[str, Any]]]:
    """Follow the links from page to page."""
    found = []
    while path:
        answer = world.client.get(path, headers=admin)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["workspaces"])
        link = answer.links.get("next", {}).get("url", "")
        assert bool(link) == ("nextCursor" in answer.json())
        path = link
    return found


@pytest.mark.parametrize("order", ["createdWhen", "updatedWhen", "displayName", "templateName"])
@pytest.mark.parametrize("ascending", ["true", "false"])
def test_pages_together_are_the_whole_list(world: World, admin, order, ascending):
    add_workspaces(world, admin, 11)
    asked = f"{LIST}?order_by={order}&order_ascending={ascending}"
    whole = world.client.get(asked, headers=admin).json()["workspaces"]
    assert len(whole) == 11
    parts = pages(world, admin, f"{asked}&limit=4")
    assert [len(part) for part in parts] == [4, 4, 3]
    assert [line for part in parts for line in part] == whole
    if order == "displayName":
        names = [line["properties"]["display_name"].lower() for line in whole]
        assert names == sorted(names, reverse=ascending == "false")


def test_without_limit_the_list_has_azuretres_shape(world: World, admin):
    add_workspaces(world, admin, 3)
    answer = world.client.get(LIST, headers=admin)
    assert set(answer.json()) == {"workspaces"}
    assert "link" not in answer.headers


def test_what_is_added_meanwhile_neither_hides_nor_repeats_a_line(world: World, admin):
    add_workspaces(world, admin, 6)
    whole = [line["id"] for line in world.client.get(LIST, headers=admin).json()["workspaces"]]
    first = world.client.get(f"{LIST}?limit=3", headers=admin)
    add_workspaces(world, admin, 4)
    rest = pages(world, admin, first.links["next"]["url"])
    seen = [line["id"] for line in first.json()["workspaces"]]
    seen += [line["id"] for part in rest for line in part]
    assert len(seen) == len(set(seen))
    assert set(whole) <= set(seen)


def test_a_line_of_a_list_is_what_its_own_route_shows(world: World, admin):
    add_workspaces(world, admin, 2)
    for _ in range(2):  # made, and then known
        for line in world.client.get(LIST, headers=admin).json()["workspaces"]:
            own = world.client.get(f"{LIST}/{line['id']}", headers=admin).json()["workspace"]
            own.pop("drift", None)  # of the one alone
            assert own == line


def test_a_change_shows_in_the_next_list(world: World, admin):
    add_workspaces(world, admin, 1)
    (line,) = world.client.get(LIST, headers=admin).json()["workspaces"]
    changed = {"properties": {"description": "Another one"}}
    path = f"{LIST}/{line['id']}"
    world.client.patch(path, json=changed, headers={**admin, "etag": line["_etag"]})
    (again,) = world.client.get(LIST, headers=admin).json()["workspaces"]
    assert again["_etag"] != line["_etag"] or again["deploymentStatus"] != line["deploymentStatus"]


def test_what_is_remembered_of_a_list_is_never_old(world: World, admin):
    add_workspaces(world, admin, 2)

    def shown(headers: dict[str, str]) -> list[dict[str, Any]]:
        return world.client.get(LIST, headers=headers).json()["workspaces"]

    first, second = (line["id"] for line in shown(admin))
    workspaces, database = world.carrel.workspaces, world.carrel.database
    with database.write() as connection:
        set_status(connection, first, "updating")
    assert shown(admin)[0]["deploymentStatus"] == "updating"
    with database.write() as connection:
        change_resource(connection, second, properties={"display_name": "Renamed"})
    assert shown(admin)[1]["properties"] == {"display_name": "Renamed"}
    with database.write() as connection:
        template = workspaces.catalogue.current(
            connection, ResourceKind.WORKSPACE, "", "restricted"
        )
        newer = replace(template, version="9.0.0")
        workspaces.catalogue.add(connection, newer, now=world.clock.now(), is_current=False)
    upgrades = shown(admin)[0]["availableUpgrades"]
    assert upgrades == [{"version": "9.0.0", "forceUpdateRequired": True}]
    tom = world.as_person("tom")
    assert shown(tom) == []
    account = world.carrel.people.find_account_by_name("tom")
    assert account is not None
    world.carrel.people.assign_role(system("tests"), second, account.id, WorkspaceRole.RESEARCHER)
    assert [line["id"] for line in shown(tom)] == [second]
    with database.write() as connection:
        bury_resource(connection, first, world.clock.now())
    assert [line["id"] for line in shown(admin)] == [second]
    world.carrel.people.remove_role(system("tests"), second, account.id, WorkspaceRole.RESEARCHER)
    assert shown(tom) == []


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        "ä",
        "bm90IGpzb24",
        cursor_of(1, 2, 3),
        cursor_of("place", "createdWhen", True, "k", "i", "more"),
        cursor_of("place", "createdWhen", True, "k", "i"),
        "a" * 1001,
    ],
)
def test_a_damaged_cursor_is_named(world: World, admin, cursor):
    answer = world.client.get(LIST, params={"cursor": cursor}, headers=admin)
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_a_forged_key_of_another_type_is_refused(world: World, admin):
    add_workspaces(world, admin, 3)
    first = world.client.get(f"{LIST}?limit=1", headers=admin).json()["nextCursor"]
    told = orjson.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    for key in (1, 2**63, None, True, ["x"], "a\x00b"):
        forged = cursor_of(*told[:3], key, told[4])
        answer = world.client.get(LIST, params={"cursor": forged}, headers=admin)
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_a_cursor_of_another_list_or_order_is_refused(world: World, admin):
    add_workspaces(world, admin, 3)
    cursor = world.client.get(f"{LIST}?limit=1", headers=admin).json()["nextCursor"]
    for path in ("/api/shared-services", f"{LIST}?order_by=displayName"):
        query = "&" if "?" in path else "?"
        answer = world.client.get(f"{path}{query}cursor={cursor}", headers=admin)
        assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1001", "limit"), ("order_by=id;drop", "order_by")],
)
def test_senseless_wishes_are_named(world: World, admin, query, field):
    answer = world.client.get(f"{LIST}?{query}", headers=admin)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def statements(world: World, headers: dict[str, str], path: str) -> int:
    """Count what a request asks of the database."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        seen.append(statement)

    with world.carrel.database.write() as connection:  # nothing that was shown is known then
        connection.execute(update(resources).values(etag=new_id()[:16]))
    engine = world.carrel.database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        assert world.client.get(path, headers=headers).status_code == 200
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_long_list_asks_the_database_as_often_as_a_short_one(world: World, admin):
    add_workspaces(world, admin, 3)
    for query in ("", "?limit=2"):
        world.client.get(f"{LIST}{query}", headers=admin)
    few = {query: statements(world, admin, f"{LIST}{query}") for query in ("", "?limit=2")}
    add_workspaces(world, admin, 297)
    many = {query: statements(world, admin, f"{LIST}{query}") for query in ("", "?limit=2")}
    assert many == few


SENT_WHOLE = {
    "list_identities": "one person's, at other issuers",
    "list_applications": "not paged yet",
    "list_roles": "the three that there are",
    "list_assignable_users": "has AzureTRE's maxResultCount",
    "list_findings": "of one seal; a reviewer must see all",
    "list_outbox": "a folder's files, which the host reads whole",
    "list_template_versions": "of one template",
    "list_dead_letters": "not paged yet",
    "list_drift": "not paged yet",
}
"""Lists that are not paged, and why."""


def test_every_list_can_be_paged(world: World):
    app = world.client._transport._app
    unpaged = {
        context.endpoint.__name__
        for context in iter_route_contexts(app.router.routes)
        if (context.path or "").startswith("/api/")
        and getattr(context.endpoint, "__name__", "").startswith("list_")
        and "part" not in inspect.signature(context.endpoint).parameters
    }
    assert unpaged - set(SENT_WHOLE) == set()
