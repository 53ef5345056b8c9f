"""Which names and passwords will do, how long must a guesser wait, when is a session over?"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from carrel.core.actors import Actor, TreRole, WorkspaceRole
from carrel.core.errors import Denied, InvalidRequest, NotFound

USERNAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""Also the user name inside a sandbox (runtime.ports.Member)."""
PASSWORD_LEAST, PASSWORD_MOST = 12, 256
_LEAST_DISTINCT = 5

FIRST_WAIT_SECONDS = 5
LONGEST_WAIT_SECONDS = 15 * 60
FORGET_SECONDS = 24 * 3600
"""Failures older than this count no more."""
CLIENT_FACTOR = 4
"""A client address may fail this many times as often as an account: offices share addresses."""

TOTP_STEP_SECONDS = 30
TOUCH_SECONDS = 60
"""A session's last use is written at most this often."""

SIGN_IN_FAILED = (
    "The user name, the password or the code is not right. Check all three and try again."
)
NO_USER_MANAGEMENT = (
    "User management is switched off in this TRE. Roles in workspaces are given where the site "
    "keeps them; a TRE administrator knows where."
)
NO_WORKSPACE = "There is no such workspace, or you are not one of its members."

SessionKind = Literal["browser", "api"]
AccountKind = Literal["person", "application"]
UserManagement = Literal["owners", "admins", "off"]
SECRET_DAYS_MOST = 730
"""An application's secret lives no longer than this."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in, or an application that gets access tokens."""

    id: str
    username: str
    display_name: str
    email: str | None
    tre_roles: frozenset[TreRole]
    has_totp: bool
    is_active: bool
    created_at: datetime
    kind: AccountKind = "person"


@dataclass(frozen=True, slots=True)
class Application:
    """A program with an account of its own, which proves itself by a secret."""

    client_id: str
    account_id: str
    name: str
    tre_roles: frozenset[TreRole]
    is_active: bool
    created_at: datetime
    secret_made_at: datetime
    secret_expires_at: datetime


@dataclass(frozen=True, slots=True)
class ExternalLink:
    """Somebody's name with another issuer, standing for an account here."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class Membership:
    """One role of one person in one workspace."""

    account_id: str
    username: str
    display_name: str
    workspace_id: str
    role: WorkspaceRole
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in browser, or one signed-in program."""

    id: str
    account_id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    kind: SessionKind


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a successful sign-in gives: the token is shown only here and stored nowhere."""

    token: str
    session: Session


@dataclass(frozen=True, slots=True)
class Failures:
    """How often sign-in failed for one account name or from one client address."""

    count: int = 0
    last_at: datetime | None = None
    wait_until: datetime | None = None


def check_username(username: str) -> str:
    """Return the name as stored. Raises `InvalidRequest`."""
    name = username.strip().lower()
    if not USERNAME.fullmatch(name):
        raise InvalidRequest(
            "A user name has 1 to 32 characters: small letters, digits, - and _, "
            "and begins with a letter.",
            field="username",
        )
    return name


def check_display_name(display_name: str) -> str:
    """Return the name as stored. Raises `InvalidRequest`."""
    name = " ".join(display_name.split())
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise InvalidRequest(
            "A display name has 1 to 100 printable characters.", field="display_name"
        )
    return name


def check_email(email: str | None) -> str | None:
    """Return the address as stored, None if there is none. Raises `InvalidRequest`."""
    address = (email or "").strip()
    if not address:
        return None
    if len(address) > 254 or not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
        raise InvalidRequest("An email address looks like name@example.org.", field="email")
    return address


def normal_password(password: str) -> str:
    """Return the password in the one form that is hashed, whatever keyboard wrote it."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, username: str) -> str:
    """Return the password in its normal form. Raises `InvalidRequest` if it is too weak.

    Source: NCSC and NIST SP 800-63B: length, no composition rules, no forced change.
    """
    normal = normal_password(password)
    if not PASSWORD_LEAST <= len(normal) <= PASSWORD_MOST:
        raise InvalidRequest(
            f"A password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters. "
            "Three random words make a good one.",
            field="password",
        )
    if len(set(normal)) < _LEAST_DISTINCT:
        raise InvalidRequest(
            f"Use at least {_LEAST_DISTINCT} different characters in the password.",
            field="password",
        )
    if username and username in normal.lower() and len(normal) < len(username) + PASSWORD_LEAST:
        raise InvalidRequest("Do not build the password around the user name.", field="password")
    return normal


def wait_seconds(failures: int, allowed: int) -> int:
    """Return how long to wait after this many failures: 0, then doubling up to a limit."""
    if failures < allowed:
        return 0
    doublings = min(failures - allowed, 20)
    return min(FIRST_WAIT_SECONDS << doublings, LONGEST_WAIT_SECONDS)


def remaining_wait(failures: Failures, now: datetime) -> int:
    """Return the whole seconds that are still to wait, 0 for none."""
    if failures.wait_until is None or failures.wait_until <= now:
        return 0
    return max(1, round((failures.wait_until - now).total_seconds()))


def count_attempt(failures: Failures, allowed: int, now: datetime) -> Failures:
    """Return the failures with one more; counted before the check, so guesses cannot race."""
    stale = failures.last_at is not None and (
        now - failures.last_at > timedelta(seconds=FORGET_SECONDS)
    )
    count = 1 if stale else failures.count + 1
    wait = wait_seconds(count, allowed)
    until = now + timedelta(seconds=wait) if wait else None
    return Failures(count=count, last_at=now, wait_until=until)


def is_over(session: Session, idle: timedelta, now: datetime) -> bool:
    """Whether the session has expired; only browsers have an idle limit."""
    if now >= session.expires_at:
        return True
    return session.kind == "browser" and now >= session.last_seen_at + idle


def check_admin(actor: Actor) -> None:
    """Raise `Denied` unless the actor administers the TRE or is a part of Carrel."""
    if not (actor.is_admin or actor.is_system):
        raise Denied("Only a TRE administrator may do this.")


def check_may_manage_members(
    actor: Actor, workspace_id: str, policy: UserManagement = "owners"
) -> None:
    """Raise unless the actor may change roles: an owner, an administrator, a part of Carrel.

    `policy` is the setting `user_management`.
    """
    if actor.is_system:
        return
    if not (actor.is_admin or actor.is_member(workspace_id)):
        raise NotFound(NO_WORKSPACE)
    if policy == "off":
        raise Denied(NO_USER_MANAGEMENT)
    if actor.is_admin:
        return
    if policy == "admins":
        raise Denied("Only a TRE administrator may change the roles of a workspace in this TRE.")
    if WorkspaceRole.OWNER not in actor.roles_in(workspace_id):
        raise Denied("Only an owner of this workspace or a TRE administrator may change its roles.")


def check_secret_days(days: int) -> int:
    """Return for how many days a secret holds. Raises `InvalidRequest`."""
    if not 1 <= days <= SECRET_DAYS_MOST:
        raise InvalidRequest(
            f"A secret holds for 1 to {SECRET_DAYS_MOST} days. Choose a number in between.",
            field="secret_days",
        )
    return days


def free_username(wanted: str, number: int) -> str:
    """Return the `number`th user name to try for somebody whom another issuer calls `wanted`."""
    plain = unicodedata.normalize("NFKD", wanted.partition("@")[0]).encode("ascii", "ignore")
    name = re.sub(r"[^a-z0-9_-]+", "-", plain.decode().lower()).strip("-_")
    if not name or not name[0].isalpha():
        name = f"p{name}"
    return name[:32] if number == 0 else f"{name[:27]}-{number + 1}"


def plausible_name(name: str) -> str:
    """Return a display name made of what another issuer says."""
    plain = " ".join("".join(filter(str.isprintable, name)).split())[:100].strip()
    return plain or "Somebody without a name"


def plausible_email(email: str) -> str | None:
    """Return the address if it looks like one."""
    try:
        return check_email(email)
    except InvalidRequest:
        return None


def check_may_see_members(actor: Actor, workspace_id: str) -> None:
    """Raise `NotFound` unless the actor is a member, an administrator or a part of Carrel."""
    if not (actor.is_admin or actor.is_system or actor.is_member(workspace_id)):
        raise NotFound(NO_WORKSPACE)
