"""How does the airlock remember requests, seals, findings, reviews and releases?"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from carrel.core.database import Json, Moment, metadata


def _request() -> Column[str]:
    return Column(
        "request_id",
        String(36),
        ForeignKey("airlock_requests.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    )


requests = Table(
    "airlock_requests",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace_id", String(36), nullable=False),
    Column("type", String, nullable=False),
    Column("title", String, nullable=False),
    Column("justification", String, nullable=False),
    Column("status", String, nullable=False),
    Column("status_message", String, nullable=False),
    Column("author_id", String, nullable=False),
    Column("author_name", String, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by_id", String, nullable=False),
    Column("updated_by_name", String, nullable=False),
    Column("since", Moment, nullable=False),
    Column("version", Integer, nullable=False),
    Column("etag", String, nullable=False),
    Column("seal", Integer, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("policy_sha256", String(64), nullable=False),
    # Of the policy of the newest seal; empty before the first, and in old rows.
    Column("reviewers", Integer),
    Column("is_blinded", Boolean),
    Column("members_may_review", Boolean),
    Index("ix_airlock_requests_workspace", "workspace_id", "created_at"),
    Index("ix_airlock_requests_status", "status", "since"),
)

files = Table(
    "airlock_files",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("name", String, nullable=False),
    Column("folded", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("stage", String, nullable=False),
    Column("context", Json, nullable=False),
    Column("added_at", Moment, nullable=False),
    Column("blake3", String(64)),  # empty in old rows
    UniqueConstraint("request_id", "folded"),
)

seals = Table(
    "airlock_seals",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("number", Integer, nullable=False),
    Column("manifest", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("policy", Json, nullable=False),
    Column("policy_sha256", String(64), nullable=False),
    Column("sealed_at", Moment, nullable=False),
    UniqueConstraint("request_id", "number"),
)
"""Every submission; rows are never changed."""

moves = Table(
    "airlock_moves",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("version", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor_id", String, nullable=False),
    Column("actor_name", String, nullable=False),
    Column("old", String),
    Column("new", String, nullable=False),
    Column("message", String, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    UniqueConstraint("request_id", "version"),
)
"""Every change of status; rows are never changed."""

reviews = Table(
    "airlock_reviews",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("seal", Integer, nullable=False),
    Column("reviewer_id", String, nullable=False),
    Column("reviewer_name", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("explanation", String, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("has_named_seal", Boolean),  # empty in old rows: they all have
    UniqueConstraint("request_id", "seal", "reviewer_id", "decision"),
)

review_resources = Table(
    "airlock_review_resources",
    metadata,
    Column("request_id", String(36), ForeignKey("airlock_requests.id", ondelete="CASCADE"),
           primary_key=True),
    Column("reviewer_id", String(64), primary_key=True),
    Column("workspace_id", String(36), nullable=False),
    Column("workspace_service_id", String(36), nullable=False),
    Column("user_resource_id", String(36), nullable=False),
)  # fmt: skip

findings = Table(
    "airlock_findings",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("seal", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("file", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("scanner", String, nullable=False),
    Column("scanner_version", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("sentence", String, nullable=False),
    Column("row", Integer),
    Column("column", Integer),
)

tickets = Table(
    "airlock_tickets",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("account_id", String, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
)

links = Table(
    "airlock_links",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("account_id", String(64), nullable=False),
    Column("place", String(16), nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
)
"""Tickets to a request's files at `/blob/…`, each bound to a person and a part of its life."""

blocks = Table(
    "airlock_blocks",
    metadata,
    Column("id", String(36), primary_key=True),  # of the object in the store
    _request(),
    Column("name", String, nullable=False),
    Column("block_id", String(128), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("added_at", Moment, nullable=False),
    UniqueConstraint("request_id", "name", "block_id"),
)
"""Pieces of files that are being uploaded; they are nothing until they are put together."""

uploads = Table(
    "airlock_uploads",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("name", String, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("finished_at", Moment),
)
"""Files that come in several goes (tus); once finished they are files like others."""

upload_pieces = Table(
    "airlock_upload_pieces",
    metadata,
    Column("id", String(36), primary_key=True),  # of the object in the store
    Column("upload_id", String(36), ForeignKey("airlock_uploads.id", ondelete="CASCADE"),
           nullable=False, index=True),
    Column("first", BigInteger, nullable=False),
    UniqueConstraint("upload_id", "first"),
)  # fmt: skip

releases = Table(
    "airlock_releases",
    metadata,
    Column("request_id", String(36), ForeignKey("airlock_requests.id", ondelete="CASCADE"),
           primary_key=True),
    Column("record", String, nullable=False),
)  # fmt: skip
"""What an approved export may let leave: one row per request, never changed."""

crates = Table(
    "airlock_crates",
    metadata,
    Column("request_id", String(36), ForeignKey("airlock_requests.id", ondelete="CASCADE"),
           primary_key=True),
    Column("crate", String, nullable=False),
    Column("signature", String(128), nullable=False),  # hex
    Column("public_key", String, nullable=False),  # PEM
)  # fmt: skip
"""The RO-Crate of a release and its signature, made once at its approval and never changed."""

scans = Table(
    "airlock_scans",
    metadata,
    Column("request_id", String(36), ForeignKey("airlock_requests.id", ondelete="CASCADE"),
           primary_key=True),
    Column("seal", Integer, primary_key=True, autoincrement=False),
    Column("scanner", String(64), primary_key=True),
    Column("version", String, nullable=False),
    Column("counts", Json, nullable=False),  # of findings, by severity
    Column("at", Moment, nullable=False),
)  # fmt: skip
"""Which scanners examined a seal, those that found nothing too."""

released_tables = Table(
    "airlock_released_tables",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("request_id", String(36), nullable=False, index=True),
    # No reference: what has left stays known when its request or workspace is gone.
    Column("workspace_id", String(36), nullable=False),
    Column("file", String, nullable=False),
    Column("dataset", String, nullable=False),
    Column("dataset_version", String, nullable=False),
    Column("meta", Json, nullable=False),
    Column("counts", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Index("ix_airlock_released_tables_dataset", "dataset", "dataset_version", "at"),
)

policies = Table(
    "airlock_policies",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace_id", String(36), nullable=False),
    Column("version", Integer, nullable=False),
    Column("choices", Json, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("account_id", String(64), nullable=False),
    Column("account_name", String, nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("workspace_id", "version"),
)
"""What was decided for a workspace; the newest row is in force, and rows are never changed."""

groups = Table(
    "airlock_groups",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("name", String, nullable=False),
    Column("files", Json, nullable=False),
    Column("context", String, nullable=False),
    Column("controls", String, nullable=False),
    Column("changes_at_seal", Integer, nullable=False),
    UniqueConstraint("request_id", "name"),
)

votes = Table(
    "airlock_votes",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("file_id", String(36), ForeignKey("airlock_files.id", ondelete="CASCADE"),
           nullable=False),
    Column("reviewer_id", String(64), nullable=False),
    Column("vote", String(32), nullable=False),
    Column("seal", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("file_id", "reviewer_id"),
)  # fmt: skip
"""A file that is replaced is a new file: its votes go with the old one."""

submitted_reviews = Table(
    "airlock_submitted_reviews",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("seal", Integer, nullable=False),
    Column("reviewer_id", String(64), nullable=False),
    Column("reviewer_name", String, nullable=False),
    Column("explanation", String, nullable=False),
    Column("manifest_sha256", String(64), nullable=False),
    Column("has_named_seal", Boolean, nullable=False),
    Column("votes", Json, nullable=False),
    Column("at", Moment, nullable=False),
    UniqueConstraint("request_id", "seal", "reviewer_id"),
)
"""Reviews as they were submitted; they show in `reviews` once the round has ended."""

comments = Table(
    "airlock_comments",
    metadata,
    Column("id", String(36), primary_key=True),
    _request(),
    Column("group_name", String, nullable=False),
    Column("author_id", String(64), nullable=False),
    Column("author_name", String, nullable=False),
    Column("text", String, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("at", Moment, nullable=False),
)
