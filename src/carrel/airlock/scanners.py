"""Which scanners examine a sealed file? Its type for both ways; small counts for exports."""

from collections.abc import Iterator, Mapping, Sequence

from carrel.airlock.ports import Scanner, Subject
from carrel.airlock.rules import Direction, Finding, Severity, acro, formats
from carrel.airlock.rules.differencing import Released, compare
from carrel.airlock.rules.disclosure import check_table
from carrel.airlock.rules.dominance import disclosing_cells
from carrel.airlock.rules.sidecar import counts_of, declared


class FileTypes:
    """Is the file what its name says, of an allowed type, and can it be parsed?"""

    name = "file types"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Compare name, first bytes and, for exports, the whole content."""
        return list(self._examine(subject))

    def _examine(self, subject: Subject) -> Iterator[Finding]:
        with subject.open() as content:
            head = content.read(formats.HEAD_BYTES)
        disguised = list(formats.check_head(subject.name, head, subject.direction))
        yield from disguised
        if disguised or subject.direction is Direction.IMPORT:
            return
        unknown = list(formats.check_allowed(subject.name, subject.policy.export_types))
        yield from unknown
        if not unknown:
            yield from _content(subject)


def _content(subject: Subject) -> Iterator[Finding]:
    limit = subject.policy.export_file_bytes
    if subject.size_bytes > limit:
        yield Finding(
            "too_large",
            Severity.CANNOT_TELL,
            f"The file is larger than {limit // 2**20} MiB, which nobody can review; export "
            "results, not records.",
        )
        return
    kind = formats.suffix(subject.name)
    if kind in formats.TEXTS:
        yield from formats.check_text(_read(subject))
    elif kind in formats.IMAGES:
        yield from formats.check_image(subject.name, _read(subject))
    elif kind == formats.NOTEBOOK:
        yield from formats.check_notebook(_read(subject))


def _read(subject: Subject) -> bytes:
    with subject.open() as content:
        return content.read()


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
        return check_table(_read(subject), delimiter, subject.policy, declared)


class AcroClaims:
    """Does a file bear out what the ACRO session it came with says of it?"""

    name = "ACRO claims"
    version = "1"

    def examine(self, subject: Subject) -> Sequence[Finding]:
        """Hold the claim against the policy and the file; files without a claim pass."""
        claim = subject.context.get("acro")
        if not isinstance(claim, Mapping) or subject.size_bytes > subject.policy.export_file_bytes:
            return []
        return list(acro.contradictions(claim, _read(subject), subject.sha256, subject.policy))


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
            new = Released("this table", meta, counts_of(meta, _read(subject)))
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


def standard_scanners() -> Sequence[Scanner]:
    """Return every scanner of this installation, in the order in which they run."""
    return (FileTypes(), SmallCounts(), AcroClaims(), Differencing())
