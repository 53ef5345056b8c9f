"""What does the issuer need of others? Applications' secrets, sessions, workspaces, keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from carrel.core.audit import Audit
from carrel.core.clock import Clock
from carrel.core.database import Database
from carrel.core.settings import Settings
from carrel.people.ports import WorkspaceCheck
from carrel.people.rules import SessionKind, SignedIn
from carrel.people.tokens.identity import TreIdentity

Jwk = Mapping[str, str]
"""A public RSA key as JSON (RFC 7517): `kty`, `kid`, `use`, `alg`, `n`, `e`."""


class PublicKeys(Protocol):
    """Knows the keys with which a token of the embedded issuer may be signed at present."""

    def public(self) -> Sequence[Jwk]:
        """Return their public parts, the newest first; cheap, for every request."""
        ...


class ApplicationCheck(Protocol):
    """Knows the applications and their secrets."""

    def check_application(self, client_id: str, secret: str, *, client: str) -> str | None:
        """Return the account id if the secret is right and in force, else None.

        `client` is the address the request came from. Takes the same time whether or not the
        client id is known. Raises `Denied` with the seconds to wait after too many guesses.
        """
        ...


class SessionStarter(Protocol):
    """Begins sessions for people who have already proved who they are."""

    def begin_session(
        self, connection: Connection, account_id: str, *, kind: SessionKind, client: str
    ) -> SignedIn:
        """Begin a session in this transaction; for the issuer, after the person agreed."""
        ...


class Accounts(ApplicationCheck, SessionStarter, Protocol):
    """The people room, as the issuer sees it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What all use cases of the issuer stand on."""

    database: Database
    audit: Audit
    clock: Clock
    settings: Settings
    identity: TreIdentity
    accounts: Accounts
    is_workspace: WorkspaceCheck
