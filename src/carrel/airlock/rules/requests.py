"""What is a request made of: its files, its seal, its findings, its reviews, its release?"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from carrel.airlock.rules.states import Status, Who
from carrel.core.actors import Actor, WorkspaceRole

AUTHOR_ROLES = frozenset({WorkspaceRole.OWNER, WorkspaceRole.RESEARCHER})


class Direction(StrEnum):
    """Which way the files go. The values are AzureTRE's."""

    IMPORT = "import"
    EXPORT = "export"


class Stage(StrEnum):
    """In which folder of the airlock's store a file lies."""

    DRAFT = "draft"
    SEALED = "sealed"
    APPROVED = "approved"
    REJECTED = "rejected"
    BLOCKED = "blocked"


class Severity(StrEnum):
    """How heavy a finding is. A file's verdict is its heaviest."""

    PASS = "pass"  # noqa: S105 a verdict, not a password
    CHECK = "check"
    """Look at it; most often it is fine."""
    FLAG = "flag"
    """A rule is broken; only a person with a reason may let it through."""
    CANNOT_TELL = "cannot_tell"
    """Nobody knows what this is: it stops, and goes back to the author."""
    BLOCK = "block"
    """It pretends to be something else: it stops, and is kept in quarantine."""


_WEIGHT = {severity: weight for weight, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a scanner saw: a sentence that holds no content of the file, and the place."""

    rule: str
    severity: Severity
    sentence: str
    row: int | None = None
    """Counted as in a spreadsheet: the header is row 1."""
    column: int | None = None
    """Counted from 1."""
    file: str = ""
    sha256: str = ""
    scanner: str = ""
    scanner_version: str = ""


def verdict_of(findings: Iterable[Finding]) -> Severity:
    """Return the heaviest severity; `pass` when nothing was found."""
    severities = [finding.severity for finding in findings]
    return max(severities, key=_WEIGHT.__getitem__, default=Severity.PASS)


@dataclass(frozen=True, slots=True)
class RequestFile:
    """One file of a request: a copy in the airlock's own store, named by its id there."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    stage: Stage
    position: int
    added_at: datetime
    context: Mapping[str, Any] = field(default_factory=dict)
    """What the author declares: `columns` (header to statistic) and `text`."""
    blake3: str = ""
    """Empty for files that were taken in before there was one."""


@dataclass(frozen=True, slots=True)
class Review:
    """What one reviewer decided about one seal."""

    id: str
    reviewer_id: str
    reviewer_name: str
    decision: str
    """approved, rejected, returned or revoked."""
    explanation: str
    seal: int
    manifest_sha256: str
    at: datetime
    has_named_seal: bool = True
    """Whether the reviewer said which manifest they saw; else it was about the seal in force."""


@dataclass(frozen=True, slots=True)
class ReviewResource:
    """The user resource in which one reviewer looks at a request's files."""

    reviewer_id: str
    workspace_id: str
    workspace_service_id: str
    user_resource_id: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One move of a request."""

    version: int
    at: datetime
    actor_id: str
    actor_name: str
    old: Status | None
    new: Status
    message: str
    manifest_sha256: str
    """Of the seal in force after the move; empty before the first."""


@dataclass(frozen=True, slots=True)
class AirlockRequest:
    """An import or export of files across the boundary."""

    id: str
    workspace_id: str
    type: Direction
    title: str
    justification: str
    status: Status
    status_message: str
    author_id: str
    author_name: str
    created_at: datetime
    updated_at: datetime
    updated_by_id: str
    updated_by_name: str
    since: datetime
    """When the request came into its present status."""
    version: int
    etag: str
    seal: int
    """How often it was submitted; 0 before the first time."""
    manifest_sha256: str
    """Of the newest seal; empty before the first."""
    policy_sha256: str
    """Of the policy under which it was sealed; empty before the first seal."""
    files: Sequence[RequestFile] = ()
    reviews: Sequence[Review] = ()
    history: Sequence[HistoryEntry] = ()
    review_resources: Sequence[ReviewResource] = ()
    reviewers: int = 1
    """How many reviews the policy of the newest seal wants."""
    is_blinded: bool = False
    """Whether reviewers see nothing of each other until every review is there."""
    members_may_review: bool = True
    """Whether owners and researchers of the workspace may review, if they are its reviewers too."""

    def file(self, name: str) -> RequestFile | None:
        """Return the file of exactly this name, or None."""
        return next((file for file in self.files if file.name == name), None)


def part_of(actor: Actor, request: AirlockRequest) -> Who | None:
    """Return in which part somebody acts on the request; None for a member who only looks on.

    An author is the author whatever other roles they hold, and so never the reviewer.
    """
    if actor.is_system:
        return Who.SYSTEM
    roles = actor.roles_in(request.workspace_id)
    if actor.id == request.author_id:
        return Who.AUTHOR if roles & AUTHOR_ROLES else None
    is_excluded = not request.members_may_review and bool(roles & AUTHOR_ROLES)
    return Who.REVIEWER if WorkspaceRole.AIRLOCK_MANAGER in roles and not is_excluded else None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A single-use permission to download one release, told once."""

    token: str
    request_id: str
    expires_at: datetime


class TicketState(StrEnum):
    """What became of a ticket; only an open one lets anything out."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class HeldTicket:
    """A ticket that was made, without its secret."""

    id: str
    holder_id: str
    holder_name: str
    """Empty if the account is there no more."""
    state: TicketState
    made_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    """When it was used or revoked."""


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave: the sealed manifest, by whom and under which policy it was approved."""

    request_id: str
    workspace_id: str
    title: str
    manifest: str
    """Canonical JSON, byte for byte as sealed."""
    manifest_sha256: str
    policy_sha256: str
    files: Sequence[RequestFile]
    record: str
    """Canonical JSON that travels with the files: seal, policy, reviews."""
    papers: Mapping[str, bytes] = field(default_factory=dict)
    """What lies beside the files in the archive, by name: record, crate, signature, key."""


@dataclass(frozen=True, slots=True)
class AirlockPolicy:
    """The rules a request is examined and reviewed under; its hash goes into each release."""

    threshold: int = 10
    """A count of fewer people than this is small."""
    zeros_checked: bool = True
    """A count of nobody can say something about everybody."""
    rounding_base: int = 5
    reviewers: int = 1
    """How many people other than the author must approve."""
    blinded: bool = False
    """Whether reviewers see nothing of each other until every review is there."""
    members_may_review: bool = True
    """Whether owners and researchers of the workspace may review others' requests."""
    context_required: bool = False
    """Whether every file must be in a group with its context and controls."""
    service_hours: int = 0
    """Within so many hours after submission a request should be decided; 0: nothing is promised."""
    file_limit: int = 100
    bytes_limit: int = 2 * 2**30
    export_file_bytes: int = 16 * 2**20
    """A larger export is data, not a result."""
    export_rows: int = 5000
    export_types: tuple[str, ...] = (
        ".csv", ".tsv", ".txt", ".md", ".png", ".jpg", ".jpeg", ".ipynb",
    )  # fmt: skip
    rules_version: str = "1"

    @classmethod
    def sealed(cls, kept: Mapping[str, Any]) -> "AirlockPolicy":
        """Return the policy that a seal keeps as JSON."""
        return cls(**{**kept, "export_types": tuple(kept["export_types"])})

    @property
    def sha256(self) -> str:
        """Hash of the policy's canonical JSON."""
        return digest(canonical(asdict(self)))


def manifest_of(request: AirlockRequest, seal: int, files: Iterable[RequestFile]) -> str:
    """Return what is sealed: canonical JSON of every file's name, size, SHA-256 and BLAKE3."""
    return canonical(
        {
            "version": 1,
            "request": request.id,
            "workspace": request.workspace_id,
            "type": request.type.value,
            "seal": seal,
            "files": [_sealed(file) for file in sorted(files, key=lambda file: file.name)],
        }
    )


def _sealed(file: RequestFile) -> dict[str, Any]:
    sealed = {"name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes}
    return {**sealed, "blake3": file.blake3} if file.blake3 else sealed


def canonical(value: Any) -> str:
    """Return the one JSON text for `value`: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def digest(text: str) -> str:
    """Return the SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
