"""Who can vouch for a person? Local passwords now, the institution's sign-in later."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class ExternalIdentity:
    """Who somebody is, in the words of the provider that vouches for them."""

    provider: str
    """Name of the provider, for instance `local`."""
    subject: str
    """The provider's own id of the person; never an email address, which may change hands."""
    username: str
    display_name: str
    email: str | None = None


class WorkspaceCheck(Protocol):
    """Knows which workspaces there are; the room `workspaces` fulfils it."""

    def __call__(self, connection: Connection, workspace_id: str) -> bool:
        """Whether there is such a workspace; it then stays until the transaction ends."""
        ...


class IdentityProvider(Protocol):
    """Vouches for a person who gives a user name and a password (local, LDAP)."""

    def authenticate(self, username: str, password: str) -> ExternalIdentity | None:
        """Return who it is, or None; takes the same time whether or not the name is known."""
        ...


class RedirectIdentityProvider(Protocol):
    """Vouches for a person in its own pages and sends the browser back (OIDC, Entra ID)."""

    def start(self, return_url: str) -> tuple[str, str]:
        """Return the address to send the browser to, and a state to keep for `finish`."""
        ...

    def finish(self, state: str, query: str) -> ExternalIdentity | None:
        """Return who came back with this query string, or None if it does not fit the state."""
        ...
