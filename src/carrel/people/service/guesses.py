"""How long must somebody wait who guesses passwords? The database remembers over restarts."""

import hashlib
from datetime import timedelta

from sqlalchemy import Connection, select, text, update

from carrel.core.actors import system
from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import Denied
from carrel.people.rules import (
    CLIENT_FACTOR,
    FORGET_SECONDS,
    Failures,
    count_attempt,
    remaining_wait,
)
from carrel.people.tables import accounts, sign_in_failures

_STRANGER = system("sign-in")
_LOCK = 0x0CA88E2


class Guesses:
    """Failed sign-ins by account name, whether or not it exists, and by client address."""

    def __init__(self, database: Database, audit: Audit, clock: Clock, *, allowed: int) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._allowed = (allowed, allowed * CLIENT_FACTOR)

    def count(self, username: str, client: str) -> None:
        """Count an attempt before it is checked, so that many at once gain nothing.

        Raises `Denied` with the seconds to wait; such an attempt is not even looked at.
        """
        now = self._clock.now()
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            states = {key: _failures(connection, key) for key in _keys(username, client)}
            wait = max(remaining_wait(state, now) for state in states.values())
            if wait:
                raise Denied(f"Too many failed sign-ins. Wait {wait} seconds, then try again.")
            for (key, state), allowed in zip(states.items(), self._allowed, strict=True):
                _store(connection, key, count_attempt(state, allowed, now))

    def forgive(self, connection: Connection, username: str, client: str) -> None:
        """Take back what was counted, because the attempt was right."""
        account, address = _keys(username, client)
        table = sign_in_failures
        connection.execute(table.delete().where(table.c.key == account))
        connection.execute(
            update(table)
            .where(table.c.key == address, table.c.failures > 0)
            .values(failures=table.c.failures - 1, wait_until=None)
        )

    def refuse(
        self, connection: Connection, username: str, client: str, *, subject: str | None = None
    ) -> None:
        """Record that the attempt was wrong, and that a wait begins if one does.

        `subject` is whose proof was offered, if it is known and not an account's name.
        """
        now = self._clock.now()
        # The name itself is not recorded: people type passwords into the wrong field.
        query = select(accounts.c.id).where(accounts.c.username == username)
        subject = subject or connection.execute(query).scalar() or "unknown"
        self._audit.append(connection, _STRANGER, "session.refused", subject, client=client)
        for key in _keys(username, client):
            state = _failures(connection, key)
            if wait := remaining_wait(state, now):
                self._audit.append(
                    connection,
                    _STRANGER,
                    "session.throttled",
                    subject,
                    client=client,
                    failures=state.count,
                    wait_seconds=wait,
                )
        old = now - timedelta(seconds=FORGET_SECONDS)
        connection.execute(sign_in_failures.delete().where(sign_in_failures.c.last_at < old))


def _keys(username: str, client: str) -> tuple[str, str]:
    names = (f"account:{username}", f"client:{client}")
    account, address = (hashlib.sha256(name.encode()).hexdigest() for name in names)
    return account, address


def _failures(connection: Connection, key: str) -> Failures:
    query = select(sign_in_failures).where(sign_in_failures.c.key == key)
    row = connection.execute(query).one_or_none()
    return Failures(row.failures, row.last_at, row.wait_until) if row else Failures()


def _store(connection: Connection, key: str, state: Failures) -> None:
    table = sign_in_failures
    values = {"failures": state.count, "last_at": state.last_at, "wait_until": state.wait_until}
    changed = connection.execute(update(table).where(table.c.key == key).values(**values))
    if changed.rowcount == 0:
        connection.execute(table.insert(), {"key": key, **values})
