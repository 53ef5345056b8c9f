"""Is the OpenAPI document a contract: valid, complete, and true of what routes really answer?"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from carrel.api.document import ANSWERS, EXAMPLES, MEDIA, WORKSPACE_PREFIX
from carrel.app import openapi_document
from carrel.core.actors import TreRole, WorkspaceRole
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id
from carrel.core.settings import load
from tests.api import World, make_world

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return openapi_document(load(tmp_path_factory.mktemp("home")))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield method, path, operation


def test_it_is_valid_openapi(document):
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert "Azure TRE" in document["info"]["title"]


def test_the_document_of_a_workspace_is_valid_too(document, tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    metadata.create_all(database.engine)
    world = make_world(database, tmp_path)
    made, none = (
        world.client.get(f"/api/workspaces/{each}/openapi.json").json()
        for each in ("0a0b0c0d-0000-4000-8000-000000000000", "1a0b0c0d-0000-4000-8000-000000000000")
    )
    world.close()
    assert [error.message for error in OpenAPIV31SpecValidator(made).iter_errors()] == []
    prefix = "/api/workspaces/0a0b0c0d-0000-4000-8000-000000000000"
    assert all(path.startswith(prefix) for path in made["paths"])
    inside = {path for path in document["paths"] if path.startswith(WORKSPACE_PREFIX)}
    assert len(made["paths"]) == len(inside)
    assert str(made).replace("0a0b0c0d-", "1a0b0c0d-") == str(none)


def test_every_operation_has_one_name_a_summary_a_tag_and_says_who_may(document):
    names = Counter(each["operationId"] for _, _, each in operations(document))
    assert {name for name, times in names.items() if times > 1} == set()
    for method, path, operation in operations(document):
        assert re.fullmatch(r"[a-z][a-z_]+", operation["operationId"]), path
        assert operation["summary"], (method, path)
        assert len(operation["tags"]) == 1, (method, path)
        assert isinstance(operation["security"], list), (method, path)


def test_every_body_has_an_example_and_every_parameter_has_bounds(document):
    schemas = document["components"]["schemas"]
    for _, path, operation in operations(document):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, f"add {operation['operationId']} to EXAMPLES"
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            checker = checked_by(schemas, content["schema"]) if name else None
            problems = (
                [error.message for error in checker.iter_errors(content["example"])]
                if checker
                else []
            )
            assert problems == [], operation["operationId"]
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "header":
                continue
            for schema in parameter["schema"].get("anyOf", [parameter["schema"]]):
                bounded = {"enum", "const", "format", "maxLength", "$ref", "items"}
                bounded |= {"maximum", "exclusiveMaximum"}
                free = schema.get("type") in {"boolean", "null"}
                assert free or bounded & set(schema), (path, parameter)


def checked_by(schemas: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator of a schema whose references point into the components."""
    whole = Resource.from_contents({"components": {"schemas": schemas}}, DRAFT202012)
    return Draft202012Validator(
        {"$ref": f"urn:api{schema['$ref']}"} if "$ref" in schema else rebased(schema),
        registry=Registry().with_resource("urn:api", whole),
    )


def rebased(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: f"urn:api{each}" if key == "$ref" else rebased(each) for key, each in value.items()
        }
    return [rebased(each) for each in value] if isinstance(value, list) else value


def test_every_answer_has_a_shape_and_no_shape_is_stale(document):
    names = set()
    for _, _, operation in operations(document):
        name = operation["operationId"]
        names.add(name)
        good = min(operation["responses"])
        assert good == "204" or name in ANSWERS or name in MEDIA, f"describe {name} in documents.py"
    pages = {"show_docs", "show_workspace_docs", "finish_sign_in"}
    assert (set(ANSWERS) | set(MEDIA) | set(EXAMPLES)) - names == pages


class Recorded:
    """A client whose every answer must be what the document says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.document = world.client.get("/api/openapi.json").json()
        self.seen: set[str] = set()
        self._paths = [
            (re.compile(re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(path))), path)
            for path in self.document["paths"]
        ]

    def call(self, who: dict[str, str], method: str, path: str, **given: Any) -> Any:
        headers = {**who, **given.pop("headers", {})}
        answer = self.world.client.request(method, f"/api{path}", headers=headers, **given)
        self.check(method, f"/api{path}".partition("?")[0], answer)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.json() if is_json else None

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        found = [line for pattern, line in self._paths if pattern.fullmatch(path)]
        items = [self.document["paths"][line].get(method.lower()) for line in sorted(found)]
        (operation, *_) = [each for each in items if each] or pytest.fail(f"{method} {path}")
        self.seen.add(operation["operationId"])
        assert str(answer.status_code) in operation["responses"], (
            operation["operationId"],
            answer.text,
        )
        said = operation["responses"][str(answer.status_code)]
        if "$ref" in said:
            said = self.document["components"]["responses"][said["$ref"].rpartition("/")[2]]
        if not answer.content:
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in said["content"], (operation["operationId"], kind)
        if kind.endswith("json"):
            schemas = self.document["components"]["schemas"]
            checker = checked_by(schemas, said["content"][kind]["schema"])
            problems = [
                f"{each.json_path}: {each.message}" for each in checker.iter_errors(answer.json())
            ]
            assert problems == [], operation["operationId"]


@pytest.fixture
def recorded(database: Database, tmp_path: Path) -> Iterator[Recorded]:
    world = make_world(database, tmp_path)
    yield Recorded(world)
    world.close()


def test_answers_are_what_the_document_says(recorded: Recorded):
    world, call = recorded.world, recorded.call
    admin = world.as_person("ada", TreRole.ADMIN)
    workspace = f"/workspaces/{world.make(admin, '/api/workspaces', 'restricted')}"
    workspace_id = workspace.rpartition("/")[2]
    owner = world.join("olga", workspace_id, WorkspaceRole.OWNER)
    tom = world.join("tom", workspace_id, WorkspaceRole.RESEARCHER)
    manager = world.join("mia", workspace_id, WorkspaceRole.AIRLOCK_MANAGER)
    services = f"{workspace}/workspace-services"
    service = f"{services}/{world.make(owner, f'/api{services}', 'notebooks')}"
    labs = f"{service}/user-resources"
    lab = f"{labs}/{world.make(tom, f'/api{labs}', 'jupyterlab')}"

    for path in ("/.metadata", "/ping", "/health"):
        call({}, "GET", path)
    of_service = "/workspace-service-templates/notebooks/user-resource-templates"
    for path in ("/health", "/audit", "/audit/verification", "/accounts", "/shared-services",
                 "/evidence/proofs", "/operations", "/workspaces", "/requests", "/me",
                 "/workspace-templates", "/workspace-service-templates", of_service,
                 "/shared-service-templates", "/workspace-templates/restricted",
                 "/workspace-service-templates/notebooks", f"{of_service}/jupyterlab"):  # fmt: skip
        call(admin, "GET", path)
    for path in ("", "/workspace-services", "/users", "/roles", "/assignable-users", "/audit",
                 "/packages", "/egress", "/requests", "/outbox", "/operations", "/history",
                 "/usage", "/workspace-service-templates", of_service):  # fmt: skip
        call(owner, "GET", f"{workspace}{path}")
    for path in (service, labs, f"{service}/operations", f"{service}/history", f"{service}/usage"):
        call(owner, "GET", path)
    for path in ("", "/operations", "/history", "/usage", "/output"):
        call(tom, "GET", f"{lab}{path}")

    change = {"properties": {"description": "Changed"}}
    call(admin, "PATCH", workspace, json=change, headers={"etag": "*"})
    world.work()
    call(admin, "PATCH", workspace, json=change, headers={"etag": "stale"})
    call(admin, "PATCH", workspace, json={"colour": 1}, headers={"etag": "*"})
    call(owner, "GET", f"{workspace}/history")
    operation = call(tom, "POST", f"{lab}/invoke-action?action=restart")["operation"]
    call(tom, "GET", f"{lab}/operations/{operation['id']}")
    call(tom, "GET", f"/operations/{operation['id']}")
    call(tom, "POST", f"/operations/{operation['id']}/cancel")
    world.work()
    call(tom, "POST", f"/operations/{operation['id']}/retry")
    call(tom, "PATCH", lab, json={"isEnabled": False}, headers={"etag": "*"})
    world.work()
    call(tom, "DELETE", lab)
    call(tom, "POST", f"/launch/{lab.rpartition('/')[2]}")

    new = {"type": "import", "title": "Codes", "businessJustification": "Needed."}
    request = call(tom, "POST", f"{workspace}/requests", json=new)["airlockRequest"]
    base = f"{workspace}/requests/{request['id']}"
    call(tom, "PUT", f"{base}/files/codes.csv", content=b"a,b\n1,2\n")
    call(tom, "PATCH", f"{base}/files/codes.csv", json={"columns": {}, "text": "Codes."})
    call(tom, "PATCH", base, json={"title": "Codes", "businessJustification": "Needed."})
    call(tom, "POST", f"{base}/submit")
    world.work()
    call(tom, "GET", base)
    for path in ("", "/findings", "/manifest", "/files/codes.csv/content"):
        call(manager, "GET", f"{base}{path}")
    call(manager, "GET", f"{workspace}/requests")
    call(tom, "POST", f"{base}/cancel")

    call(admin, "POST", "/accounts", json={"username": "eve", "display_name": "Eve",
                                           "password": "a lamp on a green desk"})  # fmt: skip
    call({}, "POST", "/sign-in", json={"username": "eve", "password": "a lamp on a green desk"})
    call({}, "POST", "/sign-in", json={"username": "eve", "password": "wrong"})
    assert len(recorded.seen) > 60


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_refusals_are_what_the_document_says(recorded: Recorded, who: str):
    """Every operation, with ids that name nothing, for nobody and for somebody without roles."""
    headers = {} if who == "nobody" else recorded.world.as_person("tom")
    for method, path, operation in operations(recorded.document):
        if operation["operationId"] in {"follow_my_operations", "sign_out"}:
            continue  # the one has no end for who is signed in, the other ends the session
        filled = re.sub(r"\{[^}]*_id\}", lambda _: new_id(), path)
        filled = re.sub(r"\{[^}]+\}", "nothing", filled)
        body = (
            {"json": EXAMPLES.get(operation["operationId"])} if "requestBody" in operation else {}
        )
        answer = recorded.world.client.request(method, filled, headers=headers, **body)
        assert answer.status_code < 500, (operation["operationId"], answer.text)
        recorded.check(method, filled, answer)
        if who == "nobody" and operation["security"]:
            assert answer.status_code in {401, 422}, (operation["operationId"], answer.text)
