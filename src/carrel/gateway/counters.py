"""How many bytes went through the door, for meters and for the watchful?"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from carrel.core.clock import Clock
from carrel.core.database import Database, add_up
from carrel.gateway.tables import door_bytes


class Counter:
    """The bytes of one tool since the last flush."""

    __slots__ = ("bytes_in", "bytes_out", "resource_id", "workspace_id")

    def __init__(self, workspace_id: str, resource_id: str) -> None:
        self.workspace_id = workspace_id
        self.resource_id = resource_id
        self.bytes_in = 0
        self.bytes_out = 0


class Counted(NamedTuple):
    """Bytes of one tool in one direction, on their way into the database."""

    resource_id: str
    direction: str
    """`in`, to the tool, or `out`, to the browser."""
    workspace_id: str
    amount: int


class Counters:
    """Counts in memory, added to the counters in the database now and then."""

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

    def take(self) -> list[Counted]:
        """Return what was counted since the last call, and begin again at zero."""
        taken: list[Counted] = []
        for counter in self._counters.values():
            for direction, amount in (("in", counter.bytes_in), ("out", counter.bytes_out)):
                if amount:
                    taken.append(
                        Counted(counter.resource_id, direction, counter.workspace_id, amount)
                    )
            counter.bytes_in = counter.bytes_out = 0
        return taken

    def put_back(self, taken: list[Counted]) -> None:
        """Count again what could not be written."""
        for each in taken:
            counter = self.of(each.workspace_id, each.resource_id)
            if each.direction == "in":
                counter.bytes_in += each.amount
            else:
                counter.bytes_out += each.amount

    def write(self, taken: list[Counted]) -> None:
        """Add what `take` returned to the counters in the database."""
        if not taken:
            return
        now = self._clock.now()
        with self._database.write() as connection:
            for each in sorted(taken):  # in one order, so that two gateways never wait in a ring
                add_up(
                    connection,
                    door_bytes,
                    {"resource_id": each.resource_id, "direction": each.direction},
                    {"bytes": each.amount},
                    {"workspace_id": each.workspace_id, "updated_at": now},
                )


def door_totals(connection: Connection, resource_id: str | None = None) -> Mapping[str, int]:
    """Return the bytes in both directions since ever, by resource id, of one or of all.

    They only grow.
    """
    table = door_bytes.c
    query = select(table.resource_id, func.sum(table.bytes)).group_by(table.resource_id)
    if resource_id is not None:
        query = query.where(table.resource_id == resource_id)
    return {resource_id: int(total) for resource_id, total in connection.execute(query)}
