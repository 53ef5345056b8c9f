"""Is everything bound to what its path says it lies in? Every route with several ids is attacked.

The routes come from the application itself. For each id in a path but the first, the id of the
same kind is taken from elsewhere: from another workspace, from another parent in the same
workspace, and from nowhere. Whoever asks, and with whatever roles, must get 404 (401 or 403 only
where they get it with the right ids too, so that it tells nothing), and nothing may change. A
route with an id that this test does not know fails it: say in `fill` what it is.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import insert, select

from carrel.airlock.tables import tickets
from carrel.app import Carrel, build, make_web, make_worker
from carrel.core.actors import TreRole, WorkspaceRole, system
from carrel.core.clock import ManualClock
from carrel.core.database import Database, metadata
from carrel.core.ids import new_id
from carrel.core.settings import load
from carrel.workspaces.rules import ResourceKind
from tests.pipelines import register
from tests.tokens import make_mill
from tests.workspaces import AnsweringRuntime

PASSWORD = "a quiet desk by the window"
NOT_IDS = {
    "name": "results.csv",
    "service": "notebooks",
    "kind": "workspace",
    "version": "0.1.0",
}
"""What people name in a path themselves, with a value that exists everywhere."""
MAY_MOVE = {"audit_events", "sessions", "sign_in_failures"}
"""Tables that remember that somebody asked."""
R = WorkspaceRole
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")


@dataclass(frozen=True)
class Route:
    """One method of one path of the API."""

    method: str
    path: str
    """Without converters."""
    body: bytes | None
    is_json: bool
    query: Mapping[str, str]

    @property
    def ids(self) -> list[str]:
        return [name for name in _PARAMETER.findall(self.path) if name not in NOT_IDS]

    def prefix(self, name: str) -> str:
        """The path up to and with one parameter."""
        return self.path[: self.path.index(f"{{{name}}}") + len(name) + 2]

    def url(self, values: Mapping[str, str]) -> str:
        return _PARAMETER.sub(lambda match: {**NOT_IDS, **values}[match[1]], self.path)


@dataclass
class World:
    """Two workspaces alike, and one person for each role in the first."""

    carrel: Carrel
    app: FastAPI
    tokens: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    core_tokens: dict[str, str] = field(default_factory=dict)
    known: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """What exists, by the path to it: the values of its parameters."""

    def note(self, path: str, *values: str) -> None:
        """Say that the path with these values leads to something."""
        names = _PARAMETER.findall(path)
        self.known.setdefault(path, []).append(dict(zip(names, values, strict=True)))

    def add_person(self, name: str, *tre_roles: TreRole) -> None:
        made = self.carrel.people.create_account(
            system("tests"),
            username=name,
            display_name=name.title(),
            password=PASSWORD,
            tre_roles=frozenset({TreRole.USER, *tre_roles}),
        )
        self.accounts[name] = made.id
        signed_in = self.carrel.people.sign_in(name, PASSWORD, kind="api", client="tests")
        self.tokens[name] = signed_in.token

    def give(self, name: str, workspace: str, *roles: WorkspaceRole) -> None:
        for role in roles:
            self.carrel.people.assign_role(system("tests"), workspace, self.accounts[name], role)

    def use_access_tokens(self, home: Path, workspace: str) -> None:
        """Let everybody ask with access tokens for this workspace, and for the TRE elsewhere."""
        mill = make_mill(home, self.carrel.settings, self.carrel.clock)
        for name, account in self.accounts.items():
            self.tokens[name] = mill.token(account, workspace)
            self.core_tokens[name] = mill.token(account)

    def token(self, person: str, path: str) -> str:
        tokens = self.tokens if "/workspaces/" in path else {**self.tokens, **self.core_tokens}
        return tokens[person]

    def ask(self, *asked: tuple[str, str, str, Mapping[str, Any]]) -> list[httpx.Response]:
        """Send requests `(person, method, path, arguments of httpx)` and return the answers."""
        return asyncio.run(self._ask(asked))

    async def _ask(
        self, asked: Sequence[tuple[str, str, str, Mapping[str, Any]]]
    ) -> list[httpx.Response]:
        transport = httpx.ASGITransport(self.app)
        base = "https://localhost:8443"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return [
                await client.request(
                    method,
                    path,
                    **{
                        **given,
                        "headers": {
                            "Authorization": f"Bearer {self.token(person, path)}",
                            "etag": "*",
                            **given.get("headers", {}),
                        },
                    },
                )
                for person, method, path, given in asked
            ]

    def make(self, person: str, path: str, template: str) -> tuple[str, str]:
        """Create something; returns its id and that of the operation, which is done."""
        body = {
            "templateName": template,
            "properties": {"display_name": f"Made {new_id()[:8]}", "description": "For a test"},
        }
        (answer,) = self.ask((person, "POST", path, {"json": body}))
        assert answer.status_code == 202, answer.text
        make_worker(self.carrel).run_until_idle()
        operation = answer.json()["operation"]
        return operation["resourceId"], operation["id"]

    def contents(self) -> dict[str, list[Any]]:
        """Everything in the database, but who asked."""
        with self.carrel.database.read() as connection:
            return {
                name: sorted(map(repr, connection.execute(select(table))))
                for name, table in metadata.tables.items()
                if name not in MAY_MOVE
            }


WORKSPACE = "/api/workspaces/{workspace_id}"
SERVICE = f"{WORKSPACE}/workspace-services/{{service_id}}"
USER_RESOURCE = f"{SERVICE}/user-resources/{{resource_id}}"
SHARED = "/api/shared-services/{shared_service_id}"
REQUEST = f"{WORKSPACE}/requests/{{request_id}}"


def fill(world: World, owner: str, researcher: str) -> str:
    """Make a workspace with two services, a user resource in each, and two requests."""
    space, done = world.make("admin", "/api/workspaces", "restricted")
    for role in WorkspaceRole:  # an administrator who made a workspace is no member of it here
        world.carrel.people.remove_role(system("tests"), space, world.accounts["admin"], role)
    world.give(owner, space, R.OWNER)
    world.give(researcher, space, R.RESEARCHER)
    world.note(WORKSPACE, space)
    world.note(f"{WORKSPACE}/operations/{{operation_id}}", space, done)
    for _ in range(2):
        service, done = world.make(
            owner, f"/api/workspaces/{space}/workspace-services", "notebooks"
        )
        world.note(SERVICE, space, service)
        world.note(f"{SERVICE}/operations/{{operation_id}}", space, service, done)
        below = f"/api/workspaces/{space}/workspace-services/{service}/user-resources"
        lab, done = world.make(researcher, below, "jupyterlab")
        world.note(USER_RESOURCE, space, service, lab)
        world.note(f"{USER_RESOURCE}/operations/{{operation_id}}", space, service, lab, done)
        requests = f"/api/workspaces/{space}/requests"
        asked = {"type": "import", "title": "Codes", "businessJustification": "Because"}
        (made,) = world.ask((researcher, "POST", requests, {"json": asked}))
        request = made.json()["airlockRequest"]["id"]
        world.note(REQUEST, space, request)
        begun = {"Upload-Length": "9", "Upload-Metadata": "filename Yy5jc3Y="}
        (made,) = world.ask(
            (researcher, "POST", f"{requests}/{request}/uploads", {"headers": begun})
        )
        world.note(f"{REQUEST}/uploads/{{upload_id}}", space, request, made.json()["id"])
        (made,) = world.ask(
            (researcher, "POST", f"{requests}/{request}/comments", {"json": {"text": "Mine"}})
        )
        comment = made.json()["comment"]["id"]
        world.note(f"{REQUEST}/comments/{{comment_id}}", space, request, comment)
        world.note(f"{REQUEST}/tickets/{{ticket_id}}", space, request, ticket(world, request))
        put = f"{requests}/{request}/files/results.csv"
        (answer,) = world.ask((researcher, "PUT", put, {"content": b"a,b\n1,2\n"}))
        assert answer.status_code == 201, answer.text
    (answer,) = world.ask((researcher, "POST", f"{requests}/{request}/submit", {}))
    assert answer.status_code == 200, answer.text
    return space


def ticket(world: World, request: str) -> str:
    """Make a ticket as it stands in the database: an import has none."""
    made, now = new_id(), world.carrel.clock.now()
    row = {"id": made, "request_id": request, "token_sha256": new_id(), "expires_at": now}
    with world.carrel.database.write() as connection:
        account = world.accounts["researcher"]
        connection.execute(insert(tickets), {**row, "account_id": account, "made_at": now})
    return made


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    url = database.engine.url.render_as_string(hide_password=False)
    runtime = AnsweringRuntime()
    settings = load(tmp_path, database_url=url)
    carrel = build(settings, runtime=runtime, clock=ManualClock())
    with carrel.database.write() as connection:
        carrel.workspaces.sync_shipped(connection)
    made = World(carrel, make_web(carrel))
    made.add_person("admin", TreRole.ADMIN)
    for name in ("owner", "researcher", "manager", "both", "stranger", "other"):
        made.add_person(name)
    here = fill(made, "owner", "researcher")
    there = fill(made, "other", "other")
    for name in ("mirror", "registry"):
        register(carrel, ResourceKind.SHARED_SERVICE, name, {"properties": {}})
        service, done = made.make("admin", "/api/shared-services", name)
        made.note(SHARED, service)
        made.note(f"{SHARED}/operations/{{operation_id}}", service, done)
    made.give("manager", here, R.AIRLOCK_MANAGER)
    made.give("both", here, R.OWNER, R.RESEARCHER, R.AIRLOCK_MANAGER)
    made.give("both", there, R.OWNER, R.RESEARCHER, R.AIRLOCK_MANAGER)
    yield made
    carrel.database.close()
    for space in list(runtime.running()):
        runtime.remove(space)


# The routes -----------------------------------------------------------------------------------


def routes(app: FastAPI) -> list[Route]:
    """Return every method of the API's paths that hold more than one id."""
    document = app.openapi()
    found = []
    for context in iter_route_contexts(app.router.routes):
        path = re.sub(r":\w+}", "}", context.path or "")
        for method in sorted(set(context.methods or ()) - {"HEAD", "OPTIONS"}):
            described = document["paths"].get(path, {}).get(method.lower())
            route = Route(method, path, *sendable(document, described or {}))
            if path.startswith("/api/") and len(route.ids) > 1:
                assert described, f"{method} {path} is not in the OpenAPI document"
                found.append(route)
    return found


def sendable(
    document: Mapping[str, Any], described: Mapping[str, Any]
) -> tuple[bytes | None, bool, dict[str, str]]:
    """Return a body that fits the route, whether it is JSON, and the query that it needs."""
    query = {
        each["name"]: str(example(document, each.get("schema", {})))
        for each in described.get("parameters", ())
        if each["in"] == "query" and each.get("required")
    }
    content = described.get("requestBody", {}).get("content", {})
    for media, shape in content.items():
        if media.endswith("json"):
            return json.dumps(example(document, shape["schema"])).encode(), True, query
    return (b"x" if content else None), False, query


def example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return the smallest value that fits a schema."""
    if "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return example(document, target)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(document, schema[key][0])
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {
                name: example(document, properties.get(name, {}))
                for name in schema.get("required", ())
            }
        case "array":
            return [example(document, schema.get("items", {}))] * schema.get("minItems", 0)
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 1)
    return new_id() if schema.get("format") == "uuid" else "x" * schema.get("minLength", 1)


def test_the_ids_of_every_route_are_known(world: World):
    unknown = {
        route.prefix(name)
        for route in routes(world.app)
        for name in route.ids
        if route.prefix(name) not in world.known
        and route.prefix(name).replace("/api", "", 1) not in world.known
    }
    assert not unknown, "Say in this test's `fill` what lies at these paths."


# The attack -----------------------------------------------------------------------------------


def wrong_paths(world: World, route: Route) -> Iterator[tuple[str, str]]:
    """Yield `(what is wrong, path)`: each id but the first taken from elsewhere."""
    ids = route.ids
    chains = world.known[route.prefix(ids[-1])]
    home = world.known[WORKSPACE][0]["workspace_id"]
    own = next(each for each in chains if each.get("workspace_id", home) == home)
    for place, name in enumerate(ids[1:], start=1):
        parents = ids[:place]
        yield f"{name} from nowhere", route.url({**own, name: new_id()})
        for foreign in chains:
            if all(foreign[each] == own[each] for each in parents):
                continue
            rest = {each: foreign[each] for each in ids[place:]}
            where = "another workspace" if foreign[ids[0]] != own[ids[0]] else "another parent"
            yield f"{name} and below from {where}", route.url({**own, **rest})
            if place < len(ids) - 1:
                yield f"{name} alone from {where}", route.url({**own, name: foreign[name]})


PEOPLE = ("admin", "owner", "researcher", "manager", "both", "stranger")


def asked(route: Route, person: str, path: str) -> tuple[str, str, str, dict[str, Any]]:
    given: dict[str, Any] = {"params": dict(route.query)}
    if route.body is not None:
        given["content"] = route.body
        given["headers"] = {"content-type": "application/json"} if route.is_json else {}
    return person, route.method, path, given


def is_denied(world: World, route: Route, person: str) -> bool:
    """Whether the person may not do this with the right ids either: no id was looked at then."""
    home = world.known[WORKSPACE][0]["workspace_id"]
    own = next(
        each
        for each in world.known[route.prefix(route.ids[-1])]
        if each.get("workspace_id", home) == home
    )
    (answer,) = world.ask(asked(route, person, route.url(own)))
    return answer.status_code in {401, 403}


@pytest.mark.parametrize("kind", ["session", "access token"])
def test_an_id_from_elsewhere_is_not_found_whoever_asks(world: World, tmp_path: Path, kind: str):
    found = routes(world.app)
    if kind == "access token":
        world.use_access_tokens(tmp_path, world.known[WORKSPACE][0]["workspace_id"])
    assert len(found) > 30
    before = world.contents()
    attacks = [
        (route, person, why, path)
        for route in found
        for why, path in dict.fromkeys(wrong_paths(world, route))
        for person in PEOPLE
    ]
    answers = world.ask(*(asked(route, person, path) for route, person, _, path in attacks))
    refused = {
        (route.method, route.path, person): (route, person)
        for (route, person, _, _), answer in zip(attacks, answers, strict=True)
        if answer.status_code in {401, 403}
    }
    assert len(refused) < len(found) * len(PEOPLE) / 2
    denied = {key for key, pair in refused.items() if is_denied(world, *pair)}
    wrong = [
        f"{route.method} {route.path} by {person}, {why}: {answer.status_code} {answer.text[:90]}"
        for (route, person, why, _), answer in zip(attacks, answers, strict=True)
        if answer.status_code != 404
        and not (answer.status_code in {401, 403} and (route.method, route.path, person) in denied)
    ]
    assert not wrong, "\n".join(wrong)
    after = world.contents()
    assert {name for name in after if after[name] != before[name]} == set()


def test_with_the_right_ids_somebody_is_answered(world: World):
    """The control: were every answer 404, the attack would have shown nothing."""
    home = world.known[WORKSPACE][0]["workspace_id"]
    order = {"GET": 0, "POST": 1, "PUT": 1, "PATCH": 2, "DELETE": 3}
    for route in sorted(routes(world.app), key=lambda route: order[route.method]):
        chains = world.known[route.prefix(route.ids[-1])]
        for own in chains:
            if own.get("workspace_id", home) != home:
                continue
            answers = world.ask(*(asked(route, person, route.url(own)) for person in PEOPLE))
            if any(answer.status_code != 404 for answer in answers):
                break
        else:
            pytest.fail(f"{route.method} {route.path} is never found")
