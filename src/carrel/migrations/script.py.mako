"""Tables: ${message}."""

import sqlalchemy as sa
from alembic import op
${"\n" + imports if imports else ""}
revision = "${up_revision}"
down_revision = ${'"' + down_revision + '"' if down_revision else None}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward; there is no way back but a backup."""
    ${upgrades if upgrades else "pass"}
