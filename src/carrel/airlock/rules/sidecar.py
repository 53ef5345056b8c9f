"""What does a table describe? What a sidecar declares beside it, read strictly.

`table.csv` may come with `table.csv.carrel.json`, which the helper `carrel_outputs` writes inside a
workspace. It is the author's claim, and the only thing by which two tables can be compared: the
numbers of a file do not say which people they count.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from carrel.airlock.rules.cells import Cell, Kind, read_cell, says_total
from carrel.core.errors import InvalidRequest

SUFFIX = ".carrel.json"
LIMIT_BYTES = 4 * 2**20

_Name = Annotated[str, Field(min_length=1, max_length=200)]
Rounding = Literal["none", "5", "midpoint6"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variable(_Strict):
    """One variable of a table; its categories are all there are, and nobody is in two."""

    name: _Name
    categories: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=2000)]

    @model_validator(mode="after")
    def _are_different(self) -> "Variable":
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"the variable {self.name} has one category twice")
        return self


class Contribution(_Strict):
    """How much the largest contributors give to one cell of a sum or mean."""

    row: Annotated[int, Field(ge=2)]
    """As in a spreadsheet: the header is row 1."""
    column: Annotated[int, Field(ge=1)]
    count: Annotated[int, Field(ge=0)]
    total: Decimal
    largest: Decimal
    second: Decimal
    has_negative: bool = False


class TableMeta(_Strict):
    """What one table says of itself."""

    carrel: Literal[1]
    dataset: _Name
    dataset_version: _Name
    population: Annotated[str, Field(max_length=2000)] = ""
    """Who is counted, as the analysis filters; empty for everybody in the dataset."""
    within: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """Populations of other tables of which this one is a part; everybody needs no mention."""
    rows: Annotated[tuple[Variable, ...], Field(max_length=6)] = ()
    columns: Annotated[tuple[Variable, ...], Field(max_length=1)] = ()
    statistic: Literal[
        "count", "sum", "mean", "percentage", "median", "ratio", "coefficient", "other"
    ]
    rounding: Rounding = "none"
    contributions: Annotated[tuple[Contribution, ...], Field(max_length=100_000)] = ()
    degrees_of_freedom: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> "TableMeta":
        names = [variable.name for variable in self.variables]
        if len(set(names)) < len(names):
            raise ValueError("one variable is named twice")
        return self

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Every variable, those of the rows first."""
        return (*self.rows, *self.columns)


@dataclass(frozen=True, slots=True)
class Count:
    """One published number: whom it counts, and between which bounds the true count lies."""

    at: Mapping[str, str]
    """Category by variable; a variable that is absent here is summed up."""
    low: int
    high: int | None
    """None: no bound is known."""
    row: int = 0
    column: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the table shows the very count."""
        return self.low == self.high


def read_sidecar(content: bytes) -> TableMeta:
    """Read a sidecar. Raises `InvalidRequest` with the place and what to do."""
    try:
        return TableMeta.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidRequest(
            f"The sidecar cannot be read: {place}: {first['msg']}. Write it with carrel_outputs, "
            f"or remove it; without it a table can be compared with no other.",
            field="sidecar",
        ) from error


def declared(context: Mapping[str, Any]) -> TableMeta | None:
    """Return what the context of a file keeps of its sidecar."""
    kept = context.get("table")
    return TableMeta.model_validate(kept) if isinstance(kept, Mapping) else None


def counts_of(meta: TableMeta, content: bytes) -> Sequence[Count]:
    """Return the counts that a CSV table publishes. Raises `ValueError` if it does not fit `meta`.

    Layout: one column of labels for each row variable, then one column for each category of the
    column variable (or, without one, a single column of counts). A label or header that says
    total sums its variable up.
    """
    rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("its rows are not all as long as its header")
    labels = len(meta.rows)
    header = rows[0][labels:]
    if not header or (not meta.columns and len(header) != 1):
        raise ValueError("it has not the columns that its sidecar declares")
    across = [_place(meta.columns, [head] if meta.columns else []) for head in header]
    return list(_counts(meta, rows, across))


def _counts(
    meta: TableMeta, rows: Sequence[Sequence[str]], across: Sequence[Mapping[str, str]]
) -> Iterator[Count]:
    labels = len(meta.rows)
    for number, row in enumerate(rows[1:], start=2):
        down = _place(meta.rows, row[:labels])
        for offset, (right, text) in enumerate(zip(across, row[labels:], strict=True)):
            low, high = _bounds(read_cell(text), meta.rounding)
            yield Count({**down, **right}, low, high, number, labels + offset + 1)


def _place(variables: Sequence[Variable], texts: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for variable, text in zip(variables, texts, strict=True):
        if text in variable.categories:
            found[variable.name] = text
        elif not says_total(text):
            raise ValueError(f"{text[:80]!a} is no declared category of {variable.name[:80]!a}")
    return found


def _bounds(cell: Cell, rounding: Rounding) -> tuple[int, int | None]:
    if cell.kind is Kind.NUMBER and cell.is_whole:
        return _rounded(int(cell.values[0]), rounding)
    if cell.kind is Kind.HIDDEN and cell.values:
        return 0, max(int(cell.values[0]) - 1, 0)
    return 0, None


def _rounded(value: int, rounding: Rounding) -> tuple[int, int]:
    if rounding == "5" and value % 5 == 0:
        return max(value - 2, 0), value + 2
    if rounding == "midpoint6" and (value == 0 or value % 6 == 3):
        return (0, 0) if value == 0 else (value - 2, value + 3)
    return value, value
