"""How many bytes went through the door, for meters and for the watchful?"""

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.gateway.tables import door_bytes


class Counter:
    """The bytes of one tool since the last flush."""

    __slots__ = ("bytes_in", "bytes_out", "resource_id", "workspace_id")

    def __init__(self, workspace_id: str, resource_id: str) -> None:
        self.workspace_id = workspace_id
        self.resource_id = resource_id
        self.bytes_in = 0
        self.bytes_out = 0


class Counters:
    """Counts in memory, written to an append-only table now and then."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._counters: dict[str, Counter] = {}

    def of(self, workspace_id: str, resource_id: str) -> Counter:
        """Return the counter of one tool; add to its fields."""
        counter = self._counters.get(resource_id)
        if counter is None:
            counter = self._counters[resource_id] = Counter(workspace_id, resource_id)
        return counter

    def take(self) -> list[dict[str, object]]:
        """Return what was counted since the last call, as rows, and begin again at zero."""
        now = self._clock.now()
        rows: list[dict[str, object]] = []
        for counter in self._counters.values():
            for direction, amount in (("in", counter.bytes_in), ("out", counter.bytes_out)):
                if amount:
                    rows.append(
                        {
                            "resource_id": counter.resource_id,
                            "workspace_id": counter.workspace_id,
                            "direction": direction,
                            "bytes": amount,
                            "sampled_at": now,
                        }
                    )
            counter.bytes_in = counter.bytes_out = 0
        return rows

    def put_back(self, rows: list[dict[str, object]]) -> None:
        """Count again what could not be written."""
        for row in rows:
            counter = self.of(str(row["workspace_id"]), str(row["resource_id"]))
            amount = int(str(row["bytes"]))
            if row["direction"] == "in":
                counter.bytes_in += amount
            else:
                counter.bytes_out += amount

    def write(self, rows: list[dict[str, object]]) -> None:
        """Append the rows that `take` returned."""
        if rows:
            with self._database.write() as connection:
                connection.execute(door_bytes.insert(), rows)


def door_totals(connection: Connection) -> Mapping[str, int]:
    """Return the bytes in both directions since ever, by resource id; they only grow."""
    query = select(door_bytes.c.resource_id, func.sum(door_bytes.c.bytes)).group_by(
        door_bytes.c.resource_id
    )
    return {resource_id: int(total) for resource_id, total in connection.execute(query)}
