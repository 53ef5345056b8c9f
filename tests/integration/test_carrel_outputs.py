"""Do the helpers inside a workspace write sidecars that the airlock reads and that tell the truth?

They run in the real image, with its own Python and R.
"""

import json
import os
import subprocess
from decimal import Decimal

import pytest

from carrel.airlock.rules.dominance import Check, broken_by
from carrel.airlock.rules.sidecar import counts_of, read_sidecar
from carrel.runtime import environments

PATIENTS = """\
import pandas as pd
rows = [("North", "f", 4.0)] * 12 + [("North", "m", 2.0)] * 23 + [("South", "f", 3.0)] * 4
rows += [("South", "m", 900.0)] + [("South", "m", 5.0)] * 17
patients = pd.DataFrame(rows, columns=["region", "sex", "stay"])
import carrel_outputs as outputs
"""
R_PATIENTS = """\
library(carreloutputs)
patients <- data.frame(
  region = rep(c("North", "North", "South", "South"), c(12, 23, 4, 18)),
  sex = rep(c("f", "m", "f", "m"), c(12, 23, 4, 18)))
"""


@pytest.fixture(scope="module")
def image():
    return environments.build("notebooks")


@pytest.fixture
def python(image, tmp_path):
    def run(code: str) -> None:
        ran = subprocess.run(
            [image / "bin/python", "-I", "-c", PATIENTS + code],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr

    return run


@pytest.fixture
def r(image, tmp_path):
    def run(code: str) -> None:
        libraries = f"{image}/share/R/library:/usr/lib/R/site-library:/usr/lib/R/library"
        ran = subprocess.run(
            ["Rscript", "-e", R_PATIENTS + code], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "R_LIBS_SITE": libraries}, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr

    return run


def read(folder, name):
    meta = read_sidecar((folder / f"{name}.carrel.json").read_bytes())
    return meta, counts_of(meta, (folder / name).read_bytes())


def told(counts):
    return {tuple(sorted(one.at.items())): (one.low, one.high) for one in counts}


SAVED = """dataset="admissions", version="2026-01", folder=".")"""


def test_a_cross_table_is_saved_with_what_it_counts(python, tmp_path):
    python(
        f"""
table = outputs.count(patients, rows="region", columns="sex", totals=True)
outputs.save(table, "t.csv", population="all ages", within=["everybody"], {SAVED}
"""
    )
    meta, counts = read(tmp_path, "t.csv")
    assert (meta.dataset, meta.dataset_version, meta.population) == (
        "admissions", "2026-01", "all ages",
    )  # fmt: skip
    assert (meta.statistic, meta.rounding, meta.within) == ("count", "none", ("everybody",))
    assert [one.name for one in meta.variables] == ["region", "sex"]
    found = told(counts)
    assert found[(("region", "South"), ("sex", "f"))] == (4, 4)
    assert found[(("region", "North"),)] == (35, 35)
    assert found[(("sex", "m"),)] == (41, 41)
    assert found[()] == (57, 57)


def test_hidden_and_rounded_counts_are_intervals_that_hold_the_truth(python, tmp_path):
    python(
        f"""
for name, base in (("five.csv", 5), ("mid.csv", "midpoint6")):
    table = outputs.count(patients, rows="region", columns="sex", hide_below=10, round_to=base)
    outputs.save(table, name, {SAVED}
"""
    )
    truth = {("North", "f"): 12, ("North", "m"): 23, ("South", "f"): 4, ("South", "m"): 18}
    for name in ("five.csv", "mid.csv"):
        meta, counts = read(tmp_path, name)
        assert meta.rounding == {"five.csv": "5", "mid.csv": "midpoint6"}[name]
        for one in counts:
            true = truth[one.at["region"], one.at["sex"]]
            assert one.low <= true, (name, one)
            assert one.high is None or one.high >= true, (name, one)
            assert not one.is_exact
        assert "[redacted]" in (tmp_path / name).read_text()


def test_several_variables_and_categories_that_nobody_is_in(python, tmp_path):
    python(
        f"""
patients["region"] = pd.Categorical(patients["region"], ["North", "South", "West"])
table = outputs.count(patients, rows=["region", "sex"])
outputs.save(table, "t.csv", {SAVED}
"""
    )
    meta, counts = read(tmp_path, "t.csv")
    assert [one.name for one in meta.rows] == ["region", "sex"]
    assert "West" in meta.rows[0].categories
    assert told(counts)[(("region", "West"), ("sex", "f"))] == (0, 0)


def test_sums_and_means_carry_their_contributions(python, tmp_path):
    python(
        f"""
for name in ("sum", "mean"):
    table = outputs.summed(patients, "stay", rows="region", columns="sex", statistic=name)
    outputs.save(table, name + ".csv", {SAVED}
"""
    )
    for name in ("sum", "mean"):
        meta = read_sidecar((tmp_path / f"{name}.csv.carrel.json").read_bytes())
        assert meta.statistic == name
        by_place = {(one.row, one.column): one for one in meta.contributions}
        lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        assert lines[0] == "region,f,m"
        assert lines[2].startswith("South,")
        south_men = by_place[3, 3]
        assert (south_men.count, south_men.total) == (18, Decimal("985.0"))
        assert (south_men.largest, south_men.second) == (Decimal(900), Decimal(5))
        assert Check.NK in broken_by(south_men, 10)
        assert broken_by(by_place[3, 2], 10) == {Check.THRESHOLD}
        assert broken_by(by_place[2, 3], 10) == frozenset()


def test_a_table_without_names_is_refused_and_nothing_is_written(python, tmp_path):
    python(
        f"""
try:
    outputs.save(pd.DataFrame({{"a": [1]}}), "t.csv", {SAVED}
except ValueError as error:
    assert "has no name" in str(error)
else:
    raise SystemExit("accepted")
"""
    )
    assert list(tmp_path.iterdir()) == []


def test_the_same_table_from_r_says_the_same(python, r, tmp_path):
    python(
        f"""
table = outputs.count(patients, rows="region", columns="sex", hide_below=10, round_to=5)
outputs.save(table, "python.csv", {SAVED}
"""
    )
    r(
        """
table <- carrel_count(patients, "region", "sex", hide_below = 10, round_to = 5)
carrel_save(table, "r.csv", dataset = "admissions", version = "2026-01", folder = ".")
"""
    )
    assert told(read(tmp_path, "r.csv")[1]) == told(read(tmp_path, "python.csv")[1])
    documents = [
        json.loads((tmp_path / f"{name}.csv.carrel.json").read_text()) for name in ("r", "python")
    ]
    assert documents[0] == documents[1]


def test_rs_own_tables_with_margins_can_be_saved(r, tmp_path):
    r(
        """
table <- addmargins(xtabs(~ region + sex, patients))
carrel_save(table, "t.csv", dataset = "d", version = 1, statistic = "count", folder = ".")
long <- carrel_count(patients, c("region", "sex"), round_to = "midpoint6")
carrel_save(long, "long.csv", dataset = "d", version = 1, folder = ".")
"""
    )
    _, counts = read(tmp_path, "t.csv")
    assert told(counts)[()] == (57, 57)
    assert told(counts)[(("region", "North"),)] == (35, 35)
    meta, counts = read(tmp_path, "long.csv")
    assert ([one.name for one in meta.rows], meta.columns) == (["region", "sex"], ())
    low, high = told(counts)[(("region", "South"), ("sex", "f"))]
    assert low <= 4 <= high
