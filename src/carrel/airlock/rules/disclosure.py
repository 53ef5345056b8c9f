"""Does a table show counts of so few people that they could be recognised?

File-only heuristics: without the data behind it, a table does not say which of its numbers count
people. So this errs on the side of flagging. A number counts people if its column's name says so,
if its row's name says so, or if every number of its column is whole and not negative. An author
may declare another statistic for a column; the finding then becomes one to check, never nothing.
Sentences name places, never contents: they may be read outside before anything is approved.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import islice

from carrel.airlock.rules.cells import (
    Cell,
    Kind,
    read_cell,
    row_says_count,
    says_count,
    says_midpoint,
    says_row_number,
    says_total,
)
from carrel.airlock.rules.requests import AirlockPolicy, Finding, Severity

FINDINGS_SHOWN = 200
"""More findings than this in one file are summed up in one."""
_CONTROL = frozenset(chr(code) for code in range(32)) - set("\t\r\n")
_DELIMITERS = (";", "\t", "|", ",")
_FORMULA = ("=", "@", "+", "-")


class Statistic(StrEnum):
    """What an author may declare the numbers of a column to be."""

    COUNT = "count"
    MEAN = "mean"
    PERCENTAGE = "percentage"
    RATIO = "ratio"
    COEFFICIENT = "coefficient"
    P_VALUE = "p_value"
    TIME = "time"
    LABEL = "label"
    OTHER = "other"


class UnreadableTableError(ValueError):
    """The text is not one table that everybody reads alike."""

    def __init__(self, sentence: str, row: int | None = None) -> None:
        super().__init__(sentence)
        self.row = row


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table as read: every row as long as the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def parse_table(content: bytes, delimiter: str) -> ResultTable:
    """Read UTF-8 CSV or TSV strictly. Raises `UnreadableTableError` with what to mend."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableTableError(
            f"The file is not UTF-8 (byte {error.start + 1}); save it as UTF-8."
        ) from error
    if not _CONTROL.isdisjoint(text):
        raise UnreadableTableError("The file holds control characters; save it as plain text.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in reader if row)
    except csv.Error as error:
        raise UnreadableTableError(
            f"Line {reader.line_num} cannot be read as part of a table; check its quotes.",
            len(rows) + 1,
        ) from error
    return _checked(rows)


def _checked(rows: list[list[str]]) -> ResultTable:
    if len(rows) < 2:
        raise UnreadableTableError("The table needs a header and at least one row.")
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise UnreadableTableError(
                f"Row {number} has {len(row)} cells and the header has {width}; make them equal.",
                number,
            )
    return ResultTable(rows[0], rows[1:])


def check_table(
    content: bytes,
    delimiter: str,
    policy: AirlockPolicy,
    declared: Mapping[str, str] | None = None,
) -> Sequence[Finding]:
    """Return what a reviewer should know about a table; `declared` maps headers to statistics."""
    try:
        table = parse_table(content, delimiter)
        unusual = _other_delimiter(table)
        if unusual:
            table = parse_table(content, unusual)
    except UnreadableTableError as error:
        return [Finding("unreadable", Severity.CANNOT_TELL, str(error), row=error.row)]
    first = [_unusual_delimiter()] if unusual else []
    found = first + list(islice(_findings(table, policy, declared or {}), FINDINGS_SHOWN + 1))
    if len(found) > FINDINGS_SHOWN:
        found[FINDINGS_SHOWN] = Finding(
            "more", Severity.FLAG, f"There are more findings than the {FINDINGS_SHOWN} shown here."
        )
    return found


def _other_delimiter(table: ResultTable) -> str:
    """Return what separates the columns of a table that seems to have one; empty if nothing."""
    if len(table.header) > 1:
        return ""
    texts = [table.header[0], *(row[0] for row in table.rows)]
    return next((mark for mark in _DELIMITERS if all(mark in text for text in texts)), "")


def _unusual_delimiter() -> Finding:
    return Finding(
        "delimiter",
        Severity.CHECK,
        "The columns are separated by another character than the file's name promises; they were "
        "read by that one.",
    )


def _findings(
    table: ResultTable, policy: AirlockPolicy, declared: Mapping[str, str]
) -> Iterator[Finding]:
    if len(table.rows) > policy.export_rows:
        yield Finding(
            "many_rows",
            Severity.FLAG,
            f"The table has more than {policy.export_rows} rows; results are shorter, "
            "records are not.",
        )
    cells = [[read_cell(text) for text in row] for row in table.rows]
    labels = [_label(row, read) for row, read in zip(table.rows, cells, strict=True)]
    for index, name in enumerate(table.header):
        column = _Column(
            number=index + 1,
            name=name,
            cells=[row[index] for row in cells],
            statistic=declared.get(name),
        )
        yield from column.findings(labels, policy)
        yield from _formulas(index, table.rows)


def _label(texts: Sequence[str], cells: Sequence[Cell]) -> str:
    """Return what the row is called: its first cell of words."""
    for text, cell in zip(texts, cells, strict=True):
        if cell.kind is Kind.TEXT:
            return text
    return ""


def _formulas(index: int, rows: Sequence[Sequence[str]]) -> Iterator[Finding]:
    for number, row in enumerate(rows, start=2):
        if row[index].lstrip().startswith(_FORMULA) and read_cell(row[index]).kind is Kind.TEXT:
            yield Finding(
                "formula",
                Severity.CHECK,
                f"Row {number}, column {index + 1} begins like a formula, which a spreadsheet "
                "would run.",
                row=number,
                column=index + 1,
            )


def _is_multiple(value: Decimal, base: int) -> bool:
    return value == value.to_integral_value() and int(value) % base == 0


@dataclass(frozen=True, slots=True)
class _Column:
    number: int
    name: str
    cells: Sequence[Cell]
    statistic: str | None

    def findings(self, labels: Sequence[str], policy: AirlockPolicy) -> Iterator[Finding]:
        if self._is_row_number:
            return
        if self._is_midpoint:
            yield self._found(
                "midpoint",
                None,
                f"Column {self.number} is named as rounded to midpoint 6, and every number fits; "
                "check that it was rounded and not chosen.",
                Severity.CHECK,
            )
            return
        counted = self._is_count
        for row, (cell, label) in enumerate(zip(self.cells, labels, strict=True), start=2):
            if counted or row_says_count(label):
                yield from self._cell(row, cell, policy)
            elif cell.is_whole and cell.kind is Kind.NUMBER:
                yield from self._stray(row, cell, policy)
        if counted:
            yield from self._whole_column(labels, policy)

    @property
    def _numbers(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind in {Kind.NUMBER, Kind.COUNTS}]

    @property
    def _is_count(self) -> bool:
        numbers = self._numbers
        if self.statistic == Statistic.COUNT or says_count(self.name):
            return True
        return bool(numbers) and all(cell.is_whole for cell in numbers)

    @property
    def _is_row_number(self) -> bool:
        """The running number 0, 1, 2 … (or from 1) says nothing about anybody."""
        values = [cell.values[0] if cell.kind is Kind.NUMBER else None for cell in self.cells]
        return (
            says_row_number(self.name)
            and values[0] in {0, 1}
            and all(value == int(values[0] or 0) + step for step, value in enumerate(values))
        )

    @property
    def _is_midpoint(self) -> bool:
        """Verified midpoint-6 rounding: 1-6 becomes 3, 7-12 becomes 9, and so on."""
        return says_midpoint(self.name) and all(
            cell.is_whole and all(value == 0 or int(value) % 6 == 3 for value in cell.values)
            for cell in self._numbers
        )

    def _cell(self, row: int, cell: Cell, policy: AirlockPolicy) -> Iterator[Finding]:
        place = f"Row {row}, column {self.number}"
        if cell.holds_number:
            yield self._found(
                "unread_count",
                row,
                f"{place} is among counts, holds a number and cannot be read as one; look at it, "
                "and write counts as digits alone.",
            )
        if cell.kind is Kind.HIDDEN:
            if any(bound < policy.threshold for bound in cell.values):
                yield self._found(
                    "fine_mark",
                    row,
                    f"{place} hides a count but admits that it is below a number smaller "
                    f"than {policy.threshold}; write <{policy.threshold}.",
                )
            return
        if any(0 < value < policy.threshold for value in cell.values):
            yield self._found(
                "small_count",
                row,
                f"{place} counts fewer than {policy.threshold} people; hide it and round "
                "what is left.",
            )
        if policy.zeros_checked and any(value == 0 for value in cell.values):
            yield self._found(
                "zero_count",
                row,
                f"{place} counts nobody; check that this says nothing about everybody else "
                "in the group.",
                Severity.CHECK,
            )
        if any(value < 0 for value in cell.values):
            yield self._found(
                "negative_count", row, f"{place} is a negative count.", Severity.CHECK
            )

    def _stray(self, row: int, cell: Cell, policy: AirlockPolicy) -> Iterator[Finding]:
        if any(0 < value < policy.threshold for value in cell.values):
            yield self._found(
                "maybe_small_count",
                row,
                f"Row {row}, column {self.number} is a small whole number; check that it does "
                "not count people.",
                Severity.CHECK,
            )

    def _whole_column(self, labels: Sequence[str], policy: AirlockPolicy) -> Iterator[Finding]:
        values = [value for cell in self._numbers for value in cell.values]
        rounded = all(_is_multiple(value, policy.rounding_base) for value in values)
        if values and not rounded:
            yield self._found(
                "unrounded",
                None,
                f"Column {self.number} holds counts that are not rounded to "
                f"{policy.rounding_base}.",
                Severity.CHECK,
            )
        hidden = sum(cell.kind is Kind.HIDDEN for cell in self.cells)
        if hidden == 1 and not rounded and any(says_total(label) for label in labels):
            yield self._found(
                "lone_hidden",
                None,
                f"Column {self.number} hides one cell only, and the total gives it back; "
                "hide a second one or round.",
            )

    def _found(
        self, rule: str, row: int | None, sentence: str, severity: Severity = Severity.FLAG
    ) -> Finding:
        if severity is Severity.FLAG and self.statistic not in {None, Statistic.COUNT}:
            severity = Severity.CHECK
            sentence += f" The author declares column {self.number} as {self.statistic}."
        return Finding(rule, severity, sentence, row=row, column=self.number)
