"""Which environment images are on this host, and how is one built?

An image is a read-only folder `<name>-<hash>` with a virtual environment of the host's Python in
it; the hash is of its definition, so what is found is what was defined.
"""

import os
from pathlib import Path

ROOT_FOLDER = Path("/opt/carrel/environments")
OWN_FOLDER = Path("~/.local/share/carrel/environments")


def default_folder() -> Path:
    """Return where images lie for this user."""
    return ROOT_FOLDER if os.geteuid() == 0 else OWN_FOLDER.expanduser()


def find(name: str, folder: Path | None = None) -> Path | None:
    """Return the image of this name that was built last; None if there is none."""
    built = [p for p in (folder or default_folder()).glob(f"{name}-*") if p.is_dir()]
    return max(built, key=lambda path: path.stat().st_mtime, default=None)
