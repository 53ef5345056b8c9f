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


def _stores() -> None:
    op.add_column("airlock_files", sa.Column("blake3", sa.String(length=64)))
