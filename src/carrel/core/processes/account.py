"""As whom do the roles run, and what in the home belongs to them?"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from carrel.core.errors import Denied, OutsideFailure

NAME = "carrel"
"""The system user of all roles but the launcher, when Carrel is started by root."""

# What lies in the home. "ours": the roles write it; "root": the launcher or the supervisor
# does, so a role must not be able to put a link in its place.
_FOLDERS = (
    ("secrets", 0o700, "ours"),
    ("tls", 0o755, "ours"),
    ("airlock", 0o700, "ours"),
    ("packages", 0o750, "ours"),
    ("logs", 0o750, "root"),
    ("datasets", 0o700, "root"),
    ("run", 0o755, "root"),
    ("run/processes", 0o755, "root"),
    ("run/roles", 0o755, "ours"),
)
_FILES = (("carrel.db", 0o600), ("carrel.db-wal", 0o600), ("carrel.db-shm", 0o600))
_OWNED_TREES = ("secrets", "tls", "airlock", "packages")


@dataclass(frozen=True, slots=True)
class Account:
    """The host user that the roles run as."""

    uid: int
    gid: int
    gids: frozenset[int]
    drops: bool
    """Whether a process must give up root to become this user."""


def current() -> Account:
    """Return the calling user, unless that is root: then the system user, which must exist.

    Raises `OutsideFailure` if it does not.
    """
    if os.geteuid() != 0:
        gids = frozenset((os.getegid(), *os.getgroups()))
        return Account(os.geteuid(), os.getegid(), gids, drops=False)
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError as error:
        raise OutsideFailure(
            f"The system user {NAME} does not exist. Run `carrel init` as root, which makes it."
        ) from error
    return Account(entry.pw_uid, entry.pw_gid, frozenset({entry.pw_gid}), drops=True)


def ensure() -> Account:
    """Return `current`, after making the system user if root lacks it. May be called twice."""
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(NAME)
        except KeyError:
            _add_user()
    return current()


def prepare_home(home: Path, account: Account) -> None:
    """Make the folders of a home and give each its owner and mode. May be called twice.

    Raises `Denied` if the folder belongs to somebody else.
    """
    home.mkdir(parents=True, exist_ok=True)
    _check_owner(home)
    if account.drops:
        # Sticky: the roles may add files (the database's journal), but not replace root's.
        os.chown(home, 0, account.gid)
        home.chmod(0o1771)
    else:
        home.chmod(0o700)
    for name, mode, owner in _FOLDERS:
        folder = home / name
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        if account.drops:
            ours = owner == "ours"
            os.chown(folder, account.uid if ours else 0, account.gid)


def hand_over(home: Path, account: Account) -> None:
    """Give what commands of root made in the home to the roles' user. May be called twice."""
    for name, mode in _FILES:
        path = home / name
        if path.exists() and not path.is_symlink():
            path.chmod(mode)
            _give(path, account)
    config = home / "carrel.toml"
    if config.exists():
        config.chmod(0o640)
        if account.drops:
            os.chown(config, 0, account.gid)
    for name in _OWNED_TREES:
        for folder, _folders, files in os.walk(home / name):
            _give(Path(folder), account)
            for file in files:
                _give(Path(folder) / file, account)


def _give(path: Path, account: Account) -> None:
    if account.drops:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _check_owner(home: Path) -> None:
    owner = home.stat().st_uid
    if owner != os.geteuid():
        raise Denied(
            f"{home} belongs to user id {owner}. Run the command as that user, "
            "or choose another folder with --home."
        )


def _add_user() -> None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise OutsideFailure(f"useradd is missing: install the package passwd, or add {NAME}.")
    command = [program, "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OutsideFailure(
            f"The system user {NAME} could not be made: {done.stderr.strip() or 'useradd failed'}."
        )
