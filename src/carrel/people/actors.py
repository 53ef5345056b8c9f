"""What may the holder of an account do now, when only the account's id is known?"""

from sqlalchemy import Connection, select

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.people.tables import account_roles, accounts, memberships


def actor_of(connection: Connection, account_id: str) -> Actor | None:
    """Return the account with all its roles as they are now; None if it may not act at all."""
    query = select(accounts.c.display_name).where(accounts.c.id == account_id, accounts.c.is_active)
    name = connection.execute(query).scalar_one_or_none()
    if name is None:
        return None
    tre = select(account_roles.c.role).where(account_roles.c.account_id == account_id)
    held = select(memberships.c.workspace_id, memberships.c.role)
    roles: dict[str, frozenset[WorkspaceRole]] = {}
    for workspace_id, role in connection.execute(
        held.where(memberships.c.account_id == account_id)
    ):
        roles[workspace_id] = roles.get(workspace_id, frozenset()) | {WorkspaceRole(role)}
    return Actor(
        id=account_id,
        name=name,
        tre_roles=frozenset(map(TreRole, connection.execute(tre).scalars())),
        workspace_roles=roles,
    )
