"""Who holds which role in which workspace?"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, func, select

from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.errors import Conflict, Denied, NotFound
from carrel.people.access import access_epoch, bump_access_epoch
from carrel.people.events import RolesChanged
from carrel.people.rules import (
    NO_USER_MANAGEMENT,
    NO_WORKSPACE,
    Account,
    Membership,
    check_may_manage_members,
    check_may_see_members,
)
from carrel.people.service.base import Room, locked, make_account
from carrel.people.tables import accounts, memberships

_LIST = (
    select(
        memberships.c.account_id,
        accounts.c.username,
        accounts.c.display_name,
        memberships.c.workspace_id,
        memberships.c.role,
        accounts.c.email,
    )
    .join(accounts)
    .where(accounts.c.is_active)
    .order_by(accounts.c.display_name, accounts.c.username, memberships.c.role)
)


class Members(Room):
    """Use cases on workspace roles."""

    def assign_role(
        self, actor: Actor, workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> Membership:
        """Give a person a role in a workspace; for its owners and administrators.

        May be called twice. Raises `Conflict` for a disabled account, `NotFound` if there is no
        such workspace or account.
        """
        return self.assign_roles(actor, workspace_id, [account_id], role)[0]

    def assign_roles(
        self, actor: Actor, workspace_id: str, account_ids: Sequence[str], role: WorkspaceRole
    ) -> Sequence[Membership]:
        """Give several accounts a role: all of them, or none if one cannot have it.

        May be called twice. Raises as `assign_role` does.
        """
        self._check_may_manage(actor, workspace_id)
        made: dict[str, Membership] = {}
        with self._database.write() as connection:
            if not self._is_workspace(connection, workspace_id):
                raise NotFound(NO_WORKSPACE)
            for account_id in sorted(set(account_ids)):  # in one order, so nobody deadlocks
                made[account_id] = self._assign(connection, actor, workspace_id, account_id, role)
        return [made[account_id] for account_id in account_ids]

    def remove_role(
        self, actor: Actor, workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> None:
        """Take a role away at once, open sessions included. May be called twice.

        Raises `Conflict` for the last owner of a workspace.
        """
        self._check_may_manage(actor, workspace_id)
        with self._database.write() as connection:
            if not self._is_workspace(connection, workspace_id):
                raise NotFound(NO_WORKSPACE)
            self._row(connection, account_id)
            held = self._key(workspace_id, account_id, role)
            if connection.execute(select(memberships).where(*held)).first() is None:
                return
            if role is WorkspaceRole.OWNER and not actor.is_system:
                self._check_not_last_owner(connection, workspace_id)
            connection.execute(memberships.delete().where(*held))
            self._audit.append(
                connection,
                actor,
                "member.removed",
                account_id,
                workspace_id=workspace_id,
                role=role,
            )
            self._changed(connection, workspace_id, account_id)

    def list_members(self, actor: Actor, workspace_id: str) -> Sequence[Membership]:
        """Return the active members, a line per role, by name. For members and administrators.

        Raises `NotFound` for everybody else.
        """
        self.check_workspace_visible(actor, workspace_id)
        return self.members_for_system(workspace_id)

    def check_workspace_visible(self, actor: Actor, workspace_id: str) -> None:
        """Raise `NotFound` unless the workspace is there and the actor may know of it."""
        check_may_see_members(actor, workspace_id)
        with self._database.read() as connection:
            if not self._is_workspace(connection, workspace_id):
                raise NotFound(NO_WORKSPACE)

    def check_roles_offered(self, actor: Actor, workspace_id: str) -> None:
        """Raise unless roles are given in Carrel, and the actor may know of the workspace."""
        self.check_workspace_visible(actor, workspace_id)
        if self._settings.user_management == "off":
            raise Denied(NO_USER_MANAGEMENT)

    def members_for_system(self, workspace_id: str) -> Sequence[Membership]:
        """Return what `list_members` returns, for other rooms, on nobody's behalf."""
        with self._database.read() as connection:
            rows = connection.execute(_LIST.where(memberships.c.workspace_id == workspace_id))
            return [
                Membership(
                    account_id=row.account_id,
                    username=row.username,
                    display_name=row.display_name,
                    workspace_id=row.workspace_id,
                    role=WorkspaceRole(row.role),
                    email=row.email,
                )
                for row in rows
            ]

    def list_assignable(
        self, actor: Actor, workspace_id: str, wanted: str, *, limit: int = 5
    ) -> Sequence[Account]:
        """Return active accounts whose name begins with `wanted`; for who may give roles."""
        self._check_may_manage(actor, workspace_id)
        self.check_workspace_visible(actor, workspace_id)
        name = func.lower(accounts.c.display_name)
        start = wanted.strip().lower()
        begins = accounts.c.username.startswith(start, autoescape=True) | name.startswith(
            start, autoescape=True
        )
        query = select(accounts).where(accounts.c.is_active, begins)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(accounts.c.username).limit(limit))
            return [make_account(row, frozenset()) for row in rows]

    def drop_workspace(self, connection: Connection, workspace_id: str) -> None:
        """Forget every role in a deleted workspace, inside the caller's transaction."""
        connection.execute(memberships.delete().where(memberships.c.workspace_id == workspace_id))
        bump_access_epoch(connection)

    def access_epoch(self, connection: Connection) -> int:
        """Return the counter that moves whenever somebody may have lost access."""
        return access_epoch(connection)

    def bump_access_epoch(self, connection: Connection) -> None:
        """Move the counter, in the same transaction as what takes access away."""
        bump_access_epoch(connection)

    def _check_may_manage(self, actor: Actor, workspace_id: str) -> None:
        check_may_manage_members(actor, workspace_id, self._settings.user_management)

    def _assign(
        self,
        connection: Connection,
        actor: Actor,
        workspace_id: str,
        account_id: str,
        role: WorkspaceRole,
    ) -> Membership:
        row = self._row(connection, account_id)
        if not row.is_active:
            raise Conflict("This account is disabled. Enable it before you give it a role.")
        held = self._key(workspace_id, account_id, role)
        if connection.execute(select(memberships).where(*held)).first() is None:
            self._insert(connection, actor, workspace_id, account_id, role)
        return Membership(account_id, row.username, row.display_name, workspace_id, role, row.email)

    def _insert(
        self,
        connection: Connection,
        actor: Actor,
        workspace_id: str,
        account_id: str,
        role: WorkspaceRole,
    ) -> None:
        connection.execute(
            memberships.insert(),
            {
                "workspace_id": workspace_id,
                "account_id": account_id,
                "role": role,
                "created_at": self._clock.now(),
            },
        )
        self._audit.append(
            connection, actor, "member.added", account_id, workspace_id=workspace_id, role=role
        )
        self._changed(connection, workspace_id, account_id)

    def _changed(self, connection: Connection, workspace_id: str, account_id: str) -> None:
        bump_access_epoch(connection)
        self._events.publish(connection, RolesChanged(workspace_id, account_id))

    def _check_not_last_owner(self, connection: Connection, workspace_id: str) -> None:
        owners = select(memberships.c.account_id).where(
            memberships.c.workspace_id == workspace_id,
            memberships.c.role == WorkspaceRole.OWNER,
        )
        if len(connection.execute(locked(owners, connection)).all()) == 1:
            raise Conflict(
                "This is the last owner of the workspace. Make somebody else an owner first."
            )

    @staticmethod
    def _key(
        workspace_id: str, account_id: str, role: WorkspaceRole
    ) -> tuple[ColumnElement[bool], ...]:
        return (
            memberships.c.workspace_id == workspace_id,
            memberships.c.account_id == account_id,
            memberships.c.role == role,
        )
