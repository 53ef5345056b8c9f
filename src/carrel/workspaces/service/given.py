"""Which properties does Carrel itself give a resource, whatever somebody sends?

The names and their meaning are AzureTRE's: its clients read them to learn for whom a token of a
workspace must be, and its templates are written against them.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from carrel.core.actors import WorkspaceRole
from carrel.core.errors import BadRequest, InvalidRequest
from carrel.core.settings import Settings
from carrel.workspaces.rules import Resource, ResourceKind, Template
from carrel.workspaces.schemas.parts import every_part, names_of

K = ResourceKind
OWNER = "workspace_owner_object_id"
ASSIGN, ASSIGNEE = "assign_to_another_user", "owner_id"
ADDRESS, ADDRESSES, ADDRESS_SIZE = "address_space", "address_spaces", "address_space_size"

SYSTEM_NAMES: Mapping[ResourceKind, frozenset[str]] = {
    K.WORKSPACE: frozenset(
        {
            *("tre_id", "azure_location", "workspace_id", "client_id", "scope_id", "sp_id"),
            *("app_role_id_workspace_owner", "app_role_id_workspace_researcher"),
            *("app_role_id_workspace_airlock_manager", "register_aad_application"),
            *(ADDRESS, ADDRESSES),
        }
    ),
    K.SERVICE: frozenset({"tre_id", ADDRESS}),
    K.USER_RESOURCE: frozenset({"tre_id", "connection_uri", "is_exposed_externally"}),
    K.SHARED_SERVICE: frozenset({"tre_id"}),
}
"""Properties that Carrel sets; nobody can give or change them."""


class RefusedAuthentication(BadRequest, InvalidRequest):
    """The way of signing in that somebody wants for a workspace is none that it can have."""


def given_by_carrel(resource: Resource) -> dict[str, Any]:
    """Return those of a resource's properties that Carrel gave it."""
    names = SYSTEM_NAMES[resource.kind]
    return {name: value for name, value in resource.properties.items() if name in names}


def chosen_properties(resource: Resource) -> dict[str, Any]:
    """Return the properties that do not follow from the id of the resource alone."""
    derived = SYSTEM_NAMES[resource.kind] - {ADDRESS, ADDRESSES}
    return {name: value for name, value in resource.properties.items() if name not in derived}


def known_to_schema(template: Template, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that a template's schema has to judge.

    That is all but those that Carrel gives and the schema does not name: a schema may ask for
    an `address_space`, but knows nothing of a `scope_id`.
    """
    known = property_names(template.schema)
    foreign = SYSTEM_NAMES[template.kind] - known
    return {name: value for name, value in properties.items() if name not in foreign}


def check_authentication(template: Template, properties: Mapping[str, Any]) -> None:
    """Raise `RefusedAuthentication` unless the workspace can have the `auth_type` that it asks for.

    Only templates that have this property are asked; `Automatic` is all that Carrel does.
    """
    rule = template.schema.get("properties", {}).get("auth_type")
    if rule is None:
        return
    default = rule.get("default") if isinstance(rule, Mapping) else None
    wanted = properties.get("auth_type", default)
    if wanted == "Automatic":
        return
    if wanted is None or not properties.get("client_id"):
        raise RefusedAuthentication(
            "Please supply the client_id for the AAD application, or choose the auth_type "
            "Automatic: Carrel then is the workspace's issuer itself.",
            field="properties.auth_type",
        )
    raise RefusedAuthentication(
        f"The auth_type {wanted!r} needs an application of a foreign directory for this "
        "workspace, and this TRE has no connection that could read its roles. Choose Automatic.",
        field="properties.auth_type",
    )


def identity_of(resource: Resource, settings: Settings) -> dict[str, Any]:
    """Return the properties by which clients know a resource and its workspace.

    `workspace_id` is the whole id: AzureTRE's last four characters collide among a few hundred
    workspaces (its issue 2893).
    """
    if resource.kind is not K.WORKSPACE:
        return {"tre_id": settings.tre_id}
    auth_type = resource.properties.get("auth_type", "Automatic")
    return {
        "tre_id": settings.tre_id,
        "azure_location": settings.azure_location,
        "workspace_id": resource.id,
        "client_id": resource.id,
        "scope_id": f"api://{resource.id}",
        "sp_id": str(uuid.uuid5(uuid.UUID(resource.id), "service principal")),
        "app_role_id_workspace_owner": WorkspaceRole.OWNER.value,
        "app_role_id_workspace_researcher": WorkspaceRole.RESEARCHER.value,
        "app_role_id_workspace_airlock_manager": WorkspaceRole.AIRLOCK_MANAGER.value,
        "register_aad_application": auth_type == "Automatic",
    }


def property_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of every property that a schema has, under conditions too."""
    return names_of(every_part(schema, schema))


def wants_range(template: Template) -> bool:
    """Whether resources of this template hold a range of addresses."""
    names = property_names(template.schema)
    if template.kind is K.WORKSPACE:
        return bool(names & {ADDRESS, ADDRESSES, ADDRESS_SIZE})
    return template.kind is K.SERVICE and ADDRESS in names
