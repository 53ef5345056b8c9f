"""How does Alembic reach the database? By the connection that `upgrade` or a test gives it."""

from alembic import context

from carrel.core.database import metadata
from carrel.migrations import import_tables

import_tables()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=False,
    transaction_per_migration=False,
    transactional_ddl=False,  # the caller's transaction holds everything
)
context.run_migrations()
