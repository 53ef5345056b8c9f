"""How is a new migration begun? `python -m carrel.migrations "add grants"`, then read and edit it.

It compares the tables in the code with what the migrations so far make, in a scratch database.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from carrel.core.database import Database
from carrel.migrations import configuration, upgrade_connection


def main() -> None:
    """Write the next revision into this package."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'scratch.db'}")
        with database.write() as connection:
            upgrade_connection(connection)
            config = configuration()
            config.attributes["connection"] = connection
            command.revision(config, sys.argv[1], autogenerate=True, rev_id=_next_number())
        database.close()


def _next_number() -> str:
    return f"{len(list(ScriptDirectory.from_config(configuration()).walk_revisions())) + 1:04}"


if __name__ == "__main__":
    main()
