"""Does one contributor, or two, make up most of a cell? And does a model rest on enough people?

The rules and their usual parameters are those of ACRO 1.0 (acro/default.yaml, sdc_agg_funcs.py):
a count below the threshold, the two largest giving 90 % or more of the sum (NK), and all others
together being less than 10 % of the largest (p %). With negative values neither share means
anything, and a person decides.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum

from carrel.airlock.rules.requests import Finding, Severity
from carrel.airlock.rules.sidecar import Contribution, TableMeta

NK_SHARE = Decimal("0.90")
P_SHARE = Decimal("0.10")
LEAST_DEGREES_OF_FREEDOM = 10


class Check(StrEnum):
    """Which rule a cell breaks."""

    THRESHOLD = "threshold"
    NK = "nk_dominance"
    P_PERCENT = "p_percent"
    ZERO = "zero_contributors"
    REVIEW = "negative_contributions"


def broken_by(cell: Contribution, threshold: int) -> frozenset[Check]:
    """Return every rule that the contributions to one cell break."""
    broken = set()
    if cell.count < threshold:
        broken.add(Check.ZERO if cell.count == 0 else Check.THRESHOLD)
    if cell.has_negative:
        return frozenset(broken | {Check.REVIEW})
    if cell.total > 0:
        if (cell.largest + cell.second) / cell.total >= NK_SHARE:
            broken.add(Check.NK)
        if cell.largest > 0 and (
            (cell.total - cell.largest - cell.second) / cell.largest < P_SHARE
        ):
            broken.add(Check.P_PERCENT)
    return frozenset(broken)


_SENTENCES = {
    Check.THRESHOLD: "rests on fewer than {threshold} people",
    Check.ZERO: "rests on nobody; check that this says nothing about everybody else",
    Check.NK: "comes to 90 % or more from its two largest contributors",
    Check.P_PERCENT: "lets its second largest contributor estimate the largest to within 10 %",
    Check.REVIEW: "sums up negative contributions, so that shares mean nothing; look at it",
}


def disclosing_cells(meta: TableMeta, threshold: int) -> Iterator[Finding]:
    """Yield one finding for each rule that a cell breaks, and for a model on too few people."""
    for cell in meta.contributions:
        for check in sorted(broken_by(cell, threshold)):
            heavy = check not in {Check.ZERO, Check.REVIEW}
            yield Finding(
                check.value,
                Severity.FLAG if heavy else Severity.CHECK,
                f"Row {cell.row}, column {cell.column} "
                f"{_SENTENCES[check].format(threshold=threshold)}.",
                row=cell.row,
                column=cell.column,
            )
    freedom = meta.degrees_of_freedom
    if freedom is not None and freedom < LEAST_DEGREES_OF_FREEDOM:
        yield Finding(
            "degrees_of_freedom",
            Severity.FLAG,
            f"The model has {freedom} residual degrees of freedom; fewer than "
            f"{LEAST_DEGREES_OF_FREEDOM} describe the people themselves.",
        )
