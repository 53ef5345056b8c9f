"""Does Carrel step around every trap of the reference's checklist (section 6.7), one test each?"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from carrel.core.errors import Unavailable
from carrel.people.tokens.identity import TreIdentity
from tests.compat.azuretre import SCHEMA, Contract
from tests.conftest import one_database

CHECKLIST = """
doubled slashes · plain-text errors · `etag` header incl. `*` and empty · 201 for airlock create,
202 async, 200 delete · `_etag` key · relative Location · 404 after delete · `scope_id` with
`api://` · `client_id` property = token audience · roles array in both tokens · health list literal
· snake_case costs · `/requests` returns a bare list · `current`/`approval` as strings ·
`availableUpgrades` present · operations only running ones on `/operations` · title `Azure TRE` ·
template 409 on same version · first template version forced current
"""
"""Section 6.7, as it stands there."""


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def contract(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Contract]:
    folder: Path = tmp_path_factory.mktemp("traps")
    with one_database(request.param, folder) as database:
        made = Contract(database, folder)
        yield made
        made.close()


def fresh(contract: Contract, name: str) -> str:
    """Make a workspace of its own for a test that changes it; returns its path."""
    given = {"display_name": name, "workspace_owner_object_id": ""}
    return f"/workspaces/{contract.make('A', '/workspaces', 'restricted', **given)}"


def seen(contract: Contract, path: str) -> dict:
    (found,) = contract.call("A", "GET", path).json().values()
    return found


def claims(token: str) -> dict:
    middle = token.split(".")[1]
    return orjson.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))


def trap_doubled_slashes(contract: Contract) -> None:
    for path in ("//api/.metadata", "//api//workspace-templates", "/api//workspaces"):
        headers = {"Authorization": f"Bearer {contract.token('A')}"}
        assert contract.client.get(f"https://localhost:8443{path}", headers=headers).is_success


def trap_plain_text_errors(contract: Contract) -> None:
    plain = {"accept": "text/plain"}
    answer = contract.call("A", "DELETE", contract.workspace, headers=plain)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("The workspace needs to be disabled before you can delete it")


def trap_etag_header(contract: Contract) -> None:
    path, body = fresh(contract, "Etags"), {"properties": {"description": "new"}}
    assert contract.call("A", "PATCH", path, json=body).status_code == 422
    for stale in ("", "stale"):
        answer = contract.call("A", "PATCH", path, json=body, headers={"etag": stale})
        assert answer.status_code == 409, answer.text
    sent = {"etag": seen(contract, path)["_etag"]}
    assert contract.call("A", "PATCH", path, json=body, headers=sent).status_code == 202
    assert contract.call("A", "PATCH", path, json=body, headers=sent).status_code == 409
    assert contract.call("A", "PATCH", path, json=body, headers={"etag": "*"}).status_code == 202
    assert contract.call("A", "GET", path, headers={"etag": ""}).status_code == 200
    contract.world.work()


def trap_codes_and_404_after_delete(contract: Contract) -> None:
    body = {"templateName": "restricted", "properties": {"display_name": "Short"}}
    made = contract.call("A", "POST", "/workspaces", json=body)
    assert made.status_code == 202
    path = made.json()["operation"]["resourcePath"]
    contract.world.work()
    off = {"isEnabled": False}
    patched = contract.call("A", "PATCH", path, json=off, headers={"etag": "*"})
    assert patched.status_code == 202
    contract.world.work()
    ended = contract.call("A", "DELETE", path)
    assert ended.status_code == 200
    contract.world.work()
    assert contract.call("A", "GET", path).status_code == 404
    followed = contract.client.get(
        ended.headers["location"], headers={"Authorization": f"Bearer {contract.token('A')}"}
    )
    assert followed.status_code == 404
    draft = contract.call("R", "POST", f"{contract.workspace}/requests", json={"type": "import"})
    assert draft.status_code == 201


def trap_etag_key(contract: Contract) -> None:
    assert re.fullmatch(r"[^\"]+", seen(contract, contract.workspace)["_etag"])


def trap_relative_location(contract: Contract) -> None:
    path = fresh(contract, "Location")
    sent = {"json": {"properties": {"description": "x"}}, "headers": {"etag": "*"}}
    answer = contract.call("A", "PATCH", path, **sent)
    operation = answer.json()["operation"]
    assert answer.headers["location"] == f"/api{path}/operations/{operation['id']}"
    contract.world.work()


def trap_scope_id(contract: Contract) -> None:
    properties = seen(contract, contract.workspace)["properties"]
    assert properties["scope_id"] == f"api://{contract.study}"
    answer = contract.call("U", "GET", f"{contract.workspace}/scopeid")
    assert answer.json() == {"workspaceAuth": {"scopeId": properties["scope_id"]}}


def trap_client_id(contract: Contract) -> None:
    client_id = seen(contract, contract.workspace)["properties"]["client_id"]
    assert claims(contract.token("O"))["aud"] == client_id


def trap_roles(contract: Contract) -> None:
    assert set(claims(contract.token("A"))["roles"]) == {"TREAdmin", "TREUser"}
    assert claims(contract.token("O"))["roles"] == ["WorkspaceOwner"]
    assert claims(contract.token("U"))["roles"] == ["TREUser"]


def trap_health(contract: Contract) -> None:
    for path in ("/health", "/api/health"):
        services = contract.client.get(path).json()["services"]
        names = ["Cosmos DB", "Service Bus", "Resource Processor"]
        assert [each["service"] for each in services] == names
        assert all(set(each) == {"service", "status", "message"} for each in services)
        assert {each["status"] for each in services} <= {"OK", "Not OK"}


def trap_costs(contract: Contract) -> None:
    whole = contract.call("A", "GET", "/costs", params={"granularity": "Daily"}).json()
    assert set(whole) == {"core_services", "shared_services", "workspaces"}
    assert {"id", "name", "costs"} == set(whole["workspaces"][0])
    service = contract.service.rsplit("/", 1)[1]
    assert contract.lab
    one = contract.call("O", "GET", f"{contract.workspace}/costs").json()
    (line,) = [each for each in one["workspace_services"] if each["id"] == service]
    assert [set(each) for each in line["user_resources"]] == [{"id", "name", "costs"}]
    refused = {
        "to_date needs to be later than from_date": ("2024-02-02", "2024-02-01"),
        "The time period for pulling the data cannot exceed 1 year": ("2022-01-01", "2024-01-01"),
    }
    for sentence, (first, last) in refused.items():
        query = {"from_date": first, "to_date": last}
        answer = contract.call("A", "GET", "/costs", params=query)
        assert (answer.status_code, answer.json()["detail"]) == (400, sentence)
    lone = contract.call("A", "GET", "/costs", params={"from_date": "2024-01-01"})
    assert lone.status_code == 400


def trap_requests(contract: Contract) -> None:
    assert isinstance(contract.call("U", "GET", "/requests").json(), list)


def register(contract: Contract, version: str, current: object) -> dict:
    body = {"name": "tests-shared-traps", "version": version, "current": current}
    body |= {"json_schema": SCHEMA, "customActions": [], "resourceType": "shared_service"}
    answer = contract.call("A", "POST", "/shared-service-templates", json=body)
    return {"status": answer.status_code, **(answer.json() if answer.is_success else {})}


def trap_strings(contract: Contract) -> None:
    """`approval` as a string: test_azuretre_airlock; `current` here."""
    first = register(contract, "0.1.0", "false")
    assert (first["status"], first["current"]) == (201, True)  # the first is forced current
    assert register(contract, "0.1.0", "true")["status"] == 409
    assert register(contract, "0.2.0", "false")["current"] is False
    assert register(contract, "0.3.0", "true")["current"] is True
    shown = contract.call("A", "GET", "/shared-service-templates/tests-shared-traps").json()
    assert shown["version"] == "0.3.0"


def trap_upgrades(contract: Contract) -> None:
    assert seen(contract, contract.workspace)["availableUpgrades"] == []
    listed = contract.call("A", "GET", "/workspaces").json()["workspaces"]
    assert all("availableUpgrades" in each for each in listed)


def trap_operations(contract: Contract) -> None:
    assert contract.call("A", "GET", "/operations").json() == {"operations": []}
    body = {"templateName": "restricted", "properties": {"display_name": "Running"}}
    made = contract.call("A", "POST", "/workspaces", json=body).json()["operation"]
    (running,) = contract.call("A", "GET", "/operations").json()["operations"]
    assert running["id"] == made["id"]
    contract.world.work()
    assert contract.call("A", "GET", "/operations").json() == {"operations": []}


def trap_title(contract: Contract) -> None:
    for path in ("/openapi.json", f"{contract.workspace}/openapi.json"):
        assert "Azure TRE" in contract.call("-", "GET", path).json()["info"]["title"]


TRAPS = {
    "doubled slashes": trap_doubled_slashes,
    "plain-text errors": trap_plain_text_errors,
    "`etag` header incl. `*` and empty": trap_etag_header,
    "201 for airlock create, 202 async, 200 delete": trap_codes_and_404_after_delete,
    "`_etag` key": trap_etag_key,
    "relative Location": trap_relative_location,
    "404 after delete": trap_codes_and_404_after_delete,
    "`scope_id` with `api://`": trap_scope_id,
    "`client_id` property = token audience": trap_client_id,
    "roles array in both tokens": trap_roles,
    "health list literal": trap_health,
    "snake_case costs": trap_costs,
    "`/requests` returns a bare list": trap_requests,
    "`current`/`approval` as strings": trap_strings,
    "`availableUpgrades` present": trap_upgrades,
    "operations only running ones on `/operations`": trap_operations,
    "title `Azure TRE`": trap_title,
    "template 409 on same version": trap_strings,
    "first template version forced current": trap_strings,
}


@pytest.mark.parametrize("name", sorted({check: name for name, check in TRAPS.items()}.values()))
def test_a_trap_is_stepped_around(contract, name):
    TRAPS[name](contract)


def test_every_trap_of_the_checklist_is_tested():
    told = {" ".join(trap.split()) for trap in CHECKLIST.split("·")}
    assert told == set(TRAPS)


def test_metadata_names_what_a_client_needs(contract):
    identity = contract.world.carrel.services.get(TreIdentity)
    for path in ("/.metadata", "/api/.metadata"):
        told = contract.client.get(path).json()
        assert told["api_client_id"] == identity.api_client_id
        assert told["api_root_scope"] == f"api://{identity.api_client_id}/user_impersonation"
        assert told["aad_tenant_id"] == identity.tenant_id
        assert told["api_version"]


def test_ping_answers_pong_everywhere(contract):
    for path in ("/", "/ping", "/api/", "/api/ping"):
        answer = contract.client.get(path)
        assert (answer.status_code, answer.json()) == (200, "pong"), path


def test_costs_say_when_to_ask_again_if_the_database_is_away(contract):
    class Away:
        def of_tre(self, *_):
            raise Unavailable("The database does not answer.")

        now = contract.world.clock.now

    from carrel.costs.routes import show_costs  # noqa: PLC0415 - the route itself

    answer = show_costs(None, Away(), None)
    told = orjson.loads(answer.body)["error"]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert told == {
        "code": "503",
        "message": "The database does not answer.",
        "retry-after": "30",
    }
