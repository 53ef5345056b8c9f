"""What does an ACRO session claim about its outputs, and do its files bear the claim out?

ACRO runs where the data is, so it knows what a file alone does not say. But its session is written
by the researcher's own processes: checksums without a key lie beside the files, and the thresholds
in a file without any. So a session is a claim: read strictly, its hashes computed again, its
thresholds held against the workspace's policy, its cells looked up in the tables themselves.

Format: ACRO 1.0.2's `results.json` (github.com/AI-SDC/ACRO, acro/record.py), as observed.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carrel.airlock.rules.cells import Kind, read_cell
from carrel.airlock.rules.requests import AirlockPolicy, Finding, Severity
from carrel.core.errors import InvalidRequest

RESULTS = "results.json"
CONFIG = "config.json"
CHECKSUMS = "checksums"
NEVER_RELEASED = "-DONT_RELEASE"
"""What ACRO puts behind the name of an output that is for the checker alone."""

_VERSION = re.compile(r"1\.0\.\d+")
_SUPPRESSES = "suppress"
_SMALL = "MinimumThresholdCheck"
_CELLS_LIMIT = 20_000

_Text = Annotated[str, Field(max_length=20_000)]
_Cell = tuple[int, int]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Sdc(_Strict):
    summary: Mapping[str, int] = {}
    cells: Mapping[str, Sequence[_Cell]] = {}


class _File(_Strict):
    name: _Text
    sdc: _Sdc


class _Output(_Strict):
    uid: _Text
    status: Annotated[str, Field(pattern="^(pass|review|fail)$")]
    type: _Text
    properties: Mapping[str, Any]
    files: Sequence[_File]
    outcome: Mapping[str, Any]
    command: _Text
    summary: _Text
    timestamp: _Text
    comments: Sequence[_Text]
    exception: _Text
    fair: Mapping[str, Any]


class _Session(_Strict):
    version: _Text
    tool: Mapping[str, Any]
    results: Mapping[str, _Output]


class _Config(BaseModel):
    """Only what is held against the policy; ACRO keeps more in it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    safe_threshold: int
    zeros_are_disclosive: bool = True
    safe_nk_k: float = 0.9
    safe_pratio_p: float = 0.1


@dataclass(frozen=True, slots=True)
class SessionFile:
    """One file of a session folder: its name there, its SHA-256 (hex) as computed by the TRE."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """What becomes of a session's files in the draft."""

    claims: Mapping[str, Mapping[str, Any]]
    """What ACRO says about each file that may go on, by its name in the session's folder."""
    dropped: Sequence[str]
    """The session's own papers and what it says must not be released."""


def adopt(
    files: Sequence[SessionFile],
    results: bytes,
    config: bytes | None,
    checksums: Mapping[str, str],
) -> Adopted:
    """Read a session folder. `checksums` holds the text of each file below `checksums/`.

    Raises `InvalidRequest` with what to do if the format is unknown, a file is missing, unlisted,
    listed twice, or not the one that ACRO wrote.
    """
    session = _session(results)
    thresholds = _thresholds(config)
    by_name = {file.name: file for file in files}
    claims: dict[str, Mapping[str, Any]] = {}
    never: set[str] = set()
    for output in session.results.values():
        for file in output.files:
            _check_listed(file.name, by_name, claims.keys() | never)
            _check_sum(by_name[file.name], checksums)
            if _is_never_released(output, file.name):
                never.add(file.name)
            else:
                claim = _claim(output, file)
                kept = {"acro": session.version, "sha256": by_name[file.name].sha256}
                claims[file.name] = {**kept, **claim, "thresholds": thresholds}
    papers = {name for name in by_name if _is_paper(name)}
    unlisted = sorted(by_name.keys() - claims.keys() - never - papers)
    if unlisted:
        raise InvalidRequest(
            f"{unlisted[0]} lies in the session's folder and {RESULTS} does not list it. Take it "
            "out, or run finalise() into a fresh folder.",
            field="folder",
        )
    return Adopted(claims, sorted(never | papers))


def contradictions(
    claim: Mapping[str, Any], content: bytes, sha256: str, policy: AirlockPolicy
) -> Iterator[Finding]:
    """Yield where a file does not bear out what its session claims, or the claim is too weak."""
    if claim.get("sha256") != sha256:
        yield Finding(
            "acro_other_file",
            Severity.FLAG,
            "This is not the file that the ACRO session was about; it was changed afterwards.",
        )
    yield from _weaker(claim.get("thresholds"), policy)
    if claim.get("status") == "fail":
        yield Finding("acro_fail", Severity.FLAG, "ACRO itself says that this output fails.")
    if claim.get("exception"):
        yield Finding(
            "acro_exception",
            Severity.CHECK,
            "The researcher asks for an exception from ACRO's rules; read their reason.",
        )
    yield from _cells(claim, content, policy)


def _session(results: bytes) -> _Session:
    try:
        session = _Session.model_validate_json(results)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InvalidRequest(
            f"{RESULTS} is not a session of ACRO as Carrel knows it: {place}: {first['msg']}. "
            "Run finalise() of ACRO 1.0 again, or add the files one by one without it.",
            field="folder",
        ) from error
    if not _VERSION.fullmatch(session.version):
        raise InvalidRequest(
            f"{RESULTS} is of ACRO {session.version[:20]!a}; Carrel reads ACRO 1.0. Add the "
            "files one by one, without the session.",
            field="folder",
        )
    if not session.results:
        raise InvalidRequest(f"{RESULTS} lists no output.", field="folder")
    return session


def _thresholds(config: bytes | None) -> Mapping[str, Any] | None:
    if config is None:
        return None
    try:
        return _Config.model_validate_json(config).model_dump()
    except ValidationError as error:
        raise InvalidRequest(
            f"{CONFIG} of the session cannot be read; run finalise() again.", field="folder"
        ) from error


def _check_listed(name: str, by_name: Mapping[str, SessionFile], seen: set[str]) -> None:
    if name not in by_name:
        raise InvalidRequest(
            f"{RESULTS} lists {name[:80]!a}, which is not in the session's folder. Add the "
            "whole folder.",
            field="folder",
        )
    if name in seen:
        raise InvalidRequest(
            f"{RESULTS} lists {name} twice, so nobody knows which claim is meant. Run finalise() "
            "into a fresh folder.",
            field="folder",
        )


def _check_sum(file: SessionFile, checksums: Mapping[str, str]) -> None:
    said = checksums.get(f"{file.name}.txt", "").strip().lower()
    if said != file.sha256:
        raise InvalidRequest(
            f"{file.name} is not the file that ACRO wrote: its SHA-256 differs from the session's "
            "checksum. Run finalise() again and add the folder untouched.",
            field="folder",
        )


def _is_paper(name: str) -> bool:
    return name in {RESULTS, CONFIG} or PurePosixPath(name).parts[0] == CHECKSUMS


def _is_never_released(output: _Output, name: str) -> bool:
    return output.uid.endswith(NEVER_RELEASED) or NEVER_RELEASED in name


def _claim(output: _Output, file: _File) -> Mapping[str, Any]:
    """Return what is kept of ACRO's words: neither `command` nor `outcome`, which hold content."""
    small = list(file.sdc.cells.get(_SMALL, ()))[:_CELLS_LIMIT]
    variables = output.fair.get("independent", [])
    return {
        "uid": output.uid,
        "status": output.status,
        "type": output.type,
        "method": str(output.properties.get("method", "")),
        "mitigation": str(output.properties.get("mitigation", "")),
        "checks": dict(file.sdc.summary),
        "small_cells": [list(cell) for cell in small],
        "shape": _shape(output.outcome),
        "variables": [str(name) for name in variables] if isinstance(variables, list) else [],
        "comments": list(output.comments),
        "exception": output.exception,
    }


def _shape(outcome: Mapping[str, Any]) -> list[int] | None:
    """Return rows and columns of the table's body, which `outcome` tells by column, then row."""
    columns = list(outcome.values())
    if not columns or not all(isinstance(column, Mapping) for column in columns):
        return None
    return [len(columns[0]), len(columns)]


def _weaker(thresholds: Mapping[str, Any] | None, policy: AirlockPolicy) -> Iterator[Finding]:
    if thresholds is None:
        yield Finding(
            "acro_no_thresholds",
            Severity.CHECK,
            f"The session came without {CONFIG}, so nobody knows which thresholds it was run with.",
        )
        return
    if thresholds["safe_threshold"] < policy.threshold:
        yield Finding(
            "acro_weak_threshold",
            Severity.FLAG,
            f"ACRO was run with the threshold {thresholds['safe_threshold']}; this workspace's "
            f"policy asks for {policy.threshold}.",
        )
    if policy.zeros_checked and not thresholds["zeros_are_disclosive"]:
        yield Finding(
            "acro_zeros_passed",
            Severity.FLAG,
            "ACRO was told that zeros disclose nothing; this workspace's policy looks at them.",
        )


def _cells(claim: Mapping[str, Any], content: bytes, policy: AirlockPolicy) -> Iterator[Finding]:
    """Look ACRO's small cells up: a suppressed one must be empty, and none may be left out."""
    shape = claim.get("shape")
    if claim.get("type") != "table" or not shape:
        return
    body = _Body.of(content, *shape)
    if body is None:
        yield Finding(
            "acro_other_shape",
            Severity.FLAG,
            "The table has not the rows and columns that the ACRO session tells of.",
        )
        return
    small = {(row, column) for row, column in claim.get("small_cells", ())}
    if claim.get("mitigation") == _SUPPRESSES:
        yield from _unsuppressed(body, small)
    if claim.get("method") in {"crosstab", "pivot_table"} and _counts(claim):
        yield from _left_out(body, small, policy)


def _counts(claim: Mapping[str, Any]) -> bool:
    """Whether the table counts people: ACRO checks dominance only where values are summed up."""
    return "NKCheck" not in claim.get("checks", {})


def _unsuppressed(body: "_Body", small: set[_Cell]) -> Iterator[Finding]:
    for row, column in sorted(small):
        if body.holds_number(row, column):
            yield body.found(
                "acro_filled_again",
                row,
                column,
                "holds a number where ACRO says that it was hidden; it was filled in again.",
            )


def _left_out(body: "_Body", small: set[_Cell], policy: AirlockPolicy) -> Iterator[Finding]:
    for row, column in body.places():
        if (row, column) not in small and body.is_small(row, column, policy.threshold):
            yield body.found(
                "acro_left_out",
                row,
                column,
                f"counts fewer than {policy.threshold} people and ACRO does not say so.",
            )


@dataclass(frozen=True, slots=True)
class _Body:
    """The cells of a table that are neither header nor label."""

    rows: Sequence[Sequence[str]]
    above: int
    left: int

    @classmethod
    def of(cls, content: bytes, height: int, width: int) -> "_Body | None":
        try:
            rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        except (UnicodeDecodeError, csv.Error):
            return None
        rows = [row for row in rows if row]
        above, left = len(rows) - height, len(rows[0]) - width if rows else 0
        fits = above >= 1 and left >= 1 and all(len(row) == len(rows[0]) for row in rows)
        return cls([row[left:] for row in rows[above:]], above, left) if fits else None

    def places(self) -> Iterator[_Cell]:
        return (
            (row, column) for row, cells in enumerate(self.rows) for column in range(len(cells))
        )

    def holds_number(self, row: int, column: int) -> bool:
        if not (0 <= row < len(self.rows) and 0 <= column < len(self.rows[row])):
            return False
        return read_cell(self.rows[row][column]).kind in {Kind.NUMBER, Kind.COUNTS}

    def is_small(self, row: int, column: int, threshold: int) -> bool:
        cell = read_cell(self.rows[row][column])
        return cell.kind is Kind.NUMBER and any(0 < value < threshold for value in cell.values)

    def found(self, rule: str, row: int, column: int, sentence: str) -> Finding:
        line, place = row + self.above + 1, column + self.left + 1
        return Finding(
            rule,
            Severity.FLAG,
            f"Row {line}, column {place} {sentence}",
            row=line,
            column=place,
        )
