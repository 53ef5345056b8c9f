"""Tables: the airlock's memory of released tables, reviews by two, notices."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    _released_tables()
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
