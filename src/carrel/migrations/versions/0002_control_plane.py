"""Tables: the control plane (tokens, sealed properties, pipelines, drift)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    _resources()


def _resources() -> None:
    op.create_table(
        "resource_secrets",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("pointer", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resources.id"],
            name=op.f("fk_resource_secrets_resource_id_resources"),
        ),
        sa.PrimaryKeyConstraint("resource_id", "pointer", name=op.f("pk_resource_secrets")),
    )
    op.create_table(
        "address_ranges",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("cidr", sa.String(length=18), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"],
            ["resources.id"],
            name=op.f("fk_address_ranges_resource_id_resources"),
        ),
        sa.PrimaryKeyConstraint("resource_id", name=op.f("pk_address_ranges")),
        sa.UniqueConstraint("first", name=op.f("uq_address_ranges_first")),
    )
    op.create_index("ix_address_ranges_workspace", "address_ranges", ["workspace_id"])
