"""Tables: the airlock (policies, file groups, votes, uploads, notifications, releases)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    _stores()
    _uploads()


def _stores() -> None:
    op.add_column("airlock_files", sa.Column("blake3", sa.String(length=64)))


def _uploads() -> None:
    op.create_table(
        "airlock_uploads",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.String(length=32), nullable=False),
        sa.Column("finished_at", sa.String(length=32)),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["airlock_requests.id"],
            name=op.f("fk_airlock_uploads_request_id_airlock_requests"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_uploads")),
    )
    op.create_index(op.f("ix_airlock_uploads_request_id"), "airlock_uploads", ["request_id"])
    op.create_table(
        "airlock_upload_pieces",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("upload_id", sa.String(length=36), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["airlock_uploads.id"],
            name=op.f("fk_airlock_upload_pieces_upload_id_airlock_uploads"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_airlock_upload_pieces")),
        sa.UniqueConstraint(
            "upload_id", "first", name=op.f("uq_airlock_upload_pieces_upload_id_first")
        ),
    )
    op.create_index(
        op.f("ix_airlock_upload_pieces_upload_id"), "airlock_upload_pieces", ["upload_id"]
    )
