"""How does Alembic reach the database, and how does it spell our columns in a migration?"""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from carrel.core.database import Json, Moment, metadata
from carrel.migrations import import_tables


def spell(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """Write types as what the database sees: a migration must not change when the code does."""
    if kind == "type" and isinstance(item, Moment):
        return "sa.String(32)"
    if kind == "type" and isinstance(item, Json):
        return "sa.String()"
    if kind == "column" and isinstance(item, sa.Column) and item.computed is not None:
        autogenerate.imports.add("from carrel.migrations.columns import event_field")
        return f'event_field("{item.name}")'
    return False


import_tables()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=spell,
    transactional_ddl=False,  # the caller's transaction holds everything
)
context.run_migrations()
