"""How does slow work survive `kill -9`? A durable queue with leases, heartbeats and fencing.

An item is put in the same transaction as the change that needs it. A worker claims it for a
lease, renews the lease while it works, and writes results only through `fenced`, which fails
once somebody else has claimed the item. One item at a time runs per `key`.

An item that fails again and again by a bug, or takes its worker down each time, is parked with
its error: a dead letter, which nobody claims until a person says `unpark` or `discard`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from carrel.core.clock import Clock
from carrel.core.database import Database, Json, Moment, metadata
from carrel.core.errors import Conflict, NotFound
from carrel.core.ids import new_id

work_items = Table(
    "work_items",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String, nullable=False),
    Column("key", String, nullable=False),
    Column("payload", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("run_after", Moment, nullable=False),
    Column("position", Float, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("fence", Integer, nullable=False, default=0),
    Column("owner", String),
    Column("leased_until", Moment),
    Column("failures", Integer),  # since it last went well; empty is none
    Column("parked_at", Moment),
    Column("error", String),
    Index("ix_work_items_due", "run_after", "position"),
    Index("ix_work_items_key_lease", "key", "leased_until"),
)


class LeaseLost(Conflict):
    """Somebody else has claimed the item; whatever this worker still holds is worthless."""

    code = "lease_lost"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A claimed piece of work."""

    id: str
    kind: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    """How often it was claimed, this time included."""
    fence: int
    """Grows with every claim; what is written under an older fence is refused."""
    owner: str
    failures: int = 0
    """How often in a row it ended in a bug, or in its worker's death."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was parked: nobody claims it until a person decides."""

    id: str
    kind: str
    key: str
    payload: Mapping[str, Any]
    error: str
    failures: int
    created_at: datetime
    parked_at: datetime


class Queue:
    """Durable work, shared by every worker of the TRE."""

    def __init__(self, database: Database, clock: Clock, *, lease_seconds: float = 20.0) -> None:
        self._database = database
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)

    def put(
        self,
        connection: Connection,
        kind: str,
        key: str,
        payload: Mapping[str, Any],
        *,
        delay_seconds: float = 0,
    ) -> str:
        """Add an item inside the caller's transaction; returns its id."""
        now = self._clock.now()
        item_id = new_id()
        connection.execute(
            work_items.insert(),
            {
                "id": item_id,
                "kind": kind,
                "key": key,
                "payload": dict(payload),
                "created_at": now,
                "run_after": now + timedelta(seconds=delay_seconds),
                "position": now.timestamp(),
                "attempts": 0,
                "fence": 0,
            },
        )
        return item_id

    def claim(self, owner: str, kinds: frozenset[str] | None = None) -> WorkItem | None:
        """Take the oldest due item whose key is free, for one lease; None if there is none."""
        now = self._clock.now()
        with self._database.write() as connection:
            if kinds is None:
                chosen = connection.execute(_DUE, {"b_now": now}).scalar()
            else:
                among = {"b_now": now, "b_kinds": sorted(kinds)}
                chosen = connection.execute(_DUE_OF_KINDS, among).scalar()
            if chosen is None:
                return None
            lease = {"b_id": chosen, "b_owner": owner, "b_until": now + self._lease}
            row = connection.execute(_CLAIM, lease).one()
        return WorkItem(
            id=row.id,
            kind=row.kind,
            key=row.key,
            payload=row.payload,
            attempts=row.attempts,
            fence=row.fence,
            owner=owner,
            failures=row.failures or 0,
        )

    def renew(self, item: WorkItem) -> None:
        """Extend the lease. Raises `LeaseLost`."""
        with self.fenced(item) as connection:
            connection.execute(
                update(work_items)
                .where(work_items.c.id == item.id)
                .values(leased_until=self._clock.now() + self._lease)
            )

    @contextmanager
    def fenced(self, item: WorkItem) -> Iterator[Connection]:
        """Open a write transaction that counts only while `item` is still ours.

        Raises `LeaseLost` before anything is written if it is not.
        """
        with self._database.write() as connection:
            self._check(connection, item)
            yield connection

    def complete(self, connection: Connection, item: WorkItem) -> None:
        """Remove the item, inside a transaction opened by `fenced`."""
        connection.execute(_COMPLETE, {"b_id": item.id})

    def postpone(
        self,
        connection: Connection,
        item: WorkItem,
        *,
        delay_seconds: float,
        has_failed: bool = False,
    ) -> None:
        """Give the item back, to be claimed again after a while; `has_failed` counts."""
        connection.execute(
            update(work_items)
            .where(work_items.c.id == item.id)
            .values(
                owner=None,
                leased_until=None,
                run_after=self._clock.now() + timedelta(seconds=delay_seconds),
                failures=item.failures + 1 if has_failed else 0,
            )
        )

    def revoke(self, connection: Connection, item: WorkItem) -> None:
        """Take the item out of its holder's hands: due at once, the old lease worth nothing."""
        connection.execute(
            update(work_items)
            .where(work_items.c.id == item.id)
            .values(
                owner=None,
                leased_until=None,
                run_after=self._clock.now(),
                fence=work_items.c.fence + 1,
            )
        )

    def went_well(self, connection: Connection, item: WorkItem) -> None:
        """Forget the item's failures: it has come further. Costs nothing if there are none."""
        if item.failures:
            mine = update(work_items).where(work_items.c.id == item.id)
            connection.execute(mine.values(failures=0))

    # Dead letters -----------------------------------------------------------------------------

    def park(self, connection: Connection, item: WorkItem, error: str) -> None:
        """Put the item aside with the error that it always ends in, inside `fenced`."""
        connection.execute(
            update(work_items)
            .where(work_items.c.id == item.id)
            .values(owner=None, leased_until=None, parked_at=self._clock.now(), error=error)
        )

    def list_dead(self, connection: Connection) -> Sequence[DeadLetter]:
        """Return every parked item, the oldest first."""
        query = select(work_items).where(work_items.c.parked_at.is_not(None))
        ordered = query.order_by(work_items.c.parked_at, work_items.c.id)
        return [_dead_letter(row) for row in connection.execute(ordered)]

    def get_dead(self, connection: Connection, item_id: str) -> DeadLetter:
        """Return a parked item, locked for the transaction. Raises `NotFound`."""
        query = select(work_items).where(
            work_items.c.id == item_id, work_items.c.parked_at.is_not(None)
        )
        row = connection.execute(query.with_for_update()).one_or_none()
        if row is None:
            raise NotFound("There is no such dead letter; it may have been settled already.")
        return _dead_letter(row)

    def unpark(self, connection: Connection, letter: DeadLetter) -> None:
        """Let a parked item be claimed again, as if it had never failed."""
        connection.execute(
            update(work_items)
            .where(work_items.c.id == letter.id)
            .values(parked_at=None, error=None, failures=0, run_after=self._clock.now())
        )

    def discard(self, connection: Connection, letter: DeadLetter) -> None:
        """Remove a parked item for good; what it stood for is the caller's to settle."""
        connection.execute(_COMPLETE, {"b_id": letter.id})

    def count_dead(self, connection: Connection) -> int:
        """Return how many items are parked."""
        query = select(func.count()).select_from(work_items)
        return connection.execute(query.where(work_items.c.parked_at.is_not(None))).scalar_one()

    def hasten(self, connection: Connection, kind: str, key: str) -> None:
        """Make items that wait for a later try due at once."""
        now = self._clock.now()
        connection.execute(
            update(work_items)
            .where(
                work_items.c.kind == kind,
                work_items.c.key == key,
                work_items.c.run_after > now,
            )
            .values(run_after=now)
        )

    def depth(self, connection: Connection) -> int:
        """Return how many items wait or run; what is parked does neither."""
        query = select(func.count()).select_from(work_items)
        return connection.execute(query.where(work_items.c.parked_at.is_(None))).scalar_one()

    def _check(self, connection: Connection, item: WorkItem) -> None:
        if connection.execute(_FENCE, {"b_id": item.id}).scalar() != item.fence:
            raise LeaseLost("Another worker has taken over this piece of work.")


# Written out once: to build these statements costs as much as to run them.
_CLAIM = (
    update(work_items)
    .where(work_items.c.id == bindparam("b_id"))
    .values(
        owner=bindparam("b_owner"),
        leased_until=bindparam("b_until"),
        attempts=work_items.c.attempts + 1,
        fence=work_items.c.fence + 1,
        # An owner is still there if a worker neither finished nor gave it back: it died.
        failures=func.coalesce(work_items.c.failures, 0)
        + case((work_items.c.owner.is_not(None), 1), else_=0),
    )
    .returning(work_items)
)
_COMPLETE = delete(work_items).where(work_items.c.id == bindparam("b_id"))
_FENCE = (  # SQLite ignores the lock: its writers are alone
    select(work_items.c.fence).where(work_items.c.id == bindparam("b_id")).with_for_update()
)


def _due_items() -> Select[tuple[str]]:
    other = work_items.alias("other")
    now = bindparam("b_now", type_=Moment)
    free = or_(work_items.c.leased_until.is_(None), work_items.c.leased_until < now)
    key_busy = exists().where(
        and_(
            other.c.key == work_items.c.key,
            other.c.id != work_items.c.id,
            other.c.parked_at.is_(None),
            or_(
                other.c.leased_until >= now,
                other.c.position < work_items.c.position,
                and_(other.c.position == work_items.c.position, other.c.id < work_items.c.id),
            ),
        )
    )
    return (
        select(work_items.c.id)
        .where(work_items.c.run_after <= now, work_items.c.parked_at.is_(None), free, ~key_busy)
        .order_by(work_items.c.position, work_items.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _dead_letter(row: Any) -> DeadLetter:
    return DeadLetter(
        id=row.id,
        kind=row.kind,
        key=row.key,
        payload=row.payload,
        error=row.error or "",
        failures=row.failures or 0,
        created_at=row.created_at,
        parked_at=row.parked_at,
    )


_DUE = _due_items()
_DUE_OF_KINDS = _DUE.where(work_items.c.kind.in_(bindparam("b_kinds", expanding=True)))
