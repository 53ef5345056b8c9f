"""Do the routes of templates speak AzureTRE's dialect, and answer clearly to what is wrong?"""

import uuid

import pytest

from carrel.workspaces.bundles import inspect
from carrel.workspaces.catalogue import Catalogue
from carrel.workspaces.drivers import load_drivers
from carrel.workspaces.rules import ResourceKind
from tests.factories import make_actor
from tests.integration.test_azuretre_bundles import BUNDLES, FOLDERS
from tests.integration.test_workspaces_http import Site, Study
from tests.workspaces import House

K = ResourceKind
ROUTES = {
    "workspace": ("/api/workspace-templates", K.WORKSPACE),
    "shared": ("/api/shared-service-templates", K.SHARED_SERVICE),
    "service": ("/api/workspace-service-templates", K.SERVICE),
    "desk": (
        "/api/workspace-service-templates/site-service-lab/user-resource-templates",
        K.USER_RESOURCE,
    ),
}


@pytest.fixture
def site(database, clock, tmp_path):
    house = House(database, clock, tmp_path)
    house.workspaces.catalogue = Catalogue(load_drivers(BUNDLES / "map.toml"))
    yield Site(house)
    house.close()


def payload(which, **changes):
    registration = inspect(FOLDERS[which]).registration
    return {**registration.payload(ROUTES[which][1], is_current=True), **changes}


def test_what_azuretres_tools_post_is_registered_and_read_back(site):
    for which in FOLDERS:
        path, kind = ROUTES[which]
        sent = payload(which, current="true", mixins=["exec"], custom={"unknown": 1})
        answer = site.admin.post(path, json=sent)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert made["name"] == sent["name"]
        assert made["resourceType"] == kind
        assert made["current"] is True
        uuid.UUID(made["id"])
        assert made["required"][:2] == ["display_name", "description"]
        assert list(made["properties"])[:3] == ["display_name", "description", "overview"]
        assert set(made["system_properties"]) >= {"tre_id", "azure_location"}
        assert "null" not in answer.text
        assert site.admin.get(f"{path}/{sent['name']}").json() == made
        assert sent["name"] in {each["name"] for each in site.admin.get(path).json()["templates"]}


def test_the_parts_of_a_schema_come_back_whole(site):
    site.admin.post(ROUTES["shared"][0], json=payload("shared"))
    site.admin.post(ROUTES["service"][0], json=payload("service"))
    made = site.admin.post(ROUTES["workspace"][0], json=payload("workspace")).json()
    service = site.admin.get(f"{ROUTES['service'][0]}/site-service-lab").json()
    assert "pipeline" not in made
    assert list(service["pipeline"]) == ["install", "upgrade", "uninstall"]
    assert service["customActions"] == [{"name": "renew", "description": ""}]
    assert service["authorizedRoles"] == ["WorkspaceOwner"]
    assert made["uiSchema"]["redirects"] == {"classNames": "tre-hidden"}
    deep = made["allOf"][0]["then"]["allOf"][0]["then"]["allOf"][0]["then"]
    assert deep["required"] == ["review_key"]
    assert made["system_properties"].keys() == {"tre_id", "workspace_id", "azure_location"}


def test_an_update_marks_what_is_fixed(site):
    site.admin.post(ROUTES["workspace"][0], json=payload("workspace"))
    path = f"{ROUTES['workspace'][0]}/site-workspace-deep"
    shown = site.admin.get(path, params={"is_update": "true"}).json()
    assert shown["properties"]["address_space_size"]["readOnly"] is True
    assert "readOnly" not in shown["properties"]["mail"]
    assert "readOnly" not in shown["allOf"][0]["then"]["properties"]["review_kind"]
    assert shown["allOf"][1]["then"]["properties"]["address_space"]["readOnly"] is True


def test_the_same_version_again_is_a_conflict_in_azuretres_words(site):
    path = ROUTES["shared"][0]
    assert site.admin.post(path, json=payload("shared")).status_code == 201
    again = site.admin.post(path, json=payload("shared"))
    assert again.status_code == 409
    assert "A template with the same version, or a newer version already exists" in again.text
    newer = payload("shared", version="3.0.0", current=False)
    assert site.admin.post(path, json=newer).json()["current"] is False
    name = "site-shared-service-wall"
    assert site.admin.get(f"{path}/{name}").json()["version"] == "2.0.4"
    assert site.admin.get(f"{path}/{name}", params={"version": "3.0.0"}).status_code == 200
    flipped = payload("shared", version="4.0.0", current="true")
    assert site.admin.post(path, json=flipped).json()["current"] is True
    assert site.admin.get(f"{path}/{name}").json()["version"] == "4.0.0"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"version": "1"}, "version"),
        ({"customActions": [{"name": "install"}]}, "customActions.0.name"),
        ({"customActions": [{"name": "go"}, {"name": "go"}]}, "customActions.1.name"),
        ({"json_schema": {"description": "x", "properties": {}}}, "json_schema.title"),
        ({"json_schema": {"title": "x", "properties": {}}}, "json_schema.description"),
        ({"json_schema": {"title": "x", "description": "x"}}, "json_schema.properties"),
        (
            {
                "json_schema": {
                    "title": "x",
                    "description": "x",
                    "properties": {"a": {"$ref": "https://example.org/x"}},
                }
            },
            "json_schema.properties.a",
        ),
        (
            {
                "json_schema": {
                    "title": "x",
                    "description": "x",
                    "properties": {},
                    "pipeline": {
                        "install": [
                            {"stepId": "main"},
                            {
                                "stepId": "two",
                                "resourceType": "shared-service",
                                "resourceTemplateName": "y",
                                "resourceAction": "upgrade",
                                "properties": [],
                            },
                        ],
                        "upgrade": [{"stepId": "main"}, {"stepId": "main"}],
                    },
                }
            },
            "json_schema.pipeline.upgrade.1.stepId",
        ),
    ],
)
def test_a_registration_that_cannot_be_taken_is_told_by_its_field(site, change, field):
    answer = site.admin.post(ROUTES["shared"][0], json=payload("shared", **change))
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert site.admin.get(ROUTES["shared"][0]).json()["templates"] == []


def test_a_user_resource_needs_its_service(site):
    answer = site.admin.post(ROUTES["desk"][0], json=payload("desk"))
    assert answer.status_code == 404


def test_an_unknown_name_or_version_is_not_found_in_azuretres_words(site):
    words = "Could not retrieve the template with this name, or name-version pair"
    for path, _ in list(ROUTES.values())[:3]:
        answer = site.admin.get(f"{path}/none")
        assert (answer.status_code, words in answer.text) == (404, True)
    answer = site.admin.get("/api/workspace-templates/restricted", params={"version": "9.9.9"})
    assert (answer.status_code, words in answer.text) == (404, True)


def test_only_administrators_register(site):
    nobody = site.client(make_actor())
    for which, (path, _) in ROUTES.items():
        assert nobody.post(path, json=payload(which)).status_code == 403


def test_versions_are_listed_withdrawn_and_promoted(site):
    path = ROUTES["shared"][0]
    site.admin.post(path, json=payload("shared"))
    site.admin.post(path, json=payload("shared", version="2.1.0"))
    base = "/api/templates/shared-service/site-shared-service-wall/versions"
    gone = site.admin.post(f"{base}/2.1.0/withdraw", json={"reason": "It forgets."})
    assert (gone.status_code, gone.json()["withdrawal"]) == (200, "It forgets.")
    lines = site.admin.get(base).json()["versions"]
    assert [(each["version"], each["current"], each["withdrawal"]) for each in lines] == [
        ("2.0.4", True, ""),
        ("2.1.0", False, "It forgets."),
    ]
    assert site.admin.post(f"{base}/2.1.0/promote").json()["current"] is True
    assert site.admin.post(f"{base}/7.0.0/promote").status_code == 404
    assert site.admin.post(f"{base}/2.0.4/withdraw", json={}).status_code == 422


def test_an_administrator_sets_what_a_workspace_may_use(site):
    study = Study(site, "One")
    path = f"{study.workspace}/catalogue"
    assert study.researcher.get(path).json() == {"templates": None}
    offer = {"name": "notebooks", "version": "0.1.0", "testing": False}
    assert site.admin.put(path, json={"templates": [offer]}).json() == {"templates": [offer]}
    assert study.researcher.get(path).json() == {"templates": [offer]}
    listed = study.owner.get(f"{study.workspace}/workspace-service-templates").json()
    assert [each["name"] for each in listed["templates"]] == ["notebooks"]
    assert study.owner.put(path, json={"templates": None}).status_code == 403
    unknown = site.admin.put(path, json={"templates": [{"name": "none"}]})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "templates.0")
    assert site.admin.put(path, json={"templates": []}).status_code == 200
    listed = study.owner.get(f"{study.workspace}/workspace-service-templates").json()
    assert listed["templates"] == []
