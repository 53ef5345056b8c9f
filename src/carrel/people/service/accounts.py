"""Who has an account, and may it be used?"""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from carrel.core.actors import Actor, TreRole
from carrel.core.errors import Conflict, NotFound
from carrel.core.ids import new_id
from carrel.people.access import bump_access_epoch
from carrel.people.events import AccountDisabled
from carrel.people.rules import (
    Account,
    check_admin,
    check_display_name,
    check_email,
    check_password,
    check_username,
)
from carrel.people.service.base import NO_ACCOUNT, Room, locked, make_account
from carrel.people.tables import account_roles, accounts


class Accounts(Room):
    """Use cases on accounts."""

    def create_account(
        self,
        actor: Actor,
        *,
        username: str,
        display_name: str,
        password: str,
        email: str | None = None,
        tre_roles: frozenset[TreRole] = frozenset({TreRole.USER}),
    ) -> Account:
        """Make an account that can sign in at once. Only for administrators.

        Raises `InvalidRequest` naming the field, `Conflict` if the user name is taken.
        """
        check_admin(actor)
        name = check_username(username)
        fields = {
            "id": new_id(),
            "username": name,
            "display_name": check_display_name(display_name),
            "email": check_email(email),
            "password_hash": self._proofs.passwords.hash(check_password(password, name)),
            "is_active": True,
            "created_at": self._clock.now(),
        }
        with self._database.write() as connection:
            if self._find(connection, name) is not None:
                raise Conflict(
                    f"The user name {name} is taken. Choose another one.", field="username"
                )
            row = connection.execute(accounts.insert().returning(accounts), fields).one()
            for role in sorted(tre_roles):
                connection.execute(account_roles.insert(), {"account_id": row.id, "role": role})
            self._audit.append(
                connection,
                actor,
                "account.created",
                row.id,
                username=name,
                tre_roles=sorted(tre_roles),
            )
            return make_account(row, tre_roles)

    def list_accounts(self, actor: Actor) -> Sequence[Account]:
        """Return every account, applications' too, by user name. Only for administrators."""
        check_admin(actor)
        with self._database.read() as connection:
            roles: dict[str, set[TreRole]] = defaultdict(set)
            for account_id, role in connection.execute(select(account_roles)):
                roles[account_id].add(TreRole(role))
            rows = connection.execute(select(accounts).order_by(accounts.c.username))
            return [make_account(row, frozenset(roles[row.id])) for row in rows]

    def get_account(self, actor: Actor, account_id: str) -> Account:
        """Return an account: one's own, or any for administrators. Raises `NotFound`."""
        if actor.id != account_id and not (actor.is_admin or actor.is_system):
            raise NotFound(NO_ACCOUNT)
        with self._database.read() as connection:
            query = select(accounts).where(accounts.c.id == account_id)
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound(NO_ACCOUNT)
            return self._account(connection, row)

    def find_account_by_name(self, username: str) -> Account | None:
        """Return the account with this user name, or None."""
        with self._database.read() as connection:
            return self._find(connection, username.strip().lower())

    def set_active(self, actor: Actor, account_id: str, *, active: bool) -> Account:
        """Enable or disable an account; disabling ends its sessions. May be called twice.

        Raises `Conflict` for the last active administrator.
        """
        check_admin(actor)
        with self._database.write() as connection:
            admins = () if active else self._lock_admins(connection)
            row = self._row(connection, account_id)
            before = self._account(connection, row)
            if before.is_active == active:
                return before
            if list(admins) == [account_id]:
                raise Conflict(
                    "This is the last active TRE administrator. Make another one first, "
                    "or nobody could administer this TRE."
                )
            changed = connection.execute(
                update(accounts)
                .where(accounts.c.id == account_id)
                .values(is_active=active)
                .returning(accounts)
            ).one()
            action = "account.enabled" if active else "account.disabled"
            self._audit.append(connection, actor, action, account_id, username=before.username)
            if not active:
                self._end_sessions(connection, actor, account_id)
                self._end_access_tokens(connection, account_id)
                bump_access_epoch(connection)
                self._events.publish(connection, AccountDisabled(account_id))
            return make_account(changed, before.tre_roles)

    def _find(self, connection: Connection, username: str) -> Account | None:
        query = select(accounts).where(accounts.c.username == username)
        row = connection.execute(query).one_or_none()
        return None if row is None else self._account(connection, row)

    @staticmethod
    def _lock_admins(connection: Connection) -> Sequence[str]:
        """Return the active administrators' ids; none is disabled before this transaction ends.

        Always locked in the same order, and before any other account, so that nobody deadlocks.
        """
        admins = (
            select(accounts.c.id)
            .join(account_roles)
            .where(
                account_roles.c.role == TreRole.ADMIN,
                accounts.c.is_active,
                accounts.c.kind == "person",
            )
            .order_by(accounts.c.id)
        )
        return connection.execute(locked(admins, connection, of=accounts)).scalars().all()
