"""Between which bounds must each target lie, by everything that was published?

Bounds are tightened by arithmetic first; what that fixes falls away, and the rest falls apart into
blocks that share no unknown. For each block, solutions far apart from each other are looked for
(HiGHS); a target that differs among them by the threshold is safe at the price of no question of
its own. What is left is minimised and maximised. Small blocks are solved in whole numbers, so that
their bounds are the true ones; large ones in real numbers, whose bounds may be wider than the
truth.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from carrel.airlock.rules.differencing.equations import Indices, System, Target

WHOLE_NUMBERS_UP_TO = 80
_ROUNDS = 60
_LOOKS = 12
_SOME = 0.1
_TINY = 1e-6
_LONGEST_SECONDS = 5.0
_INFEASIBLE = 2
_ENDLESS = 1e6
"""Where nothing limits an unknown, it is looked for among so many people."""

Floats = NDArray[np.float64]


class ContradictionError(ValueError):
    """No counts of people fit all that was published."""


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest count that a target can have."""

    low: int
    high: int

    @property
    def width(self) -> int:
        """How much is left unknown."""
        return self.high - self.low


@dataclass(frozen=True)
class Said:
    """All that was published: below <= matrix @ unknowns <= above, each row by one table."""

    matrix: csr_matrix
    below: Floats
    above: Floats
    tables: Indices
    """Which table says a row; -1 where it is plain arithmetic."""

    @classmethod
    def by(cls, system: System) -> "Said":
        """Write the equations of a system down."""
        said = system.equations
        columns = [np.concatenate([each.plus, each.minus]) for each in said]
        signs = [np.repeat([1.0, -1.0], [len(each.plus), len(each.minus)]) for each in said]
        rows = np.repeat(np.arange(len(said)), [len(each) for each in columns])
        places = (rows, _joined(columns).astype(np.int64))
        return cls(
            csr_matrix((_joined(signs), places), shape=(len(said), system.size)),
            np.array([each.low for each in said], dtype=np.float64),
            np.array([np.inf if each.high is None else each.high for each in said], np.float64),
            np.array([-1 if each.table is None else each.table for each in said], np.int64),
        )

    def without(self, tables: Collection[int]) -> "Said":
        """Return what the other tables say."""
        rows = np.flatnonzero(~np.isin(self.tables, list(tables)))
        return Said(self.matrix[rows], self.below[rows], self.above[rows], self.tables[rows])


@dataclass
class _Rules:
    """What is said, and between which bounds each unknown lies."""

    matrix: csr_matrix
    below: Floats
    above: Floats
    low: Floats
    high: Floats

    def tighten(self) -> None:
        """Draw the bounds together by arithmetic alone. Raises `ContradictionError`."""
        entries = self.matrix.tocoo()
        rows, columns, plus = entries.row, entries.col, entries.data > 0
        for _ in range(_ROUNDS):
            least = np.where(plus, self.low[columns], -self.high[columns])
            most = np.where(plus, self.high[columns], -self.low[columns])
            top = self.above[rows] - _others(rows, least, len(self.below), -np.inf)
            bottom = self.below[rows] - _others(rows, most, len(self.below), np.inf)
            high, low = self.high.copy(), self.low.copy()
            np.minimum.at(high, columns, np.where(plus, top, -bottom))
            np.maximum.at(low, columns, np.where(plus, bottom, -top))
            high, low = np.floor(high + _TINY), np.ceil(low - _TINY)
            if (low > high).any():
                raise ContradictionError
            if np.array_equal(low, self.low) and np.array_equal(high, self.high):
                return
            self.low, self.high = low, high


class Solver:
    """Answers between which bounds sums of unknowns lie."""

    def __init__(self, said: Said) -> None:
        """Tighten all bounds by arithmetic. Raises `ContradictionError`."""
        size = said.matrix.shape[1]
        free = np.zeros(size), np.full(size, np.inf)
        self._rules = _Rules(said.matrix, said.below, said.above, *free)
        self._rules.tighten()
        self._block_of = _blocks(self._rules)

    def narrow(self, targets: Sequence[Target], threshold: int) -> Mapping[int, Range]:
        """Return the ranges of the targets, by position, that may be small and are narrow.

        Narrow is a width below `threshold`; may be small is a least count below it. Targets that
        are certainly nobody are left out. Raises `ContradictionError`.
        """
        found: dict[int, Range] = {}
        for blocks, positions in self._by_blocks(targets).items():
            inside = {at: targets[at] for at in positions}
            found |= self._fixed(inside) if not blocks else self._solved(blocks, inside, threshold)
        return {
            at: known
            for at, known in found.items()
            if known.width < threshold and known.low < threshold and known.high > 0
        }

    def _by_blocks(self, targets: Sequence[Target]) -> Mapping[tuple[int, ...], list[int]]:
        """Put the targets together that depend on the same unknowns; what is endless is safe."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for at, target in enumerate(targets):
            if np.isinf(self._rules.high[target.unknowns]).any():
                continue
            blocks = np.unique(self._block_of[target.unknowns])
            groups.setdefault(tuple(blocks[blocks >= 0].tolist()), []).append(at)
        return groups

    def _fixed(self, targets: Mapping[int, Target]) -> dict[int, Range]:
        sums = {at: int(self._rules.low[each.unknowns].sum()) for at, each in targets.items()}
        return {at: Range(value, value) for at, value in sums.items()}

    def _solved(
        self, blocks: Sequence[int], targets: Mapping[int, Target], threshold: int
    ) -> dict[int, Range]:
        block = _Block(self._rules, np.flatnonzero(np.isin(self._block_of, blocks)))
        seen = _Seen(targets)
        for solution in block.solutions(pairs=min(len(targets), _LOOKS)):
            seen.look_at(solution)
            if not seen.narrower_than(threshold):
                return {}
        found = {}
        for at in seen.narrower_than(threshold):
            if seen.is_narrower(at, threshold):  # still, after what the others have shown
                found[at] = block.range_of(targets[at], seen)
        return found


class _Seen:
    """The least and the most that targets had in the solutions so far."""

    def __init__(self, targets: Mapping[int, Target]) -> None:
        sizes = [len(target.unknowns) for target in targets.values()]
        self._unknowns = np.concatenate([target.unknowns for target in targets.values()])
        self._rows = np.repeat(np.arange(len(sizes)), sizes)
        self._row_of = {at: row for row, at in enumerate(targets)}
        self._least = np.full(len(sizes), np.inf)
        self._most = np.full(len(sizes), -np.inf)

    def look_at(self, solution: Floats) -> None:
        """Take in one solution, with a value for every unknown of the system."""
        weights = solution[self._unknowns]
        sums = np.bincount(self._rows, weights=weights, minlength=len(self._least))
        self._least = np.minimum(self._least, sums)
        self._most = np.maximum(self._most, sums)

    def narrower_than(self, width: int) -> list[int]:
        return [at for at in self._row_of if self.is_narrower(at, width)]

    def is_narrower(self, at: int, width: int) -> bool:
        row = self._row_of[at]
        return bool(self._most[row] - self._least[row] < width - _TINY)


class _Block:
    """Unknowns that hang together, and all that is said of them."""

    def __init__(self, rules: _Rules, columns: Indices) -> None:
        self._columns = columns
        self._elsewhere = np.where(np.isfinite(rules.low), rules.low, 0)
        inside = rules.matrix[:, columns]
        rows = np.flatnonzero(np.diff(inside.indptr))
        fixed = self._elsewhere.copy()
        fixed[columns] = 0
        offset = rules.matrix[rows] @ fixed
        self._said = LinearConstraint(
            inside[rows], rules.below[rows] - offset, rules.above[rows] - offset
        )
        low, high = rules.low[columns], rules.high[columns]
        self._bounds = Bounds(low, np.where(np.isinf(high), low + _ENDLESS, high))
        self._is_whole = len(columns) <= WHOLE_NUMBERS_UP_TO
        self._random = np.random.default_rng(len(columns))

    def solutions(self, pairs: int) -> Iterator[Floats]:
        """Yield some solutions, as far apart as few questions find them."""
        count = len(self._columns)
        for number in range(pairs if pairs > 1 else 0):
            weights = self._random.standard_normal(count)
            if number % 2:  # a few unknowns at a time go further than all together
                weights *= self._random.random(count) < _SOME
            yield self._completed(self._solve(weights))
            yield self._completed(self._solve(-weights))

    def range_of(self, target: Target, seen: _Seen) -> Range:
        """Return the bounds of a target; the solutions found on the way are shown to `seen`."""
        wanted = np.zeros(len(self._elsewhere))
        wanted[target.unknowns] = 1
        weights = wanted[self._columns]
        wanted[self._columns] = 0
        constant = float(wanted @ self._elsewhere)
        least, most = self._solve(weights), self._solve(-weights)
        for answer in (least, most):
            seen.look_at(self._completed(answer))
        low = constant + self._proven(least)
        high = constant - self._proven(most)
        return Range(int(np.ceil(low - _TINY)), int(np.floor(high + _TINY)))

    def _proven(self, answer: OptimizeResult) -> float:
        return float(answer.mip_dual_bound if self._is_whole else answer.fun)

    def _solve(self, weights: Floats) -> OptimizeResult:
        answer = milp(
            weights,
            constraints=self._said,
            bounds=self._bounds,
            integrality=np.full(len(weights), int(self._is_whole)),
            options={"time_limit": _LONGEST_SECONDS},
        )
        if answer.x is None:
            raise ContradictionError if answer.status == _INFEASIBLE else TimeoutError
        return answer

    def _completed(self, answer: OptimizeResult) -> Floats:
        solution = self._elsewhere.copy()
        solution[self._columns] = answer.x
        return solution


def _joined(parts: Iterable[NDArray[np.float64] | Indices]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(0), *parts])


def _others(rows: NDArray[np.int32], values: Floats, count: int, endless: float) -> Floats:
    """Return for each entry the sum of its row's other entries; `endless` if one of them is."""
    infinite = np.isinf(values)
    finite = np.where(infinite, 0, values)
    sums = np.bincount(rows, weights=finite, minlength=count)
    ends = np.bincount(rows, weights=infinite, minlength=count)
    return np.where(ends[rows] - infinite > 0, endless, sums[rows] - finite)


def _blocks(rules: _Rules) -> Indices:
    """Return for each unknown the block it is in; -1 if it is fixed."""
    found = np.full(len(rules.low), -1, dtype=np.int64)
    columns = np.flatnonzero(rules.low < rules.high)
    if len(columns):
        inside = abs(rules.matrix[:, columns])
        _, labels = connected_components(inside.T @ inside, directed=False)
        found[columns] = labels
    return found
