"""Which programs have an account of their own, and is this really one of them?"""

import hmac
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from carrel.core.actors import Actor, TreRole
from carrel.core.errors import NotFound
from carrel.core.ids import fingerprint, new_id, new_secret
from carrel.people.access import bump_access_epoch
from carrel.people.events import AccountDisabled
from carrel.people.rules import (
    Application,
    check_admin,
    check_display_name,
    check_secret_days,
)
from carrel.people.service.base import Room, locked
from carrel.people.tables import account_roles, accounts, applications, memberships

SECRET_DAYS = 90
NO_APPLICATION = "There is no such application. List them to find its client id."
_ALL = select(
    applications,
    accounts.c.display_name,
    accounts.c.is_active,
).join(accounts)


class Applications(Room):
    """Use cases on applications. Roles in workspaces are given to them as to people."""

    def create_application(
        self,
        actor: Actor,
        *,
        name: str,
        tre_roles: frozenset[TreRole] = frozenset({TreRole.USER}),
        secret_days: int = SECRET_DAYS,
    ) -> tuple[Application, str]:
        """Make an application; returns its secret too, which is stored nowhere.

        Only for administrators. Raises `InvalidRequest` naming the field.
        """
        check_admin(actor)
        display_name = check_display_name(name)
        client_id, account_id, secret = new_id(), new_id(), new_secret()
        now = self._clock.now()
        with self._database.write() as connection:
            connection.execute(
                accounts.insert(),
                {
                    "id": account_id,
                    "username": f"app-{account_id.replace('-', '')[:20]}",
                    "display_name": display_name,
                    "is_active": True,
                    "created_at": now,
                    "kind": "application",
                },
            )
            for role in sorted(tre_roles):
                connection.execute(account_roles.insert(), {"account_id": account_id, "role": role})
            connection.execute(
                applications.insert(),
                {
                    "id": client_id,
                    "account_id": account_id,
                    "created_at": now,
                    **self._secret_fields(secret, check_secret_days(secret_days)),
                },
            )
            self._audit.append(
                connection, actor, "application.created", client_id, account=account_id,
                name=display_name, tre_roles=sorted(tre_roles),
            )  # fmt: skip
            return self._get(connection, client_id), secret

    def list_applications(self, actor: Actor) -> Sequence[Application]:
        """Return every application, by name. Only for administrators."""
        check_admin(actor)
        roles: dict[str, set[TreRole]] = defaultdict(set)
        with self._database.read() as connection:
            held = select(account_roles).join(
                applications, applications.c.account_id == account_roles.c.account_id
            )
            for account_id, role in connection.execute(held):
                roles[account_id].add(TreRole(role))
            rows = connection.execute(_ALL.order_by(accounts.c.display_name, applications.c.id))
            return [_application(row, frozenset(roles[row.account_id])) for row in rows]

    def get_application(self, actor: Actor, client_id: str) -> Application:
        """Return one application. Only for administrators. Raises `NotFound`."""
        check_admin(actor)
        with self._database.read() as connection:
            return self._get(connection, client_id)

    def rotate_secret(
        self, actor: Actor, client_id: str, *, secret_days: int = SECRET_DAYS
    ) -> tuple[Application, str]:
        """Give an application a new secret; the old one and its tokens are over at once.

        Only for administrators.
        """
        check_admin(actor)
        days, secret = check_secret_days(secret_days), new_secret()
        with self._database.write() as connection:
            account_id = self._locked(connection, client_id).account_id
            connection.execute(
                update(applications)
                .where(applications.c.id == client_id)
                .values(**self._secret_fields(secret, days))
            )
            self._end_access_tokens(connection, account_id)
            self._audit.append(connection, actor, "application.secret_changed", client_id)
            return self._get(connection, client_id), secret

    def set_application_active(self, actor: Actor, client_id: str, *, active: bool) -> Application:
        """Enable or disable an application. May be called twice. Only for administrators."""
        check_admin(actor)
        with self._database.write() as connection:
            account_id = self._locked(connection, client_id).account_id
            before = self._get(connection, client_id)
            if before.is_active != active:
                action = "application.enabled" if active else "application.disabled"
                self._switch(connection, account_id, active=active)
                self._audit.append(connection, actor, action, client_id, account=account_id)
            return self._get(connection, client_id)

    def delete_application(self, actor: Actor, client_id: str) -> None:
        """Take an application away with every role of it; its tokens are over at once.

        Its account stays, disabled, for the record. Only for administrators.
        """
        check_admin(actor)
        with self._database.write() as connection:
            account_id = self._locked(connection, client_id).account_id
            self._switch(connection, account_id, active=False)
            for table in (memberships, account_roles, applications):
                connection.execute(table.delete().where(table.c.account_id == account_id))
            self._audit.append(
                connection, actor, "application.deleted", client_id, account=account_id
            )

    def check_application(self, client_id: str, secret: str, *, client: str) -> str | None:
        """Return the account id if the secret is right and in force, else None.

        `client` is the address the request came from; wrong guesses count for it alone, so that
        nobody can lock an application out. Raises `Denied` with the seconds to wait.
        """
        name = f"application:{client_id[:64]}@{client}"
        self._guesses.count(name, client)
        offered = fingerprint(secret)
        with self._database.write() as connection:
            row = connection.execute(_ALL.where(applications.c.id == client_id)).one_or_none()
            stored = row.secret_hash if row is not None else fingerprint("")
            fits = hmac.compare_digest(offered, stored)
            if row is None or not fits or not self._is_in_force(row):
                known = client_id if row is not None else None
                self._guesses.refuse(connection, name, client, subject=known)
                return None
            self._guesses.forgive(connection, name, client)
            return str(row.account_id)

    # -------------------------------------------------------------------------------------------

    def _is_in_force(self, row: Row[Any]) -> bool:
        return bool(row.is_active) and self._clock.now() < row.secret_expires_at

    def _secret_fields(self, secret: str, days: int) -> dict[str, Any]:
        now = self._clock.now()
        return {
            "secret_hash": fingerprint(secret),
            "secret_made_at": now,
            "secret_expires_at": now + timedelta(days=days),
        }

    def _switch(self, connection: Connection, account_id: str, *, active: bool) -> None:
        connection.execute(
            update(accounts).where(accounts.c.id == account_id).values(is_active=active)
        )
        if not active:
            self._end_access_tokens(connection, account_id)
            bump_access_epoch(connection)
            self._events.publish(connection, AccountDisabled(account_id))

    @staticmethod
    def _locked(connection: Connection, client_id: str) -> Row[Any]:
        query: Select[Any] = select(applications).where(applications.c.id == client_id)
        row = connection.execute(locked(query, connection)).one_or_none()
        if row is None:
            raise NotFound(NO_APPLICATION)
        return row

    @staticmethod
    def _get(connection: Connection, client_id: str) -> Application:
        row = connection.execute(_ALL.where(applications.c.id == client_id)).one_or_none()
        if row is None:
            raise NotFound(NO_APPLICATION)
        roles = select(account_roles.c.role).where(account_roles.c.account_id == row.account_id)
        return _application(row, frozenset(map(TreRole, connection.execute(roles).scalars())))


def _application(row: Row[Any], roles: frozenset[TreRole]) -> Application:
    return Application(
        client_id=row.id,
        account_id=row.account_id,
        name=row.display_name,
        tre_roles=roles,
        is_active=row.is_active,
        created_at=row.created_at,
        secret_made_at=row.secret_made_at,
        secret_expires_at=row.secret_expires_at,
    )
