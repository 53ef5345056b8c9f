"""How long must somebody wait who guesses the codes of other people's devices?"""

import hashlib

from sqlalchemy import Connection, select, update

from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import Denied
from carrel.people.rules import Failures, count_attempt, remaining_wait
from carrel.people.tables import sign_in_failures

_TABLE = sign_in_failures
ALLOWED = 8


class Attempts:
    """Counts what was typed wrong, by account, beside the failed sign-ins."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def count(self, account_id: str) -> None:
        """Count an attempt before it is checked. Raises `Denied` with the seconds to wait."""
        key, now = _key(account_id), self._clock.now()
        with self._database.write() as connection:
            row = connection.execute(select(_TABLE).where(_TABLE.c.key == key)).one_or_none()
            state = Failures(row.failures, row.last_at, row.wait_until) if row else Failures()
            if wait := remaining_wait(state, now):
                raise Denied(f"Too many wrong codes. Wait {wait} seconds, then try again.")
            after = count_attempt(state, ALLOWED, now)
            values = {
                "failures": after.count,
                "last_at": after.last_at,
                "wait_until": after.wait_until,
            }
            if row is None:
                connection.execute(_TABLE.insert(), {"key": key, **values})
            else:
                connection.execute(update(_TABLE).where(_TABLE.c.key == key).values(**values))

    def forgive(self, connection: Connection, account_id: str) -> None:
        """Take back what was counted, because the code was right.

        Only this attempt: whoever has a code of their own must not buy guesses with it.
        """
        connection.execute(
            update(_TABLE)
            .where(_TABLE.c.key == _key(account_id), _TABLE.c.failures > 0)
            .values(failures=_TABLE.c.failures - 1, wait_until=None)
        )


def _key(account_id: str) -> str:
    return hashlib.sha256(f"device:{account_id}".encode()).hexdigest()
