"""What does metered use cost, and which periods may be asked for?"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from carrel.core.errors import BadRequest
from carrel.costs.rules import GIB, Granularity, Prices, Use, costs_of, period

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
PRICES = Prices(Decimal("0.10"), Decimal("0.02"), Decimal("0.73"), "GBP")
HOUR = Decimal(3600)


def use(day: str, cpu_hours: int = 0, memory_gib_hours: int = 0, disk_gib_hours: int = 0) -> Use:
    return Use(
        "w", None, day, cpu_hours * HOUR, memory_gib_hours * GIB * HOUR, disk_gib_hours * GIB * HOUR
    )


@pytest.mark.parametrize(
    ("used", "amount"),
    [
        (use("2026-03-01", cpu_hours=10), "1.0000"),
        (use("2026-03-01", memory_gib_hours=10), "0.2000"),
        (use("2026-03-01", disk_gib_hours=730), "0.7300"),
        (use("2026-03-01", 10, 10, 730), "1.9300"),
    ],
)
def test_each_meter_has_its_price(used, amount):
    (cost,) = costs_of([used], PRICES, Granularity.TOTAL)
    assert (cost.amount, cost.currency, cost.day) == (Decimal(amount), "GBP", None)


def test_days_are_told_apart_only_when_asked_for():
    used = [use("2026-03-02", 1), use("2026-03-01", 2), use("2026-03-01", 3)]
    daily = costs_of(used, PRICES, Granularity.DAILY)
    assert [(cost.day, cost.amount) for cost in daily] == [
        ("2026-03-01", Decimal("0.5000")),
        ("2026-03-02", Decimal("0.1000")),
    ]
    (total,) = costs_of(used, PRICES, Granularity.TOTAL)
    assert total.amount == sum(cost.amount for cost in daily)


def test_what_was_never_metered_has_no_costs():
    assert costs_of([], PRICES, Granularity.DAILY) == []


def test_without_dates_it_is_the_month_until_now():
    assert period(None, None, NOW) == period(datetime(2026, 3, 1, tzinfo=UTC), NOW, NOW)


@pytest.mark.parametrize(
    ("first", "last"),
    [(NOW, None), (None, NOW), (NOW, NOW), (NOW, NOW - timedelta(1)), (NOW - timedelta(367), NOW)],
)
def test_a_period_that_makes_no_sense_is_refused(first, last):
    with pytest.raises(BadRequest):
        period(first, last, NOW)


def test_a_year_is_not_too_long():
    assert period(NOW - timedelta(366), NOW, NOW).end == NOW
