"""What do the airlock's pages show of a request and of a file?"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from carrel.airlock.rules import (
    EDITABLE,
    OWNERS,
    SETTLED,
    Action,
    AirlockRequest,
    Direction,
    Finding,
    RequestFile,
    Severity,
    Status,
    Who,
    allowed_user_actions,
    verdict_of,
)
from carrel.airlock.rules.disclosure import ResultTable, UnreadableTableError, parse_table
from carrel.airlock.rules.formats import IMAGES, TABLES, suffix
from carrel.airlock.rules.requests import part_of
from carrel.airlock.service import Airlock
from carrel.airlock.service.bench import Bench, BenchFile
from carrel.airlock.service.reviewing import VIEWABLE
from carrel.core.actors import Actor, WorkspaceRole
from carrel.runtime.ports import OutboxFile

SETTLED_SHOWN = 200
"""So many settled requests are on a list at the most; whatever waits for somebody always is."""
PREVIEW_BYTES = 2**20
PREVIEW_ROWS = 500
PREVIEW_COLUMNS = 60
PREVIEW_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class Groups:
    """Requests as a person meets them."""

    to_review: Sequence[AirlockRequest]
    mine: Sequence[AirlockRequest]
    others: Sequence[AirlockRequest]
    is_full: bool
    """Whether there may be more settled requests than are shown."""


def grouped(actor: Actor, requests: Sequence[AirlockRequest]) -> Groups:
    """Sort requests into those that wait for my review, my own, and the rest."""
    to_review, mine, others = [], [], []
    for request in requests:
        part = part_of(actor, request)
        if part is Who.REVIEWER and Action.REVIEW in allowed_user_actions(request.status, part):
            to_review.append(request)
        elif request.author_id == actor.id:
            mine.append(request)
        else:
            others.append(request)
    settled = sum(request.status in SETTLED for request in requests)
    return Groups(to_review, mine, others, is_full=settled >= SETTLED_SHOWN)


@dataclass(frozen=True, slots=True)
class RequestView:
    """Everything that the page of one request shows."""

    request: AirlockRequest
    part: Who | None
    actions: Collection[Action]
    findings: Mapping[str, Sequence[Finding]]
    outbox: Sequence[OutboxFile]
    is_author: bool
    may_release: bool
    bench: Bench
    actor_id: str

    @property
    def is_editable(self) -> bool:
        """Whether this person may change the files now."""
        return self.part is Who.AUTHOR and self.request.status in EDITABLE

    @property
    def is_under_way(self) -> bool:
        """Whether Carrel works on it, and the page should look again soon."""
        return OWNERS[self.request.status] is Who.SYSTEM

    @property
    def may_read(self) -> bool:
        """Whether this person may look into the sealed files."""
        return self.part is Who.REVIEWER and self.request.status in VIEWABLE

    @property
    def group_options(self) -> list[tuple[str, str]]:
        """The groups of files, as a field offers them."""
        return [(group.name, group.name) for group in self.bench.groups]

    @property
    def file_options(self) -> list[tuple[str, str]]:
        """The files, as a field offers them."""
        return [(file.name, file.name) for file in self.request.files]

    @property
    def decides_alone(self) -> bool:
        """Whether this person reviews and decides in one."""
        return self.request.reviewers == 1 and self.request.status is Status.IN_REVIEW

    def verdict(self, name: str) -> Severity:
        """Return the heaviest thing that was found in a file."""
        return verdict_of(self.findings.get(name, ()))

    @property
    def flags(self) -> int:
        """How many findings need a reason to be overruled."""
        return sum(f.severity is Severity.FLAG for found in self.findings.values() for f in found)


def request_view(airlock: Airlock, actor: Actor, request: AirlockRequest) -> RequestView:
    """Return what the page of a request shows to this person."""
    part = part_of(actor, request)
    by_file: dict[str, list[Finding]] = defaultdict(list)
    if request.status is not Status.DRAFT:
        for found in airlock.list_findings(actor, request.id):
            by_file[found.file].append(found)
    editable = part is Who.AUTHOR and request.status in EDITABLE
    collects = editable and request.type is Direction.EXPORT
    is_owner = WorkspaceRole.OWNER in actor.roles_in(request.workspace_id)
    return RequestView(
        request=request,
        part=part,
        actions=allowed_user_actions(request.status, part),
        findings=by_file,
        outbox=airlock.list_outbox(actor, request.workspace_id) if collects else [],
        is_author=actor.id == request.author_id,
        bench=airlock.bench(actor, request.id),
        actor_id=actor.id,
        may_release=request.type is Direction.EXPORT
        and request.status is Status.APPROVED
        and (part is Who.AUTHOR or is_owner),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one file stands among the files of its request."""

    file: BenchFile | None
    number: int
    before: str
    """Name of the file before it; empty for the first."""
    after: str


def place_of(bench: Bench, name: str) -> Place:
    """Return what comes before and after a file at the bench."""
    names = [file.name for file in bench.files]
    if name not in names:
        return Place(None, 0, "", "")
    at = names.index(name)
    before = names[at - 1] if at else ""
    return Place(bench.files[at], at + 1, before, names[at + 1] if at + 1 < len(names) else "")


@dataclass(frozen=True, slots=True)
class Preview:
    """A file as it can be shown without running anything of it."""

    table: ResultTable | None = None
    rows: Sequence[tuple[int, Sequence[str]]] = ()
    """Row numbers as in a spreadsheet, and cells."""
    text: str = ""
    is_image: bool = False
    is_cut: bool = False
    """Whether there is more of it than is shown."""
    columns: Sequence[str] = field(default_factory=tuple)


def preview_of(file: RequestFile, content: BinaryIO) -> Preview:
    """Return the beginning of a file for its reviewer."""
    kind = suffix(file.name)
    if kind in IMAGES:
        return Preview(is_image=True)
    beginning = content.read(PREVIEW_BYTES)
    is_whole = file.size_bytes <= len(beginning)
    if kind in TABLES and is_whole:
        try:
            return _table(parse_table(beginning, TABLES[kind]))
        except UnreadableTableError:
            pass  # shown as the text it is
    text = beginning.decode(errors="replace")[:PREVIEW_TEXT]
    return Preview(text=text, is_cut=not is_whole or len(beginning) > PREVIEW_TEXT)


def _table(table: ResultTable) -> Preview:
    rows = [
        (number, row[:PREVIEW_COLUMNS])
        for number, row in enumerate(table.rows[:PREVIEW_ROWS], start=2)
    ]
    is_cut = len(table.rows) > PREVIEW_ROWS or len(table.header) > PREVIEW_COLUMNS
    return Preview(table=table, rows=rows, is_cut=is_cut, columns=table.header[:PREVIEW_COLUMNS])


def places(findings: Sequence[Finding]) -> Mapping[tuple[int, int], str]:
    """Return the heavier severity of each cell that a finding points at."""
    found: dict[tuple[int, int], str] = {}
    for finding in findings:
        if finding.row is not None and finding.column is not None:
            place = (finding.row, finding.column)
            if found.get(place) != Severity.FLAG:
                found[place] = finding.severity.value
    return found
