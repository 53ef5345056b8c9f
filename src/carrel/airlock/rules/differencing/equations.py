"""Which unknown counts stand behind the tables, and what does each published number say of them?

The unknowns are the finest cells: every combination of the categories of all variables, for every
part of the dataset that the tables' populations tell apart. A published count is a sum of them.
Variables that no table links share nothing but the number of people in each part; that keeps the
system small and loses nothing, for tables without a common variable always fit together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray

from carrel.airlock.rules.sidecar import Count, TableMeta, Variable

MOST_CELLS = 20_000
MOST_PARTS = 16

Indices = NDArray[np.int64]
Part = frozenset[str]
"""The populations that somebody belongs to; the empty name is everybody."""


@dataclass(frozen=True, slots=True)
class Released:
    """One table of counts that is out, or about to be: what it declares, and its numbers."""

    name: str
    """How findings name it, such as `table2.csv of release 1a2b3c4d`."""
    meta: TableMeta
    counts: Sequence[Count]


@dataclass(frozen=True, slots=True)
class Equation:
    """A sum of unknowns, less another, lies between two bounds; so says a table."""

    plus: Indices
    low: int
    high: int | None
    table: int | None = None
    """Which table; None where it is plain arithmetic."""
    minus: Indices = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Target:
    """A sum of unknowns that nobody should be able to compute while it is small."""

    unknowns: Indices
    words: str
    row: int | None = None
    column: int | None = None
    mark: int | None = None
    """The highest count that the table's own mark admits; None if it says nothing."""
    is_published: bool = False
    """Whether a table shows this very cell, hidden; else only several together imply it."""


@dataclass(frozen=True, slots=True)
class System:
    """Everything that the tables say together."""

    size: int
    equations: Sequence[Equation]
    targets: Sequence[Target]
    left_out: Sequence[str]
    """Tables that would have made it too large to solve."""


@dataclass(frozen=True)
class _Block:
    """The cross of variables that tables link, for every part: one corner of the unknowns."""

    start: int
    variables: Sequence[Variable]
    parts: int

    @cached_property
    def cells(self) -> Indices:
        shape = [len(each.categories) for each in self.variables] + [self.parts]
        return np.arange(self.start, self.start + prod(shape), dtype=np.int64).reshape(shape)

    def sum_of(self, at: Mapping[str, str], parts: Sequence[int]) -> Indices:
        where = [
            [each.categories.index(at[each.name])]
            if each.name in at
            else list(range(len(each.categories)))
            for each in self.variables
        ]
        picked: Indices = self.cells[np.ix_(*where, list(parts))]
        return picked.ravel()


def build(tables: Sequence[Released]) -> System:
    """Return the system of tables of one dataset version; the last is the new one, and is kept."""
    used = list(range(len(tables)))
    left_out: list[str] = []
    while True:
        maker = _Maker.of({index: tables[index] for index in used})
        if maker.fits or len(used) == 1:
            break
        widest = max(used[:-1], key=lambda index: _width(tables[index]))
        used.remove(widest)
        left_out.append(tables[widest].name)
    targets = maker.targets(len(tables) - 1)
    return System(maker.size, maker.equations(), targets, left_out)


def place_words(count: Count) -> str:
    """Name a cell of a table for people."""
    where = ", ".join(f"{name} {category}" for name, category in count.at.items()) or "the total"
    return f"row {count.row}, column {count.column} ({where})"


@dataclass(frozen=True)
class _Maker:
    tables: Mapping[int, Released]
    renamed: Mapping[int, Mapping[str, str]]
    blocks: Sequence[_Block]
    parts: Sequence[Part]

    @classmethod
    def of(cls, tables: Mapping[int, Released]) -> "_Maker":
        parts = _parts([table.meta for table in tables.values()])
        domains, renamed = _domains(tables)
        blocks, start = [], 0
        for names in _linked([set(each.values()) for each in renamed.values()]):
            block = _Block(start, [domains[name] for name in names], len(parts))
            start += prod([len(each.categories) for each in block.variables]) * len(parts)
            blocks.append(block)
        return cls(tables, renamed, blocks, parts)

    @property
    def size(self) -> int:
        return sum(
            prod([len(each.categories) for each in block.variables]) * block.parts
            for block in self.blocks
        )

    @property
    def fits(self) -> bool:
        return self.size <= MOST_CELLS and len(self.parts) <= MOST_PARTS

    def equations(self) -> list[Equation]:
        published = [
            Equation(self._sum(index, count, self._counted(index)), count.low, count.high, index)
            for index, table in self.tables.items()
            for count in table.counts
            if count.low > 0 or count.high is not None
        ]
        first, *others = self.blocks
        linked = [
            Equation(first.sum_of({}, [part]), 0, 0, minus=other.sum_of({}, [part]))
            for part in range(len(self.parts))
            for other in others
        ]
        return published + linked

    def targets(self, new: int) -> list[Target]:
        """List what must stay unknown: hidden cells, differences of populations, finest cells."""
        found = {_key(target.unknowns): target for target in self._hidden(new)}
        shown = {_key(each.plus) for each in self.equations() if each.low == each.high}
        for target in (*self._differences(new), *self._finest()):
            if (key := _key(target.unknowns)) not in shown:  # a shown count is no secret
                found.setdefault(key, target)
        return list(found.values())

    def _counted(self, index: int) -> list[int]:
        population = self.tables[index].meta.population
        return [at for at, part in enumerate(self.parts) if population in part]

    def _sum(self, index: int, count: Count, parts: Sequence[int]) -> Indices:
        names = self.renamed[index]
        at = {names[name]: category for name, category in count.at.items()}
        wanted = set(names.values())
        block = next(b for b in self.blocks if wanted <= {each.name for each in b.variables})
        return block.sum_of(at, parts)

    def _hidden(self, new: int) -> Iterator[Target]:
        for index, table in sorted(self.tables.items(), key=lambda pair: pair[0] == new):
            for count in table.counts:
                if not count.is_exact:
                    yield Target(
                        self._sum(index, count, self._counted(index)),
                        f"{place_words(count)} of {table.name}",
                        count.row,
                        count.column,
                        mark=count.high,
                        is_published=True,
                    )

    def _differences(self, new: int) -> Iterator[Target]:
        """Those in one population and not in another, for each cell of the new table."""
        table = self.tables[new]
        mine = table.meta.population
        for other in sorted({each.meta.population for each in self.tables.values()} - {mine}):
            for larger, smaller in ((mine, other), (other, mine)):
                if any(smaller in part and larger not in part for part in self.parts):
                    continue  # not a part of it
                apart = [
                    at
                    for at, part in enumerate(self.parts)
                    if larger in part and smaller not in part
                ]
                for count in table.counts if apart else ():
                    yield Target(
                        self._sum(new, count, apart),
                        f"{place_words(count)} of {table.name}, of those who are in "
                        f"{_population(larger)} and not in {_population(smaller)}",
                        count.row,
                        count.column,
                    )

    def _finest(self) -> Iterator[Target]:
        for block in self.blocks:
            if not block.variables:
                continue
            for where in np.ndindex(block.cells.shape):
                at = ", ".join(
                    f"{each.name} {each.categories[place]}"
                    for each, place in zip(block.variables, where, strict=False)
                )
                yield Target(block.cells[where].reshape(1), f"the people with {at}")


def _key(unknowns: Indices) -> bytes:
    return np.sort(unknowns).tobytes()


def _population(name: str) -> str:
    return f"the population {name}" if name else "the whole dataset"


def _width(table: Released) -> int:
    return prod([len(each.categories) for each in table.meta.variables])


def _parts(metas: Sequence[TableMeta]) -> list[Part]:
    """Return every combination of populations that somebody can belong to."""
    above: dict[str, set[str]] = {"": set()}
    for meta in metas:
        above.setdefault(meta.population, set()).update({"", *meta.within} - {meta.population})
    names = sorted(above.keys() - {""})
    known = set(names)
    if len(names) > MOST_PARTS:
        return [frozenset(names)] * (MOST_PARTS + 1)
    return [
        frozenset({"", *some})
        for size in range(len(names) + 1)
        for some in combinations(names, size)
        if all((above[name] & known) <= set(some) for name in some)
    ]


def _domains(
    tables: Mapping[int, Released],
) -> tuple[dict[str, Variable], dict[int, dict[str, str]]]:
    """Return the variables there are, and for each table what its variables are called there.

    Of one name with categories that do not fit into each other, each kind is a variable of its
    own: nothing is concluded from a grouping that nobody declared.
    """
    kinds: dict[str, list[set[str]]] = {}
    listed = [each for table in tables.values() for each in table.meta.variables]
    for each in sorted(listed, key=lambda one: -len(one.categories)):
        known = kinds.setdefault(each.name, [])
        if not any(set(each.categories) <= kind for kind in known):
            known.append(set(each.categories))
    domains: dict[str, Variable] = {}
    renamed: dict[int, dict[str, str]] = {}
    for index, table in tables.items():
        renamed[index] = {}
        for each in table.meta.variables:
            kind = next(at for at, k in enumerate(kinds[each.name]) if set(each.categories) <= k)
            name = each.name if kind == 0 else f"{each.name} (grouped {kind})"
            renamed[index][each.name] = name
            categories = tuple(sorted(kinds[each.name][kind]))
            domains[name] = Variable.model_construct(name=name, categories=categories)
    return domains, renamed


def _linked(groups: Sequence[set[str]]) -> list[list[str]]:
    """Return the variables that tables link directly or through others, in a steady order."""
    found: list[set[str]] = []
    for group in groups:
        touching = [each for each in found if each & group]
        found = [each for each in found if not each & group]
        found.append(set(group).union(*touching))
    linked = [sorted(each) for each in found if each]
    return sorted(linked) or [[]]
