"""Does the solver say what tables together reveal: all of it, and nothing that they do not?"""

import itertools
import time
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from carrel.airlock.rules import Severity
from carrel.airlock.rules.differencing import Released, compare
from carrel.airlock.rules.differencing.bounds import Said, Solver
from carrel.airlock.rules.differencing.equations import System, build
from carrel.airlock.rules.sidecar import Count, TableMeta, Variable, counts_of

REGION = Variable(name="region", categories=("North", "South", "West"))
SEX = Variable(name="sex", categories=("female", "male"))
AGE = Variable(name="age", categories=("young", "old"))
THRESHOLD = 10


def meta(*rows: Variable, columns: Sequence[Variable] = (), **more: object) -> TableMeta:
    kept = {"carrel": 1, "dataset": "admissions", "dataset_version": "1", "statistic": "count"}
    return TableMeta.model_validate({**kept, "rows": rows, "columns": columns, **more})


def table(name: str, said: TableMeta, text: str) -> Released:
    return Released(name, said, counts_of(said, text.encode()))


def by_region(name: str, north: object, south: object, west: object, **more: object) -> Released:
    text = f"region,n\nNorth,{north}\nSouth,{south}\nWest,{west}\n"
    return table(name, meta(REGION, **more), text)


def rules_of(new: Released, *earlier: Released, threshold: int = THRESHOLD) -> set[str]:
    return {found.rule for found in compare(new, earlier, threshold)}


# What must be caught ----------------------------------------------------------------------------


def test_eleven_then_ten_is_caught_by_the_same_people_by_nesting_and_by_unknown_filters():
    first = by_region("first.csv", 50, 11, 40)
    again = by_region("again.csv", 50, 10, 40)
    adults = by_region("adults.csv", 45, 10, 40, population="age >= 18")
    others = by_region("others.csv", 80, 11, 60, population="age >= 17")
    [same] = compare(again, [first], THRESHOLD)
    assert (same.rule, same.severity, same.row) == ("near_release", Severity.FLAG, 3)
    nested = compare(adults, [first], THRESHOLD)
    assert {(one.rule, one.row) for one in nested} == {("differencing", 2), ("differencing", 3)}
    assert all("first.csv" in one.sentence for one in nested)
    [unknown] = compare(adults, [others], THRESHOLD)
    assert (unknown.rule, unknown.row) == ("near_release", 3)


def test_a_margin_that_gives_a_hidden_cell_back_is_caught_with_the_cell_named():
    hidden = table(
        "sexes.csv of release R",
        meta(REGION, columns=[SEX]),
        "region,female,male\nNorth,20,30\nSouth,[redacted],13\nWest,40,50\n",
    )
    assert compare(hidden, [], THRESHOLD) == []
    [found] = compare(by_region("totals.csv", 50, 22, 90), [hidden], THRESHOLD)
    assert found.rule == "differencing"
    assert found.severity is Severity.FLAG
    assert "region South, sex female" in found.sentence
    assert "exactly" in found.sentence
    assert "sexes.csv of release R" in found.sentence
    assert "9" not in found.sentence


def test_a_total_inside_the_table_itself_is_caught():
    new = table("t.csv", meta(REGION), "region,n\nNorth,20\nSouth,<10\nWest,40\nTotal,64\n")
    [found] = compare(new, [], THRESHOLD)
    assert (found.rule, found.row, found.column) == ("differencing", 3, 2)


def test_two_hidden_cells_that_a_total_leaves_open_are_left_alone():
    new = table("t.csv", meta(REGION), "region,n\nNorth,20\nSouth,<10\nWest,<10\nTotal,29\n")
    assert compare(new, [], THRESHOLD) == []


def test_two_hidden_cells_that_a_total_draws_together_are_caught():
    new = table("t.csv", meta(REGION), "region,n\nNorth,20\nSouth,<10\nWest,<10\nTotal,37\n")
    found = compare(new, [], THRESHOLD)  # 17 people in two cells of at most nine: 8 or 9 each
    assert {(one.rule, one.row) for one in found} == {("differencing", 3), ("differencing", 4)}
    assert all("fewer than 10 possible counts" in one.sentence for one in found)


def test_rounding_to_five_covers_what_exact_counts_reveal():
    def pair(rounding: str, total: int) -> set[str]:
        hidden = by_region("hidden.csv", 50, "[redacted]", 40, rounding=rounding)
        text = f"n\n{total}\n"
        return rules_of(table("all.csv", meta(rounding=rounding), text), hidden)

    assert pair("none", 97) == {"differencing"}
    assert pair("5", 95) == set()


def test_three_tables_of_pairs_reveal_what_no_two_of_them_do():
    """Of eight cells two are nobody; only all three pairs leave one solution."""
    full = {
        ("North", "female", "young"): 3, ("North", "male", "old"): 30,
        ("North", "male", "young"): 20, ("South", "female", "old"): 40,
        ("South", "female", "young"): 15, ("South", "male", "old"): 25,
    }  # fmt: skip
    two = Variable(name="region", categories=("North", "South"))
    known = (two, SEX, AGE)

    def pairs(*kept: int) -> Released:
        counts = []
        for where in itertools.product(*(known[at].categories for at in kept)):
            matching = (n for cell, n in full.items() if tuple(cell[at] for at in kept) == where)
            value = sum(matching)
            named = {known[at].name: place for at, place in zip(kept, where, strict=True)}
            counts.append(Count(named, value, value, len(counts) + 2, 3))
        return Released(f"pairs {kept}", meta(*(known[at] for at in kept)), counts)

    two_of_them = [pairs(0, 1), pairs(0, 2)]
    assert compare(two_of_them[1], two_of_them[:1], THRESHOLD) == []
    found = compare(pairs(1, 2), two_of_them, THRESHOLD)
    assert any("age young, region North, sex female" in one.sentence for one in found)


# What must be left alone -------------------------------------------------------------------------


def test_other_datasets_other_versions_and_other_statistics_say_nothing():
    hidden = by_region("hidden.csv", 50, "[redacted]", 40)
    for more in ({"dataset": "deaths"}, {"dataset_version": "2"}, {"statistic": "sum"}):
        assert compare(by_region("all.csv", 50, 9, 40, **more), [hidden], THRESHOLD) == []


@given(st.lists(st.integers(10, 400), min_size=9, max_size=9))
@settings(max_examples=40, deadline=None)
def test_safe_tables_of_independent_datasets_reveal_nothing(numbers: list[int]):
    earlier = [
        by_region(f"{at}.csv", *numbers[at * 3 : at * 3 + 3], dataset=f"dataset {at}")
        for at in range(2)
    ]
    assert compare(by_region("new.csv", *numbers[6:]), earlier, THRESHOLD) == []


def test_what_was_revealed_before_is_not_told_again():
    hidden = by_region("hidden.csv", 50, "[redacted]", 40)
    total = table("total.csv", meta(), "n\n97\n")
    assert rules_of(total, hidden) == {"differencing"}
    assert rules_of(by_region("again.csv", 50, "[redacted]", 40), hidden, total) == set()


def test_a_table_that_fits_no_earlier_one_is_told_as_a_contradiction():
    first = table("first.csv", meta(REGION), "region,n\nNorth,20\nSouth,30\nWest,40\n")
    assert rules_of(table("new.csv", meta(AGE), "age,n\nyoung,100\nold,100\n"), first) == {
        "contradiction"
    }


def test_groupings_of_one_variable_are_not_mixed_up():
    coarse = Variable(name="region", categories=("North", "Elsewhere"))
    earlier = table("coarse.csv", meta(coarse), "region,n\nNorth,50\nElsewhere,53\n")
    new = table("fine.csv", meta(REGION), "region,n\nNorth,50\nSouth,[x]\nWest,[x]\n")
    assert compare(new, [earlier], THRESHOLD) == []


def test_a_comparison_that_is_too_large_is_told_and_the_rest_is_made():
    wide = [Variable(name=f"v{at}", categories=tuple(map(str, range(90)))) for at in range(3)]
    huge = Released("huge.csv", meta(*wide), [Count({}, 64, 64, 2, 4)])
    new = table("t.csv", meta(REGION), "region,n\nNorth,20\nSouth,<10\nWest,40\nTotal,64\n")
    assert rules_of(new, huge) == {"differencing", "not_compared"}


# The truth, by brute force -----------------------------------------------------------------------


@st.composite
def published(draw: st.DrawFn) -> tuple[System, int]:
    """Two or three tables of a small random truth, with some cells hidden or rounded."""
    shape = draw(st.sampled_from([(2, 2), (3, 2), (2, 2, 2)]))
    size = int(np.prod(shape))
    truth = np.array(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))).reshape(shape)
    assume(0 < truth.sum() <= 8)
    variables = [
        Variable(name=f"v{at}", categories=tuple("abc"[:size])) for at, size in enumerate(shape)
    ]
    kept = draw(st.lists(st.sets(st.integers(0, len(shape) - 1)), min_size=2, max_size=3))
    tables = [_one_table(draw, truth, variables, sorted(axes)) for axes in kept]
    return build([_everything(truth), *tables]), int(truth.sum())


def _everything(truth: np.ndarray) -> Released:
    total = int(truth.sum())
    return Released("total", meta(), [Count({}, total, total)])


def _one_table(
    draw: st.DrawFn, truth: np.ndarray, variables: Sequence[Variable], kept: Sequence[int]
) -> Released:
    gone = tuple(at for at in range(truth.ndim) if at not in kept)
    sums, counts = truth.sum(axis=gone), []
    for where in np.ndindex(sums.shape):
        value = int(sums[where])
        named = _named([variables[at] for at in kept], where)
        exact, rounded = (value, value), (max(value - 2, 0), value + 2)
        low, high = draw(st.sampled_from([exact, exact, rounded, (0, None)]))
        counts.append(Count(named, low, high, row=len(counts) + 2, column=2))
    return Released("table", meta(*(variables[at] for at in kept)), counts)


def _named(variables: Sequence[Variable], where: Sequence[int]) -> dict[str, str]:
    return {each.name: each.categories[place] for each, place in zip(variables, where, strict=True)}


def _solutions(system: System, total: int) -> Iterable[np.ndarray]:
    """Every table of whole numbers that fits, by trying them all."""

    def fits(solution: np.ndarray) -> bool:
        return all(
            each.low
            <= solution[each.plus].sum() - solution[each.minus].sum()
            <= (np.inf if each.high is None else each.high)
            for each in system.equations
        )

    for bars in itertools.combinations(range(total + system.size - 1), system.size - 1):
        edges = (-1, *bars, total + system.size - 1)
        solution = np.diff(edges) - 1
        if fits(solution):
            yield solution


@given(published())
@settings(max_examples=60, deadline=None)
def test_the_solver_agrees_with_brute_force(made: tuple[System, int]):
    system, total = made
    assume(all(each.minus.size == 0 for each in system.equations))  # one block: else far too many
    solutions = list(_solutions(system, total))
    threshold = 4
    known = Solver(Said.by(system)).narrow(system.targets, threshold)
    for at, target in enumerate(system.targets):
        values = [int(solution[target.unknowns].sum()) for solution in solutions]
        low, high = min(values), max(values)
        expected = high - low < threshold and low < threshold and high > 0
        assert (at in known) == expected, (target, low, high)
        if at in known:
            assert (known[at].low, known[at].high) == (low, high)


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_cells_against_twenty_releases_take_little_time(seed: int):
    """The benchmark holds two seconds; this only sees that nothing explodes."""
    truth = np.random.default_rng(seed).poisson(14, (20, 10, 5))
    known = [
        Variable(name=name, categories=tuple(f"{name}{at}" for at in range(size)))
        for name, size in zip("abc", truth.shape, strict=True)
    ]

    def of(kept: Sequence[int], name: str) -> Released:
        sums = truth.sum(axis=tuple(at for at in range(3) if at not in kept))
        counts = [
            Count(
                _named([known[at] for at in kept], where),
                *((0, 9) if sums[where] < THRESHOLD else (int(sums[where]),) * 2),
                row=row,
            )
            for row, where in enumerate(np.ndindex(sums.shape), start=2)
        ]
        return Released(name, meta(*(known[at] for at in kept)), counts)

    shapes = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    earlier = [of(shapes[at % 6], f"release {at}") for at in range(20)]
    started = time.monotonic()
    found = compare(of((0, 1, 2), "new"), earlier, THRESHOLD)
    assert time.monotonic() - started < 30
    assert {one.rule for one in found} == {"differencing"}
