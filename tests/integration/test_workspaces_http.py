"""Do the routes of workspaces speak AzureTRE's dialect, and bind every id to its parents?"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from fastapi import Request

from carrel.api.assembly import create_app
from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.clock import ManualClock
from carrel.core.database import Database
from carrel.core.ids import new_id
from carrel.core.web import Services
from carrel.people.tokens.identity import tre_identity
from carrel.workspaces import routes
from tests.web import app_client
from tests.workspaces import House


class ByHeader:
    """Believes the header `X-Actor`: who is who is not what these tests are about."""

    def __init__(self) -> None:
        self.actors: dict[str, Actor] = {}

    def authenticate(self, request: Request) -> Actor | None:
        return self.actors.get(request.headers.get("X-Actor", ""))

    def csrf_token(self, request: Request) -> str:
        return ""


class Site:
    """The HTTP application over a house, and a client for each person."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.people = ByHeader()
        services = Services()
        room = house.workspaces
        services.add(room, tre_identity(room.settings, room.keys))
        self.app = create_app(services, house.workspaces.settings, self.people, [], [routes.router])
        self.admin = self.client(house.admin)

    def client(self, actor: Actor) -> httpx.Client:
        self.people.actors[actor.id] = actor
        return app_client(self.app, headers={"X-Actor": actor.id})

    def make(self, client: httpx.Client, path: str, template: str, **properties: object) -> str:
        body = {"templateName": template, "properties": {"display_name": "Made", **properties}}
        answer = client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        self.house.work()
        return answer.json()["operation"]["resourceId"]


@pytest.fixture
def site(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Site]:
    house = House(database, clock, tmp_path)
    yield Site(house)
    house.close()


class Study:
    """A workspace with a service, a researcher and their JupyterLab, as paths."""

    def __init__(self, site: Site, name: str) -> None:
        house = site.house
        workspace_id = site.make(site.admin, "/api/workspaces", "restricted", display_name=name)
        self.workspace = f"/api/workspaces/{workspace_id}"
        resource = house.workspaces.get_resource(house.admin, workspace_id)
        self.researcher = site.client(house.person(resource, WorkspaceRole.RESEARCHER))
        self.owner = site.client(house.person(resource, WorkspaceRole.OWNER))
        services = f"{self.workspace}/workspace-services"
        self.service = f"{services}/{site.make(self.owner, services, 'notebooks')}"
        labs = f"{self.service}/user-resources"
        self.lab = f"{labs}/{site.make(self.researcher, labs, 'jupyterlab')}"


@pytest.fixture
def study(site: Site) -> Study:
    return Study(site, "One")


def test_creation_is_accepted_with_an_operation_to_follow(site):
    body = {"templateName": "restricted", "properties": {"display_name": "One"}}
    answer = site.admin.post("/api/workspaces", json=body)
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    path = operation["resourcePath"]
    assert answer.headers["Location"] == f"/api{path}/operations/{operation['id']}"
    assert (operation["action"], operation["status"]) == ("install", "awaiting_deployment")
    assert {"stepTitle", "status", "message", "resourceId"} <= set(operation["steps"][0])
    site.house.work()
    followed = site.admin.get(answer.headers["Location"]).json()["operation"]
    assert followed["status"] == "deployed"
    shown = site.admin.get(f"/api{path}").json()["workspace"]
    assert shown["deploymentStatus"] == "deployed"
    assert shown["resourceType"] == "workspace"
    assert shown["isEnabled"] is True
    assert shown["properties"]["display_name"] == "One"
    assert {"_etag", "availableUpgrades", "user", "updatedWhen", "resourceVersion"} <= set(shown)


def test_every_kind_has_its_own_name_and_parents(site, study):
    service = study.owner.get(study.service).json()["workspaceService"]
    lab = study.researcher.get(study.lab).json()["userResource"]
    assert study.workspace.endswith(service["workspaceId"])
    assert study.service.endswith(lab["parentWorkspaceServiceId"])
    assert lab["azureStatus"] == {"powerState": "VM running"}
    assert lab["properties"]["is_exposed_externally"] is True
    listed = {
        study.workspace.rsplit("/", 1)[0]: "workspaces",
        study.service.rsplit("/", 1)[0]: "workspaceServices",
        study.lab.rsplit("/", 1)[0]: "userResources",
    }
    for path, name in listed.items():
        assert len(study.researcher.get(path).json()[name]) == 1
    assert site.admin.get("/api/shared-services").json() == {"sharedServices": []}


def test_a_patch_needs_an_etag_and_the_right_one(site, study):
    patch = {"properties": {"description": "New"}}
    assert site.admin.patch(study.workspace, json=patch).status_code == 422
    for etag, status in (("stale", 409), ("", 409), ("*", 202)):
        answer = site.admin.patch(study.workspace, json=patch, headers={"etag": etag})
        assert answer.status_code == status
    etag = site.admin.get(study.workspace).json()["workspace"]["_etag"]
    for quoted in (f'"{etag}"',):
        answer = site.admin.patch(study.workspace, json=patch, headers={"etag": quoted})
        assert answer.status_code == 202
    history = site.admin.get(f"{study.workspace}/history").json()["resource_history"]
    assert [each["resourceVersion"] for each in history] == [0, 1]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"colour": "red"}, 422, "colour"),
        ({"isEnabled": "perhaps"}, 422, "isEnabled"),
        ({"properties": {"disk_gib": 2}}, 400, "disk_gib"),
        ({"properties": {"colour": "red"}}, 400, "colour"),
        ({"properties": {"client_id": "red"}}, 400, "client_id"),
        ({"templateVersion": "one"}, 400, "version"),
        ({"templateVersion": "0.9.9"}, 400, "registered"),
    ],
)
def test_a_wrong_patch_names_the_field_and_changes_nothing(site, study, body, status, word):
    before = site.admin.get(study.workspace).json()
    answer = site.admin.patch(study.workspace, json=body, headers={"etag": "*"})
    assert answer.status_code == status
    assert word in answer.text
    assert site.admin.get(study.workspace).json() == before


def test_disable_then_delete_then_not_found(site, study):
    refused = site.admin.delete(study.workspace)
    assert refused.status_code == 400
    assert "The workspace needs to be disabled before you can delete it" in refused.text
    answer = site.admin.patch(study.workspace, json={"isEnabled": False}, headers={"etag": "*"})
    assert answer.status_code == 202
    site.house.work()
    deleted = site.admin.delete(study.workspace)
    assert deleted.status_code == 200
    assert len(deleted.json()["operation"]["steps"]) == 3
    site.house.work()
    for path in (study.workspace, study.service, study.lab, deleted.headers["Location"]):
        assert site.admin.get(path).status_code == 404
    operation = site.admin.get(f"/api/operations/{deleted.json()['operation']['id']}")
    assert operation.json()["operation"]["status"] == "deleted", "Carrel's own route still knows"


def test_actions_cancel_and_retry(site, study):
    stop = study.researcher.post(f"{study.lab}/invoke-action?action=stop")
    assert (stop.status_code, stop.json()["operation"]["action"]) == (202, "stop")
    operation = f"/api/operations/{stop.json()['operation']['id']}"
    running = study.researcher.get("/api/operations").json()["operations"]
    assert [each["id"] for each in running] == [stop.json()["operation"]["id"]]
    assert study.researcher.post(f"{operation}/cancel").status_code == 202
    assert study.researcher.get(operation).json()["operation"]["canRetry"] is True
    assert study.researcher.post(f"{operation}/retry").status_code == 202
    site.house.work()
    ended = study.researcher.get(operation).json()["operation"]
    assert ended["status"] == "action_succeeded"
    assert study.researcher.post(f"{operation}/cancel").status_code == 409
    assert study.researcher.post(f"{study.lab}/invoke-action?action=fly").status_code == 400


def test_events_are_sent_until_the_operation_has_ended(site, study):
    path = f"{study.lab}/operations"
    (operation,) = study.researcher.get(path).json()["operations"]
    answer = study.researcher.get(f"/api/operations/{operation['id']}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    assert lines[0] == "event: operation"
    assert lines[1].startswith("id: ")
    assert json.loads(lines[2].removeprefix("data: "))["status"] == "deployed"


def test_usage_is_told_to_those_who_see_the_resource(site, study):
    site.house.meters.sample_all()
    for client, path in ((study.researcher, study.lab), (study.researcher, study.workspace)):
        usage = client.get(f"{path}/usage").json()["usage"]
        assert usage["cpu_seconds"] >= 0
        assert usage["sampled_at"] is not None


def test_sent_twice_with_one_key_is_made_once(site):
    body = {"templateName": "restricted", "properties": {"display_name": "One"}}
    key = {"Idempotency-Key": new_id()}
    first, second = (site.admin.post("/api/workspaces", json=body, headers=key) for _ in "12")
    assert first.json() == second.json()
    assert site.admin.post("/api/workspaces", json=body).status_code == 409


def test_templates_are_shown_with_their_schema(site, study):
    names = [
        each["name"] for each in site.admin.get("/api/workspace-templates").json()["templates"]
    ]
    assert names == ["restricted", "unrestricted"]
    assert study.owner.get("/api/workspace-templates").status_code == 403
    shown = site.admin.get("/api/workspace-templates/restricted").json()
    assert shown["properties"]["disk_gib"]["default"] == 10
    assert list(shown["properties"])[:2] == ["display_name", "description"]
    assert shown["unevaluatedProperties"] is False
    update = site.admin.get("/api/workspace-templates/restricted?is_update=true").json()
    assert update["properties"]["disk_gib"]["readOnly"] is True
    path = "/api/workspace-service-templates/notebooks/user-resource-templates"
    assert [each["name"] for each in study.researcher.get(path).json()["templates"]] == [
        "jupyterlab"
    ]
    lab = study.researcher.get(f"{path}/jupyterlab").json()
    assert [each["name"] for each in lab["customActions"]] == ["start", "stop", "restart"]
    assert study.researcher.get(f"{path}/imaginary").status_code == 404
    inside = f"{study.workspace}/workspace-service-templates"
    assert len(study.researcher.get(inside).json()["templates"]) == 1
    assert len(study.researcher.get(f"{inside}/notebooks/user-resource-templates").json()) == 1


ELSEWHERE = ("/audit", "/docs", "/openapi.json")
"""Ends of routes that belong to other rooms; the last two are open to everybody."""


def id_routes(site: Site) -> list[tuple[str, str]]:
    """Return every method and path that names a workspace, as the OpenAPI document has them."""
    return [
        (method.upper(), path)
        for path, methods in site.app.openapi()["paths"].items()
        for method in methods
        if "{workspace_id}" in path and not path.endswith(ELSEWHERE)
    ]


def send(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """Send a request that is well-formed whatever the route asks for."""
    body = {"templateName": "notebooks", "properties": {"display_name": "x"}}
    if method == "PATCH":
        body = {"isEnabled": True}
    rest = {"json": body} if method in {"POST", "PATCH"} else {}
    if path.endswith("invoke-action"):
        rest["params"] = {"action": "stop"}
    return client.request(method, path, headers={"etag": "*"}, **rest)


def test_a_strangers_request_is_not_found_on_every_route(site, study):
    other = Study(site, "Two")
    ids = filled(study)
    tried = 0
    for method, path in id_routes(site):
        for client in (other.owner, other.researcher):
            answer = send(client, method, path.format(**ids))
            assert answer.status_code == 404, f"{method} {path}: {answer.status_code}"
            tried += 1
    assert tried > 40


def test_an_id_below_the_wrong_parent_is_not_found_for_anybody(site, study):
    other = Study(site, "Two")
    mine, theirs = filled(study), filled(other)
    for method, path in id_routes(site):
        names = [name for name in mine if f"{{{name}}}" in path and name != "service"]
        for swapped in names:
            if len(names) < 2:
                continue
            ids = {**mine, swapped: theirs[swapped]}
            answer = send(site.admin, method, path.format(**ids))
            assert answer.status_code == 404, f"{method} {path}, foreign {swapped}"


def filled(study: Study) -> dict[str, str]:
    _, _, _, workspace, _, service, _, lab = study.lab.split("/")
    operation = study.researcher.get(f"{study.lab}/operations").json()["operations"][0]
    return {
        "workspace_id": workspace,
        "service_id": service,
        "resource_id": lab,
        "operation_id": operation["id"],
        "service": "notebooks",
    }


@pytest.mark.parametrize(
    "body",
    [
        '{"templateName": "restricted", "properties": {"display_name": "x", "disk_gib": NaN}}',
        '{"templateName": "restricted", "properties": {"display_name": "\\ud800"}}',
        '{"templateName": "restricted", "properties": {"display_name": "x", "disk_gib": 1e999}}',
        '{"templateName": "restricted", "properties": {"display_name": "x\\u0000"}}',
        '{"templateName": "restricted", "properties": {"display_name": "x", "disk_gib": %s}}'
        % ("9" * 40),
        '{"templateName": "restricted", "properties": []}',
        '{"templateName": "restricted"}',
        '{"templateName": 7, "properties": {}}',
        '{"properties": {"display_name": "x"}}',
        '{"templateName": "restricted", "properties": {}, "more": 1}',
        "[]",
        "",
    ],
)
def test_malformed_bodies_get_a_clear_answer_and_make_nothing(site, body):
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = site.admin.post("/api/workspaces", content=body, headers=headers)
    assert answer.status_code in {400, 422}, answer.text
    assert site.admin.get("/api/workspaces").json() == {"workspaces": []}


@pytest.mark.parametrize("name", ["imaginary", "%00", "..%2F", "x" * 300, "a%20b"])
def test_a_strange_template_name_is_not_found(site, name):
    assert site.admin.get(f"/api/workspace-templates/{name}").status_code in {400, 404}
    body = {"templateName": unquote(name), "properties": {"display_name": "x"}}
    assert site.admin.post("/api/workspaces", json=body).status_code in {400, 422}


@pytest.mark.parametrize("path", ["/workspaces/x", "/workspaces/1/workspace-services/2"])
def test_what_is_no_id_is_refused(site, path):
    assert site.admin.get(f"/api{path}").status_code == 422


def test_nobody_without_a_name_gets_anything(site, study):
    stranger = app_client(site.app)
    for method, path in id_routes(site):
        assert send(stranger, method, path.format(**filled(study))).status_code == 401
