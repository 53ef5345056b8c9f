"""What does a client of AzureTRE meet here? A whole TRE, real tokens, and one row per route."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from carrel.app import make_web
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.database import Database
from carrel.people.tokens.identity import TreIdentity
from tests.api import World, make_world
from tests.web import AppTransport

STEWARD = system("tests")
SCHEMA = {
    "title": "Register",
    "description": "A shared service of the tests",
    "type": "object",
    "required": [],
    "properties": {"size": {"type": "string", "title": "Size", "updateable": True}},
}


class Contract:
    """A TRE with a study, and everybody's access tokens from the embedded issuer.

    `A` and `U` hold core tokens (administrator, and the researcher as a user of the TRE); `O`, `R`
    and `M` tokens of the study (owner, researcher, airlock manager); `X` a token of another
    workspace, whose owner it is.
    """

    def __init__(self, database: Database, home: Path) -> None:
        self.world: World = make_world(database, home, requests_per_minute=0)
        # Each request comes from elsewhere, so that wrong tokens on purpose are not throttled.
        elsewhere = (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in count(1))
        app = make_web(self.world.carrel)
        transport = AppTransport(app, elsewhere)
        self.client = httpx.Client(transport=transport, base_url=self.world.client.base_url)
        self._identity = self.world.carrel.services.get(TreIdentity)
        self._tokens: dict[tuple[str, str], str] = {}
        self.core = f"api://{self._identity.api_client_id}/.default"
        self._secrets = {
            "A": self._application("A", TreRole.ADMIN, TreRole.USER),
            **{name: self._application(name, TreRole.USER) for name in "ORMX"},
        }
        self.study = self._create_workspace("Study")
        self.other = self._create_workspace("Other")
        self._secrets["U"] = self._secrets["R"]
        roles = {
            "O": WorkspaceRole.OWNER,
            "R": WorkspaceRole.RESEARCHER,
            "M": WorkspaceRole.AIRLOCK_MANAGER,
        }
        for name, role in roles.items():
            self._assign(self.study, name, role)
        self._assign(self.other, "X", WorkspaceRole.OWNER)

    def close(self) -> None:
        """Close every socket."""
        self.client.close()
        self.world.close()

    def call(self, who: str, method: str, path: str, **rest: Any) -> httpx.Response:
        """Send a request as somebody; `-` is nobody, `path` is below `/api`."""
        headers = dict(rest.pop("headers", {}))
        if who != "-":
            headers["Authorization"] = f"Bearer {self.token(who)}"
        return self.client.request(method, f"/api{path}", headers=headers, **rest)

    def wait(self, seconds: float) -> None:
        """Let time go by; everybody gets new tokens after it."""
        self.world.clock.advance(seconds)
        self._tokens.clear()

    def token(self, who: str) -> str:
        """Return an access token for the audience that this letter stands for."""
        place = "" if who in "AU" else self.other if who == "X" else self.study
        scope = f"api://{place}/.default" if place else self.core
        if (who, scope) not in self._tokens:
            client_id, secret, _ = self._secrets[who]
            given = {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": secret,
                "scope": scope,
            }
            path = f"/{self._identity.tenant_id}/oauth2/v2.0/token"
            answer = self.client.post(path, data=given)
            assert answer.status_code == 200, answer.text
            self._tokens[who, scope] = answer.json()["access_token"]
        return self._tokens[who, scope]

    def account(self, who: str) -> str:
        """Return somebody's account id."""
        return self._secrets[who][2]

    @property
    def workspace(self) -> str:
        """Path of the study."""
        return f"/workspaces/{self.study}"

    @cached_property
    def service(self) -> str:
        """Path of a notebooks service of the study."""
        parent = f"{self.workspace}/workspace-services"
        return f"{parent}/{self.make('O', parent, 'notebooks')}"

    @cached_property
    def lab(self) -> str:
        """Path of the researcher's user resource."""
        parent = f"{self.service}/user-resources"
        return f"{parent}/{self.make('R', parent, 'jupyterlab')}"

    @cached_property
    def shared(self) -> str:
        """Path of a shared service."""
        body = {"name": "tre-shared-service-firewall", "version": "1.0.0", "current": True}
        body |= {"json_schema": SCHEMA, "customActions": []}
        made = self.call("A", "POST", "/shared-service-templates", json=body)
        assert made.status_code == 201, made.text
        return f"/shared-services/{self.make('A', '/shared-services', body['name'])}"

    @cached_property
    def request(self) -> str:
        """Path of an import request of the researcher."""
        answer = self.call("R", "POST", f"{self.workspace}/requests", json={"type": "import"})
        assert answer.status_code == 201, answer.text
        return f"{self.workspace}/requests/{answer.json()['airlockRequest']['id']}"

    def make(self, who: str, path: str, template: str, **properties: Any) -> str:
        """Create a resource, let the worker make it real, return its id."""
        given = {"display_name": "Made", "description": "By a test", **properties}
        body = {"templateName": template, "properties": given}
        answer = self.call(who, "POST", path, json=body)
        assert answer.status_code == 202, answer.text
        self.world.work()
        made: str = answer.json()["operation"]["resourceId"]
        return made

    def _create_workspace(self, name: str) -> str:
        return self.make(
            "A", "/workspaces", "restricted", display_name=name, workspace_owner_object_id=""
        )

    def _application(self, name: str, *roles: TreRole) -> tuple[str, str, str]:
        made, secret = self.world.carrel.people.create_application(
            STEWARD, name=f"Client {name}", tre_roles=frozenset(roles)
        )
        return made.client_id, secret, made.account_id

    def _assign(self, workspace_id: str, who: str, role: WorkspaceRole) -> None:
        people = self.world.carrel.people
        people.assign_role(STEWARD, workspace_id, self.account(who), role)


@dataclass(frozen=True)
class Row:
    """One row of the reference's tables: a route, who may call it, and a harmless call of it."""

    route: str
    """Method and path as in the reference; `{w}`, `{s}`, `{u}`, `{h}`, `{r}` are ids."""
    roles: str
    """Who may: letters of `Contract`, `*` for everybody."""
    status: int
    """What the harmless call answers to them."""
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.route.split(" ")[0]

    def path(self, contract: Contract) -> str:
        """Return the path with the ids of the study and what lies in it."""
        path, given = self.route.split(" ")[1], {}
        if "{w}" in path:
            given["w"] = contract.study
        if "{s}" in path:
            given["s"] = contract.service.rsplit("/", 1)[1]
        if "{u}" in path:
            given["u"] = contract.lab.rsplit("/", 1)[1]
        if "{h}" in path:
            given["h"] = contract.shared.rsplit("/", 1)[1]
        if "{r}" in path:
            given["r"] = contract.request.rsplit("/", 1)[1]
        if "{op}" not in path:
            return path.format(**given)
        listed = path.replace("/{op}", "").format(**given)
        answer = contract.call(self.roles[0], "GET", listed)
        return f"{listed}/{answer.json()['operations'][0]['id']}"


_NEW = {"templateName": "no-such-template", "properties": {"display_name": "x"}}
_TEMPLATE = {
    "name": "tests-row",
    "version": "0.1.0",
    "current": "true",
    "json_schema": SCHEMA,
    "customActions": [{"name": "start", "description": "As Porter explains it"}],
    "resourceType": "ignored, as all that the tooling sends besides",
}
_STALE = {"etag": "stale"}
_SVC = "/workspace-service-templates/notebooks/user-resource-templates"
_WS, _S = "/workspaces/{w}", "/workspaces/{w}/workspace-services/{s}"
_U, _H, _R = f"{_S}/user-resources/{{u}}", "/shared-services/{h}", f"{_WS}/requests/{{r}}"
_ACTION = {"action": "no-such-action"}
_ROLE = "WorkspaceResearcher"
_NOBODY = "00000000-0000-4000-8000-000000000000"

ROWS = [
    # 2.3, open
    Row("GET /", "*", 200),
    Row("GET /ping", "*", 200),
    Row("GET /health", "*", 200),
    Row("GET /.metadata", "*", 200),
    Row("GET /docs", "*", 200),
    Row("GET /openapi.json", "*", 200),
    Row("GET /docs/oauth2-redirect", "*", 200),
    Row(f"GET {_WS}/docs", "*", 200),
    Row(f"GET {_WS}/openapi.json", "*", 200),
    # 2.4, templates
    Row("GET /workspace-templates", "A", 200),
    Row("GET /workspace-templates/restricted", "A", 200),
    Row("POST /workspace-templates", "A", 201, _TEMPLATE),
    Row("GET /workspace-service-templates", "AU", 200),
    Row("GET /workspace-service-templates/notebooks", "AU", 200),
    Row("POST /workspace-service-templates", "A", 201, _TEMPLATE),
    Row(f"GET {_SVC}", "AU", 200),
    Row(f"GET {_SVC}/jupyterlab", "AU", 200),
    Row(f"POST {_SVC}", "A", 201, _TEMPLATE),
    Row("GET /shared-service-templates", "AU", 200),
    Row("GET /shared-service-templates/none", "AU", 404),
    Row("POST /shared-service-templates", "A", 201, _TEMPLATE),
    Row(f"GET {_WS}/workspace-service-templates", "ORMA", 200),
    Row(f"GET {_WS}{_SVC}", "ORMA", 200),
    # 2.5, workspaces
    Row("GET /workspaces", "AU", 200),
    Row(f"GET {_WS}", "ORMAU", 200),  # a member's core token too: AzureTRE's CLI asks so
    Row(f"GET {_WS}/scopeid", "AU", 200),
    Row("POST /workspaces", "A", 400, _NEW),
    Row(f"PATCH {_WS}", "A", 409, {"isEnabled": False}, headers=_STALE),
    Row(f"DELETE {_WS}", "A", 400),
    Row(f"POST {_WS}/invoke-action", "A", 400, query=_ACTION),
    Row(f"GET {_WS}/operations", "OA", 200),
    Row(f"GET {_WS}/operations/{{op}}", "OA", 200),
    Row(f"GET {_WS}/history", "OA", 200),
    Row(f"GET {_WS}/users", "ORMA", 200),
    Row(f"GET {_WS}/assignable-users", "AO", 200),  # owners too, where AzureTRE has admins alone
    Row(f"GET {_WS}/roles", "ORMA", 200),  # members may know which roles there are
    Row(f"POST {_WS}/users/assign", "AO", 404, {"role_id": _ROLE, "user_ids": [_NOBODY]}),
    Row(f"DELETE {_WS}/users/assign", "AO", 404, query={"user_id": _NOBODY, "role_id": _ROLE}),
    # 2.7, workspace services and user resources
    Row(f"GET {_WS}/workspace-services", "ORM", 200),
    Row(f"GET {_S}", "ORM", 200),
    Row(f"POST {_WS}/workspace-services", "O", 400, _NEW),
    Row(f"PATCH {_S}", "O", 409, {"isEnabled": False}, headers=_STALE),
    Row(f"DELETE {_S}", "O", 400),
    Row(f"POST {_S}/invoke-action", "O", 400, query=_ACTION),
    Row(f"GET {_S}/operations", "OM", 200),
    Row(f"GET {_S}/operations/{{op}}", "OM", 200),
    Row(f"GET {_S}/history", "OM", 200),
    Row(f"GET {_S}/user-resources", "ORM", 200),
    Row(f"GET {_U}", "OR", 200),
    Row(f"POST {_S}/user-resources", "ORM", 400, _NEW),
    Row(f"PATCH {_U}", "OR", 409, {"isEnabled": False}, headers=_STALE),
    Row(f"DELETE {_U}", "OR", 400),
    Row(f"POST {_U}/invoke-action", "OR", 400, query=_ACTION),
    Row(f"GET {_U}/operations", "OR", 200),
    Row(f"GET {_U}/operations/{{op}}", "OR", 200),
    Row(f"GET {_U}/history", "OR", 200),
    # 2.8, shared services, operations, requests, migrations
    Row("GET /shared-services", "AU", 200),
    Row(f"GET {_H}", "AU", 200),
    Row("POST /shared-services", "A", 400, _NEW),
    Row(f"PATCH {_H}", "A", 409, {"isEnabled": False}, headers=_STALE),
    Row(f"DELETE {_H}", "A", 400),
    Row(f"POST {_H}/invoke-action", "A", 400, query=_ACTION),
    Row(f"GET {_H}/operations", "A", 200),
    Row(f"GET {_H}/operations/{{op}}", "A", 200),
    Row(f"GET {_H}/history", "A", 200),
    Row("GET /operations", "AU", 200),
    Row("GET /requests", "AU", 200),
    Row("POST /migrations", "A", 202),
    # 2.9, costs
    Row("GET /costs", "A", 200),
    Row(f"GET {_WS}/costs", "OA", 200),
    # 2.10, airlock
    Row(f"POST {_WS}/requests", "OR", 201, {"type": "import"}),
    Row(f"GET {_WS}/requests", "ORM", 200),
    Row(f"GET {_R}", "ORM", 200),
    Row(f"GET {_R}/link", "R", 200),  # a draft's link is its author's alone
    Row(f"POST {_R}/submit", "R", 422),  # there is nothing in it
    Row(f"POST {_R}/cancel", "", 0),  # told in test_azuretre_airlock
    Row(f"POST {_R}/review", "M", 400, {"approval": "True", "decisionExplanation": "x"}),
    Row(f"POST {_R}/revoke", "M", 400, {"reason": "x"}),
    Row(f"POST {_R}/review-user-resource", "M", 400),
]
