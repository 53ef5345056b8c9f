"""Which processes of this TRE are alive? Each role writes a line every few seconds."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Column, String, Table, delete, select, update

from carrel.core.clock import Clock
from carrel.core.database import Database, Moment, metadata

BEAT_SECONDS = 10
LATE_SECONDS = 30
FORGOTTEN = timedelta(days=1)

role_beats = Table(
    "role_beats",
    metadata,
    Column("role", String(32), primary_key=True),
    Column("instance", String(128), primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)


class Role(StrEnum):
    """A kind of process of a TRE (design section 3)."""

    SERVE = "serve"
    WORK = "work"
    GATEWAY = "gateway"
    PACKAGES = "packages"


@dataclass(frozen=True, slots=True)
class RoleState:
    """What is known of one process, or of a role that no process fills."""

    role: Role
    instance: str
    """Host and process number; empty if no process ever filled the role."""
    started_at: datetime | None
    seen_at: datetime | None
    is_alive: bool


class Roles:
    """The lines that the processes of a TRE write, and what they mean."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._instance = f"{socket.gethostname()}:{os.getpid()}"

    def beat(self, role: Role) -> None:
        """Write that this process is alive in `role`; call every `BEAT_SECONDS`."""
        now = self._clock.now()
        mine = (role_beats.c.role == role.value) & (role_beats.c.instance == self._instance)
        with self._database.write() as connection:
            seen = connection.execute(update(role_beats).where(mine).values(seen_at=now))
            if seen.rowcount == 0:
                connection.execute(
                    role_beats.insert(),
                    {
                        "role": role.value,
                        "instance": self._instance,
                        "started_at": now,
                        "seen_at": now,
                    },
                )
                old = role_beats.c.seen_at < now - FORGOTTEN
                connection.execute(delete(role_beats).where(old))

    def leave(self, role: Role) -> None:
        """Take the line away, at an orderly end."""
        mine = (role_beats.c.role == role.value) & (role_beats.c.instance == self._instance)
        with self._database.write() as connection:
            connection.execute(delete(role_beats).where(mine))

    def list_states(self) -> Sequence[RoleState]:
        """Return every living process, and for a role without one the last that was seen."""
        limit = self._clock.now() - timedelta(seconds=LATE_SECONDS)
        query = select(role_beats).order_by(role_beats.c.seen_at.desc(), role_beats.c.instance)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        states: list[RoleState] = []
        for role in Role:
            known = [
                RoleState(role, row.instance, row.started_at, row.seen_at, row.seen_at >= limit)
                for row in rows
                if row.role == role.value
            ]
            alive = [state for state in known if state.is_alive]
            states += alive or known[:1] or [RoleState(role, "", None, None, is_alive=False)]
        return states
