"""What does metered use cost, and for which time may somebody ask?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from carrel.core.errors import BadRequest

HOUR_SECONDS = Decimal(3600)
MONTH_SECONDS = Decimal(730) * HOUR_SECONDS
"""A month of a price list: 730 hours, the twelfth of a year."""
GIB = Decimal(2**30)
_CENTS = Decimal("0.0001")


class Granularity(StrEnum):
    """Whether costs come as one sum or by day. The values are AzureTRE's."""

    TOTAL = "None"
    DAILY = "Daily"


@dataclass(frozen=True, slots=True)
class Prices:
    """The price book of a TRE; a price of 0 means that it is not charged here."""

    cpu_hour: Decimal
    memory_gib_hour: Decimal
    disk_gib_month: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Use:
    """What a workspace or user resource used on one day."""

    workspace_id: str
    resource_id: str | None
    """None: the workspace as a whole, its members' sessions included."""
    day: str
    cpu_seconds: Decimal
    memory_byte_seconds: Decimal
    disk_byte_seconds: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of money, of one day or of the whole time."""

    amount: Decimal
    currency: str
    day: str | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """The days that a report is about: from the first to before the end, in UTC."""

    first: datetime
    end: datetime


def period(first: datetime | None, last: datetime | None, now: datetime) -> Period:
    """Return the time of a report: what was asked for, or the month until now.

    Raises `BadRequest` with AzureTRE's sentences.
    """
    if first is None and last is None:
        return Period(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now)
    if first is None or last is None:
        raise BadRequest("from_date and to_date belong together. Give both, or neither.")
    first, last = _utc(first), _utc(last)
    if last <= first:
        raise BadRequest("to_date needs to be later than from_date")
    if last - first > timedelta(days=366):
        raise BadRequest("The time period for pulling the data cannot exceed 1 year")
    return Period(first, last)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def cost_of(use: Use, prices: Prices) -> Decimal:
    """Return what one day's use costs, unrounded."""
    cpu = use.cpu_seconds / HOUR_SECONDS * prices.cpu_hour
    memory = use.memory_byte_seconds / GIB / HOUR_SECONDS * prices.memory_gib_hour
    disk = use.disk_byte_seconds / GIB / MONTH_SECONDS * prices.disk_gib_month
    return cpu + memory + disk


def costs_of(uses: Iterable[Use], prices: Prices, granularity: Granularity) -> Sequence[Cost]:
    """Return the costs by day, or in one sum; nothing where nothing was metered."""
    days: dict[str, Decimal] = {}
    for use in uses:
        day = use.day if granularity is Granularity.DAILY else ""
        days[day] = days.get(day, Decimal(0)) + cost_of(use, prices)
    return [
        Cost(amount.quantize(_CENTS, ROUND_HALF_UP), prices.currency, day or None)
        for day, amount in sorted(days.items())
    ]
