"""Who may see, follow or manage a resource?

- A workspace is seen by its members and administrators, and managed by administrators.
- A workspace service is seen by members, and managed by owners and administrators.
- A user resource is seen and managed by its owner, the workspace's owners and administrators.
- A shared service is seen by everybody, and managed by administrators.

Nobody but its owner ever *opens* a user resource (`may_open`), administrators included.
What one may not see is not found; what one sees and may not change is denied. Another member's
user resource is denied too, as in AzureTRE: its id says no more than that it is there.
"""

from collections.abc import Iterable

from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import Denied, NotFound
from carrel.workspaces.rules import Resource, ResourceKind, Template

_NAMES = {
    ResourceKind.WORKSPACE: "workspace",
    ResourceKind.SERVICE: "workspace service",
    ResourceKind.USER_RESOURCE: "user resource",
    ResourceKind.SHARED_SERVICE: "shared service",
}


def may_see(actor: Actor, resource: Resource) -> bool:
    """Whether the actor may know that the resource exists."""
    if actor.is_admin or actor.is_system or resource.kind is ResourceKind.SHARED_SERVICE:
        return True
    workspace_id = resource.workspace_id or ""
    if resource.kind is ResourceKind.USER_RESOURCE:
        return _owns(actor, workspace_id) or may_open(actor, resource)
    return actor.is_member(workspace_id)


def may_see_every_user_resource(actor: Actor, workspace_id: str) -> bool:
    """Whether the actor may see other people's user resources here too; a part of `may_see`."""
    return actor.is_admin or actor.is_system or _owns(actor, workspace_id)


def may_manage(actor: Actor, resource: Resource) -> bool:
    """Whether the actor may change, start, stop or delete the resource."""
    if actor.is_admin or actor.is_system:
        return True
    if resource.kind in {ResourceKind.WORKSPACE, ResourceKind.SHARED_SERVICE}:
        return False
    return _owns(actor, resource.workspace_id or "") or may_open(actor, resource)


def may_follow(actor: Actor, resource: Resource) -> bool:
    """Whether the actor may read the resource's operations and history."""
    roles = actor.roles_in(resource.workspace_id or "")
    if resource.kind is ResourceKind.WORKSPACE and WorkspaceRole.OWNER in roles:
        return True
    if resource.kind is ResourceKind.SERVICE and WorkspaceRole.AIRLOCK_MANAGER in roles:
        return True
    return may_manage(actor, resource)


def may_open(actor: Actor, resource: Resource) -> bool:
    """Whether the user resource is the actor's own, and the actor still a member."""
    return (
        resource.kind is ResourceKind.USER_RESOURCE
        and resource.owner_id == actor.id
        and actor.is_member(resource.workspace_id or "")
    )


def not_found(kind: ResourceKind | None = None) -> NotFound:
    """Return the one error for what is absent or not the actor's to know about."""
    name = _NAMES[kind] if kind else "resource"
    return NotFound(f"There is no such {name}, or you are not a member of its workspace.")


def check_may_see(actor: Actor, resource: Resource | None) -> Resource:
    """Return the resource. Raises `NotFound` unless the actor may know about it.

    A member who asks for another member's user resource is `Denied`.
    """
    if resource is not None and may_see(actor, resource):
        return resource
    if resource is not None and actor.is_member(resource.workspace_id or ""):
        raise Denied(
            "Workspace Researcher or Owner rights are required: this user resource belongs to "
            "another member, so only they and the workspace's owners can reach it."
        )
    raise not_found(resource.kind if resource else None)


def check_may_manage(actor: Actor, resource: Resource | None) -> Resource:
    """Return the resource. Raises `NotFound` or `Denied` unless the actor may change it."""
    resource = check_may_see(actor, resource)
    if not may_manage(actor, resource):
        who = "A TRE administrator" if resource.workspace_id == resource.id else "A workspace owner"
        if resource.kind is ResourceKind.SHARED_SERVICE:
            who = "A TRE administrator"
        raise Denied(f"{who} can change this {_NAMES[resource.kind]}; ask one of them.")
    return resource


def check_may_follow(actor: Actor, resource: Resource | None) -> Resource:
    """Return the resource. Raises `NotFound` or `Denied` unless the actor may follow it."""
    resource = check_may_see(actor, resource)
    if not may_follow(actor, resource):
        who = "TRE administrators" if resource.workspace_id is None else "The workspace's owners"
        raise Denied(
            f"{who} can read the operations and history of this {_NAMES[resource.kind]}; "
            "ask one of them."
        )
    return resource


def check_may_create(actor: Actor, kind: ResourceKind, workspace_id: str | None) -> None:
    """Raise `NotFound` or `Denied` unless the actor may make a resource of this kind here."""
    if actor.is_system:
        return
    roles = actor.roles_in(workspace_id or "")
    if workspace_id and not roles and not actor.is_admin:
        raise not_found(ResourceKind.WORKSPACE)
    if kind in {ResourceKind.WORKSPACE, ResourceKind.SHARED_SERVICE} and not actor.is_admin:
        raise Denied(f"Only a TRE administrator can create a {_NAMES[kind]}; ask one of them.")
    if kind is ResourceKind.SERVICE and WorkspaceRole.OWNER not in roles and not actor.is_admin:
        raise Denied("Only an owner of the workspace can add a service to it; ask one of them.")
    if kind is ResourceKind.USER_RESOURCE and not roles:
        raise Denied(
            "Only members of the workspace can have a user resource in it. "
            "Administrators see no data unless somebody makes them members."
        )


def check_template_roles(actor: Actor, template: Template, workspace_id: str | None) -> None:
    """Raise `Denied` unless the template is open to one of the actor's roles."""
    if not may_use_template(actor, template, workspace_id):
        raise Denied(
            f"The template {template.name} is for {', '.join(template.authorized_roles)} only."
        )


def may_use_template(actor: Actor, template: Template, workspace_id: str | None) -> bool:
    """Whether the template is open to everybody, or to one of the actor's roles."""
    if not template.authorized_roles or actor.is_system:
        return True
    held: Iterable[str] = (*actor.tre_roles, *actor.roles_in(workspace_id or ""))
    return bool({str(role) for role in held} & set(template.authorized_roles))


def _owns(actor: Actor, workspace_id: str) -> bool:
    return WorkspaceRole.OWNER in actor.roles_in(workspace_id)
