"""Which thing does a person mean by a name or an id?"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from carrel.cli.client import Api
from carrel.core.errors import Conflict, NotFound

Found = Mapping[str, Any]


def workspace(api: Api, reference: str) -> Found:
    """Return the workspace of this id or name. Raises `NotFound`, `Conflict` if ambiguous."""
    if _is_id(reference):
        return _one(api.get(f"/api/workspaces/{reference}"), "workspace")
    return _named(api.get("/api/workspaces")["workspaces"], reference, "workspace")


def services(api: Api, workspace_id: str) -> Sequence[Found]:
    """Return the services of a workspace."""
    return list(api.get(f"/api/workspaces/{workspace_id}/workspace-services")["workspaceServices"])


def service(api: Api, workspace_id: str, reference: str) -> Found:
    """Return the workspace service of this id or name."""
    if _is_id(reference):
        path = f"/api/workspaces/{workspace_id}/workspace-services/{reference}"
        return _one(api.get(path), "workspaceService")
    return _named(services(api, workspace_id), reference, "workspace service")


def user_resources(api: Api, workspace_id: str, service_reference: str = "") -> Sequence[Found]:
    """Return the user resources of a service, or of every service of the workspace."""
    if service_reference:
        parents: Sequence[Found] = [service(api, workspace_id, service_reference)]
    else:
        parents = services(api, workspace_id)
    return [
        found
        for parent in parents
        for found in api.get(f"/api{parent['resourcePath']}/user-resources")["userResources"]
    ]


def user_resource(api: Api, workspace_id: str, reference: str) -> Found:
    """Return the user resource of this id or name."""
    candidates = user_resources(api, workspace_id)
    for candidate in candidates:
        if candidate["id"] == reference:
            return candidate
    return _named(candidates, reference, "user resource")


def account(api: Api, reference: str) -> Found:
    """Return the account of this id or user name."""
    for found in api.get("/api/accounts")["accounts"]:
        if reference in (found["id"], found["username"]):
            return dict(found)
    raise NotFound(f"There is no account {reference}. See: carrel account list")


def member(api: Api, below: Found, user: str) -> str:
    """Return the id of a member of the workspace that a resource is or lies in."""
    workspace_id = below.get("workspaceId") or below["id"]
    return chosen(api.get(f"/api/workspaces/{workspace_id}/users")["users"], user)


def chosen(people: Sequence[Found], user: str) -> str:
    """Return the id of the person of this user name or id. Raises `NotFound`."""
    for one in people:
        if user.casefold() in (one["id"], one["userPrincipalName"].casefold()):
            return str(one["id"])
    raise NotFound(f"There is no such person here: {user}. Give the user name.")


def shared_service(api: Api, reference: str) -> Found:
    """Return the shared service of this id, name or template."""
    if _is_id(reference):
        return _one(api.get(f"/api/shared-services/{reference}"), "sharedService")
    found = list(api.get("/api/shared-services")["sharedServices"])
    by_template = [one for one in found if one["templateName"] == reference]
    return by_template[0] if by_template else _named(found, reference, "shared service")


def name_of(resource: Found) -> str:
    """Return the name that people gave a resource."""
    return str(resource.get("properties", {}).get("display_name", resource["id"]))


def _named(candidates: Sequence[Found], reference: str, kind: str) -> Found:
    found = [one for one in candidates if name_of(one).casefold() == reference.casefold()]
    if not found:
        raise NotFound(f"There is no {kind} {reference!r} that you may know of.")
    if len(found) > 1:
        ids = ", ".join(str(one["id"]) for one in found)
        raise Conflict(f"More than one {kind} is called {reference!r}. Give an id: {ids}")
    return found[0]


def _one(answer: Mapping[str, Any], key: str) -> Found:
    return dict(answer[key])


def _is_id(reference: str) -> bool:
    try:
        UUID(reference)
    except ValueError:
        return False
    return True
