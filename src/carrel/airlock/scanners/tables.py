"""What does a table reveal: alone, as its ACRO session claims, and with all that left before?"""

from collections.abc import Mapping, Sequence

from carrel.airlock.ports import Subject
from carrel.airlock.rules import Direction, Finding, Severity, acro, formats
from carrel.airlock.rules.differencing import Released, compare
from carrel.airlock.rules.disclosure import check_table
from carrel.airlock.rules.dominance import disclosing_cells
from carrel.airlock.rules.sidecar import counts_of, declared
from carrel.airlock.scanners.reading import read_whole


class SmallCounts:
    """Does a table that leaves count few people anywhere?"""

    name = "small counts"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Read CSV and TSV; other types are not tables."""
        delimiter = formats.TABLES.get(formats.suffix(subject.name))
        if (
            delimiter is None
            or subject.direction is Direction.IMPORT
            or subject.size_bytes > subject.policy.export_file_bytes
        ):
            return []
        declared = subject.context.get("columns", {})
        return check_table(read_whole(subject), delimiter, subject.policy, declared)


class AcroClaims:
    """Does a file bear out what the ACRO session it came with says of it?"""

    name = "ACRO claims"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Hold the claim against the policy and the file; files without a claim pass."""
        claim = subject.context.get("acro")
        if not isinstance(claim, Mapping) or subject.size_bytes > subject.policy.export_file_bytes:
            return []
        return list(acro.contradictions(claim, read_whole(subject), subject.sha256, subject.policy))


class Differencing:
    """What does a table reveal, alone and with all that left before?"""

    name = "differencing"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Compare tables that declare what they count; those that do not cannot be compared."""
        if subject.direction is Direction.IMPORT or (
            formats.suffix(subject.name) not in formats.TABLES
            or subject.size_bytes > subject.policy.export_file_bytes
        ):
            return []
        meta = declared(subject.context)
        if meta is None:
            return [_CANNOT_COMPARE]
        try:
            new = Released("this table", meta, counts_of(meta, read_whole(subject)))
        except ValueError as error:
            return [_misfit(error)]
        found = [*disclosing_cells(meta, subject.policy.threshold)]
        if meta.statistic == "count":
            found += compare(new, subject.earlier(meta), subject.policy.threshold)
        return found


_CANNOT_COMPARE = Finding(
    "cannot_compare",
    Severity.CHECK,
    "The table does not declare what it counts, so it cannot be compared with earlier releases.",
)


def _misfit(error: ValueError) -> Finding:
    return Finding(
        "sidecar_misfit",
        Severity.FLAG,
        f"The table is not the one that its sidecar declares: {error}. It cannot be compared.",
    )
