"""Tables: the airlock's memory of released tables, reviews by two, notices."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    _released_tables()
    _reviews()
    _crates()


def _released_tables() -> None:
    op.create_table(
        "airlock_released_tables",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("dataset_version", sa.String(), nullable=False),
        sa.Column("meta", sa.String(), nullable=False),
        sa.Column("counts", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_released_tables")),
    )
    op.create_index(
        op.f("ix_airlock_released_tables_request_id"), "airlock_released_tables", ["request_id"]
    )
    op.create_index(
        "ix_airlock_released_tables_dataset",
        "airlock_released_tables",
        ["dataset", "dataset_version", "at"],
    )


def _reviews() -> None:
    op.add_column("airlock_requests", sa.Column("reviewers", sa.Integer()))
    op.add_column("airlock_requests", sa.Column("is_blinded", sa.Boolean()))
    op.add_column("airlock_requests", sa.Column("members_may_review", sa.Boolean()))
    op.create_table(
        "airlock_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("choices", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("account_name", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_policies")),
        sa.UniqueConstraint(
            "workspace_id", "version", name=op.f("uq_airlock_policies_workspace_id_version")
        ),
    )
    _of_requests(
        "airlock_groups",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("files", sa.String(), nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("controls", sa.String(), nullable=False),
        sa.Column("changes_at_seal", sa.Integer(), nullable=False),
        unique=("request_id", "name"),
    )
    _of_requests(
        "airlock_votes",
        sa.Column("file_id", sa.String(length=36), nullable=False),
        sa.Column("reviewer_id", sa.String(length=64), nullable=False),
        sa.Column("vote", sa.String(length=32), nullable=False),
        sa.Column("seal", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"],
            ["airlock_files.id"],
            name=op.f("fk_airlock_votes_file_id_airlock_files"),
            ondelete="CASCADE",
        ),
        unique=("file_id", "reviewer_id"),
    )
    _of_requests(
        "airlock_submitted_reviews",
        sa.Column("seal", sa.Integer(), nullable=False),
        sa.Column("reviewer_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer_name", sa.String(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("has_named_seal", sa.Boolean(), nullable=False),
        sa.Column("votes", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        unique=("request_id", "seal", "reviewer_id"),
    )
    _of_requests(
        "airlock_comments",
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("author_id", sa.String(length=64), nullable=False),
        sa.Column("author_name", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
    )


def _of_requests(
    name: str, *columns: sa.Column[Any] | sa.Constraint, unique: tuple[str, ...] = ()
) -> None:
    """Make a table whose rows belong to a request and go with it."""
    unique_name = op.f(f"uq_{name}_{'_'.join(unique)}")
    named = [sa.UniqueConstraint(*unique, name=unique_name)] if unique else []
    op.create_table(
        name,
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["airlock_requests.id"],
            name=op.f(f"fk_{name}_request_id_airlock_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        *named,
    )
    op.create_index(op.f(f"ix_{name}_request_id"), name, ["request_id"])


def _crates() -> None:
    op.create_table(
        "airlock_crates",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("crate", sa.String(), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["airlock_requests.id"],
            name=op.f("fk_airlock_crates_request_id_airlock_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_airlock_crates")),
    )
    op.create_table(
        "airlock_scans",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("seal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scanner", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("counts", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["airlock_requests.id"],
            name=op.f("fk_airlock_scans_request_id_airlock_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "seal", "scanner", name=op.f("pk_airlock_scans")),
    )
