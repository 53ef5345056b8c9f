"""What do all use cases of the people room share?"""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select, update

from carrel.core.actors import Actor, TreRole
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import NotFound
from carrel.core.events import Events
from carrel.core.settings import Settings
from carrel.people.access import bump_access_epoch
from carrel.people.events import SessionEnded
from carrel.people.issuer.grants import end_grants
from carrel.people.ports import WorkspaceCheck
from carrel.people.proofs import Proofs
from carrel.people.rules import Account
from carrel.people.service.guesses import Guesses
from carrel.people.tables import account_roles, accounts, sessions

NO_ACCOUNT = "There is no such account. Look it up by its user name."


class Room:
    """The ground under the use cases; see `People` for the whole."""

    def __init__(  # noqa: PLR0913 - what `app.build` chose, once
        self,
        *,
        database: Database,
        audit: Audit,
        events: Events,
        clock: Clock,
        settings: Settings,
        proofs: Proofs,
        is_workspace: WorkspaceCheck,
    ) -> None:
        self._database = database
        self._audit = audit
        self._events = events
        self._clock = clock
        self._settings = settings
        self._proofs = proofs
        self._is_workspace = is_workspace
        self._guesses = Guesses(database, audit, clock, allowed=settings.sign_in_attempts)
        self._idle = timedelta(minutes=settings.session_idle_minutes)

    def _row(self, connection: Connection, account_id: str) -> Row[Any]:
        """Return the account's row, locked where the database can. Raises `NotFound`."""
        query = select(accounts).where(accounts.c.id == account_id)
        row = connection.execute(locked(query, connection)).one_or_none()
        if row is None:
            raise NotFound(NO_ACCOUNT)
        return row

    def _account(self, connection: Connection, row: Row[Any]) -> Account:
        roles = select(account_roles.c.role).where(account_roles.c.account_id == row.id)
        return make_account(row, frozenset(map(TreRole, connection.execute(roles).scalars())))

    def _end_access_tokens(self, connection: Connection, account_id: str) -> None:
        """Let no access token count any more that was made until now, nor be made anew."""
        end_grants(connection, account_id)
        connection.execute(
            update(accounts)
            .where(accounts.c.id == account_id)
            .values(tokens_from=self._clock.now())
        )

    def _end_sessions(
        self, connection: Connection, actor: Actor, account_id: str, *, keep: str | None = None
    ) -> int:
        """End every session of an account except `keep`; returns how many."""
        doomed = sessions.delete().where(sessions.c.account_id == account_id)
        if keep is not None:
            doomed = doomed.where(sessions.c.id != keep)
        ended = connection.execute(doomed.returning(sessions.c.id)).scalars().all()
        for session_id in ended:
            self._audit.append(
                connection, actor, "session.ended", session_id, account=account_id, why="ended"
            )
            self._events.publish(connection, SessionEnded(session_id))
        if ended:
            bump_access_epoch(connection)
        return len(ended)


def make_account(row: Row[Any], roles: frozenset[TreRole]) -> Account:
    """Return the domain object of a row of `accounts`."""
    return Account(
        id=row.id,
        username=row.username,
        display_name=row.display_name,
        email=row.email,
        tre_roles=roles,
        has_totp=row.totp_secret is not None,
        is_active=row.is_active,
        created_at=row.created_at,
        kind=row.kind,
    )


def locked(query: Select[Any], connection: Connection, *, of: Table | None = None) -> Select[Any]:
    """Lock the rows (of one table) for this transaction; SQLite's writers are alone anyway."""
    if connection.dialect.name == "postgresql":
        return query.with_for_update(of=of)
    return query
