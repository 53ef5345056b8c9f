"""Is this TRE well? The database, the queue, every role, and what isolation the host gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carrel.core.clock import monotonic
from carrel.core.database import Database
from carrel.core.errors import CarrelError
from carrel.core.queue import Queue
from carrel.core.roles import Roles, RoleState
from carrel.runtime.ports import SelfTest

REMEMBER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the TRE that can be well or not."""

    name: str
    is_well: bool
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The state of the whole TRE at one moment."""

    database: Part
    queue: Part
    isolation: Part
    roles: Sequence[RoleState]
    self_test: SelfTest | None
    """None if the launcher did not answer; then `isolation` says why."""

    @property
    def is_well(self) -> bool:
        """Whether nothing needs a person."""
        parts = (self.database, self.queue, self.isolation)
        return all(part.is_well for part in parts) and all(role.is_alive for role in self.roles)


class Health:
    """Asks each part how it is; remembers the answer for two seconds."""

    def __init__(
        self, database: Database, queue: Queue, roles: Roles, self_test: Callable[[], SelfTest]
    ) -> None:
        self._database = database
        self._queue = queue
        self._roles = roles
        self._self_test = self_test
        self._remembered: tuple[float, Report] | None = None

    def report(self) -> Report:
        """Return the state of the TRE. Never raises one of our errors: they are its content."""
        if self._remembered and monotonic() - self._remembered[0] < REMEMBER_SECONDS:
            return self._remembered[1]
        report = self._ask()
        self._remembered = (monotonic(), report)
        return report

    def _ask(self) -> Report:
        isolation, self_test = self._isolation()
        try:
            with self._database.read() as connection:
                depth = self._queue.depth(connection)
                dead = self._queue.count_dead(connection)
            roles = self._roles.list_states()
        except CarrelError as error:
            away = Part("Database", is_well=False, message=str(error))
            unknown = Part("Queue", is_well=False, message="Unknown while the database is away.")
            return Report(away, unknown, isolation, (), self_test)
        kind = "SQLite" if self._database.is_sqlite else "PostgreSQL"
        return Report(
            database=Part("Database", is_well=True, message=f"{kind} answers."),
            queue=Part("Queue", is_well=not dead, message=_waiting(depth) + _parked(dead)),
            isolation=isolation,
            roles=roles,
            self_test=self_test,
        )

    def _isolation(self) -> tuple[Part, SelfTest | None]:
        try:
            found = self._self_test()
        except CarrelError as error:
            return Part("Isolation", is_well=False, message=str(error)), None
        failed = sum(not check.passed for check in found.checks)
        message = f"Level {found.level}: " + (
            f"{failed} of {len(found.checks)} protections are missing on this host."
            if failed
            else "this host enforces every protection."
        )
        return Part("Isolation", is_well=not failed, message=message), found


def _waiting(depth: int) -> str:
    return f"{depth} piece{'' if depth == 1 else 's'} of work waiting or under way."


def _parked(dead: int) -> str:
    if not dead:
        return ""
    return f" {dead} put aside because it failed again and again: look at the dead letters."
