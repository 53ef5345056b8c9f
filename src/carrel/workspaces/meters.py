"""What has a workspace, or one user resource, used? Samples are only ever added.

The runtime's counters are raw and start again at zero whenever their epoch changes. A sample
holds what was added since the one before; the raw value it was computed from lies beside it in
`usage_counters`, changed in the same transaction, so nothing is counted twice or negative.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.runtime.ports import RuntimeDriver, Usage
from carrel.workspaces.ports import DoorBytes
from carrel.workspaces.rules import Resource, ResourceKind
from carrel.workspaces.store import list_resources
from carrel.workspaces.tables import resources, usage_counters, usage_samples


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What a resource has used since it was made, and what it holds now."""

    cpu_seconds: float
    door_bytes: int
    memory_bytes: int
    memory_peak_bytes: int
    disk_bytes: int
    processes: int
    metered_seconds: float
    """How long it was seen running, or for a workspace, existing."""
    sampled_at: datetime | None
    """When the last sample was taken; None if there is none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at raw counters."""

    epoch: str
    cpu_seconds: float
    door_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What was added between two readings."""

    seconds: float
    cpu_seconds: float
    door_bytes: int


def growth(old: Reading | None, new: Reading, elapsed_seconds: float) -> Growth:
    """Return what was added from `old` to `new`; never negative.

    Counters of another epoch started at zero, and so did counters that fell.
    """
    if old is None:
        return Growth(0.0, new.cpu_seconds, new.door_bytes)
    has_restarted = old.epoch != new.epoch or new.cpu_seconds < old.cpu_seconds
    cpu_seconds = new.cpu_seconds - (0.0 if has_restarted else old.cpu_seconds)
    seconds = 0.0 if has_restarted else max(0.0, elapsed_seconds)
    door_bytes = new.door_bytes - (old.door_bytes if new.door_bytes >= old.door_bytes else 0)
    return Growth(seconds, cpu_seconds, door_bytes)


def no_doors(resource_id: str | None = None) -> Mapping[str, int]:
    """Return no byte counts, where nobody counts them."""
    del resource_id
    return {}


class Meters:
    """Takes samples of everything that runs."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        runtime: RuntimeDriver,
        door_bytes: DoorBytes = no_doors,
    ) -> None:
        self._database = database
        self._clock = clock
        self._runtime = runtime
        self._door_bytes = door_bytes

    def sample_all(self) -> int:
        """Sample every workspace on this host and every sandbox in it; returns how many.

        Raises `Unavailable` if the host or the database does not answer.
        """
        running = self._runtime.running()
        with self._database.read() as connection:
            living = list_resources(
                connection,
                resources.c.kind.in_([ResourceKind.WORKSPACE, ResourceKind.USER_RESOURCE]),
            )
        doors = self._door_bytes()
        here = [
            each
            for each in living
            if (
                each.workspace_id in running
                if each.id == each.workspace_id
                else _runs(each, running)
            )
        ]
        return sum(self._sample(each, doors.get(each.id, 0)) for each in here)

    def sample(self, resource: Resource) -> bool:
        """Sample one resource, for instance before it stops; False if it does not run."""
        return self._sample(resource, self._door_bytes(resource.id).get(resource.id, 0))

    def _sample(self, resource: Resource, door_bytes: int) -> bool:
        workspace_id = resource.workspace_id or ""
        sandbox_id = resource.id if resource.kind is ResourceKind.USER_RESOURCE else None
        seen = self._runtime.usage(workspace_id, sandbox_id)
        if seen is None:
            return False
        new = Reading(seen.epoch, seen.cpu_seconds, door_bytes)
        with self._database.write() as connection:
            self._write(connection, resource, seen, new)
        return True

    def _write(self, connection: Connection, resource: Resource, seen: Usage, new: Reading) -> None:
        now = self._clock.now()
        query = select(usage_counters).where(usage_counters.c.subject == resource.id)
        row = connection.execute(query.with_for_update()).one_or_none()
        old = Reading(row.epoch, row.cpu_seconds, row.door_bytes) if row else None
        added = growth(old, new, (now - row.at).total_seconds() if row else 0.0)
        raw = {
            "epoch": new.epoch,
            "cpu_seconds": new.cpu_seconds,
            "door_bytes": new.door_bytes,
            "at": now,
        }
        if row:
            mine = usage_counters.c.subject == resource.id
            connection.execute(usage_counters.update().where(mine).values(**raw))
        else:
            keys = {"subject": resource.id, "workspace_id": resource.workspace_id}
            connection.execute(usage_counters.insert(), {**keys, **raw})
        is_workspace = resource.kind is ResourceKind.WORKSPACE
        connection.execute(
            usage_samples.insert(),
            {
                "at": now,
                "workspace_id": resource.workspace_id,
                "resource_id": None if is_workspace else resource.id,
                "interval_seconds": added.seconds,
                "cpu_seconds": added.cpu_seconds,
                "memory_bytes": seen.memory_bytes,
                "memory_peak_bytes": seen.memory_peak_bytes,
                "disk_bytes": seen.disk_bytes,
                "door_bytes": added.door_bytes,
                "processes": seen.processes,
                "source": seen.source,
            },
        )


def read_totals(connection: Connection, resource: Resource) -> UsageTotals:
    """Return the sums over a resource's samples, and its last sample's gauges."""
    columns = usage_samples.c
    subject = None if resource.kind is ResourceKind.WORKSPACE else resource.id
    mine = (
        columns.workspace_id == resource.workspace_id,
        columns.resource_id.is_(None) if subject is None else columns.resource_id == subject,
    )
    sums = connection.execute(
        select(
            func.coalesce(func.sum(columns.cpu_seconds), 0.0).label("cpu_seconds"),
            func.coalesce(func.max(columns.memory_peak_bytes), 0).label("peak"),
            func.coalesce(func.sum(columns.interval_seconds), 0.0).label("seconds"),
        ).where(*mine)
    ).one()
    through = mine[:1] if subject is None else mine  # a workspace's doors are its members' too
    moved = connection.execute(select(func.sum(columns.door_bytes)).where(*through)).scalar()
    last = connection.execute(
        select(usage_samples).where(*mine).order_by(columns.at.desc(), columns.id.desc()).limit(1)
    ).one_or_none()
    return _totals(sums, last, int(moved or 0))


def _totals(sums: Any, last: Any, door_bytes: int) -> UsageTotals:
    return UsageTotals(
        cpu_seconds=float(sums.cpu_seconds),
        door_bytes=door_bytes,
        memory_bytes=last.memory_bytes if last else 0,
        memory_peak_bytes=int(sums.peak),
        disk_bytes=last.disk_bytes if last else 0,
        processes=last.processes if last else 0,
        metered_seconds=float(sums.seconds),
        sampled_at=last.at if last else None,
    )


def _runs(resource: Resource, running: Mapping[str, object]) -> bool:
    sandboxes = running.get(resource.workspace_id or "")
    return isinstance(sandboxes, list | tuple) and resource.id in sandboxes
