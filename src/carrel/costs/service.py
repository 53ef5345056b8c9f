"""Who may see which costs, and how are they read out of the meters?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Row, String, and_, func, or_, select, type_coerce

from carrel.core.actors import Actor, WorkspaceRole
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.errors import Denied, NotFound
from carrel.core.settings import Settings
from carrel.costs.rules import Cost, Granularity, Period, Prices, Use, costs_of
from carrel.workspaces.rules import ResourceKind
from carrel.workspaces.tables import resources, usage_samples

T = TypeVar("T")
CACHED = timedelta(seconds=60)
CACHE_LIMIT = 200
K = ResourceKind


@dataclass(frozen=True, slots=True)
class CostItem:
    """What one resource costs, and what is below it."""

    id: str
    name: str
    costs: Sequence[Cost]
    below: Sequence["CostItem"] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class TreCosts:
    """What the whole TRE costs."""

    shared_services: Sequence[CostItem]
    workspaces: Sequence[CostItem]


class Costs:
    """The use cases on costs. What was deleted still counts in the time that it was there."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._prices = Prices(
            cpu_hour=settings.price_cpu_hour,
            memory_gib_hour=settings.price_memory_gib_hour,
            disk_gib_month=settings.price_disk_gib_month,
            currency=settings.currency,
        )
        self._cache: dict[tuple[Any, ...], tuple[datetime, Any]] = {}

    def now(self) -> datetime:
        """Return the time by which a report without dates is made."""
        return self._clock.now()

    def of_tre(self, actor: Actor, time: Period, granularity: Granularity) -> TreCosts:
        """Return the costs of every shared service and workspace; administrators only."""
        if not actor.is_admin:
            raise Denied("Only a TRE administrator sees the costs of the whole TRE; ask one.")
        return self._cached((None, time, granularity), lambda: self._tre(time, granularity))

    def of_workspace(
        self, actor: Actor, workspace_id: str, time: Period, granularity: Granularity
    ) -> CostItem:
        """Return the costs of a workspace and all in it; its owners and administrators.

        Raises `NotFound` to strangers, `Denied` to its other members.
        """
        roles = actor.roles_in(workspace_id)
        if not (roles or actor.is_admin):
            raise _no_workspace()
        if not (WorkspaceRole.OWNER in roles or actor.is_admin):
            raise Denied("Only an owner of the workspace sees its costs; ask one of them.")
        key = (workspace_id, time, granularity)
        return self._cached(key, lambda: self._workspace(workspace_id, time, granularity))

    def _tre(self, time: Period, granularity: Granularity) -> TreCosts:
        with self._database.read() as connection:
            used = _used(connection, time, usage_samples.c.resource_id.is_(None))
            is_alive = resources.c.deleted_at.is_(None)
            shared = _named(connection, (resources.c.kind == K.SHARED_SERVICE) & is_alive)
            counted = or_(is_alive, resources.c.deleted_at > time.first)
            spaces = _named(connection, (resources.c.kind == K.WORKSPACE) & counted)
        return TreCosts(
            [CostItem(row.id, _name(row), ()) for row in shared],
            [self._item(row, [u for u in used if u.workspace_id == row.id], granularity)
             for row in spaces],
        )  # fmt: skip

    def _workspace(self, workspace_id: str, time: Period, granularity: Granularity) -> CostItem:
        with self._database.read() as connection:
            used = _used(connection, time, usage_samples.c.workspace_id == workspace_id)
            rows = _named(connection, resources.c.workspace_id == workspace_id)
        space = next((row for row in rows if row.id == workspace_id and not row.deleted_at), None)
        if space is None:
            raise _no_workspace()
        mine = {row.id: [use for use in used if use.resource_id == row.id] for row in rows}
        services = []
        for service in rows:
            if service.kind != K.SERVICE:
                continue
            below = [row for row in rows if row.parent_id == service.id]
            items = [self._item(row, mine[row.id], granularity) for row in below]
            uses = [use for row in below for use in mine[row.id]]
            services.append(self._item(service, uses, granularity, items))
        whole = [use for use in used if use.resource_id is None]
        return self._item(space, whole, granularity, services)

    def _item(
        self, row: Row[Any], uses: Sequence[Use], granularity: Granularity,
        below: Sequence[CostItem] = (),
    ) -> CostItem:  # fmt: skip
        return CostItem(row.id, _name(row), costs_of(uses, self._prices, granularity), below)

    def _cached(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made a moment ago; who may see it was asked before."""
        now = self._clock.now()
        found = self._cache.get(key)
        if found is not None and now - found[0] < CACHED:
            return cast("T", found[1])
        made = make()
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self._cache[key] = (now, made)
        return made


def _used(connection: Connection, time: Period, where: ColumnElement[bool]) -> Sequence[Use]:
    samples = usage_samples.c
    day = func.substr(type_coerce(samples.at, String), 1, 10)
    query = (
        select(
            samples.workspace_id,
            samples.resource_id,
            day.label("day"),
            func.sum(samples.cpu_seconds).label("cpu"),
            func.sum(samples.memory_bytes * samples.interval_seconds).label("memory"),
            func.sum(samples.disk_bytes * samples.interval_seconds).label("disk"),
        )
        .where(and_(where, samples.at >= time.first, samples.at < time.end))
        .group_by(samples.workspace_id, samples.resource_id, day)
    )
    return [
        Use(
            row.workspace_id,
            row.resource_id,
            row.day,
            Decimal(str(row.cpu)),
            Decimal(str(row.memory)),
            Decimal(str(row.disk)),
        )
        for row in connection.execute(query)
    ]


def _named(connection: Connection, where: ColumnElement[bool]) -> Sequence[Row[Any]]:
    return connection.execute(select(resources).where(where).order_by(resources.c.created_at)).all()


def _name(row: Row[Any]) -> str:
    return str(row.properties.get("display_name", row.id))


def _no_workspace() -> NotFound:
    return NotFound("There is no such workspace, or you are not a member of it.")
