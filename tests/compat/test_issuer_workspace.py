"""Can foreign clients run a workspace's whole life with the tokens they got?

Acceptance 2 of the control plane: msal and azure-identity, core and workspace tokens.
"""

from collections.abc import Callable

import httpx
import pytest
from azure.identity import ClientSecretCredential

from carrel.cli.demo.tre import Person, ThrowAwayTre
from carrel.core.actors import TreRole
from tests.browser.story import eventually
from tests.compat.issuer import BrowserPerson, Door, Portal

ENDED_WELL = {"deployed", "updated", "deleted"}
Token = Callable[[str], str]
"""Returns an access token for a resource: `api://<id>`."""


class Program:
    """Uses the API as AzureTRE's clients do: a core token, then one per workspace."""

    def __init__(self, portal: Door, token: Token) -> None:
        self._portal, self._token = portal, token
        self._scopes: dict[str, str] = {}

    def send(self, method: str, path: str, *, scope: str = "", **rest) -> httpx.Response:
        """Send a request with the token of `scope`, or the core one."""
        token = self._token(scope or f"api://{self._portal.client_id}")
        answer = self._portal.call(token, method, path, **rest)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer

    def run(self, method: str, path: str, *, scope: str = "", **rest) -> str:
        """Send a change, wait until its operation ended well, return the resource's id."""
        answer = self.send(method, path, scope=scope, **rest)
        operation = answer.json()["operation"]

        def ended() -> bool:
            token = self._token(scope or f"api://{self._portal.client_id}")
            shown = self._portal.call(token, "GET", answer.headers["location"])
            if shown.status_code == 404 and operation["action"] == "uninstall":
                return True  # as in AzureTRE, what is deleted is not found
            assert shown.status_code == 200, shown.text
            status = shown.json()["operation"]["status"]
            assert "failed" not in status, shown.text
            return status in ENDED_WELL

        eventually(ended, f"{method} {path}", 40)
        return operation["resourceId"]


def body(template: str, name: str) -> dict:
    """Return what creates a resource."""
    return {
        "templateName": template,
        "properties": {"display_name": name, "description": "Made by a foreign client"},
    }


def live(program: Program, portal: Door, name: str) -> None:
    """Create, patch, disable and delete a workspace with a service and a user resource."""
    anything = {"etag": "*"}
    workspace = program.run("POST", "/api/workspaces", json=body("restricted", name))
    path = f"/api/workspaces/{workspace}"
    shown = program.send("GET", path).json()["workspace"]
    scope = shown["properties"]["scope_id"]
    assert scope == f"api://{workspace}"
    assert shown["properties"]["client_id"] == workspace
    assert program.send("GET", f"{path}/scopeid").json()["workspaceAuth"]["scopeId"] == scope
    services = f"{path}/workspace-services"
    service = program.run("POST", services, scope=scope, json=body("notebooks", "Notebooks"))
    labs = f"{services}/{service}/user-resources"
    lab = program.run("POST", labs, scope=scope, json=body("jupyterlab", "Lab"))
    change = {"properties": {"description": "Changed by a foreign client"}}
    program.run("PATCH", path, json=change, headers={"etag": shown["_etag"]})
    changed = program.send("GET", path).json()["workspace"]
    assert changed["properties"]["description"] == change["properties"]["description"]
    off = {"isEnabled": False}
    for one in (f"{labs}/{lab}", f"{services}/{service}"):
        program.run("PATCH", one, scope=scope, json=off, headers=anything)
        program.run("DELETE", one, scope=scope)
    core = program._token(f"api://{portal.client_id}")
    assert portal.call(core, "GET", services).status_code == 401  # no way in for a core token
    program.run("PATCH", path, json=off, headers=anything)
    program.run("DELETE", path)
    assert portal.call(core, "GET", path).status_code == 404


def test_a_person_with_msal_runs_a_workspace(portal: Portal):
    person = BrowserPerson(portal, "ada")
    app = portal.public()
    flow = app.initiate_device_flow([portal.core_scope])
    person.allow_device(flow["user_code"])
    assert "access_token" in app.acquire_token_by_device_flow(flow)
    person.close()
    [account] = app.get_accounts()

    def token(resource: str) -> str:
        answer = app.acquire_token_silent_with_error(
            [f"{resource}/user_impersonation"], account=account
        )
        assert "access_token" in answer, answer
        return answer["access_token"]

    live(Program(portal, token), portal, "By a person")


@pytest.mark.parametrize("library", ["msal", "azure-identity"])
def test_an_application_runs_a_workspace(portal: Portal, library: str):
    roles = (TreRole.ADMIN, TreRole.USER)
    client_id, secret, _ = portal.application(f"Pipeline of {library}", roles)
    if library == "msal":
        app = portal.confidential(client_id, secret)

        def token(resource: str) -> str:
            answer = app.acquire_token_for_client([f"{resource}/.default"])
            assert "access_token" in answer, answer
            return answer["access_token"]

        live(Program(portal, token), portal, "By msal")
        return
    with ClientSecretCredential(
        portal.tenant,
        client_id,
        secret,
        authority=portal.url,
        disable_instance_discovery=True,
        connection_verify=portal.ca,
    ) as credential:
        program = Program(
            portal, lambda resource: credential.get_token(f"{resource}/.default").token
        )
        live(program, portal, "By azure-identity")


@pytest.mark.machine
def test_a_program_runs_a_workspace_with_a_real_lab(tre: ThrowAwayTre, admin: Person):
    wish = {"name": "Nightly pipeline", "tre_roles": ["TREAdmin", "TREUser"]}
    made = admin.post("/api/applications", wish)
    door = Door(tre.settings.portal_url, tre.home / "tls" / "ca.pem")
    try:
        app = door.confidential(made["application"]["client_id"], made["secret"])

        def token(resource: str) -> str:
            answer = app.acquire_token_for_client([f"{resource}/.default"])
            assert "access_token" in answer, answer
            return answer["access_token"]

        live(Program(door, token), door, "On the real thing")
    finally:
        door.close()
