"""What does the OpenAPI document promise? FastAPI's, completed until it is a contract.

Each operation has its name, security, bounds, example, real shape and every status that can come.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from carrel import __version__
from carrel.airlock import documents as airlock
from carrel.api import documents as own
from carrel.api import statuses
from carrel.core.documents import OPEN, TEXT, Schema, ref
from carrel.core.web import Audience, audience_of, get_actor
from carrel.costs import documents as costs
from carrel.evidence import documents as evidence
from carrel.gateway import documents as gateway
from carrel.packages import documents as packages
from carrel.people import documents as people
from carrel.people.tokens.identity import USER_SCOPE, TreIdentity, workspace_scope
from carrel.workspaces import documents as workspaces

Document = dict[str, Any]
TITLE = "Carrel: Azure TRE API"
DESCRIPTION = """
Everything that the portal and the command line do. The shapes are AzureTRE's where AzureTRE has
the thing, so its clients work here. Errors are problem documents (RFC 9457) whose `detail` says
what to do; `Accept: text/plain` gets that sentence alone. Sign in with `POST /api/sign-in`, or get
an access token of this TRE (OAuth 2.0), and send `Authorization: Bearer …`.
"""
WORKSPACE_PREFIX = "/api/workspaces/{workspace_id}"
TEXT_LIMIT = 1024
"""Longest value of a query or path parameter; `api.strictness` holds it."""

_ROOMS: Sequence[Any] = (own, people, workspaces, airlock, packages, gateway, evidence, costs)


def _gathered(name: str) -> Mapping[str, Any]:
    return {key: each for room in _ROOMS for key, each in getattr(room, name, {}).items()}


ANSWERS: Mapping[str, Schema] = _gathered("ANSWERS")
SCHEMAS: Mapping[str, Schema] = _gathered("SCHEMAS")
EXAMPLES: Mapping[str, Any] = _gathered("EXAMPLES")
MEDIA: Mapping[str, tuple[str, ...]] = _gathered("MEDIA")


def make_document(routes: Sequence[BaseRoute], identity: TreIdentity) -> Document:
    """Return the OpenAPI 3.1 document of every route that is in the schema."""
    document = get_openapi(title=TITLE, version=__version__, description=DESCRIPTION, routes=routes)
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **SCHEMAS}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["responses"] = statuses.components()
    components["headers"] = statuses.headers()
    components["securitySchemes"] = _security_schemes(identity, identity.api_root_scope)
    for route in iter_route_contexts(routes):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                _complete(operation, method, route, identity)
    return document


def workspace_document(document: Mapping[str, Any], workspace_id: str) -> Document:
    """Return the part about the inside of one workspace, with its id filled in.

    Nothing is looked up: an id that names no workspace gives the same document.
    """
    scope = f"{workspace_scope(workspace_id)}/{USER_SCOPE}"
    paths = {}
    for path, item in document["paths"].items():
        if path.startswith(WORKSPACE_PREFIX):
            filled = path.replace("{workspace_id}", workspace_id)
            paths[filled] = {
                method: _inside(operation, scope) for method, operation in item.items()
            }
    flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["authorizationCode"]
    schemes = {
        **document["components"]["securitySchemes"],
        "oauth2": {
            "type": "oauth2",
            "flows": {"authorizationCode": {**flow, "scopes": {scope: "Act in this workspace."}}},
        },
    }
    return {
        **document,
        "info": {**document["info"], "title": f"{TITLE}: workspace {workspace_id}"},
        "paths": paths,
        "components": {**document["components"], "securitySchemes": schemes},
    }


def _inside(operation: Mapping[str, Any], scope: str) -> Document:
    others = [each for each in operation.get("parameters", []) if each["name"] != "workspace_id"]
    security = [{"session": []}, {"oauth2": [scope]}] if operation["security"] else []
    return {**operation, "parameters": others, "security": security}


def _security_schemes(identity: TreIdentity, scope: str) -> Document:
    base = identity.issuer_url.removesuffix("/v2.0") + "/oauth2/v2.0"
    return {
        "session": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token of `POST /api/sign-in`, or an access token.",
        },
        "oauth2": {
            "type": "oauth2",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": f"{base}/authorize",
                    "tokenUrl": f"{base}/token",
                    "refreshUrl": f"{base}/token",
                    "scopes": {scope: "Act on your behalf in the TRE."},
                }
            },
        },
    }


def _complete(operation: Document, method: str, route: RouteContext, identity: TreIdentity) -> None:
    name, path = route.name or "", route.path or ""
    operation["operationId"] = name
    operation["summary"] = (operation.get("description") or name).split("\n")[0].rstrip(".")
    is_signed = any(each.call is get_actor for each in _flat(route.dependant))
    operation["security"] = _security(route, path, identity) if is_signed else []
    for parameter in operation.get("parameters", []):
        _bound(parameter)
    _give_example(operation, name)
    good = str(route.status_code or 200)
    kept = operation["responses"].get(good, {"description": "Done."})
    operation["responses"] = {
        **_good(kept, operation, method, good),
        **statuses.refusals(operation, method, name, is_signed=is_signed),
    }


def _security(route: RouteContext, path: str, identity: TreIdentity) -> list[Document]:
    assert route.endpoint is not None
    mark = audience_of(route.endpoint, path)
    taken: list[Document] = [{"session": []}]
    if mark.audience is not Audience.WORKSPACE:
        taken.append({"oauth2": [identity.api_root_scope]})
    return taken


def _flat(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for each in dependant.dependencies:
        yield from _flat(each)


def _bound(parameter: Document) -> None:
    schema = parameter["schema"]
    if parameter["in"] == "path" and parameter["name"].endswith("_id"):
        parameter["schema"] = {**schema, "type": "string", "format": "uuid"}
        return
    for each in (schema, *schema.get("anyOf", ())):
        is_free = each.get("type") == "string" and not {"enum", "format", "maxLength"} & set(each)
        if is_free and parameter["in"] in {"path", "query"}:
            each["maxLength"] = TEXT_LIMIT
            if parameter["in"] == "path":
                each["minLength"] = 1


def _give_example(operation: Document, name: str) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]


def _good(kept: Document, operation: Document, method: str, status: str) -> Document:
    """Return the answers when all is well, by status."""
    name = operation["operationId"]
    shown: Document = {"description": kept.get("description", "Done.")}
    if name in MEDIA:
        shown["content"] = {each: {"schema": _raw(each)} for each in MEDIA[name]}
    elif name in ANSWERS:
        shown["content"] = {"application/json": {"schema": ANSWERS[name]}}
    elif "content" in kept:
        shown["content"] = kept["content"]
    if ANSWERS.get(name) == ref("OperationAnswer") and method != "GET":
        shown["headers"] = statuses.header("Location")
    if method == "GET" and name in ANSWERS:
        shown["headers"] = statuses.header("ETag")
    if not any(each["name"] == "dry_run" for each in operation.get("parameters", ())):
        return {status: shown}
    plan = {"application/json": {"schema": ref("PlanAnswer")}}
    if status != "200":
        return {status: shown, "200": {"description": "What would happen.", "content": plan}}
    either = {"anyOf": [ANSWERS[name], ref("PlanAnswer")]}
    return {status: {**shown, "content": {"application/json": {"schema": either}}}}


def _raw(media_type: str) -> Schema:
    return OPEN if media_type == "text/event-stream" else TEXT
