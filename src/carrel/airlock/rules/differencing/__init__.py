"""What does a new table let somebody compute, together with all that was released before?

Every released count is a linear equation over the finest cells. A target (a hidden cell, a
difference between two populations, a combination that only several tables imply) is revealed if
the equations leave it so few possible counts that a small one is known, exactly or nearly.
Findings name the cell and the tables, never the count.
"""

from collections.abc import Iterator, Mapping, Sequence

from carrel.airlock.rules.differencing.bounds import ContradictionError, Range, Said, Solver
from carrel.airlock.rules.differencing.equations import (
    Released,
    System,
    Target,
    build,
    place_words,
)
from carrel.airlock.rules.requests import Finding, Severity

__all__ = ["Released", "compare"]

EXPLAINED = 3
"""For so many cells the tables needed are looked for; the others name all that were compared."""


def compare(new: Released, earlier: Sequence[Released], threshold: int) -> Sequence[Finding]:
    """Return what `new` reveals together with the tables released before it.

    Only tables of counts of the same dataset and version are compared.
    """
    comparable = [each for each in earlier if _same_people(each, new)]
    contradicting = [each for each in comparable if _differs(each, new)]
    findings = [*_near(new, comparable, threshold)]
    kept = [each for each in comparable if each not in contradicting]
    return [*findings, *_revealed(new, kept, threshold)]


def _same_people(one: Released, other: Released) -> bool:
    return (
        one.meta.statistic == other.meta.statistic == "count"
        and (one.meta.dataset, one.meta.dataset_version)
        == (other.meta.dataset, other.meta.dataset_version)
    )  # fmt: skip


def _differs(one: Released, other: Released) -> bool:
    """Whether both tables tell two counts of the very same people."""
    if one.meta.population != other.meta.population:
        return False
    mine = {frozenset(count.at.items()): count for count in one.counts}
    for count in other.counts:
        twin = mine.get(frozenset(count.at.items()))
        if twin and not _overlap((count.low, count.high), (twin.low, twin.high)):
            return True
    return False


def _overlap(one: tuple[int, int | None], other: tuple[int, int | None]) -> bool:
    highest = min((high for _, high in (one, other) if high is not None), default=None)
    return highest is None or max(one[0], other[0]) <= highest


def _near(new: Released, earlier: Sequence[Released], threshold: int) -> Iterator[Finding]:
    """Find one cell counted twice with a difference of few people: 11 in one table, then 10."""
    for table in earlier:
        if table.meta.population in new.meta.within or new.meta.population in table.meta.within:
            continue  # declared as nested: the solver says it exactly
        if "" in {table.meta.population, new.meta.population} != {""}:
            continue
        known = {frozenset(count.at.items()): count for count in table.counts if count.is_exact}
        for count in new.counts:
            twin = known.get(frozenset(count.at.items()))
            if twin is None or not count.is_exact:
                continue
            if 0 < abs(count.low - twin.low) < threshold:
                yield _near_finding(new, table, count.row, count.column, place_words(count))


def _near_finding(new: Released, table: Released, row: int, column: int, place: str) -> Finding:
    same = new.meta.population == table.meta.population
    why = (
        "both are said to count the same people"
        if same
        else "if one population is part of the other, the difference counts these few"
    )
    return Finding(
        "near_release",
        Severity.FLAG,
        f"{place[0].upper()}{place[1:]} differs by few people from the same cell of "
        f"{table.name}; {why}.",
        row=row,
        column=column,
    )


def _revealed(new: Released, earlier: Sequence[Released], threshold: int) -> Iterator[Finding]:
    system = build([*earlier, new])
    for name in system.left_out:
        yield Finding(
            "not_compared",
            Severity.CHECK,
            f"The table could not be compared with {name}: together they have too many "
            "combinations. Compare them by hand.",
        )
    try:
        yield from _solved(system, [each.name for each in earlier], threshold)
    except ContradictionError:
        yield Finding(
            "contradiction",
            Severity.FLAG,
            "The table contradicts earlier releases of the same dataset version, so they do not "
            "count the same people. Declare its population and version as they are.",
        )
        return
    except TimeoutError:
        yield Finding(
            "not_compared",
            Severity.CHECK,
            "The table could not be compared with earlier releases in time. Compare by hand.",
        )
        return


def _solved(system: System, earlier: Sequence[str], threshold: int) -> Iterator[Finding]:
    said = Said.by(system)
    now = Solver(said).narrow(system.targets, threshold)
    told = {at: known for at, known in now.items() if _tells(system.targets[at], known, threshold)}
    before = _before(said, {at: system.targets[at] for at in told}, len(earlier), threshold)
    fresh = [(at, known) for at, known in told.items() if before.get(at) != known]
    fresh.sort(key=lambda pair: (pair[1].width, pair[0]))
    for number, (at, known) in enumerate(fresh):
        target, needed = system.targets[at], earlier
        if number < EXPLAINED:
            needed = _needed(said, target, known, earlier, threshold)
        yield _finding(target, known, needed, threshold)


def _before(
    said: Said, targets: Mapping[int, Target], new: int, threshold: int
) -> Mapping[int, Range]:
    """Return which of the targets were as well known without the new table."""
    if not targets or new == 0:
        return {}
    known = Solver(said.without({new})).narrow(list(targets.values()), threshold)
    positions = list(targets)
    return {positions[at]: each for at, each in known.items()}


def _tells(target: Target, known: Range, threshold: int) -> bool:
    """Whether a range says more than the mark in the table does, and that somebody is there."""
    if not target.is_published:
        return known.low > 0
    admitted = threshold - 1 if target.mark is None else min(target.mark, threshold - 1)
    return known.width < admitted


def _needed(
    said: Said, target: Target, known: Range, earlier: Sequence[str], threshold: int
) -> Sequence[str]:
    """Return the names of a few earlier tables with which the target is known as well."""
    everything = set(range(len(earlier)))

    def suffices(tables: set[int]) -> bool:
        less = Solver(said.without(everything - tables))
        return less.narrow([target], threshold).get(0) == known

    for few in (set[int](), *({table} for table in everything)):
        if suffices(few):
            return [earlier[table] for table in few]
    needed = set(everything)
    for table in sorted(everything):
        if suffices(needed - {table}):
            needed.remove(table)
    return [earlier[table] for table in sorted(needed)]


def _finding(target: Target, known: Range, needed: Sequence[str], threshold: int) -> Finding:
    exactly = known.width == 0
    together = f" together with {_listed(needed)}" if needed else ""
    how = (
        "can be computed exactly"
        if exactly
        else f"can be narrowed to fewer than {threshold} possible counts"
    )
    words = target.words
    heavy = exactly or known.width < threshold / 2
    return Finding(
        "differencing",
        Severity.FLAG if heavy else Severity.CHECK,
        f"{words[0].upper()}{words[1:]} {how} from this table{together}.",
        row=target.row,
        column=target.column,
    )


def _listed(names: Sequence[str]) -> str:
    shown = list(dict.fromkeys(names))
    if len(shown) > 3:
        return f"{', '.join(shown[:3])} and {len(shown) - 3} more"
    return " and ".join(shown)
