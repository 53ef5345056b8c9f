"""At which addresses are the pages, and who looks at each? Complete, because a test says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from tests.browser.story import Story

NO_PAGE = {
    "/ping": "one word for load balancers",
    "/.metadata": "for programs",
    "/api": "one word for load balancers",
    "/blob/{request_id}": "for programs that upload",
    "/blob/{request_id}/{name:path}": "for programs that upload",
    "/resources/{resource_id}/row": "a part of a page",
    "/operations/{operation_id}/stream": "server-sent events",
    "/workspaces/{workspace_id}/airlock/{request_id}/status": "a part of a page",
    "/common/discovery/instance": "for programs",
    "/{tenant}/v2.0/.well-known/openid-configuration": "for programs",
    "/{tenant}/discovery/v2.0/keys": "for programs",
    "/{tenant}/oauth2/v2.0/authorize": "needs a whole request: test_device_pages opens it",
    "/{tenant}/oauth2/v2.0/logout": "leads to /sign-out",
}
"""GET routes outside the API that answer with something else than a page."""

VISITORS: Mapping[str, str | None] = {
    "/": "tomas",
    "/about": None,
    "/about/api": None,
    "/account": "tomas",
    "/account/totp": "mina",
    "/accounts": "ada",
    "/accounts/new": "ada",
    "/accounts/{account_id}": "ada",
    "/airlock": "mina",
    "/applications": "ada",
    "/attention": "ada",
    "/audit": "ada",
    "/device": "ruth",
    "/evidence": "ada",
    "/evidence/proofs/{proof_id}": "ada",
    "/health": "ruth",
    "/new-workspace": "ada",
    "/new-workspace/{template_name}": "ada",
    "/operations/{operation_id}": "tomas",
    "/resources/{resource_id}": "tomas",
    "/resources/{resource_id}/delete": "tomas",
    "/resources/{resource_id}/history": "tomas",
    "/resources/{resource_id}/settings": "tomas",
    "/sign-in": None,
    "/sign-out": "ruth",
    "/templates": "ada",
    "/templates/{kind}/{name}": "ada",
    "/workspaces/{workspace_id}": "ruth",
    "/workspaces/{workspace_id}/airlock": "tomas",
    "/workspaces/{workspace_id}/airlock/new/{kind}": "tomas",
    "/workspaces/{workspace_id}/airlock/policy": "ada",
    "/workspaces/{workspace_id}/airlock/{request_id}": "mina",
    "/workspaces/{workspace_id}/airlock/{request_id}/files/{name:path}": "mina",
    "/workspaces/{workspace_id}/audit": "tomas",
    "/workspaces/{workspace_id}/members": "ruth",
    "/workspaces/{workspace_id}/software": "tomas",
    "/workspaces/{workspace_id}/services/new": "ruth",
    "/workspaces/{workspace_id}/services/new/{template_name}": "ruth",
    "/workspaces/{workspace_id}/services/{service_id}/resources/new": "mina",
    "/workspaces/{workspace_id}/services/{service_id}/resources/new/{template_name}": "mina",
}
"""Who looks at each page, by the path of its route."""


@dataclass(frozen=True)
class Address:
    """One page to look at."""

    path: str
    username: str | None


def page_routes(app: FastAPI) -> set[str]:
    """Return the path of every GET route that people's browsers may open."""
    found = {
        route.path
        for route in iter_route_contexts(app.routes)
        if route.path and "GET" in (route.methods or ())
    }
    return {path for path in found if not path.startswith("/api/")}


def addresses(story: Story) -> list[Address]:
    """Return an address for every page, and more for those that look quite different."""
    names = {
        "workspace_id": story.study.id,
        "service_id": story.service.id,
        "resource_id": story.lab.id,
        "operation_id": story.operation.id,
        "request_id": story.in_review.id,
        "proof_id": story.proof,
        "account_id": story.account,
        "template_name": "notebooks",
        "kind": "export",
        "name": "table2.csv",
        "name:path": "table2.csv",
    }
    special = {
        "/new-workspace/{template_name}": "/new-workspace/restricted",
        "/templates/{kind}/{name}": "/templates/workspace/restricted",
        "/workspaces/{workspace_id}/services/{service_id}/resources/new/{template_name}": (
            f"/workspaces/{story.study.id}/services/{story.service.id}/resources/new/jupyterlab"
        ),
    }
    made = []
    for route, username in VISITORS.items():
        path = special.get(route, route)
        for name, value in names.items():
            path = path.replace("{" + name + "}", value)
        made.append(Address(path, username))
    study = f"/workspaces/{story.study.id}"
    return [
        *made,
        Address("/", "ada"),
        Address("/", "nobody"),
        Address("/airlock", "nobody"),
        Address(study, "ada"),
        Address(f"/workspaces/{story.prescribing.id}", "tomas"),
        Address(f"/workspaces/{story.prescribing.id}/software", "tomas"),
        Address(f"{study}/airlock", "mina"),
        Address(f"{study}/airlock/policy", "tomas"),
        Address(f"{study}/airlock/{story.draft.id}", "tomas"),
        Address(f"{study}/airlock/{story.approved.id}", "tomas"),
        Address(f"{study}/airlock/new/import", "tomas"),
        Address(f"/resources/{story.service.id}", "ruth"),
        Address(f"/resources/{story.study.id}/settings", "ada"),
        Address(f"/resources/{story.frailty.id}/history", "ada"),
        Address("/there/is/nothing/here", "tomas"),
        Address("/accounts", "tomas"),
    ]
