"""What does a fresh home need before its processes can run?"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carrel.core import certificates
from carrel.core.actors import TreRole, system
from carrel.core.clock import SystemClock
from carrel.core.errors import InvalidRequest
from carrel.core.files import write_whole
from carrel.core.ids import new_secret
from carrel.core.processes import account
from carrel.core.secrets import KeyRing
from carrel.core.settings import CONFIG_NAME, Settings, load
from carrel.migrations import upgrade

LOGINS = "demo-logins.txt"
_USER, _ADMIN = frozenset({TreRole.USER}), frozenset({TreRole.ADMIN, TreRole.USER})


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A made-up person of the demonstration TRE."""

    username: str
    display_name: str
    does: str
    tre_roles: frozenset[TreRole] = _USER
    workspace_role: str = ""


DEMO_PEOPLE = (
    DemoPerson("admin", "Ada Administrator", "creates workspaces and accounts", _ADMIN),
    DemoPerson(
        "olivia", "Olivia Owner", "owns the demo workspace", workspace_role="WorkspaceOwner"
    ),
    DemoPerson(
        "rosalind", "Rosalind Researcher", "does the science", workspace_role="WorkspaceResearcher"
    ),
    DemoPerson(
        "chandra", "Chandra Checker", "decides what leaves", workspace_role="AirlockManager"
    ),
)


def prepare(settings: Settings) -> None:
    """Make folders, keys, certificates and tables, or repair them. May be called twice."""
    host_user = account.ensure()
    account.prepare_home(settings.home, host_user)
    try:
        certificates.ensure(settings, SystemClock().now())
        KeyRing(settings.home).derive("init")
        upgrade(settings.database)
    finally:
        account.hand_over(settings.home, host_user)


def is_prepared(settings: Settings) -> bool:
    """Whether `prepare` ran for this home."""
    return (settings.home / "secrets" / "master.key").exists() and (
        bool(settings.database_url) or (settings.home / "carrel.db").exists()
    )


def is_home(folder: Path) -> bool:
    """Whether a TRE lives in this folder, prepared or only configured."""
    return (folder / CONFIG_NAME).is_file() or (folder / "secrets" / "master.key").is_file()


def configure(settings: Settings, changes: Mapping[str, int | str]) -> Settings:
    """Write `changes` into the home's settings file and return the settings then in force."""
    if not changes:
        return settings
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / CONFIG_NAME
    text = path.read_text() if path.exists() else ""
    for name, value in changes.items():
        text = _with(text, name, value)
    tomllib.loads(text)
    write_whole(path, text.encode(), mode=0o640)
    return load(settings.home)


def add_administrator(settings: Settings, username: str, password: str) -> bool:
    """Make the first administrator; returns False if the account exists already."""
    return _add(settings, DemoPerson(username, username, "", _ADMIN), password)


def add_demo_people(settings: Settings) -> Mapping[str, str]:
    """Make the people of the demonstration; returns their passwords. May be called twice."""
    kept = read_logins(settings.home)
    if set(kept) >= {person.username for person in DEMO_PEOPLE}:
        return kept
    passwords = {person.username: kept.get(person.username, _password()) for person in DEMO_PEOPLE}
    made: dict[str, str] = dict(kept)
    for person in DEMO_PEOPLE:
        if _add(settings, person, passwords[person.username]):
            made[person.username] = passwords[person.username]
            write_logins(settings.home, made)
    return made


def read_logins(home: Path) -> Mapping[str, str]:
    """Return the demonstration's passwords by user name; empty if there are none to be read."""
    try:
        lines = (home / LOGINS).read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def write_logins(home: Path, passwords: Mapping[str, str]) -> None:
    """Keep the demonstration's passwords, readable only by the owner of the home."""
    does = {person.username: person.does for person in DEMO_PEOPLE}
    lines = ["# user name, password, what they do. Delete this file once you have read it."]
    lines += [f"{name:<10} {word:<18} {does.get(name, '')}" for name, word in passwords.items()]
    write_whole(home / LOGINS, ("\n".join(lines) + "\n").encode(), mode=0o600)


def _password() -> str:
    return new_secret(9)


def _add(settings: Settings, person: DemoPerson, password: str) -> bool:
    from carrel.app import build  # noqa: PLC0415 - the whole application, only where needed
    from carrel.people.service import People  # noqa: PLC0415

    people = build(settings).services.get(People)
    try:
        if people.find_account_by_name(person.username) is not None:
            return False
        people.create_account(
            system("init"),
            username=person.username,
            display_name=person.display_name,
            password=password,
            tre_roles=person.tre_roles,
        )
    finally:
        account.hand_over(settings.home, account.current())
    return True


def _with(text: str, name: str, value: int | str) -> str:
    """Return TOML `text` with the top-level key `name` set."""
    shown = str(value) if isinstance(value, int) else f'"{value}"'
    if isinstance(value, str) and re.search(r'["\\\x00-\x1f]', value):
        raise InvalidRequest(f"{value!r} cannot be written into {CONFIG_NAME}.", field=name)
    line = f"{name} = {shown}"
    pattern = re.compile(rf"^{re.escape(name)}\s*=.*$", re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _match: line, text, count=1)
    return f"{line}\n{text}"
