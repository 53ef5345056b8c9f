"""Do our decisions about cells equal ACRO's, cell by cell, on 2,000 random tables?

ACRO runs in an environment of its own (scripts/test makes it), because it needs an older pandas.
Where the two differ is listed in docs/explanation/disclosure.md, and each difference is asserted
here: the rest must be equal.
"""

import fcntl
import json
import os
import random
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from carrel.airlock.rules.dominance import Check, broken_by
from carrel.airlock.rules.sidecar import Contribution

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]
ORACLE = ROOT / ".cache/acro/bin/python"
TABLES = 2000
THRESHOLD = 10


def make_tables(seed: int) -> list[list[list[list[int]]]]:
    """Return tables of 2 to 4 rows and columns; one in ten holds negative contributions.

    A row or column that nobody is in does not exist for ACRO, so each has somebody.
    """
    pick = random.Random(seed)
    tables = []
    for number in range(TABLES):
        width = pick.randint(2, 4)
        table = [
            [_cell(pick, with_negative=number % 10 == 0) for _ in range(width)]
            for _ in range(pick.randint(2, 4))
        ]
        for at, row in enumerate(table):
            row[at % width] = row[at % width] or [pick.randint(1, 99)]
        table[0] = [cell or [pick.randint(1, 99)] for cell in table[0]]
        tables.append(table)
    return tables


def _cell(pick: random.Random, *, with_negative: bool) -> list[int]:
    count = pick.choice((0, 0, 1, 2, 3, 8, 9, 10, 11, 12, 15, 20, 30))
    shape = pick.random()
    if shape < 0.25:  # one or two large ones among small ones: at the border of dominance
        values = [pick.randint(1, 20) for _ in range(count)]
        values[:2] = [pick.choice((90, 100, 400)), pick.choice((45, 80, 90))][:count]
    elif shape < 0.35:
        values = [pick.choice((0, 0, 0, 10)) for _ in range(count)]
    else:
        values = [int(pick.lognormvariate(3, 1.5)) + 1 for _ in range(count)]
    if with_negative and values and pick.random() < 0.3:
        values[0] = -values[0]
    return values


def ours(cell: list[int]) -> frozenset[Check]:
    largest = [*sorted(cell, reverse=True), 0, 0]
    summed = Contribution(
        row=2, column=1, count=len(cell), total=Decimal(sum(cell)), largest=Decimal(largest[0]),
        second=Decimal(largest[1]) if len(cell) > 1 else Decimal(0),
        has_negative=any(value < 0 for value in cell),
    )  # fmt: skip
    return broken_by(summed, THRESHOLD)


@pytest.fixture(scope="session")
def tables():
    return make_tables(20_261_124)


@pytest.fixture(scope="session")
def theirs(tables, tmp_path_factory):
    """What ACRO decides, asked once for all processes of a test run."""
    assert ORACLE.exists(), "ACRO's environment is missing: scripts/test makes it"
    shared = tmp_path_factory.getbasetemp().parent / "acro.json"
    with Path(f"{shared}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists() or not os.environ.get("PYTEST_XDIST_WORKER"):
            shared.write_text(asked(tables))
    return json.loads(shared.read_text())


def asked(tables):
    ran = subprocess.run(
        [ORACLE, Path(__file__).with_name("acro_oracle.py")],
        input=json.dumps(tables), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def places(tables):
    for number, table in enumerate(tables):
        for row, cells in enumerate(table):
            for column, cell in enumerate(cells):
                yield number, row, column, cell


def marked(theirs, number, name, row, column):
    return [row, column] in theirs[number][name]["cells"]


def test_counts_below_the_threshold_are_acros(tables, theirs):
    """Listed difference 1: a count of nobody is a matter of its own here, not a small count."""
    seen = Counter()
    for number, row, column, cell in places(tables):
        small = bool({Check.THRESHOLD, Check.ZERO} & ours(cell))
        seen[small] += 1
        assert small == marked(theirs, number, "MinimumThresholdCheck", row, column), (number, cell)
    assert min(seen[True], seen[False]) > 1000


def test_counts_of_nobody_are_acros(tables, theirs):
    seen = Counter()
    for number, row, column, cell in places(tables):
        none = Check.ZERO in ours(cell)
        seen[none] += 1
        assert none == marked(theirs, number, "PresenceOfZeroCheck", row, column), (number, cell)
    assert min(seen[True], seen[False]) > 500


@pytest.mark.parametrize(
    ("check", "name"), [(Check.NK, "NKCheck"), (Check.P_PERCENT, "PPercentCheck")]
)
def test_dominance_is_acros(tables, theirs, check, name):
    """Listed difference 2: where every contribution is zero, ACRO's p % rule marks the cell."""
    seen = Counter()
    for number, row, column, cell in places(tables):
        if theirs[number][name]["status"] == "review":
            continue
        theirs_marks = marked(theirs, number, name, row, column)
        if check is Check.P_PERCENT and cell and not any(cell):
            assert theirs_marks
            assert check not in ours(cell)
            seen["all zero"] += 1
            continue
        seen[theirs_marks] += 1
        assert (check in ours(cell)) == theirs_marks, (number, row, column, cell)
    assert min(seen[True], seen[False]) > 500
    assert check is Check.NK or seen["all zero"]


@pytest.mark.parametrize("name", ["NKCheck", "PPercentCheck"])
def test_negative_contributions_are_for_a_person_there_and_here(tables, theirs, name):
    """Listed difference 3: ACRO then judges no cell of the table; here the others still are."""
    reviewed = [number for number, found in enumerate(theirs) if found[name]["status"] == "review"]
    assert len(reviewed) > 50
    judged = 0
    for number, row, column, cell in places([tables[each] for each in reviewed]):
        negative = any(value < 0 for value in cell)
        assert negative == marked(theirs, reviewed[number], name, row, column)
        assert (Check.REVIEW in ours(cell)) == negative
        judged += bool({Check.NK, Check.P_PERCENT} & ours(cell))
    assert judged
