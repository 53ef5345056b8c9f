"""What does a measured promise look like?"""

from typing import Any


def promise(  # noqa: PLR0913 - one name for each field that is printed
    name: str,
    measured: float,
    unit: str,
    reference: float,
    *,
    ratio_at_least: float | None = None,
    ratio_at_most: float | None = None,
    at_most: float | None = None,
) -> dict[str, Any]:
    """Return one promise; `reference` was measured in the same run, in the same unit."""
    ratio = measured / reference if reference else 0.0
    goals = {
        f"ratio >= {ratio_at_least}": None if ratio_at_least is None else ratio >= ratio_at_least,
        f"ratio <= {ratio_at_most}": None if ratio_at_most is None else ratio <= ratio_at_most,
        f"measured <= {at_most} {unit}": None if at_most is None else measured <= at_most,
    }
    asked = {goal: met for goal, met in goals.items() if met is not None}
    return {
        "name": name,
        "measured": round(measured, 3),
        "unit": unit,
        "reference": round(reference, 3),
        "ratio": round(ratio, 3),
        "goal": " and ".join(asked),
        "met": bool(asked) and all(asked.values()),
    }
