"""What exactly is started for a TRE, as whom, and when is it ready?"""

import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import carrel
from carrel.core.errors import OutsideFailure
from carrel.core.files import write_whole
from carrel.core.processes import ports
from carrel.core.processes.account import Account
from carrel.core.processes.closed import closed_parents, unreadable
from carrel.core.settings import Settings, child_environment

LAUNCHER = "launcher"
ROLES = (LAUNCHER, "serve", "work", "gateway", "packages")
"""Every process of a TRE, in the order of their start."""
_PASSED_ON = re.compile(
    r"^(PATH|LANG|LC_\w+|TZ|CARREL_\w+|PIP_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|\w+_(proxy|PROXY))$"
)


@dataclass(frozen=True, slots=True)
class Role:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    uid: int | None = None
    """User and group to become; None: stay who we are."""
    gid: int | None = None
    reveal: Mapping[str, Sequence[str]] | None = None
    """Closed folders to cover, with the paths below them to keep (see `closed`)."""


def folder(home: Path) -> Path:
    """Return where the identities of the processes are kept."""
    return home / "run" / "processes"


def log_path(home: Path, name: str) -> Path:
    """Return the log of one role."""
    return home / "logs" / f"{name}.log"


def plan(settings: Settings, account: Account) -> Sequence[Role]:
    """Return the processes of this TRE in the order of their start.

    Raises `OutsideFailure` if the roles' user could not read Carrel's own code.
    """
    environment = {
        name: value for name, value in child_environment().items() if _PASSED_ON.match(name)
    }
    images = str(settings.environments_folder)
    environment |= {"HOME": str(settings.home), "CARREL_ENVIRONMENTS_ROOT": images}
    bare = {name: value for name, value in environment.items() if name in {"PATH", "LANG"}}
    launcher = [*python_module("carrel.runtime.launcher"), "--home", str(settings.home)]
    launcher += ["--socket", str(settings.launcher_socket), "--allow-uid", str(account.uid)]
    launcher += ["--environments", images]
    roles = [Role(LAUNCHER, launcher, bare)]
    uid, gid = (account.uid, account.gid) if account.drops else (None, None)
    reveal = _reveal(settings, account) if account.drops else None
    for name in ROLES[1:]:
        argv = [*python_module("carrel.cli.main"), "--home", str(settings.home), name]
        roles.append(Role(name, argv, environment, uid, gid, reveal))
    return roles


def save(roles: Sequence[Role], path: Path) -> None:
    """Keep a plan for the supervisor, readable only by its owner: it may hold passwords."""
    write_whole(path, json.dumps([asdict(role) for role in roles]).encode(), mode=0o600)


def read(path: Path) -> Sequence[Role]:
    """Read what `save` wrote."""
    return [Role(**row) for row in json.loads(path.read_text())]


def announce_ready(settings: Settings, name: str) -> None:
    """Say that this process, the role `name`, now does its work. May be called twice."""
    marks = settings.home / "run" / "roles"
    if marks.is_dir():
        (marks / f"{name}.ready").write_text(str(os.getpid()))


def is_ready(settings: Settings, name: str, pid: int, age_seconds: float) -> bool:
    """Whether the role, running as `pid` since `age_seconds`, answers."""
    if name == LAUNCHER:
        return _answers_unix(settings.launcher_socket)
    doors = {"serve": settings.portal_port, "gateway": settings.gateway_port}
    if name in doors:  # that the port answers does not yet say that it is ours
        port = doors[name]
        return ports.is_held_by(pid, port) and answers(settings.bind_address, port)
    try:
        return (settings.home / "run" / "roles" / f"{name}.ready").read_text() == str(pid)
    except OSError:
        return age_seconds > 5.0


def answers(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    if address in {"0.0.0.0", "::"}:  # noqa: S104 - a comparison, not a bind
        address = "127.0.0.1"
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def code_paths() -> Sequence[Path]:
    """Return every folder the roles read their code from."""
    source = Path(carrel.__file__).resolve().parents[1]
    beside = [source.parent / name for name in ("templates", "environments")]
    is_checkout = (source.parent / "pyproject.toml").is_file()
    return [
        Path(sys.prefix),
        *([source] if not source.is_relative_to(sys.prefix) else []),
        *(path for path in beside if is_checkout and path.is_dir()),
    ]


def _reveal(settings: Settings, account: Account) -> Mapping[str, Sequence[str]] | None:
    code = code_paths()
    hidden = unreadable([*code, Path(carrel.__file__)], account.uid, account.gids)
    if hidden:
        raise OutsideFailure(
            f"The user that Carrel runs as cannot read {hidden[0]}. "
            f"Run: chmod -R go+rX {' '.join(str(path) for path in code)}"
        )
    closed = closed_parents([*code, settings.home], account.uid, account.gids)
    return {str(key): [str(path) for path in value] for key, value in closed.items()} or None


def python_module(module: str) -> list[str]:
    """Return the command that runs a module with this interpreter, and nothing of the folder."""
    return [sys.executable, "-I", "-m", module]


def marking_words(home: Path, name: str) -> Sequence[str]:
    """Return the words in a row by which a process of this TRE is known, the supervisor's too."""
    if name == "supervisor":
        return ["carrel.core.processes.supervisor", str(home)]
    if name == LAUNCHER:
        return ["carrel.runtime.launcher", "--home", str(home)]
    return ["carrel.cli.main", "--home", str(home), name]


def _answers_unix(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True
