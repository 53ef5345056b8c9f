"""Which implementations does a command need before, or without, the whole of Carrel?

A part of `app` that is a module of its own because importing `app` takes over a second, and
`carrel status` should not. Only `app` and commands import it.
"""

from pathlib import Path

from carrel.core.database import Database
from carrel.core.settings import Settings
from carrel.runtime.local import LocalRuntime


def database_of(settings: Settings) -> Database:
    """Return the database of this TRE; close it when done."""
    return Database(settings.database)


def runtime_of(settings: Settings) -> LocalRuntime:
    """Return the runtime of this machine; it asks the launcher only when it is used."""
    return LocalRuntime(settings.launcher_socket, settings.environments_folder)


def runtime_at(socket_path: Path) -> LocalRuntime:
    """Return the runtime of a launcher that belongs to no TRE."""
    return LocalRuntime(socket_path)
