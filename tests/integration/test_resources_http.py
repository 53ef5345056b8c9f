"""Do resources come to be, change and end over HTTP as AzureTRE's clients expect?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from carrel.core.actors import TreRole, WorkspaceRole
from carrel.core.database import Database, metadata
from carrel.people.actors import actor_of
from carrel.runtime.ports import Capacity
from carrel.workspaces.rules import ResourceKind
from tests.api import World, make_world
from tests.templates import add_template, make_template

K = ResourceKind
STRING = {"type": "string", "updateable": True}
SPACE = {
    "address_space_size": {
        "type": "string",
        "enum": ["small", "medium", "large", "custom"],
        "default": "small",
    },
    "address_spaces": {"type": "array", "items": {"type": "string"}, "updateable": True},
    "auth_type": {"type": "string", "enum": ["Automatic", "Manual"], "default": "Automatic"},
    "client_id": {"type": "string"},
    "tre_id": {"type": "string"},
}
CUSTOM = {
    "allOf": [
        {
            "if": {
                "properties": {"address_space_size": {"const": "custom"}},
                "required": ["address_space_size"],
            },
            "then": {
                "properties": {"address_space": {"type": "string"}},
                "required": ["address_space"],
            },
        }
    ]
}


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    made = make_world(database, tmp_path)
    room = made.carrel.workspaces
    add_template(room, make_template(K.WORKSPACE, "base", SPACE, schema=CUSTOM))
    subnet = {"address_space": {"type": "string"}}
    add_template(room, make_template(K.SERVICE, "subnet", subnet))
    add_template(
        room, make_template(K.SHARED_SERVICE, "firewall", {"rules": {**STRING, "default": ""}})
    )
    yield made
    made.close()


@pytest.fixture
def admin(world: World) -> dict[str, str]:
    return world.as_person("ada", TreRole.ADMIN)


def body(template: str, **properties: Any) -> dict[str, Any]:
    given = {"display_name": "One", "description": "Made by a test", **properties}
    return {"templateName": template, "properties": given}


def shown(world: World, headers: dict[str, str], path: str) -> dict[str, Any]:
    (resource,) = world.client.get(path, headers=headers).json().values()
    return resource


def everything(world: World) -> dict[str, list[Any]]:
    """Return the content of every table but the sessions', which know when they were used."""
    with world.carrel.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name != "sessions"
        }


# What Carrel gives -----------------------------------------------------------------------------


def test_a_workspace_says_who_it_is_to_azuretres_clients(world, admin):
    made = world.make(admin, "/api/workspaces", "base", client_id="mine", tre_id="mine")
    properties = shown(world, admin, f"/api/workspaces/{made}")["properties"]
    roles = world.client.get(f"/api/workspaces/{made}/roles", headers=admin).json()["roles"]
    assert properties["client_id"] == properties["workspace_id"] == made
    assert properties["scope_id"] == f"api://{made}"
    assert properties["tre_id"] == world.carrel.settings.tre_id
    assert properties["azure_location"] == ""
    assert properties["register_aad_application"] is True
    assert len(properties["sp_id"]) == 36
    assert {
        properties[f"app_role_id_workspace_{name}"]
        for name in ("owner", "researcher", "airlock_manager")
    } == {each["id"] for each in roles}


def test_who_creates_a_workspace_owns_it_unless_it_says_nobody(world, admin):
    mine = world.make(admin, "/api/workspaces", "base")
    nobodys = world.make(
        admin, "/api/workspaces", "base", display_name="Other", workspace_owner_object_id=""
    )
    listed = [
        world.client.get(f"/api/workspaces/{each}/users", headers=admin).json()["users"]
        for each in (mine, nobodys)
    ]
    assert [[person["userPrincipalName"] for person in users] for users in listed] == [["ada"], []]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"auth_type": "Manual"}, "Please supply the client_id for the AAD application"),
        ({"auth_type": "Manual", "client_id": "x"}, "Choose Automatic"),
    ],
)
def test_only_automatic_authentication_can_be_had(world, admin, given, says):
    answer = world.client.post("/api/workspaces", json=body("base", **given), headers=admin)
    assert (answer.status_code, says in answer.text) == (400, True)


# Addresses -------------------------------------------------------------------------------------


def test_ranges_come_in_azuretres_sizes_and_never_overlap(world, admin):
    found = []
    for number, size in enumerate(("small", "large", "medium", "small")):
        made = world.make(
            admin, "/api/workspaces", "base", display_name=f"W{number}", address_space_size=size
        )
        properties = shown(world, admin, f"/api/workspaces/{made}")["properties"]
        assert properties["address_spaces"] == [properties["address_space"]]
        found.append(IPv4Network(properties["address_space"]))
    assert [each.prefixlen for each in found] == [24, 16, 22, 24]
    assert not any(a.overlaps(b) for a in found for b in found if a is not b)
    assert not any(each.overlaps(world.carrel.settings.core_address_space) for each in found)


def test_a_custom_range_is_taken_as_it_is_and_stays_through_a_change(world, admin):
    custom = {"address_space_size": "custom", "address_space": "10.200.0.0/20"}
    path = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'base', **custom)}"
    answer = world.client.post(
        "/api/workspaces", json=body("base", display_name="Two", **custom), headers=admin
    )
    assert (answer.status_code, "conflicts with the current network" in answer.text) == (422, True)
    patch = {"properties": {"description": "New"}}
    headers = {**admin, "etag": "*"}
    assert world.client.patch(path, json=patch, headers=headers).status_code == 202
    properties = shown(world, admin, path)["properties"]
    assert (properties["address_space"], properties["description"]) == ("10.200.0.0/20", "New")


def test_a_service_gets_a_range_and_gives_it_back(world, admin):
    workspace = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'base')}"
    before = shown(world, admin, workspace)
    services = f"{workspace}/workspace-services"
    service = f"{services}/{world.make(admin, services, 'subnet', address_space='10.9.9.0/24')}"
    space = shown(world, admin, service)["properties"]["address_space"]
    after = shown(world, admin, workspace)
    assert after["properties"]["address_spaces"] == [before["properties"]["address_space"], space]
    assert space != "10.9.9.0/24", "Carrel's choice goes before what was sent"
    assert (after["resourceVersion"], after["_etag"] == before["_etag"]) == (1, False)
    headers = {**admin, "etag": "*"}
    world.client.patch(service, json={"isEnabled": False}, headers=headers)
    world.work()
    assert world.client.delete(service, headers=admin).status_code == 200
    world.work()
    left = shown(world, admin, workspace)["properties"]
    assert left["address_spaces"] == [left["address_space"]]
    again = world.make(admin, services, "subnet")
    assert shown(world, admin, f"{services}/{again}")["properties"]["address_space"] == space


def test_a_workspace_without_address_spaces_has_no_service_that_needs_one(world, admin):
    services = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'restricted')}"
    answer = world.client.post(f"{services}/workspace-services", json=body("subnet"), headers=admin)
    assert (answer.status_code, "address_spaces" in answer.text) == (400, True)


def test_two_hundred_creates_at_once_get_two_hundred_ranges(world, admin):
    room = world.carrel.workspaces
    with world.carrel.database.read() as connection:
        actor = actor_of(connection, _account(world, "ada"))

    def create(number: int) -> str:
        made, _ = room.create_workspace(actor, "base", {"display_name": f"W{number}"})
        return str(made.properties["address_space"])

    with ThreadPoolExecutor(16) as pool:
        spaces = list(pool.map(create, range(200)))
    first = sorted(IPv4Network(each) for each in spaces)
    assert not any(a.overlaps(b) for a, b in pairwise(first))


def _account(world: World, username: str) -> str:
    account = world.carrel.people.find_account_by_name(username)
    assert account is not None
    return account.id


# User resources --------------------------------------------------------------------------------


class Study:
    """A workspace with a service, an owner and two researchers."""

    def __init__(self, world: World, admin: dict[str, str]) -> None:
        self.id = world.make(admin, "/api/workspaces", "restricted", workspace_owner_object_id="")
        self.path = f"/api/workspaces/{self.id}"
        self.owner = world.join("olivia", self.id, WorkspaceRole.OWNER)
        self.ann, self.bob = (
            world.join(name, self.id, WorkspaceRole.RESEARCHER) for name in ("ann", "bob")
        )
        services = f"{self.path}/workspace-services"
        self.service = f"{services}/{world.make(self.owner, services, 'notebooks')}"
        self.labs = f"{self.service}/user-resources"


@pytest.fixture
def study(world: World, admin: dict[str, str]) -> Study:
    return Study(world, admin)


def test_an_owner_may_make_a_user_resource_for_another_member(world, study):
    ann = _account(world, "ann")
    for_ann = body("jupyterlab", assign_to_another_user=True, owner_id=ann)
    made = world.client.post(study.labs, json=for_ann, headers=study.owner)
    assert made.status_code == 202
    world.work()
    lab = f"{study.labs}/{made.json()['operation']['resourceId']}"
    assert shown(world, study.ann, lab)["ownerId"] == ann
    refused = world.client.post(study.labs, json=for_ann, headers=study.bob)
    assert refused.status_code == 403
    stranger = body("jupyterlab", assign_to_another_user=True, owner_id=_account(world, "ada"))
    answer = world.client.post(study.labs, json=stranger, headers=study.owner)
    assert (answer.status_code, "owner_id" in answer.text) == (400, True)
    alone = body("jupyterlab", owner_id=ann)
    assert world.client.post(study.labs, json=alone, headers=study.owner).status_code == 400


def test_another_members_user_resource_is_denied_and_a_strangers_not_found(world, admin, study):
    lab = f"{study.labs}/{world.make(study.ann, study.labs, 'jupyterlab')}"
    answer = world.client.get(lab, headers=study.bob)
    assert (answer.status_code, "Workspace Researcher or Owner rights" in answer.text) == (
        403,
        True,
    )
    assert world.client.get(lab, headers=world.as_person("tom")).status_code == 404
    for path in (study.path, study.service):
        for end in ("operations", "history"):
            assert world.client.get(f"{path}/{end}", headers=study.bob).status_code == 403


def test_more_than_the_host_has_is_refused_at_once(world, study):
    world.runtime.host = Capacity(memory_bytes=8 * 2**30, cpus=4)
    for given, most in (({"memory_gib": 16}, "8 or less"), ({"cpus": 6}, "4 or less")):
        answer = world.client.post(study.labs, json=body("jupyterlab", **given), headers=study.ann)
        assert (answer.status_code, most in answer.text) == (400, True)
    lab = f"{study.labs}/{world.make(study.ann, study.labs, 'jupyterlab', memory_gib=8)}"
    before = everything(world)
    patch, headers = {"properties": {"memory_gib": 9}}, {**study.ann, "etag": "*"}
    answer = world.client.patch(lab, json=patch, headers=headers)
    assert (answer.status_code, "memory_gib must be 8 or less" in answer.text) == (400, True)
    assert everything(world) == before
    world.runtime.host = Capacity(memory_bytes=4 * 2**30, cpus=4)  # a smaller host: what is, stays
    patch = {"properties": {"description": "New"}}
    assert world.client.patch(lab, json=patch, headers=headers).status_code == 202


# Shared services -------------------------------------------------------------------------------


def test_a_shared_service_is_one_of_its_template_and_shows_people_little(world, admin):
    made = world.make(admin, "/api/shared-services", "firewall", rules="secret to the TRE")
    second = world.client.post("/api/shared-services", json=body("firewall"), headers=admin)
    assert second.status_code == 409
    path, tom = f"/api/shared-services/{made}", world.as_person("tom")
    assert shown(world, admin, path)["properties"]["rules"] == "secret to the TRE"
    assert set(shown(world, tom, path)["properties"]) == {"display_name", "description", "overview"}
    headers = {**tom, "etag": "*"}
    assert world.client.patch(path, json={"isEnabled": False}, headers=headers).status_code == 403
    refused = world.client.delete(path, headers=admin)
    assert refused.status_code == 400
    assert "Shared service needs to be disabled before you can delete it" in refused.text


# Etags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["etag", "If-Match"])
@pytest.mark.parametrize(
    ("form", "status"),
    [("{}", 202), ('"{}"', 202), ('W/"{}"', 202), ("*", 202), ("", 409), ("stale", 409)],
)
def test_the_etag_is_taken_in_every_form(world, admin, header, form, status):
    path = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'base')}"
    sent = {**admin, header: form.format(shown(world, admin, path)["_etag"])}
    patch = {"properties": {"description": "New"}}
    assert world.client.patch(path, json=patch, headers=sent).status_code == status


# Rehearsals ------------------------------------------------------------------------------------


def test_a_rehearsal_tells_the_plan_and_changes_nothing(world, admin, study):
    lab = f"{study.labs}/{world.make(study.ann, study.labs, 'jupyterlab')}"
    tried = [
        ("POST", "/api/workspaces", admin, body("base"), "install"),
        ("POST", f"{study.path}/workspace-services", study.owner, body("notebooks"), "install"),
        ("POST", study.labs, study.ann, body("jupyterlab"), "install"),
        ("POST", "/api/shared-services", admin, body("firewall"), "install"),
        ("PATCH", lab, study.ann, {"properties": {"memory_gib": 8}}, "upgrade"),
        ("PATCH", study.path, admin, {"isEnabled": False}, "upgrade"),
        ("POST", f"{lab}/invoke-action?action=stop", study.ann, None, "stop"),
    ]
    before, ran = everything(world), world.runtime.running()
    plans = {}
    for method, path, who, sent, action in tried:
        join = "&" if "?" in path else "?"
        answer = world.client.request(
            method, f"{path}{join}dry_run=true", json=sent, headers={**who, "etag": "*"}
        )
        assert answer.status_code == 200, answer.text
        plan = plans[method, path] = answer.json()["plan"]
        assert plan["action"] == action
    assert everything(world) == before
    assert world.runtime.running() == ran
    made = plans["POST", "/api/workspaces"]
    assert made["steps"][0]["resourceId"] is None
    assert {"property": "address_space", "from": None, "to": "10.1.0.0/24"} in made["changes"]
    change = plans["PATCH", lab]
    assert (change["steps"], change["changes"]) == (
        [],
        [{"property": "memory_gib", "from": 4, "to": 8}],
    )
    assert any("next start" in each for each in change["warnings"])
    disable = plans["PATCH", study.path]
    assert disable["changes"] == [{"property": "isEnabled", "from": True, "to": False}]
    assert any("What runs is stopped" in each for each in disable["warnings"])
    assert [each["resourceId"] for each in disable["steps"]] == [lab.rsplit("/", 1)[1]]


def test_a_rehearsal_refuses_what_the_change_would_be_refused(world, admin, study):
    headers = {**admin, "etag": "*"}
    for method, path, sent, status in (
        ("DELETE", study.path, None, 400),
        ("PATCH", study.path, {"properties": {"disk_gib": 3}}, 400),
        ("POST", "/api/workspaces", body("imaginary"), 400),
        ("POST", f"{study.path}/invoke-action?action=fly", None, 400),
    ):
        join = "&" if "?" in path else "?"
        answer = world.client.request(
            method, f"{path}{join}dry_run=true", json=sent, headers=headers
        )
        assert answer.status_code == status, (method, path, answer.text)
    disabled = {**admin, "etag": "*"}
    world.client.patch(study.path, json={"isEnabled": False}, headers=disabled)
    world.work()
    plan = world.client.delete(f"{study.path}?dry_run=true", headers=admin).json()["plan"]
    assert [each["stepTitle"] for each in plan["steps"]][-1].startswith("Remove its sandboxes")
    assert any("removed for good" in each for each in plan["warnings"])
    assert world.client.get(study.path, headers=admin).status_code == 200


def test_people_are_shown_what_would_happen(world, admin):
    client = world.client
    form = {"display_name": "Seen", "disk_gib": "10", "workspace_owner_object_id": ""}
    before = everything(world)
    page = client.post("/new-workspace/restricted", data={**form, "preview": "yes"}, headers=admin)
    assert (page.status_code, "What would happen" in page.text) == (200, True)
    assert "Make its network, disk and limits" in page.text
    assert 'value="Seen"' in page.text, "nobody types a form twice"
    assert everything(world) == before
    made = world.make(admin, "/api/workspaces", "restricted")
    form = {"display_name": "New name", "description": "d", "etag": "*", "preview": "yes"}
    page = client.post(f"/resources/{made}/settings", data=form, headers=admin)
    assert "Made restricted → New name" in page.text
    assert "only the record changes" in page.text
    etag = {**admin, "etag": "*"}
    client.patch(f"/api/workspaces/{made}", json={"isEnabled": False}, headers=etag)
    world.work()
    page = client.get(f"/resources/{made}/delete", headers=admin)
    assert "Every file, home and tool in the workspace is removed for good." in page.text


def test_a_secret_is_kept_by_an_empty_field_and_never_shown(world, admin):
    secret = {"type": "string", "sensitive": True, "updateable": True, "minLength": 8}
    smtp = {
        "type": "object",
        "updateable": True,
        "properties": {"host": STRING, "password": secret},
    }
    add_template(
        world.carrel.workspaces,
        make_template(K.SHARED_SERVICE, "mail", {"key": secret, "smtp": smtp}),
    )
    given = {"key": "correct horse", "smtp": {"host": "a", "password": "battery staple"}}
    made = world.make(admin, "/api/shared-services", "mail", **given)
    page = world.client.get(f"/resources/{made}/settings", headers=admin)
    assert "Leave it empty to keep the one that is set." in page.text
    form = {"display_name": "Mail", "etag": "*", "key": "", "smtp.host": "b", "smtp.password": ""}
    sent = world.client.post(f"/resources/{made}/settings", data=form, headers=admin)
    assert sent.status_code == 303
    room = world.carrel.workspaces
    with world.carrel.database.read() as connection:
        actor = actor_of(connection, _account(world, "ada"))
        full = room.reveal(connection, room.get_resource(actor, made))
    assert full["key"] == "correct horse"
    assert full["smtp"] == {"host": "b", "password": "battery staple"}


def test_a_pipeline_may_change_a_workspace_with_a_range_of_its_own_choice(world, admin):
    """The schema asks for the `address_space` that Carrel gave: a pipeline's patch must fit too."""
    told = {
        "install": [
            {"stepId": "main"},
            {
                "stepId": "tell",
                "stepTitle": "Tell the workspace",
                "resourceType": "workspace",
                "resourceAction": "upgrade",
                "properties": [{"name": "description", "type": "string", "value": "told"}],
            },
        ]
    }
    template = make_template(K.SERVICE, "teller", {}, schema={"pipeline": told})
    add_template(world.carrel.workspaces, template)
    custom = {"address_space_size": "custom", "address_space": "10.200.0.0/20"}
    workspace = f"/api/workspaces/{world.make(admin, '/api/workspaces', 'base', **custom)}"
    world.make(admin, f"{workspace}/workspace-services", "teller")
    properties = shown(world, admin, workspace)["properties"]
    assert (properties["description"], properties["address_space"]) == ("told", "10.200.0.0/20")
    assert properties["scope_id"] == f"api://{workspace.rsplit('/', 1)[1]}"
