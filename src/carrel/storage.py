"""Where does this TRE keep the files of airlock requests? A part of `app`, as `choices` is."""

import stat
from pathlib import Path

from carrel.airlock.ports import Store
from carrel.airlock.stores import FolderStore
from carrel.airlock.stores.objects import object_store
from carrel.core.errors import InvalidRequest
from carrel.core.settings import Settings


def store_of(settings: Settings) -> Store:
    """Return the store that the settings name. Raises `InvalidRequest` if they do not fit."""
    if not settings.airlock_store:
        return FolderStore(settings.home / "airlock")
    return object_store(
        settings.airlock_store,
        _key(settings.airlock_store_key_file),
        spool=settings.home / "airlock-spool",
        endpoint=settings.airlock_store_endpoint,
        region=settings.airlock_store_region,
    )


def _key(path: Path | None) -> tuple[str, str] | None:
    """Return the name and the secret of a key file."""
    if path is None:
        return None
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InvalidRequest(
                f"Others can read {path}, which holds a secret. Give it the mode 0600.",
                field="airlock_store_key_file",
            )
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"{path} cannot be read as text. It must hold two lines: a name and a secret.",
            field="airlock_store_key_file",
            log_detail=type(error).__name__,
        ) from error
    if len(lines) != 2:
        raise InvalidRequest(
            f"{path} must hold two lines: the key id (or the account) and the secret.",
            field="airlock_store_key_file",
        )
    return lines[0], lines[1]
